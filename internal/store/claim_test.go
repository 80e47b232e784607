package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/store"
)

// I5: a worker whose lease ended, as one that was stopped and continued, ends
// nothing that another has claimed since.
func TestAClaimThatOutlivedItsLease(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		for name, end := range map[string]func(*database, store.Work) error{
			"done": func(d *database, w store.Work) error { return d.Done(t.Context(), w, []string{"d1"}) },
			"retry": func(d *database, w store.Work) error {
				return d.Retry(t.Context(), w, seconds(3600), "no", []string{"d1"})
			},
			"defer": func(d *database, w store.Work) error {
				return d.Defer(t.Context(), w, seconds(3600), "no", []string{"d1"})
			},
			"release": func(d *database, w store.Work) error { return d.Release(t.Context(), w) },
		} {
			t.Run(name, func(t *testing.T) {
				d, ref := newDatabase(t), pullRequest(7)
				must(t, d.Accept(t.Context(), "d1", "pull_request", ref, gate.UrgencyPeople, nil))
				stopped := d.claim(t)
				d.clock.pass(store.Lease - time.Millisecond)
				d.noWork(t, "the lease holds")
				d.clock.pass(time.Millisecond)
				next := d.claim(t)
				if err := end(d, stopped); !errors.Is(err, store.ErrClaimLost) {
					t.Errorf("it ended with %v", err)
				}
				d.noWork(t, "the other's claim holds")
				if ids := d.ids(t, stopped.Key); len(ids) != 1 {
					t.Errorf("the delivery was closed by whoever lost the claim")
				}
				must(t, end(d, next))
				if err := end(d, next); !errors.Is(err, store.ErrClaimLost) {
					t.Errorf("the second end gave %v", err)
				}
			})
		}
	})
}

// A claim that outlived its lease and that nobody followed is as good as before.
func TestALateEndThatNobodyOvertook(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Evaluate(t.Context(), pullRequest(7)))
		work := d.claim(t)
		d.clock.pass(2 * store.Lease)
		must(t, d.Done(t.Context(), work, nil))
		d.noWork(t, "it is done")
	})
}

func TestTheUrgentOvertakesTheRest(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Evaluate(t.Context(), pullRequest(1)))
		d.clock.pass(time.Second)
		must(t, d.Accept(t.Context(), "d2", "issue_comment", pullRequest(2), gate.UrgencyPeople, nil))
		d.clock.pass(time.Second)
		must(t, d.Accept(t.Context(), "d3", "pull_request", pullRequest(3), gate.UrgencySwitch, nil))
		must(t, d.Evaluate(t.Context(), pullRequest(4)))
		// Whoever waits already becomes as urgent as the newest wish, and stays so.
		must(t, d.Accept(t.Context(), "d4", "pull_request", pullRequest(4), gate.UrgencySwitch, nil))
		must(t, d.Evaluate(t.Context(), pullRequest(4)))
		due, err := d.Due(t.Context())
		must(t, err)
		if want := []string{"pr:11#3", "pr:11#4", "pr:11#2", "pr:11#1"}; !slices.Equal(due, want) {
			t.Errorf("due in the order %v, want %v", due, want)
		}
		// Once it is done, nothing is left of its haste.
		must(t, d.Done(t.Context(), d.claim(t), nil))
		must(t, d.Evaluate(t.Context(), pullRequest(3)))
		due, err = d.Due(t.Context())
		must(t, err)
		if want := []string{"pr:11#4", "pr:11#2", "pr:11#1", "pr:11#3"}; !slices.Equal(due, want) {
			t.Errorf("then due in the order %v, want %v", due, want)
		}
	})
}

// What failed before a process starts is tried again when it does.
func TestStuckWorkIsRetried(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for number := 1; number <= 3; number++ {
			must(t, d.Evaluate(t.Context(), pullRequest(number)))
			if work := d.claim(t); number < 3 {
				must(t, d.Retry(t.Context(), work, seconds(3600), "no", nil))
			} else {
				must(t, d.Defer(t.Context(), work, seconds(3600), "rate limit", nil))
			}
		}
		d.noWork(t, "all of it waits")
		must(t, d.RetryStuck(t.Context()))
		if numbers := []int{d.claim(t).Ref.Number, d.claim(t).Ref.Number}; !slices.Contains(numbers, 1) || !slices.Contains(numbers, 2) {
			t.Errorf("claimed %v", numbers)
		}
		d.noWork(t, "a limit is not over because a process starts")
		must(t, d.RetryStuck(t.Context()))
		d.noWork(t, "it is claimed")
		stuck, err := d.Stuck(t.Context())
		must(t, err)
		if len(stuck) != 2 || stuck[0].Attempts != 1 {
			t.Errorf("stuck: %+v", stuck)
		}
	})
}

// Work that is deferred, as until a rate limit ends, has not failed.
func TestDeferredWork(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Accept(t.Context(), "d1", "pull_request", pullRequest(7), gate.UrgencyPeople, nil))
		must(t, d.Defer(t.Context(), d.claim(t), seconds(60), "rate limit", nil))
		d.noWork(t, "it is deferred")
		stuck, err := d.Stuck(t.Context())
		must(t, err)
		if len(stuck) != 0 {
			t.Errorf("stuck: %+v", stuck)
		}
		d.clock.pass(time.Minute)
		if work := d.claim(t); work.Attempts != 0 || len(d.ids(t, work.Key)) != 1 {
			t.Errorf("claimed %+v", work)
		}
	})
}
