package killswitch

import (
	"context"
	"errors"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// KillSwitch stops what is in a scope and lets it start again. It may be used by
// several goroutines. An error of IsActive counts as on.
type KillSwitch interface {
	// Activate throws the switch of the scope. It may be thrown again, which ends what
	// was begun to start again; the first reason stays, and the new one is added.
	Activate(ctx context.Context, scope Scope, by policy.Actor, reason string) error
	// Deactivate asks, for somebody, to start again what is in the scope. It returns a
	// [*RefusedError] for somebody who may not, a [*WaitingError] while others must ask
	// as well, and nil once enough have.
	Deactivate(ctx context.Context, scope Scope, by policy.Actor) error
	// IsActive reports whether a switch stops the scope: its own, or one that covers it.
	IsActive(ctx context.Context, scope Scope) (bool, error)
	// Reason is why the scope is stopped; empty if it is not.
	Reason(ctx context.Context, scope Scope) (string, error)
}

// Stopper is something that a switch stops.
type Stopper interface {
	// Stop ends what is under way in the scope and returns how many things that were.
	// It may be called again, and is until it returns no error. What is begun later it
	// refuses by itself: it asks the switch.
	Stop(ctx context.Context, scope Scope) (ended int, err error)
}

// RefusedError is returned to somebody who may not do what they ask for.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// WaitingError is returned while others must ask as well to start again.
type WaitingError struct{ Missing []string }

func (e *WaitingError) Error() string {
	return "still needed to start again: " + strings.Join(e.Missing, ", and ")
}

// ErrNotActive is returned for a switch that is not on.
var ErrNotActive = errors.New("the kill switch is not on")
