package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/egress"
)

// FuzzProxy sends anything: the proxy lives on, looks no name up and dials no address that it
// may not, and hands a server in a tunnel nothing but TLS for the host.
func FuzzProxy(f *testing.F) {
	right := string(hello(f, &tls.Config{ServerName: "api.example.com"}))
	for _, text := range []string{
		"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com\r\n\r\n" + right,
		"CONNECT api.example.com:443 HTTP/1.1\r\n\r\n" + string(hello(f, &tls.Config{ServerName: "evil.example.org"})),
		"CONNECT x.files.example.com:443 HTTP/1.0\r\n\r\n\x16\x03\x01\x00\x05",
		"GET http://api.example.com/?x HTTP/1.1\r\nHost: api.example.com\r\nConnection: close, X\r\n\r\n",
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
		"GET http://private.files.example.com/ HTTP/1.1\r\nHost: private.files.example.com\r\n\r\n", "CONNECT private.files.example.com:443 HTTP/1.1\r\n\r\n",
		"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n", "CONNECT [::ffff:127.0.0.1]:443 HTTP/1.1\r\n\r\n", "GET http://0x7f.1/ HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n",
		"CONNECT evil.example.org:443 HTTP/1.1\r\n\r\n", "GET http://api.example.com@evil.example.org/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
		"GET http://evil.example.org#@api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"", "\r\n\r\n", "\x16\x03\x01", "\x04\x01\x01\xbb\x7f\x00\x00\x01\x00", "\x05\x01\x00",
	} {
		f.Add([]byte(text))
	}
	allowed := hosts(f, "api.example.com", "*.files.example.com")
	may := func(name string) bool {
		return slices.ContainsFunc(allowed, func(h policy.EgressHost) bool { return h.Matches(name, 443) })
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		outside := &outside{heard: map[uint16][][]byte{}}
		w := newWorld(t, func(c *egress.Config) {
			c.Limits.Head, c.Limits.Reach, c.Limits.Idle = time.Second, time.Second, time.Second
			c.Resolve, c.Dial = outside.resolve, outside.dial
		})
		c := w.connect()
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		w.stop()
		<-w.ended
		w.ended <- nil
		outside.running.Wait()
		for _, name := range outside.lookups {
			if !may(name) {
				t.Errorf("%q was looked up for %q", name, sent)
			}
		}
		for port, all := range outside.heard {
			for _, heard := range all {
				name, err := asks(port, heard)
				if len(heard) > 0 && (err != nil || !may(name)) {
					t.Errorf("a server at port %d was told %q, %v, for %q", port, heard, err, sent)
				}
			}
		}
		if faults := w.log.events("egress.fault"); len(faults) > 0 {
			t.Errorf("%q: %s", sent, w.log)
		}
	})
}

// outside is an internet in which everybody is public but one, and hears what is said.
type outside struct {
	running sync.WaitGroup
	lookups []string
	mu      sync.Mutex
	heard   map[uint16][][]byte
}

func (o *outside) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	o.lookups = append(o.lookups, host)
	if host == "private.files.example.com" {
		return addresses(publicAddress, "10.0.0.1"), nil
	}
	return addresses(publicAddress), nil
}

func (o *outside) dial(_ context.Context, address netip.AddrPort) (net.Conn, error) {
	if address.Addr() != netip.MustParseAddr(publicAddress) {
		panic(address.String() + " was dialed")
	}
	here, there := net.Pipe()
	o.running.Go(func() {
		defer there.Close()
		var heard []byte
		for buffer := make([]byte, 64<<10); ; {
			n, err := there.Read(buffer)
			heard = append(heard, buffer[:n]...)
			if err != nil {
				break
			}
			if address.Port() == 80 && bytes.HasSuffix(heard, []byte("\r\n\r\n")) {
				_, _ = io.WriteString(there, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.heard[address.Port()] = append(o.heard[address.Port()], heard)
	})
	return here, nil
}

// asks reads who is asked for: in a request that stands alone at port 80, and in a
// ClientHello elsewhere.
func asks(port uint16, heard []byte) (name string, err error) {
	if port != 80 {
		_ = tls.Server(deaf{Reader: bytes.NewReader(heard)}, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			name = info.ServerName
			return nil, errors.New("that was all")
		}}).Handshake()
		return name, nil
	}
	reader := bufio.NewReader(bytes.NewReader(heard))
	request, err := http.ReadRequest(reader)
	if err != nil {
		return "", err
	}
	_, _ = io.Copy(io.Discard, request.Body) // which may have broken off
	if rest, _ := io.ReadAll(reader); len(rest) > 0 {
		return "", fmt.Errorf("%q follows", rest)
	}
	return request.Host, nil
}

// deaf is a connection on which somebody has spoken.
type deaf struct {
	net.Conn
	io.Reader
}

func (d deaf) Read(b []byte) (int, error)  { return d.Reader.Read(b) }
func (d deaf) Write(b []byte) (int, error) { return len(b), nil }
