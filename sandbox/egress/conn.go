package egress

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// conn is a connection from the sandbox. All that passes through it is counted, and it ends
// when its time is over or nothing moves.
type conn struct {
	net.Conn

	p *Proxy
	// idle and life end it.
	idle, life *time.Timer

	mu sync.Mutex
	// head is what was read until the request was, and nil from then on.
	head []byte
	// other ends with it.
	other  io.Closer
	closed bool
}

// headRoom is more than net/http reads of a head that is as large as it may be.
const headRoom = headSize + 16<<10

var errEnded = errors.New("the connection was closed at a limit")

func newConn(inner net.Conn, p *Proxy) *conn {
	c := &conn{Conn: inner, p: p, head: make([]byte, 0, 512)}
	c.mu.Lock()
	defer c.mu.Unlock()
	// A quarter more, so that a server's silence is told before it is the connection's.
	c.idle = time.AfterFunc(p.limits.Idle+p.limits.Idle/4, func() { c.end("idle") })
	c.life = time.AfterFunc(p.limits.Lifetime, func() { c.end("lifetime") })
	return c
}

// Read hands on what was sent, unless it is more than the sandbox may send.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 {
		return n, err
	}
	if !c.p.count(&c.p.sent, n, c.p.limits.Sent, "sent") {
		return 0, errEnded
	}
	c.idle.Reset(c.p.limits.Idle + c.p.limits.Idle/4)
	c.mu.Lock()
	if c.head != nil && len(c.head)+n <= headRoom {
		c.head = append(c.head, b[:n]...)
	}
	c.mu.Unlock()
	return n, err
}

// Write sends nothing that is more than the sandbox may be sent.
func (c *conn) Write(b []byte) (int, error) {
	if !c.p.count(&c.p.received, len(b), c.p.limits.Received, "received") {
		return 0, errEnded
	}
	n, err := c.Conn.Write(b)
	c.idle.Reset(c.p.limits.Idle + c.p.limits.Idle/4)
	return n, err
}

// CloseWrite tells the sandbox that no more comes.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

// heard returns what was read so far, with a request's head at its start, and keeps no more.
func (c *conn) heard() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.head
	c.head = nil
	return head
}

// closeWith closes the other when the connection is.
func (c *conn) closeWith(other io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = other.Close()
	}
	c.other = other
}

// end closes the connection at a limit.
func (c *conn) end(reason string) {
	if first, _ := c.close(); first {
		c.p.journal.limit(reason)
	}
}

// Close ends the connection and what goes with it. It may be called again.
func (c *conn) Close() error {
	_, err := c.close()
	return err
}

func (c *conn) close() (first bool, err error) {
	c.mu.Lock()
	first, c.closed = !c.closed, true
	unheard, other := len(c.head) > 0, c.other
	c.head = nil
	c.mu.Unlock()
	if !first {
		return false, nil
	}
	c.idle.Stop()
	c.life.Stop()
	err = c.Conn.Close()
	if other != nil {
		err = errors.Join(err, other.Close())
	}
	if unheard {
		c.p.journal.refuse(&refusal{status: 400, reason: "no request"})
	}
	c.p.leave(c)
	return true, err
}

// closeWrite ends one direction of a connection, or both where that is not possible.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
