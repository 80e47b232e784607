package sandbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTurns: one at a time in each sandbox, whoever comes and goes, and nothing is kept of
// those in which nothing is done.
func TestTurns(t *testing.T) {
	var turns Turns
	var inside [2]atomic.Int32
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			id, at := string(rune('a'+n%2)), &inside[n%2]
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if n%5 == 0 {
				go cancel() // it may be too late
			}
			release, err := turns.Take(ctx, id)
			if err != nil {
				if n%5 != 0 || !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			if at.Add(1) != 1 {
				t.Error("two at once")
			}
			at.Add(-1)
			release()
		})
	}
	all.Wait()
	if len(turns.of) != 0 {
		t.Errorf("%d are kept", len(turns.of))
	}
}

// TestATurnThatIsWaitedFor: whoever waits ends with their context, and has no part in the
// turn of another.
func TestATurnThatIsWaitedFor(t *testing.T) {
	var turns Turns
	release, err := turns.Take(t.Context(), "pc-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := turns.Take(t.Context(), "pc-2")
	if err != nil {
		t.Fatal(err)
	}
	other()
	why := errors.New("nobody waits")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := turns.Take(ctx, "pc-1"); !errors.Is(err, why) {
		t.Errorf("while another runs: %v", err)
	}
	release()
	if again, err := turns.Take(t.Context(), "pc-1"); err != nil {
		t.Error(err)
	} else {
		again()
	}
	if len(turns.of) != 0 {
		t.Errorf("%d are kept", len(turns.of))
	}
}
