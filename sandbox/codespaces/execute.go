package codespaces

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
)

// killTime is how long it may take to end what a command started, before the codespace is
// ended instead.
const killTime = 5 * time.Second

// Execute runs a command as the user of the codespace, in what is checked out there. SSH
// cannot end one: when its time is over, a second session kills what it started, and if
// something may be left the codespace is destroyed. Commands in one sandbox run one after
// the other, because one's end would be the other's. That memory was over is not told.
func (c *Codespaces) Execute(ctx context.Context, id string, command sandbox.Command) (sandbox.Result, error) {
	if err := command.Check(); err != nil {
		return sandbox.Result{}, err
	}
	at, err := c.runs(ctx, id)
	if err != nil {
		return sandbox.Result{}, err
	}
	if strings.HasPrefix(command.Argv[0], "-") {
		return sandbox.Result{}, &sandbox.StartError{Program: command.Argv[0], Why: "no program's name begins so"}
	}
	command = command.Bounded()
	release, err := c.turns.Take(ctx, id)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer release()
	run := command.Begin(ctx)
	defer run.End()
	mark := rand.Text()
	e, err := c.run(run.Context(), at, job{
		script: runScript, arguments: append([]string{mark, c.folder(at, command.Folder)}, command.Argv...),
		stdin: command.Stdin, stdout: run.Stdout, stderr: run.Stderr,
	})
	flooded := errors.Is(err, errFlood)
	if flooded || run.Over() && (e.started || ctx.Err() != nil) {
		if !e.started {
			return sandbox.Result{}, ctx.Err()
		}
		// Nobody waits any more, and it may run on.
		result := run.Killed()
		result.Truncated = result.Truncated || flooded
		return result, errors.Join(ctx.Err(), c.kill(ctx, at, mark, e))
	}
	if err != nil {
		return sandbox.Result{}, c.explain(ctx, at, command, err)
	}
	if why, notRun := strings.CutSuffix(run.Stderr.String(), e.secret+"!"); notRun {
		return sandbox.Result{}, command.NotStarted(why)
	}
	return run.Result(e.code), nil
}

// runs is the sandbox of that id, if it takes commands.
func (c *Codespaces) runs(ctx context.Context, id string) (sight, error) {
	found, err := c.find(ctx, id)
	if err != nil {
		return sight{}, err
	}
	at := found[0]
	switch {
	case len(found) > 1:
		return sight{}, fmt.Errorf("%w: there are %d codespaces with its id", sandbox.ErrNotRunning, len(found))
	case at.is.Status != sandbox.StatusRunning:
		return sight{}, fmt.Errorf("%w: it is %s", sandbox.ErrNotRunning, at.is.Status)
	case !c.config.Now().Before(at.is.Deadline):
		return sight{}, fmt.Errorf("%w: its time is over", sandbox.ErrNotRunning)
	default:
		return at, nil
	}
}

// explain says what an error is about: the sandbox may have ended under the command.
func (c *Codespaces) explain(ctx context.Context, at sight, command sandbox.Command, err error) error {
	c.lines.close(at.ID)
	_, gone := c.runs(ctx, at.ID)
	if errors.Is(gone, sandbox.ErrUnknown) || errors.Is(gone, sandbox.ErrNotRunning) {
		return gone
	}
	return fmt.Errorf("run %q in the sandbox %s: %w", command.Argv[0], at.ID, err)
}

// kill ends everything that a command started, whatever ctx says.
func (c *Codespaces) kill(ctx context.Context, at sight, mark string, e ended) error {
	ctx = context.WithoutCancel(ctx)
	killing, cancel := context.WithTimeoutCause(ctx, killTime, errors.New("it was not ended in time"))
	defer cancel()
	failed := c.tool(killing, at, job{
		script: killScript, arguments: []string{mark, strconv.FormatInt(e.process, 10), strconv.FormatInt(e.began, 10)}, stdout: io.Discard,
	})
	if failed == nil {
		return nil
	}
	c.config.Log.Warn().Err(failed).Str("event", "sandbox.kill_failed").Str("sandbox", at.ID).Msg("what a command left running could not be ended alone; the codespace is destroyed")
	stopping, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	stopped := c.stop(stopping, at) // quicker than to delete it; which follows in any case
	if err := c.Destroy(ctx, at.ID); err != nil {
		return fmt.Errorf("what the command left running could not be ended: %w", errors.Join(err, stopped))
	}
	return nil
}
