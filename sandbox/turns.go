package sandbox

import (
	"context"
	"fmt"
	"sync"
)

// Turns has what is done in one sandbox be done one after the other, as far as it is done
// by this process. The zero Turns is ready. It may be used by several goroutines.
type Turns struct {
	mu sync.Mutex
	of map[string]*turn
}

// turn is whose turn it is in a sandbox, and how many wait for theirs or have it.
type turn struct {
	// place is for whoever has it.
	place   chan struct{}
	callers int
}

// Take waits until nobody else does anything in the sandbox, and keeps it so until it is
// released. It waits as long as ctx does. Nothing is kept of a sandbox in which nobody
// does anything.
func (t *Turns) Take(ctx context.Context, id string) (release func(), _ error) {
	mine := t.enter(id)
	select {
	case mine.place <- struct{}{}:
		return func() { <-mine.place; t.leave(id, mine) }, nil
	case <-ctx.Done():
		t.leave(id, mine)
		return nil, fmt.Errorf("wait until nothing else runs in the sandbox %s: %w", id, context.Cause(ctx))
	}
}

func (t *Turns) enter(id string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	mine := t.of[id]
	if mine == nil {
		mine = &turn{place: make(chan struct{}, 1)}
		t.of[id] = mine
	}
	mine.callers++
	return mine
}

func (t *Turns) leave(id string, mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine.callers--; mine.callers == 0 {
		delete(t.of, id)
	}
}
