// Package sshtest plays the SSH server in a codespace, for tests.
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Server says how connections are answered.
type Server struct {
	Config *ssh.ServerConfig
	// Exec does a command line for a user, and closes the channel.
	Exec func(user, line string, channel ssh.Channel)
	// Silent reports whether commands get no answer; nil: they do.
	Silent func() bool
	// Running are the commands, which may outlive their connection.
	Running sync.WaitGroup
}

// Serve answers on a connection until that ends.
func (s *Server) Serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	client, channels, requests, err := ssh.NewServerConn(conn, s.Config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for asked := range channels {
		channel, requests, err := asked.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() {
			for request := range requests {
				if s.Silent != nil && s.Silent() {
					continue
				}
				var line struct{ Text string }
				known := request.Type == "exec" && ssh.Unmarshal(request.Payload, &line) == nil
				_ = request.Reply(known, nil)
				if known {
					s.Running.Go(func() { s.Exec(client.User(), line.Text, channel) })
				}
			}
		})
	}
}

// NewSigner is a key.
func NewSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
