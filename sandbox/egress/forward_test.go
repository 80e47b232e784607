package egress_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/egress"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// TestAPlainRequest arrives as the proxy's own: what is for the proxy is left out, and the
// rest is as it was.
func TestAPlainRequest(t *testing.T) {
	heard := make(chan string, 1)
	w := newWorld(t, nil)
	w.at("api.example.com", 80, serve(t, func(c net.Conn) {
		reader := bufio.NewReader(c)
		var head strings.Builder
		for {
			text, err := reader.ReadString('\n')
			head.WriteString(text)
			if text == "\r\n" || err != nil {
				break
			}
		}
		body := make([]byte, 5)
		_, _ = io.ReadFull(reader, body)
		heard <- head.String() + string(body)
		_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nConnection: X-Gone\r\nX-Gone: 1\r\nProxy-Authenticate: Basic\r\nKeep-Alive: timeout=5\r\nX-Kept: 1\r\nContent-Length: 4\r\n\r\nmove")
	}))
	c := w.connect()
	_, _ = io.WriteString(c, "POST http://API.example.com:80/a%2Fb;c/%7e?x=1;y&%zz=&q HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive, X-Hop, Authorization, Upgrade, HTTP2-Settings\r\nX-Hop: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"+
		"Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nProxy-X: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\nTrailer: X-Late\r\nX-Forwarded-For: 10.0.0.1\r\nX-Kept: a\r\nX-Kept: b\r\nContent-Length: 5\r\n\r\nhello"+
		"GET http://api.example.com/smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	want := "POST /a%2Fb;c/%7e?x=1;y&%zz=&q HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nX-Kept: a\r\nX-Kept: b\r\nConnection: close\r\n\r\nhello"
	if got := <-heard; got != want {
		t.Errorf("the server heard\n%q, want\n%q", got, want)
	}
	header := response.Header
	if response.StatusCode != http.StatusFound || string(body) != "move" || header.Get("X-Kept") != "1" || header.Get("X-Gone")+header.Get("Proxy-Authenticate")+header.Get("Keep-Alive") != "" || header.Values("Content-Type") != nil || !response.Close {
		t.Errorf("%d %q %q", response.StatusCode, body, header)
	}
	if rest, _ := io.ReadAll(c); len(rest) > 0 || len(w.dials()) != 1 {
		t.Errorf("a second request in the connection got %q, dialed %v", rest, w.dials())
	}
}

// TestI13WhereAPlainRequestLeads holds the same for plain requests as for CONNECT.
func TestI13WhereAPlainRequestLeads(t *testing.T) {
	w := newWorld(t, func(c *egress.Config) { c.Policy.Hosts = append(c.Policy.Hosts, hosts(t, "tls.example.com:443")...) })
	w.at("api.example.com", 80, site(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	w.name("tls.example.com", addresses(publicAddress))
	w.name("private.files.example.com", addresses(publicAddress, "10.0.0.1"))
	for host, want := range map[string]struct {
		status int
		told   string
	}{
		"api.example.com": {200, "api.example.com"}, "API.example.com.": {200, "api.example.com"}, "evil.example.org": {403, "sandbox.constraints.egress"},
		"private.files.example.com": {403, "not all of its addresses are public"}, "tls.example.com": {403, "tls.example.com:80"}, "unknown.files.example.com": {502, "could not be looked up"},
	} {
		if status, told := w.say("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n"); status != want.status || !strings.Contains(told, want.told) {
			t.Errorf("%s: %d %q, want %d %q", host, status, told, want.status, want.told)
		}
	}
	if dials := w.dials(); len(dials) != 2 {
		t.Errorf("dialed %v", dials)
	}
}

// TestAnAnswerStreams: what a server has said is there before it says more, in whatever form.
func TestAnAnswerStreams(t *testing.T) {
	more := make(chan struct{})
	w := newWorld(t, nil)
	w.at("api.example.com", 80, site(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Late")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "data: 2\n\n")
		w.Header().Set("X-Late", "1")
	}))
	response, err := w.client(nil).Get("http://api.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 9)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "data: 1\n\n" {
		t.Fatalf("%q, %v", first, err)
	}
	close(more)
	rest, err := io.ReadAll(response.Body)
	if err != nil || string(rest) != "data: 2\n\n" || response.Trailer.Get("X-Late") != "1" {
		t.Errorf("%q, %v, %q", rest, err, response.Trailer)
	}
}

// TestBodies of every kind arrive.
func TestBodies(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 80, site(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %d %v %v", r.Method, len(body), err, r.TransferEncoding)
	}))
	big := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		method string
		body   io.Reader
		expect string
		want   string
	}{
		{"GET", nil, "", "GET 0 <nil> []"},
		{"POST", strings.NewReader(big), "", "POST 1048576 <nil> []"},
		{"PUT", io.MultiReader(strings.NewReader(big)), "", "PUT 1048576 <nil> [chunked]"},
		{"POST", strings.NewReader(big), "100-continue", "POST 1048576 <nil> []"},
		{"DELETE", nil, "", "DELETE 0 <nil> []"},
		{"PROPFIND", nil, "", "PROPFIND 0 <nil> []"},
	} {
		request, err := http.NewRequest(test.method, "http://api.example.com/", test.body)
		if err != nil {
			t.Fatal(err)
		}
		if test.expect != "" {
			request.Header.Set("Expect", test.expect)
		}
		response, err := w.client(nil).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != test.want {
			t.Errorf("%q, %v, want %q", body, err, test.want)
		}
		_ = response.Body.Close()
	}
}

// TestAServerThatMisbehaves gets a sentence made of it, or a broken end, and nothing on the
// log that it said.
func TestAServerThatMisbehaves(t *testing.T) {
	for name, test := range map[string]struct {
		says   string
		status int
	}{
		"nothing":               {"", 502},
		"no HTTP":               {"SSH-2.0-words-of-the-server\r\n", 502},
		"a broken header":       {"HTTP/1.1 200 OK\r\nwords-of-the-server\r\n\r\n", 502},
		"a large header":        {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("words-of-the-server", 10<<10) + "\r\n\r\n", 502},
		"another protocol":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nwords-of-the-server", 502},
		"two lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nwords-of-the-server", 502},
		"hints without an end":  {strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: words-of-the-server\r\n\r\n", 10<<10), 502},
		"two answers":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX: words-of-the-server\r\n\r\n", 200},
		"more than it promised": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok words-of-the-server", 200},
	} {
		t.Run(name, func(t *testing.T) {
			said := captureStandardLog(t)
			w := newWorld(t, nil)
			w.wrap = func(c net.Conn) net.Conn {
				<-time.After(20 * time.Millisecond) // until what the server says is there
				return c
			}
			w.at("api.example.com", 80, serve(t, func(c net.Conn) {
				_, _ = io.WriteString(c, test.says) // before it was asked
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			}))
			c := w.connect()
			_, _ = io.WriteString(c, "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
			reader := bufio.NewReader(c)
			response, err := http.ReadResponse(reader, nil)
			for err == nil && response.StatusCode == http.StatusEarlyHints {
				response, err = http.ReadResponse(reader, nil)
			}
			if err != nil || response.StatusCode != test.status {
				t.Fatalf("%v, %v, want %d", response, err, test.status)
			}
			if body, err := io.ReadAll(response.Body); err != nil || (test.status == 200 && string(body) != "ok") {
				t.Errorf("%q, %v", body, err)
			}
			if text := w.log.String() + said.String(); strings.Contains(text, "words-of-the-server") {
				t.Errorf("the log repeats it: %s", text)
			}
		})
	}
}

// TestAnAnswerThatBreaksOff breaks off for the sandbox too.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 80, serve(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<10))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
	}))
	response, err := w.client(nil).Get("http://api.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != "half of it" {
		t.Errorf("%q, %v", body, err)
	}
	if text := w.log.String(); strings.Contains(text, "panic") || len(w.log.events("egress.fault")) > 0 {
		t.Errorf("the log has %s", text)
	}
}

// TestWhoGoesAwayIsNotWaitedFor: the server is left when the sandbox leaves.
func TestWhoGoesAwayIsNotWaitedFor(t *testing.T) {
	left := make(chan struct{})
	w := newWorld(t, nil)
	w.at("api.example.com", 80, site(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(left)
	}))
	c := w.connect()
	_, _ = io.WriteString(c, "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	sandboxtest.Eventually(t, "the request arrives", func() bool { return slices.Contains(w.log.events("egress.allowed"), "api.example.com:80") })
	_ = c.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("it is still there")
	}
}
