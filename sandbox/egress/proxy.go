package egress

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Config is whose way out it is, and where to. Sandbox, Now and a Policy with something in
// it are required.
type Config struct {
	// Sandbox is its id, for the log.
	Sandbox string
	Policy  Policy
	Limits  Limits
	// Resolve returns all addresses of a name; nil: Go's own resolver, which asks the
	// name servers of the host.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial opens a TCP connection; nil: the host's network, without the addresses that the
	// host itself has. Its connections should have a CloseWrite.
	Dial func(ctx context.Context, address netip.AddrPort) (net.Conn, error)
	// Roots are the authorities that servers which are given a credential are verified by;
	// nil: the host's.
	Roots *x509.CertPool
	Now   func() time.Time
	Log   zerolog.Logger
}

// Limits are of one sandbox. Zero means the default, and none means unlimited.
type Limits struct {
	// Connections are open at a time; 64 by default. One more is answered 503.
	Connections int
	// Sent and Received are the bytes that leave the sandbox and that it is sent, in all
	// and with every header; 1 GiB and 8 GiB by default. Once there is one more, every
	// connection is closed and none is taken.
	Sent, Received int64
	// Head is how long a request's head may take to come, and a ClientHello; 10 s.
	Head time.Duration
	// Reach is how long finding and greeting a server may take; 15 s.
	Reach time.Duration
	// Idle ends a connection on which nothing moves, and is how long a server may take to
	// begin its answer; 5 min.
	Idle time.Duration
	// Lifetime ends a connection; 2 h.
	Lifetime time.Duration
}

func (l Limits) withDefaults() (Limits, error) {
	if l.Connections < 0 || min(l.Sent, l.Received) < 0 || min(l.Head, l.Reach, l.Idle, l.Lifetime) < 0 {
		return Limits{}, errors.New("a limit of a sandbox's egress is below zero")
	}
	l.Connections = cmp.Or(l.Connections, 64)
	l.Sent, l.Received = cmp.Or(l.Sent, 1<<30), cmp.Or(l.Received, 8<<30)
	l.Head, l.Reach = cmp.Or(l.Head, 10*time.Second), cmp.Or(l.Reach, 15*time.Second)
	l.Idle, l.Lifetime = cmp.Or(l.Idle, 5*time.Minute), cmp.Or(l.Lifetime, 2*time.Hour)
	return l, nil
}

// headSize is how large the head of a request or an answer may be.
const headSize = 64 << 10

// Stats count since the Proxy was made.
type Stats struct {
	// Allowed and Denied are requests: to servers that were reached, and such as were not
	// let out. Failed are those to which nobody answered.
	Allowed, Denied, Failed int64
	// Sent and Received are bytes, as in [Limits].
	Sent, Received int64
}

// Proxy is the way out of one sandbox. It may be used by several goroutines.
type Proxy struct {
	config  Config
	policy  Policy
	limits  Limits
	journal *journal

	sent, received atomic.Int64
	served         atomic.Bool
	// running are what Serve waits for: connections that net/http has, and tunnels.
	running sync.WaitGroup

	mu   sync.Mutex
	open map[*conn]bool
	// spent is true once a limit of bytes is reached, and ending once Serve is.
	spent, ending bool
}

// New returns a proxy, or an error for a configuration that contradicts itself.
func New(config Config) (*Proxy, error) {
	limits, err := config.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if config.Now == nil {
		return nil, errors.New("a sandbox's egress needs a clock")
	}
	if err := config.Policy.check(); err != nil {
		return nil, err
	}
	if config.Resolve == nil {
		config.Resolve = by((&net.Resolver{PreferGo: true}).LookupNetIP)
	}
	if config.Dial == nil {
		config.Dial = dial
	}
	return &Proxy{
		config: config, policy: config.Policy, limits: limits, open: map[*conn]bool{},
		journal: newJournal(config.Log.With().Str("sandbox", config.Sandbox).Logger(), config.Now),
	}, nil
}

// Serve answers on the listener until ctx ends or the listener is closed, and closes it. It
// returns once every connection is closed and everything that it started has ended: nil, or
// why nobody could be listened to any more. It serves once.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	if p.served.Swap(true) {
		return errors.Join(errors.New("a sandbox's egress serves once"), l.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:                      http.HandlerFunc(p.answer),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            p.limits.Head,
		MaxHeaderBytes:               headSize,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:                    p.follow,
		ErrorLog:                     log.New(p.journal, "", 0),
	}
	server.SetKeepAlivesEnabled(false)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-ctx.Done()
		p.mu.Lock()
		p.ending = true
		p.mu.Unlock()
		_ = l.Close()
		p.closeAll()
	}()
	err := server.Serve(&door{l, p})
	ended := ctx.Err() != nil
	cancel()
	<-closed
	p.running.Wait()
	p.journal.end(p.Stats())
	if ended || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("listen for sandbox %s: %w", p.config.Sandbox, err)
}

// Stats returns what there was so far.
func (p *Proxy) Stats() Stats {
	return Stats{
		Allowed: p.journal.allowed.Load(), Denied: p.journal.denied.Load(), Failed: p.journal.failed.Load(),
		Sent: p.sent.Load(), Received: p.received.Load(),
	}
}

// connKey is where a request's context has its *conn.
type connKey struct{}

// follow counts what net/http is done with.
func (p *Proxy) follow(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		p.running.Done()
	}
}

// door accepts what there is room for.
type door struct {
	net.Listener

	p *Proxy
}

// Accept returns the next connection from the sandbox. What there is no room for is answered
// here and closed.
func (d *door) Accept() (net.Conn, error) {
	for {
		inner, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, told := d.p.enter(inner)
		if c != nil {
			return c, nil
		}
		// A connection that nothing was written to yet takes this without waiting.
		_, _ = fmt.Fprintf(inner, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n", len(told)+1, told)
		_ = inner.Close()
	}
}

// enter takes a connection, or says why not.
func (p *Proxy) enter(inner net.Conn) (c *conn, told string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ending:
		return nil, "this sandbox ends"
	case p.spent:
		p.journal.limit("bytes")
		return nil, "this sandbox has sent, or was sent, as much as it may"
	case len(p.open) >= p.limits.Connections:
		p.journal.limit("connections")
		return nil, fmt.Sprintf("this sandbox has %d connections open, as many as it may", p.limits.Connections)
	}
	c = newConn(inner, p)
	p.open[c] = true
	p.running.Add(1)
	return c, ""
}

// leave forgets a connection that was closed.
func (p *Proxy) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// count adds bytes that pass, and reports whether they may. If not, that was all.
func (p *Proxy) count(total *atomic.Int64, n int, limit int64, which string) bool {
	if total.Add(int64(n)) <= limit {
		return true
	}
	total.Add(-int64(n))
	p.mu.Lock()
	first := !p.spent
	p.spent = true
	p.mu.Unlock()
	if first {
		p.journal.limit("bytes " + which)
		p.closeAll()
	}
	return false
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	open := make([]*conn, 0, len(p.open))
	for c := range p.open {
		open = append(open, c)
	}
	p.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}
