package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Part is what sandboxes are called among the parts that a kill switch ends.
const Part = "sandboxes"

// Guard is a [Sandbox] in which nothing is started while a kill switch stops the place,
// or cannot be asked. Without a switch, nothing is.
type Guard struct {
	Sandbox

	Switch Switch
}

var (
	_ Sandbox            = Guard{}
	_ killswitch.Stopper = Guard{}
)

// Create asks before, and once more when the sandbox can be found: a stop that came in
// between has found it, or is found now.
func (g Guard) Create(ctx context.Context, spec Spec) (Instance, error) {
	if err := g.allowed(ctx, spec.For); err != nil {
		return Instance{}, err
	}
	created, err := g.Sandbox.Create(ctx, spec)
	if err != nil {
		return Instance{}, err
	}
	if err := g.allowed(ctx, spec.For); err != nil {
		return Instance{}, errors.Join(err, g.undo(ctx, spec.ID))
	}
	return created, nil
}

// undoTime is how long it may take to destroy what must not be there.
const undoTime = 30 * time.Second

func (g Guard) undo(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return g.Destroy(ctx, id)
}

// Execute asks before. A stop that comes later destroys the sandbox, and with it what
// runs.
func (g Guard) Execute(ctx context.Context, id string, command Command) (Result, error) {
	if err := g.allowedIn(ctx, id); err != nil {
		return Result{}, err
	}
	return g.Sandbox.Execute(ctx, id, command)
}

// Put asks before.
func (g Guard) Put(ctx context.Context, id, folder string, archive io.Reader) error {
	if err := g.allowedIn(ctx, id); err != nil {
		return err
	}
	return g.Sandbox.Put(ctx, id, folder, archive)
}

func (g Guard) allowedIn(ctx context.Context, id string) error {
	there, err := g.Status(ctx, id)
	if err != nil {
		return err
	}
	return g.allowed(ctx, there.For)
}

func (g Guard) allowed(ctx context.Context, place killswitch.Scope) error {
	if g.Switch == nil {
		return ErrStopped
	}
	if on, err := g.Switch.IsActive(ctx, place); on || err != nil {
		return errors.Join(ErrStopped, err)
	}
	return nil
}

// Stop destroys every sandbox in the scope, whoever created it. One that does not tell
// whose it is counts as in it. If not all can be listed, that is an error, and those that
// can be are destroyed.
func (g Guard) Stop(ctx context.Context, scope killswitch.Scope) (ended int, err error) {
	all, unlisted := g.List(ctx)
	if unlisted = concerning(unlisted, scope); unlisted != nil {
		unlisted = fmt.Errorf("list the sandboxes: %w", unlisted)
	}
	var covered []string
	for _, there := range all {
		if there.In(scope) || there.For.Repository.ID == 0 {
			covered = append(covered, there.ID)
		}
	}
	gone, err := destroy(ctx, g.Sandbox, covered)
	return len(gone), errors.Join(unlisted, err)
}

// UnseenError is returned with a list that lacks what is an owner's: it says nothing of
// what is others'.
type UnseenError struct {
	// Owner is the organization, by its installation and its name.
	Owner policy.Repository
	Err   error
}

func (e *UnseenError) Error() string { return e.Err.Error() }

func (e *UnseenError) Unwrap() error { return e.Err }

// concerning is what of an error is about the scope, or about nobody in particular.
func concerning(err error, scope killswitch.Scope) error {
	if unseen, is := err.(*UnseenError); is { //nolint:errorlint // each of those that are joined is looked at
		at := scope.Repository
		if at.Owner != "" && !strings.EqualFold(at.Owner, unseen.Owner.Owner) && at.Installation != unseen.Owner.Installation {
			return nil
		}
		return err
	}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		var left []error
		for _, one := range joined.Unwrap() {
			left = append(left, concerning(one, scope))
		}
		return errors.Join(left...)
	}
	if cause := errors.Unwrap(err); cause != nil && concerning(cause, scope) == nil {
		return nil
	}
	return err
}
