package codespaces

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// ghVariable makes this test binary a gh, which is what the variable says.
const ghVariable = "PORTCULLIS_TEST_GH"

// asGH is what a gh does that was called.
func asGH() {
	switch os.Getenv(ghVariable) {
	case "":
		return
	case "fails":
		_, _ = fmt.Fprintln(os.Stderr, "error with", os.Getenv("GH_TOKEN"), "getting ssh server details")
		os.Exit(1)
	case "says nothing":
		os.Exit(0)
	}
	if err := playGH(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// playGH is gh with a codespace behind it, which answers any command with what gh was
// called with.
func playGH() error {
	told := strings.Join(append(os.Args[1:], os.Environ()...), "\n")
	if os.Args[len(os.Args)-1] == "--config" {
		_, err := os.Stdout.WriteString("Host cs.box.main\n\tUser vscode\n\tProxyCommand gh cs ssh -c box --stdio\n")
		return err
	}
	public, err := os.ReadFile(os.Args[len(os.Args)-1] + ".pub")
	if err != nil {
		return err
	}
	wanted, _, _, _, err := ssh.ParseAuthorizedKey(public)
	if err != nil {
		return err
	}
	private, err := os.ReadFile(os.Args[len(os.Args)-1])
	if err != nil {
		return err
	}
	host, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return err
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if who.User() != "vscode" || string(key.Marshal()) != string(wanted.Marshal()) {
			return nil, errors.New("who is that")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(host)
	_, channels, requests, err := ssh.NewServerConn(Stream{standard{}, "gh"}, config)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	for asked := range channels {
		channel, requests, err := asked.Accept()
		if err != nil {
			return err
		}
		for request := range requests {
			_ = request.Reply(true, nil)
			_, _ = io.WriteString(channel, told)
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{37}))
			_ = channel.Close()
		}
	}
	return nil
}

// standard is standard input and output.
type standard struct{}

func (standard) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (standard) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (standard) Close() error                { return os.Stdin.Close() }

const ghToken = "ghu_secret"

// newGH is a gh that does as the word says.
func newGH(t *testing.T, does, user string) *GH {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "gh")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+ghVariable+"='"+does+"' exec '"+self+"' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	g, err := NewGH(GHConfig{Program: program, Host: "github.com", User: user})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestGH(t *testing.T) {
	g := newGH(t, "works", "")
	by := usertoken.New(policy.Actor{ID: 7, Login: "ann"}, ghToken)
	for range 2 { // the user is known the second time
		line, err := g.Dial(t.Context(), "shiny-barnacle-x5", by)
		if err != nil {
			t.Fatal(err)
		}
		conn, channels, requests, err := ssh.NewClientConn(line, "x", &ssh.ClientConfig{User: line.User, Auth: []ssh.AuthMethod{line.Auth}, HostKeyCallback: line.HostKey})
		if err != nil {
			t.Fatal(errors.Join(err, line.Close()))
		}
		client := ssh.NewClient(conn, channels, requests)
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		told, err := session.Output("anything")
		if code, err := exitCode(err); code != 37 || err != nil {
			t.Errorf("it ended with %d, %v", code, err)
		}
		words, environment, _ := strings.Cut(string(told), g.key()+"\n")
		if words != "codespace\nssh\n--codespace\nshiny-barnacle-x5\n--stdio\n--\n-i\n" {
			t.Errorf("gh was called with %q", words)
		}
		variables := map[string]bool{}
		for v := range strings.SplitSeq(environment, "\n") {
			name, _, _ := strings.Cut(v, "=")
			variables[name] = true
		}
		if !strings.Contains(environment, "GH_TOKEN="+ghToken) || variables["GOPATH"] || variables["USER"] || len(variables) > 12 {
			t.Errorf("its environment is %v", variables)
		}
		begun := time.Now()
		if err := client.Close(); err != nil || time.Since(begun) > ghEndTime {
			t.Errorf("closed after %s: %v", time.Since(begun), err)
		}
	}
	if info, err := os.Stat(g.key()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
}

func TestWhetherThereIsAGH(t *testing.T) {
	if err := newGH(t, "says nothing", "").Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := newGH(t, "fails", "").Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "gh: exit status 1: error with") {
		t.Errorf("one that fails: %v", err)
	}
	g, err := NewGH(GHConfig{Program: filepath.Join(t.TempDir(), "gh"), Host: "github.com"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Ready(t.Context()), g.Close()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func TestAGHThatFails(t *testing.T) {
	by := usertoken.New(policy.Actor{ID: 7, Login: "ann"}, ghToken)
	for _, c := range []struct{ does, user, name, want string }{
		{"fails", "", "box", "gh: exit status 1: error with [secret] getting ssh server details"},
		{"says nothing", "", "box", "gh does not tell who"},
		{"works", "vscode", "-x", "no name of a codespace"},
		{"works", "vscode", "a b", "no name of a codespace"},
		{"works", "vscode", "", "no name of a codespace"},
	} {
		_, err := newGH(t, c.does, c.user).Dial(t.Context(), c.name, by)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), ghToken) {
			t.Errorf("%s, %q: %v, want %s", c.does, c.name, err, c.want)
		}
	}
	line, err := newGH(t, "fails", "vscode").Dial(t.Context(), "box", by)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(line); err == nil || !strings.Contains(err.Error(), "[secret]") || strings.Contains(err.Error(), ghToken) {
		t.Errorf("what it says at its end: %v", err)
	}
}
