package codespaces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
)

// destroyTime is how long it may take GitHub to delete one.
const destroyTime = 5 * time.Minute

// Destroy deletes the codespaces of that id, and waits until GitHub does not have them any
// more. It takes the organization's word where that pays, and its owner's else.
func (c *Codespaces) Destroy(ctx context.Context, id string) error {
	c.lines.close(id)
	ctx, cancel := context.WithTimeoutCause(ctx, destroyTime, errors.New("GitHub did not delete it in time"))
	defer cancel()
	for removed := false; ; removed = true {
		found, err := c.find(ctx, id)
		if errors.Is(err, sandbox.ErrUnknown) || removed && len(found) == 0 {
			return nil // what was found is gone, whatever cannot be looked through now
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
