package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

const (
	// killTime is how long ending what a command left running may take, of which
	// killedTime is left to the kernel before the sandbox is destroyed instead.
	killTime   = 15 * time.Second
	killedTime = 3 * time.Second
	// endTime is how long the engine may take to know how a command ended whose output
	// has ended, and endEvery how often it is asked.
	endTime  = 5 * time.Second
	endEvery = 5 * time.Millisecond
)

// Execute runs a command as the workload's user. The engine cannot end one: when its time
// is over, everything of that user's is killed, and if that fails the sandbox destroyed.
// Commands in one sandbox run one after the other, because one's end would be the
// other's.
func (d *Docker) Execute(ctx context.Context, id string, command sandbox.Command) (sandbox.Result, error) {
	if err := command.Check(); err != nil {
		return sandbox.Result{}, err
	}
	as, _, err := d.runs(ctx, id)
	if err != nil {
		return sandbox.Result{}, err
	}
	command = command.Bounded()
	release, err := d.turns.Take(ctx, id)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer release()
	run := command.Begin(ctx)
	defer run.End()
	begun := d.config.Now()
	mark := rand.Text()
	wrapped := command
	wrapped.Argv = slices.Concat([]string{program}, inside.RunCommand, []string{mark, command.Folder, strconv.Itoa(inside.MaxProcesses)}, inside.Quote(command.Argv))
	wrapped.Folder = "/"
	exec, err := d.attach(run.Context(), id, as, wrapped, run.Stdout, run.Stderr)
	if run.Over() {
		// Nobody waits any more, and it runs on.
		return run.Killed(), errors.Join(ctx.Err(), d.kill(ctx, id, as))
	}
	if err != nil {
		return sandbox.Result{}, d.explain(ctx, id, command, err)
	}
	ended, err := d.ended(run.Context(), exec)
	if err != nil {
		return sandbox.Result{}, d.explain(ctx, id, command, err)
	}
	result := run.Result(ended.ExitCode)
	if why, notRun := inside.Why(mark, result.Stderr); notRun && (ended.ExitCode == inside.NotRunCode || ended.ExitCode == inside.NotThereCode) {
		return sandbox.Result{}, command.NotStarted(why)
	}
	if ended.PID == 0 {
		// The runtime says on the command's own outputs why it was not started.
		return sandbox.Result{}, command.NotStarted(result.Stdout + result.Stderr)
	}
	if result.WasKilled() {
		result.OOM = d.outOfMemory(ctx, id, begun)
	}
	return result, nil
}

// runs returns who the workload is of a sandbox that takes commands, with the folders that
// it may write, or an error.
func (d *Docker) runs(ctx context.Context, id string) (as string, writable []string, _ error) {
	is, labels, err := d.inspect(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if is.Status != sandbox.StatusRunning {
		return "", nil, fmt.Errorf("%w: it is %s", sandbox.ErrNotRunning, is.Status)
	}
	as, err = workloadOf(labels)
	return as, strings.Split(labels[labelWritable], ","), err
}

// attach starts the command and returns once its outputs have ended, or ctx.
func (d *Docker) attach(ctx context.Context, id, as string, command sandbox.Command, stdout, stderr io.Writer) (exec string, _ error) {
	created, err := d.engine.ExecCreate(ctx, d.name(id), client.ExecCreateOptions{
		User: as, Cmd: command.Argv, WorkingDir: command.Folder, AttachStdin: command.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return "", err
	}
	attached, err := d.engine.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	var input sync.WaitGroup
	defer input.Wait()
	defer attached.Close()
	defer context.AfterFunc(ctx, attached.Close)()
	if command.Stdin != nil {
		input.Go(func() {
			_, _ = io.Copy(attached.Conn, command.Stdin) // what it does not read is its own affair
			_ = attached.CloseWrite()
		})
	}
	if _, err := stdcopy.StdCopy(stdout, stderr, attached.Reader); err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("read what it writes: %w", err)
	}
	return created.ID, nil
}

// ended is how a command ended whose outputs have.
func (d *Docker) ended(ctx context.Context, exec string) (client.ExecInspectResult, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, endTime, errors.New("the engine does not tell how the command ended"))
	defer cancel()
	for {
		seen, err := d.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
		// While it runs it has no exit code, which reads as 0.
		if err != nil || !seen.Running {
			return seen, err
		}
		select {
		case <-time.After(endEvery):
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		}
	}
}

// explain says what an error is about: the sandbox may have ended under the command, or
// the engine refused to start it.
func (d *Docker) explain(ctx context.Context, id string, command sandbox.Command, err error) error {
	there, gone := d.Status(ctx, id)
	switch {
	case errors.Is(gone, sandbox.ErrUnknown):
		return sandbox.ErrUnknown
	case gone == nil && there.Status != sandbox.StatusRunning:
		return sandbox.ErrNotRunning
	case cerrdefs.IsInvalidArgument(err) && strings.Contains(err.Error(), "OCI runtime"):
		return command.NotStarted(err.Error())
	default:
		return fmt.Errorf("run %q in the sandbox %s: %w", command.Argv[0], id, err)
	}
}

// kill ends everything of the workload, whatever ctx says.
func (d *Docker) kill(ctx context.Context, id, workload string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	failed := d.killAll(ctx, id, workload)
	if failed == nil {
		return nil
	}
	d.config.Log.Warn().Err(failed).Str("event", "sandbox.kill_failed").Str("sandbox", id).Msg("what a command left running could not be ended alone; the sandbox is destroyed")
	if err := d.Destroy(ctx, id); err != nil {
		return fmt.Errorf("what the command left running could not be ended: %w", err)
	}
	return nil
}

// killAll returns once the program that kills has ended: then the kernel has given the
// signal to every other.
func (d *Docker) killAll(ctx context.Context, id, workload string) error {
	ctx, cancel := context.WithTimeout(ctx, killedTime)
	defer cancel()
	exec, err := d.attach(ctx, id, workload, sandbox.Command{Argv: []string{killProgram}, Folder: "/"}, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	ended, err := d.ended(ctx, exec)
	if err == nil && (ended.ExitCode != 0 || ended.PID == 0) {
		err = fmt.Errorf("it ended with %d", ended.ExitCode)
	}
	return err
}
