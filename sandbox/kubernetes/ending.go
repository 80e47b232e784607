package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"

	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// errSilent is of a command of which nobody has said how it ended.
var errSilent = errors.New("the connection ended, and nobody said how the command did")

// attended runs Portcullis in a container, to run one of its own commands there, and
// believes that it ended with 0 if it says so itself, as [inside.Done]. That the stream
// ended well tells nothing: client-go takes one that breaks off for a success, with SPDY
// always and with WebSocket if it is closed in good order, and so does the API server with
// its own to the node ([kubectl#1726]).
//
// [kubectl#1726]: https://github.com/kubernetes/kubectl/issues/1726
func (c *cluster) attended(ctx context.Context, pod, container string, arguments []string, s streams) error {
	token := rand.Text()
	return c.told(ctx, pod, container, token, words(inside.AttendCommand, append([]string{token}, arguments...)...), s)
}

// told is that for a command that says the token itself.
func (c *cluster) told(ctx context.Context, pod, container, token string, argv []string, s streams) error {
	end := &ending{to: s.stderr, word: []byte(inside.Done(token))}
	s.stderr = end
	err := c.stream(ctx, pod, container, argv, s)
	_ = end.flush() // an [sandbox.Output] never fails
	if err == nil && !end.said {
		return errSilent
	}
	return err
}

// ending passes on what is written, without the word that is looked for in it.
type ending struct {
	to   io.Writer
	word []byte
	// held may be the beginning of the word.
	held []byte
	said bool
}

// Write fails as what it passes on to does.
func (e *ending) Write(p []byte) (int, error) {
	if e.said {
		return e.to.Write(p)
	}
	e.held = append(e.held, p...)
	if before, after, found := bytes.Cut(e.held, e.word); found {
		e.said, e.held = true, append(bytes.Clone(before), after...)
		return len(p), e.flush()
	}
	from := len(e.held) - e.begun()
	_, err := e.to.Write(e.held[:from])
	e.held = bytes.Clone(e.held[from:])
	return len(p), err
}

// begun is how much of the end of what is held is a beginning of the word.
func (e *ending) begun() int {
	for n := min(len(e.word)-1, len(e.held)); n > 0; n-- {
		if bytes.HasSuffix(e.held, e.word[:n]) {
			return n
		}
	}
	return 0
}

// flush passes on what was held back.
func (e *ending) flush() error {
	held := e.held
	e.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := e.to.Write(held)
	return err
}
