package codespaces

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// connection is one to a codespace, whose owner's token opened it.
type connection struct {
	client *ssh.Client
	owner  int64
}

// lines are the open connections to codespaces, by the ids of the sandboxes.
type lines struct {
	mu   sync.Mutex
	open map[string]connection
}

func (l *lines) get(id string) *ssh.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[id].client
}

// put keeps a connection, unless there is one; it returns the one that is kept.
func (l *lines) put(id string, line connection) *ssh.Client {
	l.mu.Lock()
	known, has := l.open[id]
	if !has {
		l.open[id] = line
	}
	l.mu.Unlock()
	if !has {
		return line.client
	}
	_ = line.client.Close()
	return known.client
}

// close gives up a connection; what it says to that helps nobody.
func (l *lines) close(id string) {
	if client := l.get(id); client != nil {
		l.giveUp(id, client)
	}
}

// giveUp gives up that connection, and not one that has taken its place.
func (l *lines) giveUp(id string, client *ssh.Client) {
	l.mu.Lock()
	if l.open[id].client == client {
		delete(l.open, id)
	}
	l.mu.Unlock()
	_ = client.Close()
}

// all are those that are open now.
func (l *lines) all() map[string]connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.open)
}

// closeThose gives up those of which it is so, side by side: each may take a while.
func (l *lines) closeThose(so func(id string, line connection) bool) {
	var closing sync.WaitGroup
	for id, line := range l.all() {
		if so(id, line) {
			closing.Go(func() { l.giveUp(id, line.client) })
		}
	}
	closing.Wait()
}

// Forget gives up the connections to the codespaces of a person who does not let the App
// act for them any more, and whatever runs over them.
func (c *Codespaces) Forget(person int64) {
	c.lines.closeThose(func(_ string, line connection) bool { return line.owner == person })
}

// session begins a session in a codespace, on the connection that there is or a new one.
// Its owner must let the App act for them still.
func (c *Codespaces) session(ctx context.Context, at sight) (*ssh.Session, *ssh.Client, error) {
	by, err := c.actFor(ctx, at.Owner)
	if err != nil {
		if _, needed := errors.AsType[*NeedsUserTokenError](err); needed {
			c.Forget(at.Owner.ID)
		}
		return nil, nil, err
	}
	if client := c.lines.get(at.ID); client != nil {
		if session, err := within(ctx, client, client.NewSession); err == nil {
			return session, client, nil
		}
		c.lines.giveUp(at.ID, client)
	}
	client, err := c.dial(ctx, at, by)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the codespace %s: %w", at.Name, err)
	}
	client = c.lines.put(at.ID, connection{client, at.Owner.ID})
	session, err := within(ctx, client, client.NewSession)
	return session, client, err
}

// within gives up a connection on which something does not end with ctx.
func within[T any](ctx context.Context, conn io.Closer, do func() (T, error)) (T, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	done, err := do()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return done, err
}

// connectTime is how long it may take to connect to a codespace that is available, and to
// ask it which commit it has.
const connectTime = time.Minute

var errSilent = errors.New("its SSH server does not answer")

func (c *Codespaces) dial(ctx context.Context, at sight, by usertoken.Token) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errSilent)
	defer cancel()
	line, err := c.config.Dialer.Dial(ctx, at.Name, by)
	if err != nil {
		return nil, err
	}
	client, err := within(ctx, line, func() (*ssh.Client, error) {
		conn, channels, requests, err := ssh.NewClientConn(line, at.Name, &ssh.ClientConfig{User: line.User, Auth: []ssh.AuthMethod{line.Auth}, HostKeyCallback: line.HostKey})
		if err != nil {
			return nil, err
		}
		return ssh.NewClient(conn, channels, requests), nil
	})
	if err != nil {
		return nil, errors.Join(err, line.Close())
	}
	return client, nil
}

// Tend gives up the connections to what somebody else has ended, and to the codespaces of
// who has taken it back that the App acts for them.
func (c *Codespaces) Tend(ctx context.Context) error {
	open := c.lines.all() // what is opened from now on is none of those
	if len(open) == 0 {
		return nil
	}
	over, faults := map[string]bool{}, []error{}
	found, err := c.look(ctx)
	if err == nil {
		for id := range open {
			over[id] = !slices.ContainsFunc(found, func(at sight) bool { return at.ID == id })
		}
	}
	for _, at := range found {
		if _, has := open[at.ID]; !has {
			continue
		}
		_, err := c.actFor(ctx, at.Owner)
		if _, needed := errors.AsType[*NeedsUserTokenError](err); needed {
			over[at.ID] = true
		} else {
			faults = append(faults, err)
		}
	}
	c.lines.closeThose(func(id string, line connection) bool { return over[id] && open[id].client == line.client })
	return errors.Join(append(faults, err)...)
}
