package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/internal/store"
)

// queued is a queue whose workers note what they are called for.
type queued struct {
	*store.Queue
	mu   sync.Mutex
	done map[string]int
	news chan struct{}
}

// startQueue starts a queue, whose workers do the work. now is the system's
// clock.
func startQueue(t *testing.T, d *database, do func(ctx context.Context, w store.Work)) *queued {
	t.Helper()
	q := &queued{done: map[string]int{}, news: make(chan struct{}, 1000)}
	queue, err := d.NewQueue(t.Context(), func(ctx context.Context, w store.Work) {
		if do != nil {
			do(ctx, w)
		}
		if err := d.Done(context.WithoutCancel(ctx), w, nil); err != nil {
			t.Error(err)
		}
		q.mu.Lock()
		q.done[w.Key]++
		q.mu.Unlock()
		q.news <- struct{}{}
	}, zerolog.Nop())
	must(t, err)
	q.Queue = queue
	must(t, q.Start(t.Context()))
	return q
}

func (q *queued) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(t, q.Stop(ctx))
}

// wait waits until n pieces of work were done.
func (q *queued) wait(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-q.news:
		case <-time.After(20 * time.Second):
			t.Fatal("the work was not done")
		}
	}
}

// withSystemClock lets the time of the database pass by itself.
func withSystemClock(d *database) *database {
	d.clock.follow = true
	return d
}

func TestWorkersAreCalled(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := withSystemClock(newDatabase(t))
		must(t, d.Evaluate(t.Context(), pullRequest(1))) // before it starts
		q := startQueue(t, d, nil)
		defer q.stop(t)
		q.wait(t, 1)
		for number := 2; number <= 50; number++ {
			must(t, d.Evaluate(t.Context(), pullRequest(number)))
		}
		q.wait(t, 49)
		// A timer, and a back-off.
		d.post(t, pullRequest(1), d.clock.Now().Add(300*time.Millisecond))
		q.wait(t, 1)
		if backlog, err := d.Backlog(t.Context()); err != nil || backlog != 0 {
			t.Errorf("%d pieces of work are left: %v", backlog, err)
		}
	})
}

// A wake-up that comes while the same work is done is the one that River's unique
// jobs lose.
func TestWakeUpsDuringTheWorkAreNotLost(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := withSystemClock(newDatabase(t))
		const times = 30
		woken := 0
		q := startQueue(t, d, func(ctx context.Context, w store.Work) {
			if woken++; woken < times {
				if err := d.Evaluate(ctx, w.Ref); err != nil {
					t.Error(err)
				}
			}
		})
		defer q.stop(t)
		must(t, d.Evaluate(t.Context(), pullRequest(7)))
		q.wait(t, times)
	})
}

// The switch has slots of its own: it waits for nobody, whatever else is due.
func TestTheSwitchWaitsForNobody(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := withSystemClock(newDatabase(t))
		hang, entered := make(chan struct{}), make(chan struct{}, 1000)
		q := startQueue(t, d, func(_ context.Context, w store.Work) {
			if w.Ref.Number != 1 {
				entered <- struct{}{}
				<-hang
			}
		})
		defer q.stop(t)
		defer close(hang)
		for number := 2; number <= 300; number++ {
			must(t, d.Accept(t.Context(), fmt.Sprint("d", number), "push", pullRequest(number), gate.UrgencyPeople, nil))
		}
		for range store.Slots[gate.UrgencyPeople] {
			<-entered
		}
		must(t, d.Accept(t.Context(), "switch", "issues", pullRequest(1), gate.UrgencySwitch, nil))
		q.wait(t, 1)
		if q.done["pr:11#1"] != 1 {
			t.Errorf("done: %v", q.done)
		}
	})
}

// A stop waits for the transaction that is under way, and for none that was asked for
// before it.
func TestAStopIsWrittenFirst(t *testing.T) {
	d := newFile(t)
	hold, held := make(chan struct{}), make(chan struct{})
	var order []string // only one writes at a time
	var writing sync.WaitGroup
	write := func(first bool, do func()) {
		writing.Go(func() {
			if err := d.Write(t.Context(), first, do); err != nil {
				t.Error(err)
			}
		})
	}
	write(false, func() { close(held); <-hold })
	<-held
	for range 100 {
		write(false, func() { order = append(order, "other") })
	}
	<-time.After(50 * time.Millisecond)
	write(true, func() { order = append(order, "stop") })
	<-time.After(300 * time.Millisecond) // it waits in its line by then
	close(hold)
	writing.Wait()
	if len(order) != 101 || order[0] != "stop" {
		t.Errorf("%d were written, a stop as number %d", len(order), slices.Index(order, "stop")+1)
	}
}

// Searches for switches hang where GitHub does, and leave slots for a stop.
func TestASearchThatHangsHoldsUpNoStop(t *testing.T) {
	const searches = 600 // more than are looked through at once
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := withSystemClock(newDatabase(t))
		hang, entered := make(chan struct{}), make(chan struct{}, 1000)
		goOn := sync.OnceFunc(func() { close(hang) })
		q := startQueue(t, d, func(_ context.Context, w store.Work) {
			if recovery.Owns(w.Key) {
				entered <- struct{}{}
				<-hang
			}
		})
		defer q.stop(t)
		defer goOn()
		for installation := range int64(searches) {
			must(t, d.Want(t.Context(), recovery.KeySwitches(installation)))
		}
		<-entered
		must(t, d.AcceptSwitch(t.Context(), "stop", "issues", acmeScope, nil))
		q.wait(t, 1)
		if q.done["switch:owner:acme"] != 1 {
			t.Errorf("done: %v", q.done)
		}
		goOn()
		q.wait(t, searches)
	})
}

// A queue that is stopped in the middle lets its workers give their work back.
func TestStopInterruptsWork(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		for _, urgency := range []gate.Urgency{gate.UrgencySwitch, gate.UrgencyPeople} {
			d := withSystemClock(newDatabase(t))
			began := make(chan struct{})
			queue, err := d.NewQueue(t.Context(), func(ctx context.Context, w store.Work) {
				close(began)
				<-ctx.Done()
				must(t, d.Release(context.WithoutCancel(ctx), w))
			}, zerolog.Nop())
			must(t, err)
			must(t, queue.Start(t.Context()))
			must(t, d.Accept(t.Context(), "one", "issues", pullRequest(7), urgency, nil))
			<-began
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			must(t, queue.Stop(ctx))
			d.claim(t)
		}
	})
}

// Work that panics takes nobody along, and is done again once its lease has ended.
func TestWorkThatPanics(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		for _, urgency := range []gate.Urgency{gate.UrgencySwitch, gate.UrgencyPeople} {
			d := withSystemClock(newDatabase(t))
			var panicked atomic.Bool
			q := startQueue(t, d, func(context.Context, store.Work) {
				if panicked.CompareAndSwap(false, true) {
					d.clock.pass(store.Lease)
					panic("a fault of ours")
				}
			})
			must(t, d.Accept(t.Context(), "one", "issues", pullRequest(7), urgency, nil))
			q.wait(t, 1)
			q.stop(t)
		}
	})
}

// What cannot be claimed for a moment is tried again, and not without a pause.
func TestAStopThatCannotBeClaimed(t *testing.T) {
	d := withSystemClock(newFile(t))
	done := make(chan store.Work, 1)
	var logged lines
	queue, err := d.NewQueue(t.Context(), func(ctx context.Context, w store.Work) {
		must(t, d.Done(context.WithoutCancel(ctx), w, nil))
		done <- w
	}, zerolog.New(&logged))
	must(t, err)
	must(t, queue.Start(t.Context()))
	d.edit(t, `CREATE TRIGGER no_claims BEFORE UPDATE OF claim ON work BEGIN SELECT RAISE(ABORT, 'no claims'); END`)
	must(t, d.Accept(t.Context(), "one", "issues", pullRequest(7), gate.UrgencySwitch, nil))
	<-time.After(700 * time.Millisecond)
	d.edit(t, `DROP TRIGGER no_claims`)
	<-done
	must(t, queue.Stop(t.Context()))
	if tried := logged.n.Load(); tried < 2 || tried > 10 {
		t.Errorf("it was tried %d times in 0.7 s", tried)
	}
}

// lines counts what is logged.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(line []byte) (int, error) {
	l.n.Add(1)
	return len(line), nil
}
