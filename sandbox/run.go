package sandbox

import (
	"context"
	"errors"
	"strings"
)

// Run is a command while a provider runs it: within its time, and with as much kept of its
// outputs as it may have. Begin makes it.
type Run struct {
	Stdout, Stderr *Output

	ctx    context.Context //nolint:containedctx // it is the command's time
	cancel context.CancelFunc
}

var errTimeout = errors.New("the command's time is over")

const (
	// killedCode is the exit code of what SIGKILL ended.
	killedCode = 137
	// maxStartReason is how much is kept of why a command was not started.
	maxStartReason = 400
)

// Begin begins the time of a command that has its defaults. Whoever calls it calls End.
func (c Command) Begin(ctx context.Context) *Run {
	r := &Run{}
	r.ctx, r.cancel = context.WithTimeoutCause(ctx, c.Timeout, errTimeout)
	r.Stdout, r.Stderr = NewOutput(c.MaxOutput, r.cancel), NewOutput(c.MaxOutput, r.cancel)
	return r
}

// Context ends with the command's time, with whoever waits for it, and when it has written
// far more than is kept: then it is to be ended.
func (r *Run) Context() context.Context { return r.ctx }

// End ends the context.
func (r *Run) End() { r.cancel() }

// Over reports whether the context has ended.
func (r *Run) Over() bool { return r.ctx.Err() != nil }

// Result is that of a command which has ended with the code.
func (r *Run) Result(code int) Result {
	return Result{Stdout: r.Stdout.String(), Stderr: r.Stderr.String(), ExitCode: code, Truncated: r.Stdout.Truncated() || r.Stderr.Truncated()}
}

// Killed is the result of one that was ended because it was over.
func (r *Run) Killed() Result {
	result := r.Result(killedCode)
	result.TimedOut = errors.Is(context.Cause(r.ctx), errTimeout)
	return result
}

// WasKilled reports whether the exit code is that of what SIGKILL ended.
func (r Result) WasKilled() bool { return r.ExitCode == killedCode }

// NotStarted is the error for a command of which the backend says why it was not started.
func (c Command) NotStarted(said string) *StartError {
	said = strings.TrimSpace(strings.ToValidUTF8(said, ""))
	return &StartError{Program: c.Argv[0], Why: said[:min(len(said), maxStartReason)]}
}
