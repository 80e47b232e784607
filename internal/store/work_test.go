package store_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

func TestWakeUpDuringClaimIsNotLost(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		for name, wake := range map[string]func(*database, policy.PullRequestRef) error{
			"evaluate": func(d *database, ref policy.PullRequestRef) error { return d.Evaluate(t.Context(), ref) },
			"delivery": func(d *database, ref policy.PullRequestRef) error {
				return d.Accept(t.Context(), "d2", "pull_request", ref, gate.UrgencyPeople, nil)
			},
			"scope": func(d *database, ref policy.PullRequestRef) error {
				return d.EvaluateOpen(t.Context(), gate.Scope{Owner: ref.Repository.Owner})
			},
		} {
			t.Run(name, func(t *testing.T) {
				d, ref := newDatabase(t), pullRequest(7)
				must(t, d.Evaluate(t.Context(), ref))
				work := d.claim(t)
				must(t, wake(d, ref))
				d.noWork(t, "it is claimed")
				must(t, d.Done(t.Context(), work, nil))
				again := d.claim(t)
				if again.Key != work.Key || again.Want != work.Want+1 {
					t.Errorf("claimed %+v after %+v", again, work)
				}
				must(t, d.Done(t.Context(), again, nil))
				d.noWork(t, "all is done")
			})
		}
	})
}

func TestOnlyOneClaimPerKey(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		const keys, wakeUps = 4, 10
		var held [keys + 1]atomic.Bool
		var wakers, workers sync.WaitGroup
		for number := 1; number <= keys; number++ {
			wakers.Go(func() {
				for range wakeUps {
					if err := d.Evaluate(t.Context(), pullRequest(number)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		stop := make(chan struct{})
		for range 3 {
			workers.Go(func() {
				for {
					work, ok, err := d.claimNext(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						select {
						case <-time.After(time.Millisecond):
						case <-stop:
							return
						}
						continue
					}
					if held[work.Ref.Number].Swap(true) {
						t.Errorf("%s is held twice", work.Key)
					}
					held[work.Ref.Number].Store(false)
					if err := d.Done(t.Context(), work, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wakers.Wait()
		for {
			backlog, err := d.Backlog(t.Context())
			must(t, err)
			if backlog == 0 {
				break
			}
		}
		close(stop)
		workers.Wait()
	})
}

func TestReleaseOfAnEndedClaim(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Evaluate(t.Context(), pullRequest(7)))
		first := d.claim(t)
		must(t, d.Release(t.Context(), first))
		second := d.claim(t)
		if err := d.Release(t.Context(), first); !errors.Is(err, store.ErrClaimLost) {
			t.Errorf("the first claim was given back again: %v", err)
		}
		d.noWork(t, "the second claim holds")
		must(t, d.Release(t.Context(), second))
		d.claim(t)
	})
}

func TestWorkDueLongestIsFirst(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for _, number := range []int{3, 1, 2} {
			must(t, d.Evaluate(t.Context(), pullRequest(number)))
			d.clock.pass(time.Second)
		}
		must(t, d.Evaluate(t.Context(), pullRequest(1))) // waits already
		var order []int
		for range 3 {
			order = append(order, d.claim(t).Ref.Number)
		}
		if fmt.Sprint(order) != "[3 1 2]" {
			t.Errorf("claimed in the order %v", order)
		}
		backlog, err := d.Backlog(t.Context())
		must(t, err)
		if backlog != 3 {
			t.Errorf("the backlog is %d with three claims", backlog)
		}
	})
}

func TestBusyWorkDoesNotKeepOthersWaiting(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Evaluate(t.Context(), pullRequest(1)))
		work := d.claim(t)
		d.clock.pass(time.Second)
		must(t, d.Evaluate(t.Context(), pullRequest(2)))
		must(t, d.Evaluate(t.Context(), pullRequest(1)))
		d.clock.pass(time.Second)
		must(t, d.Done(t.Context(), work, nil))
		if next := d.claim(t); next.Ref.Number != 2 {
			t.Errorf("claimed %+v", next)
		}
	})
}

func TestRetryAndBackOff(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		must(t, d.Accept(t.Context(), "d1", "pull_request", ref, gate.UrgencyPeople, []byte("{}")))
		for attempt := 1; attempt <= 3; attempt++ {
			work := d.claim(t)
			if work.Attempts != attempt-1 {
				t.Errorf("attempt %d: %+v", attempt, work)
			}
			at := d.clock.Now().Add(time.Minute)
			must(t, d.Retry(t.Context(), work, at, fmt.Sprintf("GitHub said no %d times", attempt), nil))
			d.noWork(t, "it backs off")
			stuck, err := d.Stuck(t.Context())
			must(t, err)
			want := store.StuckWork{Key: "pr:11#7", Subject: "acme/shop#7", Reason: fmt.Sprintf("GitHub said no %d times", attempt), Attempts: attempt, NextAt: at}
			if len(stuck) != 1 || stuck[0] != want {
				t.Errorf("stuck %+v, want %+v", stuck, want)
			}
			due, ok, err := d.NextDue(t.Context(), d.clock.Now())
			must(t, err)
			if !ok || !due.Equal(at) {
				t.Errorf("due at %v (%v), want %v", due, ok, at)
			}
			d.clock.pass(time.Minute)
		}
		work := d.claim(t)
		deliveries, err := d.Deliveries(t.Context(), work.Key)
		must(t, err)
		if len(deliveries) != 1 || deliveries[0].Attempts != 3 {
			t.Errorf("the deliveries are %+v", deliveries)
		}
		must(t, d.Done(t.Context(), work, nil))
		stuck, err := d.Stuck(t.Context())
		must(t, err)
		if len(stuck) != 0 {
			t.Errorf("still stuck: %+v", stuck)
		}
	})
}

func TestWakeUpEndsBackOff(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		for name, wakeFirst := range map[string]bool{"after the failure": false, "during the claim": true} {
			t.Run(name, func(t *testing.T) {
				d, ref := newDatabase(t), pullRequest(7)
				must(t, d.Evaluate(t.Context(), ref))
				work := d.claim(t)
				if wakeFirst {
					must(t, d.Evaluate(t.Context(), ref))
				}
				must(t, d.Retry(t.Context(), work, d.clock.Now().Add(time.Hour), "no", nil))
				if !wakeFirst {
					d.noWork(t, "it backs off")
					must(t, d.Evaluate(t.Context(), ref))
				}
				if again := d.claim(t); again.Attempts != 1 {
					t.Errorf("claimed %+v", again)
				}
			})
		}
	})
}

func TestRefIsTheNewest(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Evaluate(t.Context(), pullRequest(7)))
		renamed := pullRequest(7)
		renamed.Repository.Installation, renamed.Repository.Owner, renamed.Repository.Name = 6, "acme-inc", "store"
		must(t, d.Accept(t.Context(), "d1", "pull_request", renamed, gate.UrgencyPeople, nil))
		if work := d.claim(t); work.Ref != renamed || work.Want != 2 {
			t.Errorf("claimed %+v", work)
		}
		d.noWork(t, "a rename is no other pull request")
	})
}

func TestWakeNeverBlocks(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for number := range 5 {
			must(t, d.Evaluate(t.Context(), pullRequest(number+1)))
		}
		select {
		case <-d.Wake():
		default:
			t.Error("there is work and no token")
		}
	})
}

func TestNothingDue(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.noWork(t, "nobody asked for any")
		if _, ok, err := d.NextDue(t.Context(), d.clock.Now()); ok || err != nil {
			t.Errorf("something comes due: %v", err)
		}
		asked := d.clock.Now()
		d.clock.pass(time.Second)
		must(t, d.Evaluate(t.Context(), pullRequest(7)))
		if due, ok, err := d.NextDue(t.Context(), asked); !ok || err != nil || !due.Equal(d.clock.Now()) {
			t.Errorf("what has come due since it was asked for is missed: %v, %v, %v", due, ok, err)
		}
		if err := d.Done(t.Context(), store.Work{Key: "pr:1#1"}, nil); err == nil {
			t.Error("work that was never claimed could be done")
		}
	})
}
