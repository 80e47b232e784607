package codespaces

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox"
)

// lines are the open connections to codespaces, by the ids of the sandboxes.
type lines struct {
	mu   sync.Mutex
	open map[string]*ssh.Client
}

func (l *lines) get(id string) *ssh.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[id]
}

// put keeps a connection, unless there is one; it returns the one that is kept.
func (l *lines) put(id string, client *ssh.Client) *ssh.Client {
	l.mu.Lock()
	known := l.open[id]
	if known == nil {
		l.open[id] = client
	}
	l.mu.Unlock()
	if known == nil {
		return client
	}
	_ = client.Close()
	return known
}

// close gives up a connection; what it says to that helps nobody.
func (l *lines) close(id string) {
	l.mu.Lock()
	client := l.open[id]
	delete(l.open, id)
	l.mu.Unlock()
	if client != nil {
		_ = client.Close()
	}
}

// keep gives up the connections of all others.
func (l *lines) keep(ids map[string]bool) {
	l.mu.Lock()
	var gone []string
	for id := range l.open {
		if !ids[id] {
			gone = append(gone, id)
		}
	}
	l.mu.Unlock()
	for _, id := range gone {
		l.close(id)
	}
}

func (l *lines) closeAll() {
	l.mu.Lock()
	all := l.open
	l.open = map[string]*ssh.Client{}
	l.mu.Unlock()
	for _, client := range all {
		_ = client.Close()
	}
}

// session begins a session in a codespace, on the connection that there is or a new one.
func (c *Codespaces) session(ctx context.Context, at sight) (*ssh.Session, error) {
	if client := c.lines.get(at.ID); client != nil {
		if session, err := within(ctx, client, client.NewSession); err == nil {
			return session, nil
		}
		c.lines.close(at.ID)
	}
	client, err := c.dial(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("connect to the codespace %s: %w", at.Name, err)
	}
	client = c.lines.put(at.ID, client)
	return within(ctx, client, client.NewSession)
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

func (c *Codespaces) dial(ctx context.Context, at sight) (*ssh.Client, error) {
	by, err := c.actFor(ctx, at.Owner)
	if err != nil {
		return nil, err
	}
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

// job is a script of ours that is run, with its arguments.
type job struct {
	script         string
	arguments      []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// ended is how a job ended, as far as it is known.
type ended struct {
	// secret is what it says when it begins, and process and began what else it says then;
	// 0: it did not.
	secret         string
	process, began int64
	// started is true if it may have begun, though it did not say so.
	started bool
	code    int
}

// run runs a job and returns once its outputs have ended, or ctx: then what it started may
// run on, to which SIGKILL was sent.
func (c *Codespaces) run(ctx context.Context, at sight, j job) (ended, error) {
	e := ended{secret: rand.Text()}
	session, err := c.session(ctx, at)
	if err != nil {
		return e, err
	}
	defer func() { _ = session.Close() }() // it has ended, or is to
	stdout, stderr := &after{mark: e.secret, to: j.stdout}, &after{mark: e.secret, to: j.stderr}
	session.Stdout, session.Stderr = stdout, stderr
	input, err := session.StdinPipe()
	if err != nil {
		return e, err
	}
	defer context.AfterFunc(ctx, func() {
		_ = session.Signal(ssh.SIGKILL) // whoever does not know signals is ended otherwise
		_ = session.Close()
	})()
	e.started = true
	if err := session.Start(line(e.secret, j.script, j.arguments...)); err != nil {
		return e, err
	}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		if j.stdin != nil {
			_, _ = io.Copy(input, j.stdin) // what it does not read is its own affair
		}
		_ = input.Close()
	})
	err = session.Wait()
	_ = session.Close()
	feeding.Wait()
	e.process, e.began = stderr.process()
	if e.code, err = exitCode(err); err == nil && e.process == 0 {
		err = fmt.Errorf("its login shell runs no scripts: %.200q", stderr.noise())
	}
	return e, err
}

// after passes on what comes after the line that begins with a mark.
type after struct {
	mark string
	to   io.Writer

	// seen is what came before, and then the line.
	seen   []byte
	passes bool
}

// maxNoise is how much is kept of what comes before the mark; a line with it is shorter.
const maxNoise = 4 << 10

// Write fails as what it passes on to does.
func (a *after) Write(p []byte) (int, error) {
	if a.passes {
		return a.to.Write(p)
	}
	a.seen = append(a.seen, p...)
	if _, rest, found := bytes.Cut(a.seen, []byte(a.mark)); found {
		if told, rest, whole := bytes.Cut(rest, []byte("\n")); whole {
			a.seen, a.passes = told, true
			_, err := a.to.Write(rest)
			return len(p), err
		}
	} else if len(a.seen) > maxNoise {
		a.seen = bytes.Clone(a.seen[len(a.seen)-maxNoise/2:])
	}
	return len(p), nil
}

// process is what the line says of the process; 0 if it has not come.
func (a *after) process() (id, began int64) {
	if told := strings.Fields(string(a.seen)); a.passes && len(told) == 2 {
		id, _ = strconv.ParseInt(told[0], 10, 64)
		began, _ = strconv.ParseInt(told[1], 10, 64)
	}
	return id, began
}

// noise is what came and had no mark.
func (a *after) noise() string {
	if a.passes {
		return ""
	}
	return string(a.seen)
}

// signals are the numbers of those that SSH has names for.
var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12,
	"PIPE": 13, "ALRM": 14, "TERM": 15, "XCPU": 24, "XFSZ": 25, "SYS": 31,
}

// signaled is what is added to a signal's number for an exit code.
const signaled = 128

// exitCode is how a command ended. It is an error if nobody told.
func exitCode(err error) (int, error) {
	ended, is := errors.AsType[*ssh.ExitError](err)
	switch {
	case err == nil:
		return 0, nil
	case !is:
		return 0, err
	case ended.Signal() == "":
		return ended.ExitStatus(), nil
	}
	name, _, _ := strings.Cut(ended.Signal(), "@")
	number, known := signals[name]
	if !known {
		return 0, fmt.Errorf("it was ended by a signal %q", name)
	}
	return signaled + number, nil
}

// maxComplaint is how much of what a script says is kept.
const maxComplaint = 4 << 10

// tool runs a script of ours, which complains on its standard error.
func (c *Codespaces) tool(ctx context.Context, at sight, j job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	complaint := sandbox.NewOutput(maxComplaint, cancel)
	j.stderr = complaint
	e, err := c.run(ctx, at, j)
	if err == nil && e.code != 0 {
		err = fmt.Errorf("it ended with %d: %s", e.code, strings.ToValidUTF8(strings.TrimSpace(complaint.String()), ""))
	}
	return err
}

// connectTime is how long it may take to connect to a codespace that is available.
const connectTime = time.Minute

// head is the commit that is checked out.
func (c *Codespaces) head(ctx context.Context, at sight) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errors.New("its SSH server does not answer"))
	defer cancel()
	said := sandbox.NewOutput(maxComplaint, cancel)
	err := c.tool(ctx, at, job{script: headScript, arguments: []string{c.folder(at, sandbox.Workspace)}, stdout: said})
	if err != nil {
		return "", fmt.Errorf("read which commit the codespace %s has: %w", at.Name, err)
	}
	return strings.TrimSpace(said.String()), nil
}

// folder is where a path of the contract's is in the codespace: the workspace is what is
// checked out.
func (c *Codespaces) folder(at sight, path string) string {
	return c.config.Folder + "/" + at.Repository.Name + strings.TrimPrefix(path, sandbox.Workspace)
}
