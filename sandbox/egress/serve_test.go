package egress_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/egress"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// TestTheEndEndsEverything: tunnels, requests, hellos and what is being dialed, at once, and
// goleak holds that nothing is left of them.
func TestTheEndEndsEverything(t *testing.T) {
	dialing := make(chan struct{}, 1)
	w := newWorld(t, func(c *egress.Config) {
		before := c.Dial
		c.Dial = func(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
			if address.Port() != 443 || address.Addr() != netip.MustParseAddr(publicAddress) {
				return before(ctx, address)
			}
			dialing <- struct{}{}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		c.Policy.Any = true
	})
	w.at("api.example.com", 22, echoes(t))
	w.at("api.example.com", 80, serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	open := []net.Conn{w.tunnel("api.example.com:22"), w.connect(), w.connect(), w.connect(), w.connect()}
	_, _ = io.WriteString(open[1], "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	_, _ = io.WriteString(open[2], "POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 10\r\n\r\nhalf")
	_, _ = io.WriteString(open[3], "CONNECT api.example.com:443 HTTP/1.1\r\n\r\n")
	_, _ = io.WriteString(open[4], "CONNECT half")
	<-dialing
	sandboxtest.Eventually(t, "two requests are on their way", func() bool { return w.proxy.Stats().Allowed == 3 })
	begin := time.Now()
	w.stop()
	if err := <-w.ended; err != nil {
		t.Error(err)
	}
	w.ended <- nil
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the end took %s", took)
	}
	for i, c := range open {
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil && !broken(err) {
			t.Errorf("connection %d is open: %v", i, err)
		}
	}
	if _, err := net.Dial("unix", w.socket); err == nil {
		t.Error("somebody listens")
	}
	if err := w.proxy.Serve(t.Context(), nobody{}); err == nil {
		t.Error("it serves twice")
	}
}

// TestTheEndWaits for what it has started, and not only until it is told to end.
func TestTheEndWaits(t *testing.T) {
	var last *lingering
	w := limited(t, egress.Limits{})
	w.at("api.example.com", 22, echoes(t))
	w.wrap = func(c net.Conn) net.Conn {
		last = &lingering{Conn: c}
		return last
	}
	w.tunnel("api.example.com:22")
	w.stop()
	<-w.ended
	w.ended <- nil
	if !last.over.Load() {
		t.Error("it has returned, and a connection is still read")
	}
}

// lingering is a connection that is read for a while after it was closed.
type lingering struct {
	net.Conn

	over atomic.Bool
}

func (l *lingering) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err != nil {
		<-time.After(100 * time.Millisecond)
		l.over.Store(true)
	}
	return n, err
}

// nobody is a listener that has broken.
type nobody struct{ net.Listener }

func (nobody) Accept() (net.Conn, error) { return nil, fmt.Errorf("the socket is gone") }
func (nobody) Close() error              { return nil }

// TestAListenerThatIsClosed is an end like another.
func TestAListenerThatIsClosed(t *testing.T) {
	proxy, err := egress.New(egress.Config{Sandbox: "box", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- proxy.Serve(context.Background(), l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "CONNECT")
	sandboxtest.Eventually(t, "it is heard", func() bool { return proxy.Stats().Sent > 0 })
	_ = l.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	ends(t, c, patience)
}

// TestABrokenListener is told.
func TestABrokenListener(t *testing.T) {
	proxy, err := egress.New(egress.Config{Sandbox: "box", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Serve(t.Context(), nobody{}); err == nil || !strings.Contains(err.Error(), "listen for sandbox box: the socket is gone") {
		t.Errorf("%v", err)
	}
}

// TestMuchBothWays: 64 MiB each way at once through a tunnel, in bounded memory.
func TestMuchBothWays(t *testing.T) {
	const size = 64 << 20
	w := newWorld(t, nil)
	block := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	served := make(chan struct{})
	w.at("api.example.com", 443, serve(t, func(c net.Conn) {
		defer close(served)
		if _, err := io.ReadFull(c, make([]byte, len(hello(t, &tls.Config{ServerName: "api.example.com"})))); err != nil {
			t.Error(err)
		}
		var both sync.WaitGroup
		both.Go(func() { check(t, c, block, size) })
		both.Go(func() { pump(t, c, block, size) })
		both.Wait()
	}))
	c := w.tunnel("api.example.com:443")
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := c.Write(hello(t, &tls.Config{ServerName: "api.example.com"})); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var both sync.WaitGroup
	both.Go(func() { check(t, c, block, size) })
	both.Go(func() { pump(t, c, block, size) })
	both.Wait()
	<-served
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 4<<20 {
		t.Errorf("%d bytes of memory were taken", grown)
	}
	if s := w.proxy.Stats(); s.Sent < size || s.Received < size || s.Sent > size+1<<20 {
		t.Errorf("%+v", s)
	}
}

// pump writes the block until the size is reached, and ends.
func pump(t testing.TB, c net.Conn, block []byte, size int) {
	for range size / len(block) {
		if _, err := c.Write(block); err != nil {
			t.Error(err)
			return
		}
	}
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
}

// check reads what pump wrote.
func check(t testing.TB, c net.Conn, block []byte, size int) {
	got := make([]byte, len(block))
	for range size / len(block) {
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, block) {
			t.Errorf("what was sent does not come: %v", err)
			return
		}
	}
	if n, err := io.Copy(io.Discard, c); n > 0 || err != nil {
		t.Errorf("%d bytes too many, %v", n, err)
	}
}

// TestMuchAtOnce: many use one proxy.
func TestMuchAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.at("api.example.com", 443, echoes(t))
	w.at("api.example.com", 80, site(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	sent := hello(t, &tls.Config{ServerName: "api.example.com"})
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			for range 10 {
				if i%2 == 0 {
					c := w.tunnel("api.example.com:443")
					_, _ = c.Write(sent)
					if _, err := io.ReadFull(c, make([]byte, len(sent))); err != nil {
						t.Error(err)
					}
					_ = c.Close()
					continue
				}
				text := fmt.Sprint("body of ", i)
				if status, told := w.say(fmt.Sprintf("POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: %d\r\n\r\n%s", len(text), text)); status != 200 || told != text {
					t.Errorf("%d %q, want %q", status, told, text)
				}
			}
		})
	}
	all.Wait()
	if s := w.proxy.Stats(); s.Allowed != 300 || s.Denied+s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}
