package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// accessDenied is an alert of TLS, which says more to whoever waits for one than the end of
// the connection does.
var accessDenied = []byte{21, 3, 3, 0, 2, 2, 49}

// tunnel answers CONNECT, and returns once the tunnel is closed. An error is a *refusal, and
// comes before anything was answered.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, c *conn) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	if err := p.policy.permits(t); err != nil {
		return err
	}
	if t.port != 443 && !p.policy.Any {
		return deny(t, "form", "port 80 is not reached by CONNECT: ask for http://"+t.host()+"/ without it")
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), p.limits.Reach, errReach)
	outside, err := p.reach(ctx, t)
	cancel()
	if err != nil {
		return err
	}
	c.closeWith(outside)
	p.running.Add(1)
	defer p.running.Done()
	_, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	if _, err := io.WriteString(c, established); err != nil {
		return nil // it went away
	}
	inside := io.MultiReader(bytes.NewReader(early), c)
	if !p.policy.Any {
		hello, refused := p.greet(r.Context(), c, inside, t)
		if refused != nil {
			p.journal.refuse(refused)
			_, _ = c.Write(accessDenied)
			return nil
		}
		inside = io.MultiReader(bytes.NewReader(hello), inside)
	}
	p.journal.allow(t)
	splice(c, inside, outside)
	return nil
}

// greet reads the ClientHello, which must be for the target.
func (p *Proxy) greet(ctx context.Context, c *conn, inside io.Reader, t target) (hello []byte, refused *refusal) {
	late := time.AfterFunc(p.limits.Head, func() { _ = c.Close() })
	defer late.Stop()
	hello, name, hidden := readHello(ctx, c, inside)
	refused = &refusal{status: http.StatusForbidden, target: t}
	switch {
	case hello == nil:
		refused.reason = "no TLS"
	case hidden:
		refused.reason = "hidden name"
	case name == "":
		refused.reason = "no name"
	case name != t.name:
		refused.reason = "another name"
	default:
		return hello, nil
	}
	return nil, refused
}

// splice copies both ways until both have ended, or one has failed, and closes both.
func splice(c *conn, inside io.Reader, outside net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A server that takes no more may still say why: then its own words end it.
		if unread, _ := pour(outside, inside); unread != nil {
			_ = c.Close()
		}
	}()
	if unread, unwritten := pour(c, outside); unread != nil || unwritten != nil {
		_ = c.Close()
	}
	<-done
	_ = c.Close()
}

// pour copies to the end, and says that it has come to one. Otherwise it returns what could
// not be read, or written.
func pour(to net.Conn, from io.Reader) (unread, unwritten error) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return nil, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, closeWrite(to)
		case err != nil:
			return err, nil
		}
	}
}
