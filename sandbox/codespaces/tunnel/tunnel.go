// Package tunnel is a way into codespaces without GitHub's command line: by the tunnel that
// each codespace has, with Microsoft's library for those.
//
// Neither the tunnel nor what is behind it is documented. It goes as GitHub's own command
// line does it: the API tells where the tunnel is, port 16634 behind it answers to gRPC, and
// starts an SSH server, which is another port.
package tunnel

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// Properties say where the tunnel to a codespace is.
type Properties struct {
	// State is the codespace's, in GitHub's word for it.
	State string
	// ServiceURI is the address of the tunnel service, and TunnelID and ClusterID are what
	// the tunnel is there; empty: GitHub does not tell.
	ServiceURI, TunnelID, ClusterID string
	// ConnectToken opens the tunnel, and PortsToken its ports. Both are secret.
	ConnectToken, PortsToken string
}

// GitHub tells where tunnels are.
type GitHub interface {
	// Tunnel tells of the codespace of that name, whose owner's the token is.
	Tunnel(ctx context.Context, by usertoken.Token, name string) (Properties, error)
}

// Config is what a Dialer is made of.
type Config struct {
	GitHub GitHub
	// Hosts are the domains in which tunnel services and relays are: with any other the
	// dialer does not speak. Empty: [DefaultHosts].
	Hosts []string
	// User is who the SSH server lets in; empty: it says so itself.
	User string
	// Transport is for connections to tunnel services and relays; nil: one of its own.
	Transport *http.Transport
}

// DefaultHosts returns where the tunnels of github.com's codespaces are.
func DefaultHosts() []string { return []string{"tunnels.api.visualstudio.com", "app.github.dev"} }

// Dialer connects to the SSH servers of codespaces. It may be used by several goroutines.
type Dialer struct {
	config Config
	signer ssh.Signer
}

var _ codespaces.Dialer = (*Dialer)(nil)

// NewTunnelDialer returns one, with a key that is its own.
func NewTunnelDialer(config Config) (*Dialer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	if len(config.Hosts) == 0 {
		config.Hosts = DefaultHosts()
	}
	if config.Transport == nil {
		config.Transport = http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is documented to be one
	}
	return &Dialer{config: config, signer: signer}, nil
}

// Close gives up the connections to tunnel services that are kept for the next time. Those
// to codespaces go on.
func (d *Dialer) Close() error {
	d.config.Transport.CloseIdleConnections()
	return nil
}

// available is the state of a codespace that can be connected to.
const available = "Available"

// Dial connects through the tunnel. It does not keep a codespace in use: what happens there
// does, by GitHub's rules.
func (d *Dialer) Dial(ctx context.Context, name string, by usertoken.Token) (codespaces.Line, error) {
	at, err := d.config.GitHub.Tunnel(ctx, by, name)
	switch {
	case err != nil:
		return codespaces.Line{}, err
	case at.State != available:
		return codespaces.Line{}, fmt.Errorf("the codespace is %q, and can be connected to once it is %q", at.State, available)
	case at.ServiceURI == "" || at.TunnelID == "" || at.ClusterID == "":
		return codespaces.Line{}, errors.New("GitHub does not tell where the codespace's tunnel is, which it is not documented to do; sandbox.codespaces.connect: gh is the other way in")
	}
	line, err := d.through(ctx, at)
	if err != nil {
		return codespaces.Line{}, without(err, by.Reveal(), at.ConnectToken, at.PortsToken)
	}
	return line, nil
}

// through opens the tunnel, starts the SSH server behind it and connects to that.
func (d *Dialer) through(ctx context.Context, at Properties) (_ codespaces.Line, err error) {
	relay, err := d.open(ctx, at)
	if err != nil {
		return codespaces.Line{}, err
	}
	over := relay.endWith(ctx)
	defer func() {
		if !over() || err != nil {
			err = errors.Join(context.Cause(ctx), err, relay.Close())
		}
	}()
	inside, err := relay.forward(ctx, internalPort)
	if err != nil {
		return codespaces.Line{}, fmt.Errorf("reach what is inside the codespace: %w", err)
	}
	server, err := startSSHServer(ctx, codespaces.Stream{ReadWriteCloser: inside, By: "tunnel"}, d.signer.PublicKey())
	if err != nil {
		return codespaces.Line{}, fmt.Errorf("start its SSH server: %w", err)
	}
	if d.config.User != "" {
		server.user = d.config.User
	}
	channel, err := relay.forward(ctx, server.port)
	if err != nil {
		return codespaces.Line{}, fmt.Errorf("reach its SSH server: %w", err)
	}
	return codespaces.Line{
		Conn: codespaces.Stream{ReadWriteCloser: &whole{channel, relay}, By: "tunnel"}, User: server.user, Auth: ssh.PublicKeys(d.signer),
		// The tunnel leads to the codespace and nowhere else, and nobody knows the key that
		// its SSH server has.
		HostKey: ssh.InsecureIgnoreHostKey(), //nolint:gosec // see above
	}, nil
}

// whole is a port behind a tunnel that ends with it.
type whole struct {
	io.ReadWriteCloser

	relay *relay
}

// Close ends the tunnel and waits for that.
func (w *whole) Close() error { return w.relay.Close() }

// without returns the error without secrets: what others say may repeat what they were sent.
func without(err error, secrets ...string) error {
	said := err.Error()
	for _, secret := range secrets {
		if secret != "" {
			said = strings.ReplaceAll(said, secret, usertoken.Token{}.String())
		}
	}
	if said == err.Error() {
		return err
	}
	return errors.New(said)
}

// isIn reports whether a host is a domain, or in it.
func isIn(host, domain string) bool {
	return strings.EqualFold(host, domain) || strings.HasSuffix(strings.ToLower(host), "."+domain)
}
