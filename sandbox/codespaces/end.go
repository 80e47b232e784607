package codespaces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/sandbox"
)

const (
	// destroyTime is how long it may take GitHub to delete one.
	destroyTime = 5 * time.Minute
	// endedTogether is how many codespaces are ended side by side.
	endedTogether = 8
)

// Destroy deletes the codespaces of that id, and waits until GitHub does not have them any
// more. It takes the organization's word where that pays, and its owner's else.
func (c *Codespaces) Destroy(ctx context.Context, id string) error {
	c.lines.close(id)
	ctx, cancel := context.WithTimeoutCause(ctx, destroyTime, errors.New("GitHub did not delete it in time"))
	defer cancel()
	for removed := false; ; removed = true {
		found, err := c.find(ctx, id)
		if errors.Is(err, sandbox.ErrUnknown) || removed && len(found) == 0 {
			c.forget(id) // what was found is gone, whatever cannot be looked through now
			return nil
		}
		for _, at := range found {
			err = errors.Join(err, c.remove(ctx, at))
		}
		if err != nil {
			return fmt.Errorf("destroy the sandbox %s: %w", id, err)
		}
	}
}

// remove deletes one and returns once it is gone.
func (c *Codespaces) remove(ctx context.Context, at sight) error {
	remove := func() error { return c.config.People.Delete(ctx, at.by, at.Name) }
	there := func() (found bool, err error) {
		_, found, err = c.config.People.Codespace(ctx, at.by, at.Name)
		return found, err
	}
	if at.place.Owner != "" {
		remove = func() error { return c.config.Platform.Delete(ctx, at.place, at.Codespace) }
		there = func() (bool, error) {
			all, err := c.config.Platform.Codespaces(ctx, at.place)
			return slices.ContainsFunc(all, func(one Codespace) bool { return one.Name == at.Name }), err
		}
	}
	if err := remove(); err != nil {
		return err
	}
	for {
		if found, err := there(); err != nil || !found {
			return err
		}
		if err := c.pause(ctx); err != nil {
			return err
		}
	}
}

// stop has GitHub stop what runs in it, which is quicker than to delete it.
func (c *Codespaces) stop(ctx context.Context, at sight) error {
	if at.place.Owner != "" {
		return c.config.Platform.Stop(ctx, at.place, at.Codespace)
	}
	return c.config.People.Stop(ctx, at.by, at.Name)
}

// Sweep destroys what is over: what has passed its deadline, and what has stopped. It
// counts them.
func (c *Codespaces) Sweep(ctx context.Context) (ended int, _ error) {
	found, err := c.look(ctx)
	over, there := map[string]bool{}, map[string]bool{}
	for _, at := range found {
		there[at.ID] = true
		if !c.config.Now().Before(at.is.Deadline) || at.is.Status == sandbox.StatusTerminated {
			over[at.ID] = true
		}
	}
	if err == nil {
		c.lines.closeThose(func(id string, _ connection) bool { return !there[id] }) // somebody else has ended those
	}
	faults := make(chan error, len(over))
	var ending errgroup.Group
	ending.SetLimit(endedTogether)
	for id := range over {
		ending.Go(func() error {
			faults <- c.Destroy(ctx, id)
			return nil
		})
	}
	_ = ending.Wait() // each tells its own error
	close(faults)
	all := []error{err}
	for fault := range faults {
		if fault == nil {
			ended++
		}
		all = append(all, fault)
	}
	return ended, errors.Join(all...)
}

// Run sweeps until ctx ends: it is what ends sandboxes at their deadlines. Each replica
// may run it.
func (c *Codespaces) Run(ctx context.Context) {
	for {
		ended, err := c.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			c.config.Log.Error().Err(err).Str("event", "sandbox.sweep_failed").Str("provider", Provider).Msg("codespaces whose time is over may run on: not all could be seen or ended")
		}
		if ended > 0 {
			c.config.Log.Info().Str("event", "sandbox.swept").Str("provider", Provider).Int("ended", ended).Msg("codespaces whose time was over were deleted")
		}
		select {
		case <-time.After(c.config.SweepEvery):
		case <-ctx.Done():
			return
		}
	}
}
