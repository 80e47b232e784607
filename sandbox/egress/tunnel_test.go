package egress_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/egress"
)

// hello is a ClientHello.
func hello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	inside, outside := net.Pipe()
	defer inside.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tls.Client(outside, config).HandshakeContext(ctx)
	}()
	sent := make([]byte, 64<<10)
	n, err := inside.Read(sent)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
	return sent[:n]
}

// echConfig is what a client hides a name with, behind another.
func echConfig(t testing.TB, public string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := []byte{7, 0, 0x20, 0, 32} // an id, X25519
	config = append(config, key.PublicKey().Bytes()...)
	config = append(config, 0, 4, 0, 1, 0, 1, 32, byte(len(public))) // HKDF-SHA256, AES-128-GCM
	config = append(config, public...)
	config = append(config, 0, 0)
	config = append([]byte{0xfe, 0x0d, 0, byte(len(config))}, config...)
	return append([]byte{0, byte(len(config))}, config...)
}

// TestWhatATunnelCarries: TLS for the host that was asked for, and nothing that could be for
// another.
func TestWhatATunnelCarries(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	right := hello(t, &tls.Config{ServerName: "api.example.com"})
	for name, test := range map[string]struct {
		sent []byte
		want string
	}{
		"the host":                 {right, ""},
		"the host, in capitals":    {hello(t, &tls.Config{ServerName: "API.Example.com"}), ""},
		"the host, in an old TLS":  {hello(t, &tls.Config{ServerName: "api.example.com", MaxVersion: tls.VersionTLS12}), ""},
		"another that is listed":   {hello(t, &tls.Config{ServerName: "x.files.example.com"}), "another name"},
		"another":                  {hello(t, &tls.Config{ServerName: "evil.example.org"}), "another name"},
		"one below":                {hello(t, &tls.Config{ServerName: "x.api.example.com"}), "another name"},
		"none":                     {hello(t, &tls.Config{InsecureSkipVerify: true}), "no name"},
		"an address":               {hello(t, &tls.Config{ServerName: publicAddress}), "no name"},
		"hidden":                   {hello(t, &tls.Config{ServerName: "evil.example.org", EncryptedClientHelloConfigList: echConfig(t, "api.example.com"), MinVersion: tls.VersionTLS13}), "hidden name"},
		"HTTP":                     {[]byte("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"), "no TLS"},
		"SSH":                      {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), "no TLS"},
		"an alert":                 {[]byte{21, 3, 3, 0, 2, 1, 0}, "no TLS"},
		"a broken hello":           {slices.Replace(slices.Clone(right), 43, 44, 255), "no TLS"},
		"a name with a zero in it": {bytes.Replace(right, []byte("api.example.com"), []byte("api.example.co\x00"), 1), "another name"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.log.events("egress.denied"))
			c := w.tunnel("api.example.com:443")
			if _, err := c.Write(test.sent); err != nil {
				t.Fatal(err)
			}
			_ = c.CloseWrite()
			got, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if !bytes.Equal(got, test.sent) {
					t.Errorf("%d of %d bytes came back", len(got), len(test.sent))
				}
				return
			}
			if !bytes.Equal(got, []byte{21, 3, 3, 0, 2, 2, 49}) {
				t.Errorf("%q came back, want an alert alone", got)
			}
			if denied := w.log.events("egress.denied")[before:]; !slices.Equal(denied, []string{"api.example.com:443 " + test.want}) {
				t.Errorf("the log has %q, want %q", denied, test.want)
			}
		})
	}
}

// TestAHelloInPieces: the name is read however the hello is cut, also if it comes along with
// the request, and the server gets every byte as it was sent.
func TestAHelloInPieces(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	right := hello(t, &tls.Config{ServerName: "api.example.com"})
	var fragments []byte // a record for each byte, after the header of the one there is
	for _, b := range right[5:] {
		fragments = append(fragments, 22, 3, 1, 0, 1, b)
	}
	for name, sent := range map[string][]byte{"whole": right, "fragments": fragments} {
		for _, size := range []int{1, 7, 1 << 20} {
			c := w.connect()
			request := "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
			text := append([]byte(request), sent...)
			for piece := range slices.Chunk(text, size) {
				if _, err := c.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(established)+len(sent))
			_, err := io.ReadFull(c, got)
			if want := established + string(sent); err != nil || string(got) != want {
				t.Errorf("%s in pieces of %d: %d bytes came back of %d, %v: %.300q", name, size, len(got), len(want), err, got)
			}
		}
	}
}

// TestTLSThroughATunnel is what a program does: the certificate is the server's own.
func TestTLSThroughATunnel(t *testing.T) {
	address, roots := safeSite(t, "api.example.com", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.Host+r.URL.Path)
	})
	w := newWorld(t, nil)
	w.at("api.example.com", 443, address)
	response, err := w.client(roots).Get("https://api.example.com/v1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "GET api.example.com/v1" {
		t.Errorf("%q, %v", body, err)
	}
	if got := w.log.events("egress.allowed"); !slices.Equal(got, []string{"api.example.com:443"}) {
		t.Errorf("the log has %q", got)
	}
	if _, err := w.client(roots).Get("https://evil.example.org/v1?secret=x"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("elsewhere: %v", err)
	}
	if text := w.log.String(); strings.Contains(text, "v1") || strings.Contains(text, "secret") {
		t.Errorf("the log tells of a path: %s", text)
	}
}

// TestHalfClose: what ends in one direction goes on in the other.
func TestHalfClose(t *testing.T) {
	full := func(c *egress.Config) { c.Policy = egress.Policy{Any: true} }
	t.Run("the upload ends first", func(t *testing.T) {
		w := newWorld(t, full)
		w.at("api.example.com", 443, serve(t, func(c net.Conn) {
			got, _ := io.ReadAll(c)
			_, _ = io.WriteString(c, strings.ToUpper(string(got)))
		}))
		c := w.tunnel("api.example.com:443")
		_, _ = io.WriteString(c, "hello")
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "HELLO" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("the download ends first", func(t *testing.T) {
		w := newWorld(t, full)
		heard := make(chan string, 1)
		w.at("api.example.com", 443, serve(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "bye")
			_ = c.(*net.TCPConn).CloseWrite()
			got, _ := io.ReadAll(c)
			heard <- string(got)
		}))
		c := w.tunnel("api.example.com:443")
		if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_, _ = io.WriteString(c, "still here")
		_ = c.CloseWrite()
		if got := <-heard; got != "still here" {
			t.Errorf("the server heard %q", got)
		}
	})
	t.Run("the server takes no more, and says why", func(t *testing.T) {
		w := newWorld(t, full)
		w.at("api.example.com", 443, serve(t, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 10))
			_, _ = io.WriteString(c, "too much")
			_ = c.(*net.TCPConn).CloseWrite()
			<-time.After(50 * time.Millisecond)
		}))
		c := w.tunnel("api.example.com:443")
		go func() { _, _ = c.Write(make([]byte, 8<<20)) }()
		got := make([]byte, 8)
		if _, err := io.ReadFull(c, got); string(got) != "too much" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_ = c.Close()
	})
	t.Run("what the server said arrives after it takes no more", func(t *testing.T) {
		w := newWorld(t, full)
		w.wrap = func(c net.Conn) net.Conn { return refusing{c} }
		w.at("api.example.com", 443, serve(t, func(c net.Conn) {
			<-time.After(100 * time.Millisecond)
			_, _ = io.WriteString(c, "too much")
		}))
		c := w.tunnel("api.example.com:443")
		_, _ = io.WriteString(c, "more")
		if got, err := io.ReadAll(c); string(got) != "too much" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("a server that vanishes", func(t *testing.T) {
		w := newWorld(t, full)
		w.at("api.example.com", 443, serve(t, func(c net.Conn) {
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
		}))
		c := w.tunnel("api.example.com:443")
		_, _ = io.WriteString(c, "x")
		if got, err := io.ReadAll(c); len(got) != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("a sandbox that vanishes", func(t *testing.T) {
		w := newWorld(t, full)
		ended := make(chan struct{})
		w.at("api.example.com", 443, serve(t, func(c net.Conn) {
			_, _ = io.Copy(io.Discard, c)
			close(ended)
		}))
		_ = w.tunnel("api.example.com:443").Close()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the server is not told")
		}
	})
}

// refusing is a connection to a server that takes nothing.
type refusing struct{ net.Conn }

func (refusing) Write([]byte) (int, error) { return 0, errors.New("it takes nothing") }
