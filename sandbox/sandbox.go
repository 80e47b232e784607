package sandbox

import (
	"context"
	"errors"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
)

// SandboxStatus is what a sandbox does.
type SandboxStatus string

// The statuses. A sandbox that was destroyed stays terminated.
const (
	StatusIdle       SandboxStatus = "idle"
	StatusRunning    SandboxStatus = "running"
	StatusTerminated SandboxStatus = "terminated"
	StatusError      SandboxStatus = "error"
)

// NetworkPolicy is what a sandbox may reach. The zero NetworkPolicy is none.
type NetworkPolicy string

// The network policies.
const (
	NetworkNone       NetworkPolicy = "none"
	NetworkEgressOnly NetworkPolicy = "egress-only"
	NetworkFull       NetworkPolicy = "full"
)

// SandboxConstraints bound a sandbox; zero means the implementation's default.
type SandboxConstraints struct {
	MemoryMB   int
	CPUPercent int
	Network    NetworkPolicy
	// Timeout is how long it may run at most.
	Timeout time.Duration
	// AllowedPaths may be written.
	AllowedPaths []string
}

// Result is what a command did.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
}

// Sandbox starts sandboxes and runs commands in them. It may be used by several
// goroutines.
type Sandbox interface {
	// Create starts a sandbox for the place and returns its id. It returns [ErrStopped]
	// while a kill switch is on there, or cannot be asked.
	Create(ctx context.Context, place killswitch.Scope, constraints SandboxConstraints) (id string, status SandboxStatus, err error)
	// Execute runs a command and waits for its end, or returns [ErrNotRunning].
	Execute(ctx context.Context, id string, command []string) (Result, error)
	// Status returns [ErrUnknown] for a sandbox that was never created.
	Status(ctx context.Context, id string) (SandboxStatus, error)
	// Destroy ends a sandbox now; one that has ended is no error.
	Destroy(ctx context.Context, id string) error
}

var (
	// ErrStopped is returned while a kill switch is on, or may be.
	ErrStopped = errors.New("the kill switch is on: nothing is started")
	// ErrUnknown is returned for an id that no sandbox has.
	ErrUnknown = errors.New("there is no such sandbox")
	// ErrNotRunning is returned for a command in a sandbox that has ended.
	ErrNotRunning = errors.New("the sandbox does not run any more")
)

// Switch tells whether a kill switch is on; [killswitch.KillSwitch] fits.
type Switch interface {
	IsActive(ctx context.Context, scope killswitch.Scope) (bool, error)
}
