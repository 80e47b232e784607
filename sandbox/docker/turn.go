package docker

import (
	"context"
	"fmt"
)

// turn is whose turn it is in a sandbox, and how many wait for theirs or have it.
type turn struct {
	// place is for whoever has it.
	place   chan struct{}
	callers int
}

// alone waits until nobody else runs anything in the sandbox, and keeps it so until it is
// released. It waits as long as ctx does.
func (d *Docker) alone(ctx context.Context, id string) (release func(), _ error) {
	d.mu.Lock()
	t := d.turns[id]
	if t == nil {
		t = &turn{place: make(chan struct{}, 1)}
		d.turns[id] = t
	}
	t.callers++
	d.mu.Unlock()
	leave := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.callers--; t.callers == 0 {
			delete(d.turns, id)
		}
	}
	select {
	case t.place <- struct{}{}:
		return func() { <-t.place; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("wait until nothing else runs in the sandbox %s: %w", id, ctx.Err())
	}
}
