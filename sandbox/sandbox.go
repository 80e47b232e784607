package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Sandbox starts sandboxes and runs commands in them. It may be used by several
// goroutines.
type Sandbox interface {
	// Create starts a sandbox and waits until it takes commands. Whoever asks twice with
	// one id gets one sandbox. It returns an [*UnsupportedError] for what it cannot
	// enforce, before it has done anything.
	Create(ctx context.Context, spec Spec) (Instance, error)
	// Status returns [ErrUnknown] for a sandbox that is not there, or not any more.
	Status(ctx context.Context, id string) (Instance, error)
	// List is every sandbox of this App's that is there, whoever created it; with an
	// error, those that could be seen.
	List(ctx context.Context) ([]Instance, error)
	// Execute runs a command and waits for its end. When its time is over, or ctx ends,
	// nothing of it is left running. It returns [ErrUnknown], [ErrNotRunning] or a
	// [*StartError] for a command that was not run.
	Execute(ctx context.Context, id string, command Command) (Result, error)
	// Put unpacks a tar archive below a folder, and Get packs what is at a path. What
	// leaves the folder, or is neither a file nor a folder, is an [*ArchiveError].
	Put(ctx context.Context, id, folder string, archive io.Reader) error
	Get(ctx context.Context, id, path string, archive io.Writer) error
	// Destroy ends a sandbox with all that runs in it and returns once it is gone. One
	// that is not there is no error.
	Destroy(ctx context.Context, id string) error
}

// Personal is a [Sandbox] in which programs have a person's rights at GitHub.
type Personal interface {
	// ActsFor is whose they are in what is created for the person who asks; the zero Actor:
	// nobody's.
	ActsFor(by policy.Actor) policy.Actor
}

// Spec is what a sandbox is created from.
type Spec struct {
	// ID is the idempotency key, which must be a [ValidID].
	ID string
	// For is the pull request: a kill switch that covers it ends the sandbox.
	For killswitch.Scope
	// HeadSHA is the commit that was approved, under Policy.
	HeadSHA string
	Policy  string
	// RequestedBy asked for it; the zero Actor: the policy did.
	RequestedBy policy.Actor
	// Image is what runs, pinned by its digest. Codespaces have none.
	Image       string
	Constraints SandboxConstraints
}

// SandboxConstraints bound a sandbox; zero means the implementation's default, which is
// never unbounded.
type SandboxConstraints struct {
	MemoryMB int
	// CPUPercent is a share of one core: 150 is one and a half.
	CPUPercent int
	// DiskMB is what all files together may take up.
	DiskMB  int
	Network NetworkPolicy
	// Egress are the hosts that may be reached with [NetworkEgressOnly], as
	// "api.example.com" or "*.example.com".
	Egress []string
	// Credentials are given on the way to a host, by its name: their names. The sandbox does
	// not have them.
	Credentials map[string]string
	// Timeout is how long it may run in all.
	Timeout time.Duration
	// AllowedPaths may be written, beside what is temporary: [Workspace] or below it.
	AllowedPaths []string
	// Runtime is what must isolate it, as "runsc"; empty: what the operator has chosen.
	Runtime string
}

// Workspace is where the pull request's files are, and where commands begin.
const Workspace = "/workspace"

// NetworkPolicy is what a sandbox may reach. The zero NetworkPolicy is none.
type NetworkPolicy string

// The network policies.
const (
	NetworkNone NetworkPolicy = "none"
	// NetworkEgressOnly has no route out: named hosts are reached by HTTP(S) through a
	// proxy.
	NetworkEgressOnly NetworkPolicy = "egress-only"
	// NetworkFull reaches public addresses, and nothing of the host's or its networks.
	NetworkFull NetworkPolicy = "full"
)

// Instance is a sandbox that is there, as its backend tells of it.
type Instance struct {
	ID string
	// Provider is the implementation's name, as "docker".
	Provider string
	Status   SandboxStatus
	// Reason says more of a status; it may be empty.
	Reason string
	// For, HeadSHA, Policy and RequestedBy are the [Spec]'s; a backend that has no room
	// for them leaves Policy empty and RequestedBy zero.
	For         killswitch.Scope
	HeadSHA     string
	Policy      string
	RequestedBy policy.Actor
	// ActsAs is the person whose rights programs in it have at GitHub, and who alone runs
	// commands there; zero: nobody's.
	ActsAs    policy.Actor
	CreatedAt time.Time
	// StartBy is until when it may take to run, where that is long; zero: a minute.
	StartBy time.Time
	// Deadline is when it ends, also if nobody is there to end it.
	Deadline time.Time
}

// In reports whether a kill switch of the scope stops it. An owner that was renamed since
// is known by the App's installation.
func (i Instance) In(scope killswitch.Scope) bool {
	place := i.For
	if place.Repository.Installation != 0 && place.Repository.Installation == scope.Repository.Installation {
		place.Repository.Owner = scope.Repository.Owner
	}
	return scope.Covers(place)
}

// with is the instance with what not every backend has room for, from where it is known.
func (i Instance) with(known Instance) Instance {
	i.Policy = cmp.Or(i.Policy, known.Policy)
	if !i.RequestedBy.Known() {
		i.RequestedBy = known.RequestedBy
	}
	if !i.ActsAs.Known() {
		i.ActsAs = known.ActsAs
	}
	return i
}

// SandboxStatus is what a sandbox does.
type SandboxStatus string

// The statuses. What a backend says that is not known here is [StatusError].
const (
	// StatusIdle is there, and takes no commands yet.
	StatusIdle SandboxStatus = "idle"
	// StatusRunning takes commands.
	StatusRunning SandboxStatus = "running"
	// StatusTerminated has ended, and is not gone yet.
	StatusTerminated SandboxStatus = "terminated"
	StatusError      SandboxStatus = "error"
)

// Command is a program with its arguments. No shell sees it.
type Command struct {
	Argv []string
	// Folder is where it begins; empty: [Workspace].
	Folder string
	// Stdin is what it reads; nil: nothing.
	Stdin io.Reader
	// Timeout is how long it may take; zero: [DefaultCommandTimeout].
	Timeout time.Duration
	// MaxOutput is how many bytes are kept of each of its outputs; zero:
	// [DefaultMaxOutput]. One that writes ten times as much is killed.
	MaxOutput int
}

// The defaults of a command.
const (
	DefaultCommandTimeout = 10 * time.Minute
	DefaultMaxOutput      = 1 << 20
)

// Result is what a command did.
type Result struct {
	Stdout, Stderr string
	// ExitCode is exact; a command that a signal ended has 128 and its number.
	ExitCode int
	// Truncated is true if there was more output than is kept.
	Truncated bool
	// TimedOut is true if it was killed because its time was over, and OOM if one of its
	// processes was because the sandbox had no more memory.
	TimedOut bool
	OOM      bool
}

var (
	// ErrStopped is returned while a kill switch is on, or may be.
	ErrStopped = errors.New("the kill switch is on: nothing is started")
	// ErrUnknown is returned for an id that no sandbox has.
	ErrUnknown = errors.New("there is no such sandbox, or it has ended")
	// ErrEnded is returned for a sandbox that is asked for again and has ended.
	ErrEnded = errors.New("it was started for this once, and has ended; ask for another by /sandbox start")
	// ErrNotRunning is returned for a command in a sandbox that takes none.
	ErrNotRunning = errors.New("the sandbox does not run")
)

// Readier is a provider that can tell whether it could start a sandbox, or a part of one.
type Readier interface {
	// Ready changes nothing. Its error is why it could not.
	Ready(ctx context.Context) error
}

// UnsupportedError is returned for a constraint that cannot be enforced.
type UnsupportedError struct {
	Provider string
	// Field is its name in the policy file, as "network".
	Field string
	Why   string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the sandbox provider %s cannot enforce %s: %s", e.Provider, e.Field, e.Why)
}

// StartError is returned for a command that was not run.
type StartError struct {
	// Program is the first word of the command.
	Program string
	Why     string
}

func (e *StartError) Error() string { return fmt.Sprintf("%q was not started: %s", e.Program, e.Why) }

// InvalidError is returned for what is no request.
type InvalidError struct{ Field, Why string }

func (e *InvalidError) Error() string { return e.Field + " " + e.Why }

// Switch tells whether a kill switch is on; [killswitch.KillSwitch] fits.
type Switch interface {
	IsActive(ctx context.Context, scope killswitch.Scope) (bool, error)
}
