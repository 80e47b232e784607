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
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox"
)

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

// endTime is how long a session may take to end by SSH's means once nobody waits for it:
// then its connection goes, which needs nobody's help at the other side.
const endTime = 2 * time.Second

// endWith ends a session with ctx. returned is to be called when nothing waits for it any
// more.
func (c *Codespaces) endWith(ctx context.Context, id string, client *ssh.Client, session *ssh.Session) (returned func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		go func() { // a connection that nobody reads at the other side takes no more
			_ = session.Signal(ssh.SIGKILL) // whoever does not know signals is ended otherwise
			_ = session.Close()
		}()
		select {
		case <-over:
		case <-time.After(endTime):
			c.lines.giveUp(id, client)
		}
	})
	return func() {
		stop()
		close(over)
	}
}

// run runs a job and returns once its outputs have ended, or a moment after ctx: then what
// it started may run on, to which SIGKILL was sent. It is errFlood if it says too much
// before it begins.
func (c *Codespaces) run(ctx context.Context, at sight, j job) (ended, error) {
	e := ended{secret: rand.Text()}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	session, client, err := c.session(ctx, at)
	if err != nil {
		return e, err
	}
	defer c.endWith(ctx, at.ID, client, session)()
	defer func() { _ = session.Close() }() // it has ended, or is to
	flood := func() { stop(errFlood) }
	stdout, stderr := &after{mark: e.secret, to: j.stdout, flood: flood}, &after{mark: e.secret, to: j.stderr, flood: flood}
	session.Stdout, session.Stderr = stdout, stderr
	input, err := session.StdinPipe()
	if err != nil {
		return e, err
	}
	e.started = true
	if err := session.Start(line(e.secret, j.script, j.arguments...)); err != nil {
		return e, err
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if j.stdin != nil {
			_, _ = io.Copy(input, j.stdin) // what it does not read is its own affair
		}
		_ = input.Close()
	}()
	err = session.Wait()
	_ = session.Close()
	select {
	case <-fed:
	case <-ctx.Done(): // whoever was to give it something may never do
	}
	e.process, e.began = stderr.process()
	if errors.Is(context.Cause(ctx), errFlood) {
		return e, errFlood
	}
	if e.code, err = exitCode(err); err == nil && e.process == 0 {
		err = fmt.Errorf("its login shell runs no scripts: %.200q", stderr.noise())
	}
	return e, err
}

// after passes on what comes after the line that begins with a mark. It calls flood if
// there is too much before that.
type after struct {
	mark  string
	to    io.Writer
	flood func()

	// seen is what came before, as far as it is kept, and then the line; skipped is how
	// much came before and is not kept.
	seen    []byte
	skipped int
	passes  bool
}

const (
	// maxNoise is how much is kept of what comes before the mark; a line with it is
	// shorter.
	maxNoise = 4 << 10
	// maxGreeting is how much may come before it: login shells greet.
	maxGreeting = 1 << 20
)

var errFlood = errors.New("its login shell says more than anybody reads before the command begins")

// Write fails as what it passes on to does.
func (a *after) Write(p []byte) (int, error) {
	if a.passes {
		return a.to.Write(p)
	}
	if a.skipped > maxGreeting {
		return 0, errFlood
	}
	a.seen = append(a.seen, p...)
	if _, rest, found := bytes.Cut(a.seen, []byte(a.mark)); found {
		if told, rest, whole := bytes.Cut(rest, []byte("\n")); whole && len(told) <= maxNoise {
			a.seen, a.passes = bytes.Clone(told), true
			_, err := a.to.Write(rest)
			return len(p), err
		}
		if len(rest) > maxNoise {
			return a.drown()
		}
		return len(p), nil
	}
	if len(a.seen) > maxNoise {
		a.skipped += len(a.seen) - maxNoise/2
		a.seen = bytes.Clone(a.seen[len(a.seen)-maxNoise/2:])
	}
	if a.skipped > maxGreeting {
		return a.drown()
	}
	return len(p), nil
}

// drown keeps no more, and takes nothing either.
func (a *after) drown() (int, error) {
	a.seen, a.skipped = nil, maxGreeting+1
	a.flood()
	return 0, errFlood
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

// head is the commit that is checked out.
func (c *Codespaces) head(ctx context.Context, at sight) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errSilent)
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
