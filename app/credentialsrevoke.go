package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/store"
)

var (
	errWhichCredential = errors.New("name one credential by its ID, as `credentials list` tells it, or all in a place with --all --scope")
	errForget          = errors.New("--forget takes the ID of one credential and needs a --reason")
)

// revoke ends one credential, or all in a scope.
func (c *credentials) revoke(ctx context.Context, args []string) error {
	switch {
	case c.forget && (len(args) != 1 || c.all || c.reason == ""):
		return errForget
	case c.all != (len(args) == 0), c.all != (c.scope != ""):
		return errWhichCredential
	}
	server, err := c.open(ctx, "say `/credential revoke` in the pull request, or stop the server and do this again")
	if err != nil {
		return err
	}
	if c.forget {
		err = c.forgetOne(ctx, server, args[0])
	} else {
		err = c.revokeWith(ctx, server, args)
	}
	return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
}

// open wires a server, which is not started: it can do each piece of a server's work.
// instead is what to do if one that runs holds the database.
func (c *credentials) open(ctx context.Context, instead string) (*App, error) {
	if err := c.readOnce(ctx, func(*store.Store) error { return nil }); err != nil {
		return nil, err
	}
	server, err := New(ctx, c.settings, Options{Log: zerolog.Nop()})
	if errors.Is(err, store.ErrServed) {
		return nil, fmt.Errorf("a server that runs has the database open, and an SQLite file is written to by one process alone: %s", instead)
	}
	return server, err
}

func (c *credentials) forgetOne(ctx context.Context, server *App, id string) error {
	lease, err := server.store.Lease(ctx, id)
	if err != nil {
		return err
	}
	if err := server.lending.Forget(ctx, id, credential.Ending{Reason: c.reason, By: c.by(), At: time.Now()}); err != nil {
		return err
	}
	c.tell("%s is forgotten: it could not be cleared away, and is not tried again", id)
	for _, slot := range lease.Slots() {
		c.tell("%s may be lent again once there is no such secret", slot)
	}
	return nil
}

func (c *credentials) revokeWith(ctx context.Context, server *App, args []string) error {
	leases, err := c.chosen(ctx, server, args)
	if err != nil {
		return err
	}
	if len(leases) == 0 {
		c.tell("nothing is lent in %s", c.scope)
		return nil
	}
	var failed []error
	for _, lease := range leases {
		failed = append(failed, c.end(ctx, server, lease))
	}
	left, err := c.clear(ctx, server, leases)
	for _, lease := range left {
		c.tell("left: %s: %s; a server goes on with that, next at %s", lease.ID, cmp.Or(lease.LastError, "it is not cleared away yet"), moment(lease.NextAt))
	}
	if err := errors.Join(append(failed, err)...); err != nil || len(left) == 0 {
		return err
	}
	return errReported
}

// chosen are the leases that are to end.
func (c *credentials) chosen(ctx context.Context, server *App, args []string) ([]credential.Lease, error) {
	if !c.all {
		lease, err := server.store.Lease(ctx, args[0])
		if errors.Is(err, credential.ErrUnknown) {
			return nil, fmt.Errorf("%w: %s", credential.ErrUnknown, args[0])
		}
		return []credential.Lease{lease}, err
	}
	glass := breakGlass{scope: c.scope, settings: c.settings}
	glass.settings.Policy.OrganizationRepository = "" // here it is a repository like any other
	if err := glass.prepare(); err != nil {
		return nil, err
	}
	place, err := glass.place(ctx)
	if err != nil {
		return nil, err
	}
	selected := credential.Selection{Scope: place, Live: true}
	if place.IsOrganization() {
		// Whatever its name is now.
		selected = credential.Selection{Installation: place.Repository.Installation, Live: true}
	}
	return server.store.Leases(ctx, selected)
}

// end ends one: it is refused from then on.
func (c *credentials) end(ctx context.Context, server *App, lease credential.Lease) error {
	reason := "revoked from " + commandLine
	if c.reason != "" {
		reason += ": " + c.reason
	}
	if err := server.lending.End(ctx, lease.ID, credential.Ending{Reason: reason, By: c.by(), At: time.Now()}); err != nil {
		return err
	}
	now, err := server.store.Lease(ctx, lease.ID)
	switch {
	case err != nil:
		return err
	case !lease.EndedAt.IsZero():
		c.tell("%s had ended already and is %s: %s", lease.ID, now.State, now.Reason)
	default:
		c.tell("%s (%s, %s) has ended and is refused from now on", lease.ID, lease.Credential, lease.Place())
	}
	if now.Untold {
		c.tell("%s: the audit log could not be written, and does not tell of it", lease.ID)
	}
	return nil
}

// clear does what a server does about leases that have ended, until none of them is left
// or the time is over. Beside a server each does what the other does not hold.
func (c *credentials) clear(ctx context.Context, server *App, leases []credential.Lease) ([]credential.Lease, error) {
	until := time.Now().Add(c.wait)
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		left, err := c.left(ctx, server, leases)
		if err != nil {
			return left, err
		}
		keys := map[string]bool{}
		for _, lease := range left {
			if lease.NextAt.Before(until) {
				keys[credential.WorkKey(lease.Slot.Repository.Installation)] = true
			}
		}
		if len(keys) == 0 || bounded.Err() != nil {
			return left, nil
		}
		worked := false
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			work, claimed, err := server.store.Claim(ctx, key)
			if err != nil {
				return left, err
			}
			if claimed {
				server.workers.do(bounded, work)
				worked = true
			}
		}
		if !worked {
			_ = wait(bounded, 100*time.Millisecond) // that the time is over is seen above
		}
	}
}

// left are those of which something is left.
func (c *credentials) left(ctx context.Context, server *App, leases []credential.Lease) (left []credential.Lease, _ error) {
	for _, lease := range leases {
		now, err := server.store.Lease(ctx, lease.ID)
		if err != nil {
			return left, err
		}
		if !now.State.Ended() {
			left = append(left, now)
		}
	}
	return left, nil
}
