package docker_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
	"github.com/portcullis-app/portcullis/sandbox/egress"
)

// I12: what a program says to the proxy in another way than libraries do gets it no further.
func TestI12WhatIsSaidToTheProxy(t *testing.T) {
	i := newInternet(t)
	w := newWorld(t, i.connected(t, filepath.Join(t.TempDir(), "egress")))
	s := spec()
	s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"allowed.example.com", "private.example.com", "metadata.example.com"}
	w.create(t, s)
	for name, c := range map[string]struct {
		lines  []string
		answer string
	}{
		"a tunnel that is allowed":              {[]string{"CONNECT allowed.example.com:443 HTTP/1.1", "Host: allowed.example.com:443"}, "200"},
		"a request that is":                     {[]string{"GET http://allowed.example.com/ HTTP/1.1", "Host: allowed.example.com"}, "200"},
		"an address":                            {[]string{"CONNECT 93.184.216.34:443 HTTP/1.1", "Host: 93.184.216.34:443"}, "403"},
		"an address by another name":            {[]string{"CONNECT 1572395042:443 HTTP/1.1"}, "400"},
		"an IPv6 address":                       {[]string{"CONNECT [2606:4700:4700::1111]:443 HTTP/1.1"}, "403"},
		"loopback":                              {[]string{"CONNECT 127.0.0.1:443 HTTP/1.1"}, "403"},
		"a port that is not allowed":            {[]string{"CONNECT allowed.example.com:22 HTTP/1.1", "Host: allowed.example.com:22"}, "403"},
		"the port of plain requests":            {[]string{"CONNECT allowed.example.com:80 HTTP/1.1"}, "403"},
		"a name that is private":                {[]string{"CONNECT private.example.com:443 HTTP/1.1", "Host: private.example.com:443"}, "403"},
		"a name that is the metadata service's": {[]string{"GET http://metadata.example.com/latest/ HTTP/1.1", "Host: metadata.example.com"}, "403"},
		"another host in the header":            {[]string{"CONNECT allowed.example.com:443 HTTP/1.1", "Host: other.example.com:443"}, "400"},
		"an allowed host in the header":         {[]string{"CONNECT other.example.com:443 HTTP/1.1", "Host: allowed.example.com:443"}, "400"},
		"two hosts in headers":                  {[]string{"GET http://allowed.example.com/ HTTP/1.1", "Host: allowed.example.com", "Host: other.example.com"}, "400"},
		"a user before the host":                {[]string{"GET http://allowed.example.com@other.example.com/ HTTP/1.1", "Host: other.example.com"}, "400"},
		"a user before a host that is allowed":  {[]string{"GET http://ann:x@allowed.example.com/ HTTP/1.1", "Host: allowed.example.com"}, "400"},
		"a path alone":                          {[]string{"GET / HTTP/1.1", "Host: allowed.example.com"}, "400"},
		"https without a tunnel":                {[]string{"GET https://allowed.example.com/ HTTP/1.1", "Host: allowed.example.com"}, "400"},
	} {
		got := w.run(t, s.ID, sandbox.Command{Argv: append([]string{"/probe", "ask-proxy"}, c.lines...), Timeout: 20 * time.Second})
		if _, status, _ := strings.Cut(got.Stdout, " "); !strings.HasPrefix(status, c.answer) || (got.ExitCode == 0) != (c.answer == "200") {
			t.Errorf("%s: %+v, want %s", name, got, c.answer)
		}
	}
}

// A server is given the credential by TLS, for a request from a sandbox that has it nowhere.
func TestACredentialThatTheSandboxDoesNotHave(t *testing.T) {
	const secret = "ghs_canary0123456789"
	heard := make(chan string, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- fmt.Sprint(r.TLS != nil, " ", r.Host, " ", r.Header["Authorization"])
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		_, _ = fmt.Fprint(w, "I was told ", r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	i := newInternet(t)
	i.names["example.com"] = []string{"93.184.216.36"} // who the server's certificate says it is
	i.server = server
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	w := newWorld(t, i.connected(t, filepath.Join(t.TempDir(), "egress"), func(c *egress.Config) {
		c.Roots = roots
		c.Policy.Injections = []egress.Injection{{Host: "example.com", Header: "Authorization", Prefix: "Bearer ", Secret: func(context.Context) (string, error) { return secret, nil }}}
	}), func(c *docker.Config) { c.Egress.Lends = true })
	s := spec()
	s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"example.com"}
	s.Constraints.Credentials = map[string]string{"example.com": "model"}
	w.create(t, s)
	got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "fetch", "http://example.com/v1"}, Timeout: 20 * time.Second})
	if want := "I was told Bearer " + strings.Repeat("*", len(secret)); got.ExitCode != 0 || got.Stdout != want {
		t.Errorf("%+v, want %s", got, want)
	}
	select {
	case told := <-heard:
		if told != "true example.com [Bearer "+secret+"]" {
			t.Errorf("the server heard %s", told)
		}
	default:
		t.Error("the server heard nothing")
	}
	for name, argv := range map[string][]string{"its environment": {"environment"}, "what it is told of PID 1": {"copy-file", "/proc/1/cmdline"}} {
		if got := w.run(t, s.ID, sandbox.Command{Argv: append([]string{"/probe"}, argv...)}); got.ExitCode != 0 || strings.Contains(got.Stdout+got.Stderr, secret) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "find", secret}, Timeout: time.Minute}); got.ExitCode != 1 || got.Stdout != "" {
		t.Errorf("it is in files: %+v", got)
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "find", "TMPDIR=/tmp"}, Timeout: time.Minute}); got.ExitCode != 0 {
		t.Errorf("nothing would be found: %+v", got)
	}
	inspected, err := w.engine.ContainerInspect(t.Context(), w.container(t, s.ID), client.ContainerInspectOptions{})
	if err != nil || bytes.Contains(inspected.Raw, []byte(secret)) {
		t.Errorf("the engine has it: %v", err)
	}
}

// What an operator has switched off is not taken over from who was allowed it, and that is
// told once.
func TestAWayOutThatIsSwitchedOff(t *testing.T) {
	for name, c := range map[string]struct {
		asks  func(*sandbox.Spec)
		off   func(*docker.Egress)
		field string
	}{
		"full": {func(s *sandbox.Spec) { s.Constraints.Network = sandbox.NetworkFull }, func(e *docker.Egress) { e.Full = false }, "network"},
		"credentials": {func(s *sandbox.Spec) {
			s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"allowed.example.com"}
			s.Constraints.Credentials = map[string]string{"allowed.example.com": "model"}
		}, func(e *docker.Egress) { e.Lends = false }, "credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newInternet(t).connected(t, filepath.Join(t.TempDir(), "egress")), func(c *docker.Config) { c.Egress.Lends = true })
			s := spec()
			c.asks(&s)
			first := w.another(t)
			if _, err := first.Create(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = w.Destroy(context.Background(), s.ID) })
			fetch := sandbox.Command{Argv: []string{"/probe", "fetch", "http://allowed.example.com/"}}
			if got := w.run(t, s.ID, fetch); got.ExitCode != 0 {
				t.Fatalf("while it is allowed: %+v", got)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			c.off(&w.config.Egress)
			next := w.another(t)
			if refused, is := errors.AsType[*sandbox.UnsupportedError](next.Tend(t.Context())); !is || refused.Field != c.field {
				t.Errorf("told %v", refused)
			}
			if err := next.Tend(t.Context()); err != nil {
				t.Errorf("told again: %v", err)
			}
			if got := w.run(t, s.ID, fetch); got.ExitCode == 0 {
				t.Errorf("it reaches out: %+v", got)
			}
			if _, err := os.Stat(filepath.Join(w.config.Egress.Folder, s.ID)); err != nil {
				t.Error(err)
			}
		})
	}
}
