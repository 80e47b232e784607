package egress_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox/egress"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// limited is a world that is open, within limits.
func limited(t testing.TB, limits egress.Limits) *world {
	t.Helper()
	return newWorld(t, func(c *egress.Config) {
		c.Policy, c.Limits = egress.Policy{Any: true}, limits
	})
}

// ends reads to the end of a connection, which must come within a time.
func ends(t testing.TB, c net.Conn, within time.Duration) []byte {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(within))
	got, err := io.ReadAll(c)
	if err != nil && !broken(err) {
		t.Fatalf("it does not end within %s: %v", within, err)
	}
	return got
}

// TestBytesSent: no more than the limit leaves the sandbox, whichever way and however many
// connections it takes, and then nothing does.
func TestBytesSent(t *testing.T) {
	const limit = 100 << 10
	for name, send := range map[string]func(*world){
		"in a tunnel": func(w *world) {
			c := w.tunnel("api.example.com:22")
			_, _ = c.Write(make([]byte, 2*limit))
			ends(t, c, patience)
		},
		"in many": func(w *world) {
			for range 20 {
				if status, _ := w.say("CONNECT api.example.com:22 HTTP/1.1\r\nX: " + strings.Repeat("x", 10<<10) + "\r\n\r\n"); status != 200 {
					return
				}
			}
		},
		"in heads that are refused": func(w *world) {
			for range 20 {
				if status, _ := w.say("CONNECT 127.0.0.1:22 HTTP/1.1\r\nX: " + strings.Repeat("x", 10<<10) + "\r\n\r\n"); status != 403 {
					return
				}
			}
		},
		"in a body": func(w *world) {
			_, _ = w.say("POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 204800\r\n\r\n" + strings.Repeat("x", 2*limit))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int64
			server := serve(t, func(c net.Conn) {
				n, _ := io.Copy(io.Discard, c)
				arrived.Add(n)
			})
			w := limited(t, egress.Limits{Sent: limit})
			w.at("api.example.com", 22, server)
			w.at("api.example.com", 80, server)
			send(w)
			if status, told := w.say("CONNECT api.example.com:22 HTTP/1.1\r\n\r\n"); status != 503 || !strings.Contains(told, "as much as it may") {
				t.Errorf("then: %d %q", status, told)
			}
			w.stop()
			<-w.ended
			w.ended <- nil
			if s := w.proxy.Stats(); s.Sent > limit || arrived.Load() > limit {
				t.Errorf("%d bytes arrived, %+v", arrived.Load(), s)
			}
			if got := w.log.events("egress.limited"); len(got) == 0 || got[0] != "bytes sent" {
				t.Errorf("the log has %q", got)
			}
		})
	}
}

// TestBytesReceived is the same the other way.
func TestBytesReceived(t *testing.T) {
	const limit = 100 << 10
	w := limited(t, egress.Limits{Received: limit})
	w.at("api.example.com", 22, serve(t, func(c net.Conn) { _, _ = c.Write(make([]byte, 2*limit)) }))
	w.at("api.example.com", 23, echoes(t))
	silent := w.tunnel("api.example.com:23")
	got := len(ends(t, w.tunnel("api.example.com:22"), patience)) + len(ends(t, silent, patience)) + 2*len(established)
	if s := w.proxy.Stats(); got > limit || s.Received > limit {
		t.Errorf("%d bytes came, %+v", got, s)
	}
	if status, _ := w.say("CONNECT api.example.com:22 HTTP/1.1\r\n\r\n"); status != 503 {
		t.Errorf("then: %d", status)
	}
	if got := w.log.events("egress.limited"); !slices.Equal(got, []string{"bytes received", "bytes"}) {
		t.Errorf("the log has %q", got)
	}
}

// TestConnections: there are as many as may be, and another when one has ended.
func TestConnections(t *testing.T) {
	w := limited(t, egress.Limits{Connections: 3})
	w.at("api.example.com", 22, echoes(t))
	open := []net.Conn{w.tunnel("api.example.com:22"), w.tunnel("api.example.com:22"), w.connect()} // one says nothing
	const ask = "CONNECT api.example.com:22 HTTP/1.1\r\n\r\n"
	sandboxtest.Eventually(t, "it is full", func() bool { status, _ := w.say(ask); return status == 503 })
	if status, told := w.say(ask); status != 503 || !strings.Contains(told, "3 connections") {
		t.Errorf("%d %q", status, told)
	}
	_ = open[0].Close()
	sandboxtest.Eventually(t, "there is room again", func() bool { status, _ := w.say(ask); return status == 200 })
	if got := w.log.events("egress.limited"); !slices.Contains(got, "connections") {
		t.Errorf("the log has %q", got)
	}
}

// TestSlowness: what never comes is not waited for, be it a request, a ClientHello or its
// end, however slowly it does come.
func TestSlowness(t *testing.T) {
	const head = 150 * time.Millisecond
	trickle := func(c net.Conn, text string) {
		for _, b := range []byte(text) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	request := "CONNECT api.example.com:443 HTTP/1.1\r\nX: " + strings.Repeat("x", 100) + "\r\n\r\n"
	right := string(hello(t, &tls.Config{ServerName: "api.example.com"}))
	for name, test := range map[string]struct {
		tunnel bool
		sent   string
		want   string
	}{
		"no request":     {false, "", ""},
		"a slow request": {false, request, "no request"},
		"no hello":       {true, "", "api.example.com:443 no TLS"},
		"a slow hello":   {true, right, "api.example.com:443 no TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *egress.Config) { c.Limits.Head = head })
			w.at("api.example.com", 443, echoes(t))
			c := w.connect()
			if test.tunnel {
				c = w.tunnel("api.example.com:443")
			}
			var sending sync.WaitGroup
			sending.Go(func() { trickle(c, test.sent) })
			begin := time.Now()
			ends(t, c, patience)
			if took := time.Since(begin); took < head/2 || took > 20*head {
				t.Errorf("it took %s", took)
			}
			sending.Wait()
			want := []string{test.want}
			if test.want == "" {
				want = nil
			}
			sandboxtest.Eventually(t, "the log has "+test.want, func() bool { return slices.Equal(w.log.events("egress.denied"), want) })
		})
	}
}

// TestSilence: a server that does not answer is given up, and a tunnel in which nothing moves
// is closed, but not one in which something does.
func TestSilence(t *testing.T) {
	const idle = 200 * time.Millisecond
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	w := limited(t, egress.Limits{Idle: idle, Reach: idle})
	w.at("api.example.com", 80, silent)
	if status, told := w.say("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); status != 504 || !strings.Contains(told, "did not answer in time") {
		t.Errorf("%d %q", status, told)
	}
	if got := w.log.events("egress.failed"); !slices.Equal(got, []string{"api.example.com:80 no answer"}) {
		t.Errorf("the log has %q", got)
	}
	ends(t, w.tunnel("api.example.com:80"), patience)
	sandboxtest.Eventually(t, "the log has it", func() bool { return slices.Equal(w.log.events("egress.limited"), []string{"idle"}) })

	w.at("api.example.com", 22, echoes(t))
	c := w.tunnel("api.example.com:22")
	for range 10 {
		<-time.After(idle / 4)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatalf("it was closed while something moved: %v", err)
		}
	}
	ends(t, c, patience)
}

// TestOneWayIsNoSilence: what is only sent, or only received, keeps a tunnel open.
func TestOneWayIsNoSilence(t *testing.T) {
	const idle = 200 * time.Millisecond
	slowly := func(c net.Conn) {
		for range 12 {
			_, _ = c.Write([]byte("x"))
			<-time.After(idle / 4)
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	w := limited(t, egress.Limits{Idle: idle})
	w.at("api.example.com", 22, serve(t, slowly))
	if got := ends(t, w.tunnel("api.example.com:22"), patience); len(got) != 12 {
		t.Errorf("%d came", len(got))
	}
	w.at("api.example.com", 23, serve(t, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		_, _ = fmt.Fprint(c, n)
	}))
	c := w.tunnel("api.example.com:23")
	slowly(c)
	if got := ends(t, c, patience); string(got) != "12" {
		t.Errorf("%q arrived", got)
	}
}

// TestAServerThatTakesNothing holds nothing open, neither a tunnel nor a request.
func TestAServerThatTakesNothing(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	left := make(chan struct{}, 2)
	w := limited(t, egress.Limits{Idle: 200 * time.Millisecond})
	w.wrap = func(c net.Conn) net.Conn { return watched{c, left} }
	for _, port := range []uint16{22, 80} {
		w.at("api.example.com", port, serve(t, func(net.Conn) { <-done }))
	}
	for target, begin := range map[string]string{
		"a tunnel": "CONNECT api.example.com:22 HTTP/1.1\r\n\r\n", "a request": "POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 67108864\r\n\r\n",
	} {
		c := w.connect()
		_, _ = io.WriteString(c, begin)
		go func() { _, _ = c.Write(make([]byte, 64<<20)) }()
		ends(t, c, patience)
		select {
		case <-left:
		case <-time.After(patience):
			t.Errorf("%s: the server is still connected", target)
		}
	}
}

// watched tells when a connection is closed.
type watched struct {
	net.Conn

	left chan struct{}
}

func (w watched) Close() error {
	select {
	case w.left <- struct{}{}:
	default:
	}
	return w.Conn.Close()
}

// TestLifetime: a connection ends however much moves in it.
func TestLifetime(t *testing.T) {
	w := limited(t, egress.Limits{Lifetime: 300 * time.Millisecond})
	w.at("api.example.com", 22, serve(t, func(c net.Conn) {
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
	}))
	ends(t, w.tunnel("api.example.com:22"), patience)
	sandboxtest.Eventually(t, "the log has it", func() bool { return slices.Equal(w.log.events("egress.limited"), []string{"lifetime"}) })
}

// TestWhoCannotBeReached is given up in time: names, connections and handshakes.
func TestWhoCannotBeReached(t *testing.T) {
	for name, change := range map[string]func(*egress.Config){
		"a name": func(c *egress.Config) {
			c.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
		},
		"an address": func(c *egress.Config) {
			c.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
		},
		"a handshake": func(c *egress.Config) {
			c.Policy.Injections = []egress.Injection{{Host: "api.example.com", Header: "X-Key", Secret: always}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *egress.Config) { c.Limits.Reach = 200 * time.Millisecond; change(c) })
			w.at("api.example.com", 443, serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
			w.name("api.example.com", addresses(publicAddress, publicAddress))
			begin := time.Now()
			if status, told := w.say("GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n"); status != 502 || time.Since(begin) > 5*time.Second {
				t.Errorf("%d %q after %s", status, told, time.Since(begin))
			}
		})
	}
}

// TestConfigurationsThatCannotBe are errors.
func TestConfigurationsThatCannotBe(t *testing.T) {
	for want, config := range map[string]egress.Config{
		"needs a clock":    {},
		"below zero":       {Now: time.Now, Limits: egress.Limits{Sent: -1}},
		"is below zero":    {Now: time.Now, Limits: egress.Limits{Lifetime: -1}},
		"prefix is none":   {Now: time.Now, Policy: egress.Policy{Deny: []netip.Prefix{{}}}},
		"denied prefix is": {Now: time.Now, Policy: egress.Policy{Deny: []netip.Prefix{netip.MustParsePrefix("::ffff:93.184.0.0/112")}}},
	} {
		if _, err := egress.New(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestALoopDoesNotFillTheLog: ten thousand requests are a few lines, which say how many they
// stand for, and a host that was not asked for before is among them.
func TestALoopDoesNotFillTheLog(t *testing.T) {
	if testing.Short() {
		t.Skip("two thousand connections")
	}
	w := newWorld(t, nil)
	for i := range 1000 {
		_, _ = w.say("CONNECT evil.example.org:443 HTTP/1.1\r\n\r\n")
		_, _ = w.say(fmt.Sprintf("CONNECT x%d.example.org:443 HTTP/1.1\r\n\r\n", i))
	}
	got := w.log.events("egress.denied")
	if len(got) > 150 || !slices.Contains(got, "evil.example.org:443 host") || !slices.Contains(got, "x50.example.org:443 host") {
		t.Errorf("there are %d lines: %q", len(got), got)
	}
	w.stop()
	<-w.ended
	w.ended <- nil
	if s := w.proxy.Stats(); s.Denied != 2000 {
		t.Errorf("%+v", s)
	}
	suppressed := 0
	for text := range strings.Lines(w.log.String()) {
		var line struct{ Suppressed int }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		suppressed += line.Suppressed
	}
	if suppressed+len(got) != 2000 {
		t.Errorf("%d lines stand for %d more", len(got), suppressed)
	}
}
