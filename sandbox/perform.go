package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// perform does a task and tells what came of it. An error is one of ours: whoever asked
// is told that it failed.
func (l *Lifecycle) perform(ctx context.Context, task Task) (Outcome, error) {
	switch task.Kind {
	case TaskStart:
		return l.start(ctx, task)
	case TaskExecute:
		return l.execute(ctx, task)
	case TaskStop:
		return l.stop(ctx, task)
	default:
		return Outcome{}, fmt.Errorf("there is no task %q", task.Kind)
	}
}

// start starts a sandbox: judged, on record, created, files in it, and judged once more.
func (l *Lifecycle) start(ctx context.Context, task Task) (Outcome, error) {
	launch, err := l.config.Judge.LaunchSandbox(ctx, task.On, policy.LaunchRequest{By: task.By, Provider: task.Provider})
	if err != nil {
		return Outcome{}, err
	}
	if !launch.Granted {
		return Outcome{}, &RefusedError{launch.Why}
	}
	box, known := l.boxes[launch.Rule.Provider]
	if !known {
		return Outcome{}, &RefusedError{fmt.Sprintf("the policy has sandboxes run on %s, which this server does not have; an operator sets it up under `sandbox`", launch.Rule.Provider)}
	}
	place := killswitch.PullRequest(task.On)
	place.Agents = launch.ByAgent
	spec := Spec{
		ID: task.sandboxID(), For: place, HeadSHA: launch.HeadSHA, Policy: launch.Policy, RequestedBy: task.By,
		Image: launch.Rule.Image, Constraints: constraints(launch.Rule),
	}
	if err := spec.Check(); err != nil {
		return Outcome{}, err
	}
	holds := held(launch.Rule)
	record := Record{Instance: spec.Instance(launch.Rule.Provider, l.config.Now()), ApprovedBy: launch.ApprovedBy, Held: &holds}
	if personal, is := box.Sandbox.(Personal); is {
		record.ActsAs = personal.ActsFor(task.By) // known before anything runs
	}
	if err := l.config.Records.OpenSandbox(ctx, record, l.config.Caps, l.entry("sandbox.asked", record.Instance, task.By, launch.Rule.Provider)); err != nil {
		return Outcome{}, err
	}
	is, left, err := l.launch(ctx, record, box, spec)
	if err != nil {
		record.Reason = "it could not be started: " + err.Error()
		return Outcome{}, errors.Join(err, l.takeBack(ctx, record.Instance))
	}
	return Outcome{Instance: is, Left: left}, nil
}

// constraints are the policy's.
func constraints(rule policy.SandboxRules) SandboxConstraints {
	c := rule.Constraints
	return SandboxConstraints{
		MemoryMB: c.MemoryMB, CPUPercent: c.CPUPercent, DiskMB: c.DiskMB, Network: NetworkPolicy(c.Network), Egress: c.Egress,
		Timeout: c.Timeout, AllowedPaths: c.AllowedPaths, Runtime: c.Runtime, Credentials: rule.Credentials,
	}
}

// launch creates the sandbox and puts the pull request's files into it.
func (l *Lifecycle) launch(ctx context.Context, record Record, box Sandbox, spec Spec) (is Instance, left []string, err error) {
	if is, err = box.Create(ctx, spec); err != nil {
		return Instance{}, nil, err
	}
	is = is.with(record.Instance)
	is.Provider = record.Provider
	record.Instance = is
	if left, err = l.checkOut(ctx, box, is); err != nil {
		return Instance{}, nil, fmt.Errorf("put the pull request's files into it: %w", err)
	}
	// Whatever has changed while it was made: it is not kept then.
	if err := l.permit(ctx, record); err != nil {
		return Instance{}, nil, err
	}
	return is, left, l.config.Records.ChangeSandbox(ctx, is.ID, func(r *Record) []audit.Entry {
		r.Instance, r.ReviewedAt = is, l.config.Now()
		return []audit.Entry{l.entry("sandbox.started", is, is.RequestedBy, fmt.Sprintf("on %s until %s, approved by %s, under %s", is.Provider, is.Deadline.UTC().Format(time.RFC3339), names(r.ApprovedBy), is.Policy))}
	})
}

// names lists people, or says that nobody had to.
func names(people []policy.Actor) string {
	if len(people) == 0 {
		return "nobody, who need not"
	}
	all := make([]string, len(people))
	for i, person := range people {
		all[i] = person.String()
	}
	return strings.Join(all, " and ")
}

// checkOut copies the files of the head.
func (l *Lifecycle) checkOut(ctx context.Context, box Sandbox, is Instance) (left []string, _ error) {
	packed, err := os.CreateTemp("", "portcullis-checkout-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(packed.Close(), os.Remove(packed.Name())) }()
	if err := l.config.GitHub.Archive(ctx, is.For.Repository, is.HeadSHA, packed); err != nil {
		return nil, err
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := box.Put(ctx, is.ID, Workspace, out)
		_ = out.CloseWithError(cmpError(err, io.ErrClosedPipe))
		done <- err
	}()
	left, err = Checkout(in, packed, DefaultLimits)
	_ = in.CloseWithError(err)
	if put := <-done; put != nil {
		return nil, put
	}
	return left, err
}

// cmpError is the first of the two that is one.
func cmpError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// takeBackTime is how long it may take to undo what was begun.
const takeBackTime = time.Minute

// takeBack ends a sandbox that could not be started to the end.
func (l *Lifecycle) takeBack(ctx context.Context, is Instance) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	if err := l.End(ctx, is, Ending{Reason: is.Reason}); err != nil {
		return fmt.Errorf("take back the sandbox %s: %w", is.ID, err)
	}
	return nil
}

// execute runs a command for somebody who may: whoever asked for the sandbox, or may
// write.
func (l *Lifecycle) execute(ctx context.Context, task Task) (Outcome, error) {
	is, box, err := l.mine(ctx, task)
	if err != nil {
		return Outcome{}, err
	}
	if err := l.config.Records.Audit(ctx, l.entry("sandbox.exec", is, task.By, shortened(strings.Join(task.Argv, " "), 0, maxDetail))); err != nil {
		return Outcome{}, err
	}
	begun := l.config.Now()
	result, err := box.Execute(ctx, is.ID, Command{Argv: task.Argv})
	took := l.config.Now().Sub(begun)
	result.Stdout, result.Stderr = shortened(result.Stdout, keptTail, keptHead), shortened(result.Stderr, keptTail, keptHead)
	return Outcome{Instance: is, Result: result, Took: took}, err
}

const (
	// maxDetail is how much of a command the audit log has, and keptHead and keptTail how
	// much of the beginning and the end of an output is on record until somebody was told.
	maxDetail = 1 << 10
	keptHead  = 16 << 10
	keptTail  = 48 << 10
)

// shortened is the beginning and the end of a text.
func shortened(text string, tail, head int) string {
	if len(text) <= head+tail {
		return text
	}
	return fmt.Sprintf("%s\n… %d bytes …\n%s", strings.ToValidUTF8(text[:head], ""), len(text)-head-tail, strings.ToValidUTF8(text[len(text)-tail:], ""))
}

// stop destroys a sandbox for somebody who may.
func (l *Lifecycle) stop(ctx context.Context, task Task) (Outcome, error) {
	is, _, err := l.mine(ctx, task)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Instance: is}, l.End(ctx, is, Ending{Reason: task.By.String() + " stopped it", By: task.By})
}

// mine is the sandbox of the pull request that the task is about, if whoever asks may.
// What is not on record costs no question to anybody: it will be, once it is swept.
func (l *Lifecycle) mine(ctx context.Context, task Task) (Instance, Sandbox, error) {
	unknown := &RefusedError{"no sandbox that runs on this pull request has that id; `/sandbox list` tells them"}
	running, err := l.Running(ctx, task.On)
	if err != nil {
		return Instance{}, nil, err
	}
	n := slices.IndexFunc(running, func(r Record) bool { return r.ID == task.Sandbox })
	if n < 0 {
		return Instance{}, nil, unknown
	}
	record := running[n]
	box, known := l.boxes[record.Provider]
	if !known {
		return Instance{}, nil, &RefusedError{fmt.Sprintf("it runs on %s, which this server does not have", record.Provider)}
	}
	if err := l.mayUse(ctx, record, task); err != nil {
		return Instance{}, nil, err
	}
	is, err := box.Status(ctx, record.ID)
	if errors.Is(err, ErrUnknown) || err == nil && !is.In(killswitch.PullRequest(task.On)) {
		return Instance{}, nil, unknown
	}
	is = is.with(record.Instance)
	is.Provider = record.Provider
	return is, box, err
}

// mayUse is a [*RefusedError] for who may not do that with a sandbox: whoever asked for it
// may, and who may write. Where commands have a person's rights, they are that person's.
func (l *Lifecycle) mayUse(ctx context.Context, record Record, task Task) error {
	if owner := record.ActsAs; owner.Known() && task.Kind == TaskExecute && owner.ID != task.By.ID {
		return &RefusedError{fmt.Sprintf("what runs in it has the rights of %s, who alone runs commands there", owner)}
	}
	if record.RequestedBy.ID == task.By.ID && task.By.Known() {
		return nil
	}
	may, err := l.config.Judge.MayWrite(ctx, task.On.Repository, task.By)
	if err == nil && !may {
		err = &RefusedError{fmt.Sprintf("only who asked for it and who may write here use it, and %s is neither", task.By)}
	}
	return err
}
