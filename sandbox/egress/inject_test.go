package egress_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/egress"
)

const secret = "ghs_canary0123456789"

// injected is a world in which api.example.com is given the secret.
func injected(t testing.TB, roots *x509.CertPool, of func(context.Context) (string, error)) *world {
	t.Helper()
	return newWorld(t, func(c *egress.Config) {
		c.Roots = roots
		c.Policy.Injections = []egress.Injection{{Host: "api.example.com", Header: "authorization", Prefix: "Bearer ", Secret: of}}
	})
}

func always(context.Context) (string, error) { return secret, nil }

// TestACredentialIsGivenOnTheWay: by TLS, to the right server, in place of what the sandbox
// sent, and never to the sandbox.
func TestACredentialIsGivenOnTheWay(t *testing.T) {
	type heard struct {
		authorization []string
		others        string
		safe          bool
	}
	arrived := make(chan heard, 1)
	address, roots := safeSite(t, "api.example.com", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- heard{r.Header.Values("Authorization"), fmt.Sprint(r.Host, r.URL, r.Header["X-Kept"], r.Header["Range"], r.Header["If-Range"], r.Header["Accept-Encoding"], r.Trailer), r.TLS != nil}
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, "I was told "+r.Header.Get("Authorization")+", and again "+secret)
	})
	w := injected(t, roots, always)
	w.at("api.example.com", 443, address)
	for _, lines := range []string{
		"", "Authorization: Bearer mine\r\n", "AUTHORIZATION: a\r\nauthorization: b\r\n", "Connection: close, Authorization\r\nAuthorization: Bearer mine\r\n",
		"Trailer: Authorization\r\n",
	} {
		c := w.connect()
		_, _ = io.WriteString(c, "POST http://api.example.com/v1?x=1 HTTP/1.1\r\nHost: api.example.com\r\nX-Kept: 1\r\nAccept-Encoding: gzip\r\nRange: bytes=0-20\r\nIf-Range: x\r\nTransfer-Encoding: chunked\r\n"+lines+"\r\n0\r\nAuthorization: Bearer mine\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := <-arrived
		if !slices.Equal(got.authorization, []string{"Bearer " + secret}) || !got.safe || got.others != "api.example.com/v1?x=1 [1] [] [] [identity] map[]" {
			t.Errorf("%q: the server heard %+v", lines, got)
		}
		stars := strings.Repeat("*", len(secret))
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "I was told Bearer "+stars+", and again "+stars || response.Header.Get("X-Echo") != "Bearer "+stars {
			t.Errorf("the sandbox is told %q %q, %v", response.Header, body, err)
		}
	}
	for _, d := range w.dials() {
		if d != netip.MustParseAddrPort(publicAddress+":443") {
			t.Errorf("%s was dialed", d)
		}
	}
	if text := w.log.String(); strings.Contains(text, secret) || strings.Contains(text, "v1") {
		t.Errorf("the log has it: %s", text)
	}
	if got := w.log.events("egress.allowed"); !slices.Equal(slices.Compact(got), []string{"api.example.com:443"}) {
		t.Errorf("the log has %q", got)
	}
}

// TestSeveralCredentials: each header has its own, also if one is part of another.
func TestSeveralCredentials(t *testing.T) {
	address, roots := safeSite(t, "api.example.com", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization")+" "+r.Header.Get("X-Key"))
	})
	w := newWorld(t, func(c *egress.Config) {
		c.Roots = roots
		c.Policy.Injections = []egress.Injection{
			{Host: "api.example.com", Header: "Authorization", Prefix: "Bearer ", Secret: always},
			{Host: "api.example.com", Header: "X-Key", Secret: func(context.Context) (string, error) { return secret + "-and-more", nil }},
			{Host: "x.files.example.com", Header: "X-Key", Secret: func(context.Context) (string, error) { t.Error("another's is asked for"); return "", nil }},
		}
	})
	w.at("api.example.com", 443, address)
	status, told := w.say("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	if want := "Bearer " + strings.Repeat("*", len(secret)) + " " + strings.Repeat("*", len(secret+"-and-more")); status != 200 || told != want {
		t.Errorf("%d %q, want %q", status, told, want)
	}
}

// TestAnotherPortIsGivenNothing: what is in front of another port of the host is another
// server.
func TestAnotherPortIsGivenNothing(t *testing.T) {
	w := newWorld(t, func(c *egress.Config) {
		c.Policy.Any = true
		c.Policy.Injections = []egress.Injection{{Host: "api.example.com", Header: "Authorization", Secret: func(context.Context) (string, error) { t.Error("it is asked for"); return secret, nil }}}
	})
	w.at("api.example.com", 8080, site(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) }))
	if status, told := w.say("GET http://api.example.com:8080/ HTTP/1.1\r\nHost: api.example.com:8080\r\nAuthorization: mine\r\n\r\n"); status != 200 || told != "mine" {
		t.Errorf("%d %q", status, told)
	}
}

// TestConnectIsGivenNothing: TLS from inside stays as it is.
func TestConnectIsGivenNothing(t *testing.T) {
	address, roots := safeSite(t, "api.example.com", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	})
	w := injected(t, roots, func(context.Context) (string, error) { t.Error("it is asked for"); return secret, nil })
	w.at("api.example.com", 443, address)
	response, err := w.client(roots).Get("https://api.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); len(body) != 0 || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// TestNoSecretNoRequest: what cannot be given, or not safely, is not sent without, and what
// comes of it is not told.
func TestNoSecretNoRequest(t *testing.T) {
	arrived := 0
	address, roots := safeSite(t, "api.example.com", func(http.ResponseWriter, *http.Request) { arrived++ })
	other, otherRoots := safeSite(t, "other.example.com", func(http.ResponseWriter, *http.Request) { arrived++ })
	plain := site(t, func(http.ResponseWriter, *http.Request) { arrived++ })
	for name, test := range map[string]struct {
		of     func(context.Context) (string, error)
		server string
		roots  *x509.CertPool
		want   string
	}{
		"an error":            {func(context.Context) (string, error) { return "", errors.New("of " + secret) }, address, roots, "no credential"},
		"an error and one":    {func(context.Context) (string, error) { return secret, errors.New("of " + secret) }, address, roots, "no credential"},
		"none":                {func(context.Context) (string, error) { return "", nil }, address, roots, "no credential"},
		"a short one":         {func(context.Context) (string, error) { return "1234567", nil }, address, roots, "no credential"},
		"another header":      {func(context.Context) (string, error) { return secret + "\r\nX: y", nil }, address, roots, "no credential"},
		"a line":              {func(context.Context) (string, error) { return secret + "\n", nil }, address, roots, "no credential"},
		"no ASCII":            {func(context.Context) (string, error) { return secret + "ü", nil }, address, roots, "no credential"},
		"too late":            {func(ctx context.Context) (string, error) { <-ctx.Done(); return secret, context.Cause(ctx) }, address, roots, "no credential"},
		"another's server":    {always, other, otherRoots, "TLS"},
		"an unknown server":   {always, other, roots, "TLS"},
		"the host's roots":    {always, address, nil, "TLS"},
		"a server in the way": {always, plain, roots, "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *egress.Config) {
				c.Roots, c.Limits.Reach = test.roots, 500*time.Millisecond
				c.Policy.Injections = []egress.Injection{{Host: "api.example.com", Header: "Authorization", Prefix: "Bearer ", Secret: test.of}}
			})
			w.at("api.example.com", 443, test.server)
			w.at("api.example.com", 80, plain)
			status, told := w.say("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer mine\r\n\r\n")
			if got := w.log.events("egress.failed"); status != 502 || !slices.Equal(got, []string{"api.example.com:443 " + test.want}) {
				t.Errorf("%d %q, the log has %q", status, told, got)
			}
			if text := told + w.log.String(); strings.Contains(text, secret) {
				t.Errorf("it is told: %s", text)
			}
		})
	}
	if arrived > 0 {
		t.Errorf("%d requests arrived", arrived)
	}
}

// TestWhatAServerSaysIsNotTold: neither in the log, nor in a sentence, if it is sent back in a
// place where net/http quotes it.
func TestWhatAServerSaysIsNotTold(t *testing.T) {
	for name, says := range map[string]string{
		"a status line": "Authorization: %s\r\n", "a broken header": "HTTP/1.1 200 OK\r\n%s\r\n\r\n", "a header": "HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 0\r\n\r\n",
		"hints": "HTTP/1.1 103 Early Hints\r\nLink: %s\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "a protocol": "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n",
		"a trailer": "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: %s\r\n\r\n", "a broken trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
		"a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n", "a trailer unannounced": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: %s\r\n\r\n",
		"a length": "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", "a coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n", "a reason": "HTTP/1.1 200 %s\r\nContent-Length: 0\r\n\r\n",
		"a second answer": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX: %s\r\n\r\n", "compressed": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX: %s\r\nContent-Length: 1\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			said := captureStandardLog(t)
			address, roots := safeSite(t, "api.example.com", func(w http.ResponseWriter, r *http.Request) {
				c, buffered, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = fmt.Fprintf(buffered, says, secret)
				_ = buffered.Flush()
				_ = c.Close()
			})
			w := injected(t, roots, always)
			w.at("api.example.com", 443, address)
			c := w.connect()
			_, _ = io.WriteString(c, "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nTE: trailers\r\n\r\n")
			got, _ := io.ReadAll(c)
			w.stop()
			<-w.ended
			w.ended <- nil
			if text := string(got) + w.log.String() + said.String(); strings.Contains(text, secret) {
				t.Errorf("it is told: %s", text)
			}
			if name == "compressed" && (!strings.Contains(string(got), " 502 ") || !slices.Equal(w.log.events("egress.failed"), []string{"api.example.com:443 encoded"})) {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestInjectionsThatCannotBe are errors when the proxy is made.
func TestInjectionsThatCannotBe(t *testing.T) {
	right := egress.Injection{Host: "api.example.com", Header: "Authorization", Prefix: "Bearer ", Secret: always}
	for want, change := range map[string]func(*egress.Injection){
		"api.example.org:443":      func(i *egress.Injection) { i.Host = "api.example.org" },
		"write the host as":        func(i *egress.Injection) { i.Host = "API.example.com" },
		"is an address":            func(i *egress.Injection) { i.Host = publicAddress },
		"not made of":              func(i *egress.Injection) { i.Host = "*.files.example.com" },
		`the header ""`:            func(i *egress.Injection) { i.Header = "" },
		`the header "X: y"`:        func(i *egress.Injection) { i.Header = "X: y" },
		`the header "host"`:        func(i *egress.Injection) { i.Header = "host" },
		`the header "transfer-`:    func(i *egress.Injection) { i.Header = "transfer-encoding" },
		`the header "Proxy-Autho`:  func(i *egress.Injection) { i.Header = "Proxy-Authorization" },
		"not printable":            func(i *egress.Injection) { i.Prefix = "Bearer\r\n" },
		"nobody to ask":            func(i *egress.Injection) { i.Secret = nil },
		"there are two for Author": func(*egress.Injection) {},
	} {
		wrong := right
		change(&wrong)
		config := egress.Config{Now: time.Now, Policy: egress.Policy{Hosts: hosts(t, "api.example.com"), Injections: []egress.Injection{right, wrong}}}
		if _, err := egress.New(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
