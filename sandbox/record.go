package sandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Record is a sandbox that was asked for, as the database keeps it. What runs is the
// backend's to say; the record is what caps count, and what the audit log tells of.
type Record struct {
	Instance

	// Held is what the policy said of it when it was started; nil: it was found without a
	// record.
	Held *Held
	// ApprovedBy are those whose approval of the head it was started on.
	ApprovedBy []policy.Actor
	// ReviewedAt is when it was last asked whether it may still run.
	ReviewedAt time.Time
	// EndedAt is when it was seen to have ended; zero: it has not been.
	EndedAt time.Time
}

// Held is what a policy holds a sandbox to. One is ended when the policy says something
// else.
type Held struct {
	Image       string
	Constraints SandboxConstraints
}

// held is what the rule holds a sandbox to, but for how long: that is compared with how long
// it has run.
func held(rule policy.SandboxRules) Held {
	h := Held{Image: rule.Image, Constraints: constraints(rule)}
	h.Constraints.Timeout = 0
	return h
}

func (h Held) same(other Held) bool {
	a, b := h.Constraints, other.Constraints
	return h.Image == other.Image && a.MemoryMB == b.MemoryMB && a.CPUPercent == b.CPUPercent && a.DiskMB == b.DiskMB && a.Network == b.Network && a.Runtime == b.Runtime &&
		slices.Equal(a.Egress, b.Egress) && slices.Equal(a.AllowedPaths, b.AllowedPaths) && maps.Equal(a.Credentials, b.Credentials)
}

// Caps are how many sandboxes there may be at once.
type Caps struct{ PerRepository, PerPerson, Total int }

// FullError is returned for a sandbox that would be one too many.
type FullError struct {
	// Of says of what, as "acme/shop".
	Of  string
	Max int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%s has %d sandboxes, which is as many as there may be: stop one first, or wait", e.Of, e.Max)
}

// TaskKind is what is to be done.
type TaskKind string

// The kinds of tasks.
const (
	TaskStart   TaskKind = "start"
	TaskExecute TaskKind = "exec"
	TaskStop    TaskKind = "stop"
)

// TaskState is how far a task is.
type TaskState string

// The states of a task. One that is begun is done by one process, and by no other if
// that dies: a command is not run twice.
const (
	TaskAsked TaskState = "asked"
	TaskBegun TaskState = "begun"
	TaskDone  TaskState = "done"
)

// Task is something about a sandbox that somebody asked for on a pull request, and that
// may take minutes.
type Task struct {
	// ID is the idempotency key: the text that asked, and its how manyeth command.
	ID   string
	Kind TaskKind
	On   policy.PullRequestRef
	// By asked, at that time by GitHub's clock; the zero Actor: the policy did.
	By policy.Actor
	At time.Time
	// Comment is the one that it was asked for in; 0: none.
	Comment int64
	// Sandbox is the one it is about, and Provider where one is to be started; empty:
	// where the policy says.
	Sandbox  string
	Provider string
	Argv     []string
	// Earlier are the ids of what the same text asked for before it: commands are run in
	// their order.
	Earlier []string

	State TaskState
	// Attempt is how often it was begun.
	Attempt int
	// HeldUntil is until when whoever has begun it is alive at least.
	HeldUntil time.Time
	BegunAt   time.Time
	DoneAt    time.Time
	Outcome   Outcome
	// Told is true once whoever asked knows.
	Told bool
}

// sandboxID is the id of the sandbox that the task starts: another for each attempt, since
// one that has ended does not come back.
func (t Task) sandboxID() string {
	if t.Attempt <= 1 {
		return IDFor(t.ID)
	}
	return IDFor(fmt.Sprintf("%s, attempt %d", t.ID, t.Attempt))
}

// Outcome is what came of a task.
type Outcome struct {
	// Refused is why it was not done, as a sentence; empty: it was.
	Refused string
	// Instance is the sandbox that was started, and Left what of the pull request's files
	// is not in it.
	Instance Instance
	Left     []string
	// Said is what was said of it by whoever may have been told to by what runs in the
	// sandbox: it is shown as text, and nothing else.
	Said string
	// Result is what a command did, and Took how long that took.
	Result Result
	Took   time.Duration
}

// workPrefix and a task's id are the key of the work on it.
const workPrefix = "sandbox:"

// WorkKey is the key of the work on a task.
func WorkKey(task string) string { return workPrefix + task }

// TaskOf is the task that the work with the key is on; false: it is other work.
func TaskOf(workKey string) (task string, is bool) { return strings.CutPrefix(workKey, workPrefix) }

// Records is what is kept. Each method is one transaction.
type Records interface {
	// OpenSandbox keeps a record, unless there is one with the id. It returns
	// [ErrStopped] if a kill switch stops the place by then, a [*FullError] if it would be
	// one too many, and [ErrEnded] if one with the id has ended.
	OpenSandbox(ctx context.Context, record Record, caps Caps, entry audit.Entry) error
	// AdoptSandbox keeps a record of what was found, whatever the caps say.
	AdoptSandbox(ctx context.Context, record Record, entry audit.Entry) error
	// ChangeSandbox changes one that has not ended; another is left as it is.
	ChangeSandbox(ctx context.Context, id string, change func(*Record) []audit.Entry) error
	// Sandboxes lists those in the scope that have not ended; the zero Scope: all.
	Sandboxes(ctx context.Context, scope killswitch.Scope) ([]Record, error)

	// PutTask keeps a task with the work on it, unless there is one with the id.
	PutTask(ctx context.Context, task Task) error
	// Task returns [ErrUnknown] for one that is not there.
	Task(ctx context.Context, id string) (Task, error)
	// ChangeTask changes one, and has the work on it done at that time; zero: at once.
	ChangeTask(ctx context.Context, id string, change func(*Task) (again time.Time, err error)) (Task, error)
	// TaskTold keeps that whoever asked knows what came of it: there is no more work.
	TaskTold(ctx context.Context, id string) error
	// Audit puts an act on record that changes no sandbox.
	Audit(ctx context.Context, entry audit.Entry) error
}
