package docker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
	"github.com/portcullis-app/portcullis/sandbox/egress"
)

// internet is what these tests have of it: names, and one server behind every public
// address.
type internet struct {
	names  map[string][]string
	server *httptest.Server
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	i := &internet{names: map[string][]string{
		"allowed.example.com": {"93.184.216.34"}, "other.example.com": {"93.184.216.35"}, "private.example.com": {"10.0.0.1"}, "metadata.example.com": {"169.254.169.254"},
		"mixed.example.com": {"93.184.216.34", "127.0.0.1"}, "six.example.com": {"2606:4700:4700::1111"}, "mapped.example.com": {"::ffff:10.0.0.1"},
	}}
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "this is ", r.Host) }))
	t.Cleanup(i.server.Close)
	return i
}

func (i *internet) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range i.names[host] {
		all = append(all, netip.MustParseAddr(text))
	}
	if all == nil {
		return nil, errors.New("there is no such name")
	}
	return all, nil
}

func (i *internet) dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", i.server.Listener.Addr().String())
}

// connected lets the sandboxes of a world reach it, as their policies allow.
func (i *internet) connected(t *testing.T, folder string, change ...func(*egress.Config)) func(*docker.Config) {
	return func(c *docker.Config) {
		c.Egress = docker.Egress{Folder: folder, Full: true, Serve: func(listener net.Listener, is sandbox.Instance, reach docker.Reach) {
			out := egress.Policy{Any: reach.Network == sandbox.NetworkFull}
			for _, text := range reach.Hosts {
				host, err := policy.ParseEgressHost(text)
				if err != nil {
					t.Error(err)
				}
				out.Hosts = append(out.Hosts, host)
			}
			config := egress.Config{Sandbox: is.ID, Policy: out, Resolve: i.resolve, Dial: i.dial, Now: time.Now, Log: zerolog.Nop()}
			for _, c := range change {
				c(&config)
			}
			proxy, err := egress.New(config)
			if err == nil {
				err = proxy.Serve(context.Background(), listener)
			}
			if err != nil {
				t.Errorf("serve %s: %v", is.ID, err)
			}
		}}
	}
}

// I12: with a way out, what the policy names is reached, and nothing else is: not
// directly, and not by asking for it in another way.
func TestI12TheWayOut(t *testing.T) {
	i := newInternet(t)
	w := newWorld(t, i.connected(t, filepath.Join(t.TempDir(), "egress")))
	hosts := answering(t)
	for network, c := range map[sandbox.NetworkPolicy]struct {
		egress  []string
		reaches []string
	}{
		sandbox.NetworkEgressOnly: {[]string{"allowed.example.com", "private.example.com", "metadata.example.com", "mixed.example.com", "mapped.example.com"}, []string{"allowed.example.com"}},
		sandbox.NetworkFull:       {nil, []string{"allowed.example.com", "other.example.com", "six.example.com", "93.184.216.34"}},
	} {
		t.Run(string(network), func(t *testing.T) {
			s := spec()
			s.Constraints.Network, s.Constraints.Egress = network, c.egress
			w.create(t, s)
			reaches := map[string]bool{}
			for _, host := range c.reaches {
				reaches[host] = true
			}
			urls := []string{"169.254.169.254", "10.0.0.1", "127.0.0.1:3128", "93.184.216.34", "[::1]", "0x7f000001", "2130706433", "nobody.example.com"}
			for name := range i.names {
				urls = append(urls, name)
			}
			for _, host := range append(urls, hosts...) {
				got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "fetch", "http://" + host + "/"}, Timeout: 20 * time.Second})
				if (got.ExitCode == 0 && strings.HasPrefix(got.Stdout, "this is "+strings.Trim(host, "[]"))) != reaches[host] {
					t.Errorf("%s: %+v", host, got)
				}
			}
			for _, a := range escapes(hosts) {
				if a.name == "write outside the allowed path" {
					continue // here all of the workspace is allowed
				}
				if got := w.run(t, s.ID, sandbox.Command{Argv: append([]string{"/probe"}, a.argv...), Timeout: 10 * time.Second}); got.ExitCode != 1 {
					t.Errorf("%s: %+v", a.name, got)
				}
			}
		})
	}
}

// Whoever can connect to a sandbox's socket goes out as it does.
func TestNobodyElseEntersTheFolderOfTheSockets(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, newInternet(t).connected(t, folder))
	s := spec()
	s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"allowed.example.com"}
	_, err := w.Create(t.Context(), s)
	if refused, is := errors.AsType[*sandbox.UnsupportedError](err); !is || refused.Field != "network" {
		t.Errorf("it is started: %v", err)
	}
	if err := w.Ready(t.Context()); err == nil {
		t.Error("the doctor is told that all is well")
	}
	if _, err := w.Status(t.Context(), s.ID); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("something is there: %v", err)
	}
}

// The way out of a sandbox that outlives whoever answered for it is answered by the next.
func TestAWayOutIsTakenOver(t *testing.T) {
	i, folder := newInternet(t), filepath.Join(t.TempDir(), "egress")
	w := newWorld(t, i.connected(t, folder))
	first, err := docker.NewDockerSandbox(w.config)
	if err != nil {
		t.Fatal(err)
	}
	s := spec()
	s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"allowed.example.com"}
	if _, err := first.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	reaches := func() bool {
		t.Helper()
		return w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "fetch", "http://allowed.example.com/"}}).ExitCode == 0
	}
	if !reaches() {
		t.Error("it reaches nothing")
	}
	if err := w.Tend(t.Context()); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if reaches() {
		t.Error("it reaches out though nobody answers")
	}
	if err := w.Tend(t.Context()); err != nil {
		t.Error(err)
	}
	if !reaches() {
		t.Error("nobody has taken over")
	}
	if err := w.Destroy(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// Which credentials are given on the way is known to whoever takes over too.
func TestCredentialsAreNamedToWhoeverAnswers(t *testing.T) {
	told := make(chan docker.Reach, 2)
	w := newWorld(t, func(c *docker.Config) {
		c.Egress = docker.Egress{Folder: filepath.Join(t.TempDir(), "egress"), Lends: true, Serve: func(listener net.Listener, _ sandbox.Instance, reach docker.Reach) {
			told <- reach
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_ = connection.Close()
			}
		}}
	})
	first, err := docker.NewDockerSandbox(w.config)
	if err != nil {
		t.Fatal(err)
	}
	s := spec()
	s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"a.example.com", "*.example.org"}
	s.Constraints.Credentials = map[string]string{"a.example.com": "model", "b.example.org": "deploy"}
	t.Cleanup(func() { _ = w.Destroy(context.Background(), s.ID) })
	if _, err := first.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var reach docker.Reach
		select {
		case reach = <-told:
		case <-time.After(30 * time.Second):
			t.Fatal("nobody is told of the way out")
		}
		if fmt.Sprint(reach) != "{egress-only [a.example.com *.example.org] map[a.example.com:model b.example.org:deploy]}" {
			t.Errorf("%+v", reach)
		}
		if err := errors.Join(first.Close(), w.Tend(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}
