package tunnel_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/sshtest"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel/tunneltest"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const userToken = "ghu_secret"

var by = usertoken.New(policy.Actor{ID: 7, Login: "ann"}, userToken)

// tells is a GitHub that tells of a tunnel.
type tells func(name string) (tunnel.Properties, error)

func (t tells) Tunnel(_ context.Context, as usertoken.Token, name string) (tunnel.Properties, error) {
	if as.Reveal() != userToken {
		return tunnel.Properties{}, errors.New("whose token is that")
	}
	return t(name)
}

// codespace is a tunnel with an SSH server behind it, which lets in whom the codespace was
// told to.
type codespace struct {
	*tunneltest.World

	t      *testing.T
	config tunnel.Config

	mu   sync.Mutex
	keys []string
}

func newCodespace(t *testing.T) *codespace {
	t.Helper()
	c := &codespace{World: tunneltest.Start(t), t: t}
	c.config = tunnel.Config{GitHub: tells(func(string) (tunnel.Properties, error) { return tunneltest.Properties("shy-hill-x1"), nil }), Transport: c.Transport()}
	c.User = "vscode"
	c.StartSSH = func(key ssh.PublicKey) string {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.keys = append(c.keys, string(key.Marshal()))
		return ""
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if who.User() != "vscode" || !slices.Contains(c.keys, string(key.Marshal())) {
			return nil, errors.New("who is that")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(sshtest.NewSigner(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.SSH = listener.Addr().String()
	server := &sshtest.Server{Config: config, Exec: repeat}
	server.Running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server.Running.Go(func() { server.Serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		server.Running.Wait()
	})
	return c
}

// repeat answers a command with it on the standard output, with what it reads on the standard
// error, and with 37.
func repeat(_, line string, channel ssh.Channel) {
	_, _ = io.WriteString(channel, line)
	_, _ = io.Copy(channel.Stderr(), channel)
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{37}))
	_ = channel.Close()
}

func (c *codespace) dialer() *tunnel.Dialer {
	c.t.Helper()
	d, err := tunnel.NewTunnelDialer(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return d
}

// run runs one command over a line.
func run(line codespaces.Line, command, input string) (stdout, stderr string, code int, err error) {
	conn, channels, requests, err := ssh.NewClientConn(line, "x", &ssh.ClientConfig{User: line.User, Auth: []ssh.AuthMethod{line.Auth}, HostKeyCallback: line.HostKey})
	if err != nil {
		return "", "", 0, err
	}
	client := ssh.NewClient(conn, channels, requests)
	session, err := client.NewSession()
	if err != nil {
		return "", "", 0, err
	}
	var out, complaint bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(input), &out, &complaint
	err = session.Run(command)
	if ended, is := errors.AsType[*ssh.ExitError](err); is {
		code, err = ended.ExitStatus(), nil
	}
	return out.String(), complaint.String(), code, err
}

// soonClosed waits until the relay has no connection.
func (c *codespace) soonClosed(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); c.Open() > 0; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the relay has %d connections still", c.Open())
		}
	}
}

func TestThroughTheTunnel(t *testing.T) {
	c := newCodespace(t)
	d := c.dialer()
	ctx, cancel := context.WithCancel(t.Context())
	first, err := d.Dial(ctx, "box", by)
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.Dial(t.Context(), "box", by) // the ports are there the second time
	if err != nil {
		t.Fatal(err)
	}
	cancel() // a connection outlives what it was dialed with
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, line := range []codespaces.Line{first, second} {
		if line.User != "vscode" {
			t.Errorf("the user is %q", line.User)
		}
		stdout, stderr, code, err := run(line, "what is it", big)
		if stdout != "what is it" || stderr != big || code != 37 || err != nil {
			t.Errorf("%q, %d bytes, %d, %v", stdout, len(stderr), code, err)
		}
	}
	if c.Open() != 2 {
		t.Errorf("the relay has %d connections", c.Open())
	}
	begun := time.Now()
	if err := errors.Join(first.Close(), second.Close(), second.Close()); err != nil || time.Since(begun) > time.Second {
		t.Errorf("closed after %s: %v", time.Since(begun), err)
	}
	if _, err := first.Write([]byte("x")); err == nil {
		t.Error("a line takes something after its end")
	}
	c.soonClosed(t)
	added := slices.DeleteFunc(c.Asked(), func(request string) bool { return !strings.HasPrefix(request, "PUT ") })
	want := []string{"PUT usw2.rel.tunnels.api.visualstudio.com/tunnels/shy-hill-x1/ports/16634", "PUT usw2.rel.tunnels.api.visualstudio.com/tunnels/shy-hill-x1/ports/2222"}
	if !slices.Equal(added, want) {
		t.Errorf("ports were added by %q", added)
	}
	if len(c.keys) != 2 || c.keys[0] != c.keys[1] {
		t.Errorf("%d keys were let in, which are not one", len(c.keys))
	}
}

// TestPortsOfOthers: somebody may have added a port before, or just now.
func TestPortsOfOthers(t *testing.T) {
	for name, set := range map[string]func(*codespace){
		"before": func(c *codespace) { c.Known = []int{16634, 2222} }, "just now": func(c *codespace) { c.Taken = true },
		"and the user is set": func(c *codespace) { c.User, c.config.User = "root", "vscode" }, "and nobody says which key the host has": func(c *codespace) { c.HostKeys = []string{} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCodespace(t)
			set(c)
			line, err := c.dialer().Dial(t.Context(), "box", by)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, code, err := run(line, "x", ""); code != 37 || err != nil {
				t.Errorf("%d, %v", code, err)
			}
			if err := line.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoWayIn: what does not go well is said, without a token, and leaves nothing open.
func TestNoWayIn(t *testing.T) {
	properties := func(change func(*tunnel.Properties)) func(*codespace) {
		return func(c *codespace) {
			at := tunneltest.Properties("shy-hill-x1")
			change(&at)
			c.config.GitHub = tells(func(string) (tunnel.Properties, error) { return at, nil })
		}
	}
	says := func(answer string) func(*codespace) {
		return func(c *codespace) { c.StartSSH = func(ssh.PublicKey) string { return answer } }
	}
	for name, test := range map[string]struct {
		set  func(*codespace)
		want string
	}{
		"GitHub fails": {func(c *codespace) {
			c.config.GitHub = tells(func(string) (tunnel.Properties, error) { return tunnel.Properties{}, errGitHub })
		}, errGitHub.Error()},
		"it is stopped":                {properties(func(at *tunnel.Properties) { at.State = "Shutdown" }), `the codespace is "Shutdown"`},
		"GitHub does not tell":         {properties(func(at *tunnel.Properties) { at.ServiceURI = "" }), "GitHub does not tell where the codespace's tunnel is"},
		"a service elsewhere":          {properties(func(at *tunnel.Properties) { at.ServiceURI = "https://tunnels.example.com/" }), "https://usw2.tunnels.example.com is no address of a tunnel's"},
		"a service that ends like one": {properties(func(at *tunnel.Properties) { at.ServiceURI = "https://eviltunnels.api.visualstudio.com.example.com/" }), "is no address of a tunnel's"},
		"a service in the clear":       {properties(func(at *tunnel.Properties) { at.ServiceURI = "http://global.rel.tunnels.api.visualstudio.com/" }), "is no address of a tunnel's"},
		"a cluster that is a host":     {properties(func(at *tunnel.Properties) { at.ClusterID = "example.com/" }), "invalid URL escape"},
		"no address":                   {properties(func(at *tunnel.Properties) { at.ServiceURI = ":" }), "the address of its tunnel service cannot be read"},
		"another token":                {properties(func(at *tunnel.Properties) { at.PortsToken = "x" }), "401"},
		"a relay elsewhere":            {func(c *codespace) { c.RelayURI = "wss://relay.example.com/" }, "https://relay.example.com is no address of a tunnel's"},
		"a relay by an address":        {func(c *codespace) { c.RelayURI = "wss://169.254.169.254/" }, "https://169.254.169.254 is no address of a tunnel's"},
		"a relay in the clear":         {func(c *codespace) { c.RelayURI = "ws://usw2-data.rel.tunnels.api.visualstudio.com/" }, "is no address of a tunnel's"},
		"the service repeats a token":  {func(c *codespace) { c.ServiceAnswers = func() int { return http.StatusForbidden } }, "Refused Tunnel [secret]"},
		"the relay repeats a token":    {func(c *codespace) { c.RelayAnswers = func() int { return http.StatusForbidden } }, "connect to the tunnel's relay"},
		"the service says null":        {func(c *codespace) { c.ServiceSays = "null" }, "the tunnel service says nothing of a tunnel"},
		"nobody is there":              {func(c *codespace) { c.ServiceSays = "{}" }, "the tunnel has 0 hosts, and not one"},
		"a long answer":                {func(c *codespace) { c.ServiceSays = "{" + strings.Repeat(" ", 2<<20) + "}" }, "error parsing response json"},
		"another host's key":           {func(c *codespace) { c.HostKeys = []string{base64.StdEncoding.EncodeToString([]byte("another"))} }, "the host has another key than the tunnel service says"},
		"the codespace fails":          {says("status cannot"), "start its SSH server: rpc error: code = Internal desc = cannot"},
		"it says no":                   {says(`Result: false Message: "no sshd \n@ann"`), `the codespace says "no sshd \n@ann"`},
		"no port":                      {says(`Result: true ServerPort: "70000" User: "x"`), `it is at port "70000"`},
		"no user":                      {says(`Result: true ServerPort: "2222" User: "-oProxyCommand=x"`), `it lets "-oProxyCommand=x" in`},
		"nobody listens":               {says(`Result: true ServerPort: "2223" User: "x"`), "reach its SSH server: connect to port 2223"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCodespace(t)
			test.set(c)
			_, err := c.dialer().Dial(t.Context(), "box", by)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			for _, secret := range []string{userToken, tunneltest.ConnectToken, tunneltest.PortsToken} {
				if strings.Contains(fmt.Sprint(err), secret) {
					t.Errorf("%v has a token", err)
				}
			}
			c.soonClosed(t)
		})
	}
}

var errGitHub = errors.New("GitHub does not answer")

// TestItEndsWithItsContext, wherever it waits.
func TestItEndsWithItsContext(t *testing.T) {
	for name, set := range map[string]func(c *codespace, reached func()){
		"for the service": func(c *codespace, reached func()) {
			c.ServiceAnswers = func() int { reached(); return 0 }
		},
		"for the relay": func(c *codespace, reached func()) {
			c.RelayAnswers = func() int { reached(); return 0 }
		},
		"for the host": func(c *codespace, reached func()) {
			c.Silent = true
			time.AfterFunc(200*time.Millisecond, reached)
		},
		"for the SSH server": func(c *codespace, reached func()) {
			c.StartSSH = func(ssh.PublicKey) string {
				reached()
				<-c.t.Context().Done()
				return ""
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCodespace(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var at time.Time
			set(c, sync.OnceFunc(func() {
				at = time.Now()
				cancel()
			}))
			_, err := c.dialer().Dial(ctx, "box", by)
			if took := time.Since(at); !errors.Is(err, context.Canceled) || took > time.Second {
				t.Errorf("%s after its end: %v", took, err)
			}
		})
	}
}
