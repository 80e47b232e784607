package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/policy"
)

// numbers are the pull requests that wait to be evaluated, whose work is then
// done.
func (d *database) numbers(t *testing.T) []int {
	t.Helper()
	var found []int
	for {
		work, ok, err := d.claimNext(t.Context())
		must(t, err)
		if !ok {
			slices.Sort(found)
			return found
		}
		found = append(found, work.Ref.Number)
		must(t, d.Done(t.Context(), work, nil))
	}
}

func TestAListingFindsWhatNoWebhookTold(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		shop := pullRequest(1).Repository
		list := func(listed map[int]string) []int {
			t.Helper()
			changed, err := d.PutListing(t.Context(), shop, listed)
			must(t, err)
			woken := d.numbers(t)
			if changed != len(woken) {
				t.Errorf("%d changed and %v were woken", changed, woken)
			}
			return woken
		}
		for _, step := range []struct {
			why    string
			listed map[int]string
			woken  []int
		}{
			{"all are new", map[int]string{1: "a", 2: "b"}, []int{1, 2}},
			{"nothing happened", map[int]string{1: "a", 2: "b"}, nil},
			{"one was updated", map[int]string{1: "a", 2: "c"}, []int{2}},
			{"one is gone, one is new", map[int]string{2: "c", 3: "d"}, []int{1, 3}},
			{"it came back", map[int]string{1: "a", 2: "c", 3: "d"}, []int{1}},
		} {
			if woken := list(step.listed); !slices.Equal(woken, step.woken) {
				t.Errorf("%s: woken %v, want %v", step.why, woken, step.woken)
			}
			for _, number := range []int{1, 3} {
				if _, open := step.listed[number]; !open {
					d.post(t, pullRequest(number), time.Time{})
					must(t, d.PutClosed(t.Context(), pullRequest(number)))
				}
			}
		}
		// Open by what is recorded, and never listed: its closing was not heard of.
		must(t, d.Evaluate(t.Context(), pullRequest(9)))
		d.numbers(t)
		if woken := list(map[int]string{1: "a", 2: "c", 3: "d"}); !slices.Equal(woken, []int{9}) {
			t.Errorf("woken %v, want 9", woken)
		}
		other := shop
		other.ID, other.Name = 12, "other"
		if changed, err := d.PutListing(t.Context(), other, map[int]string{2: "c"}); err != nil || changed != 1 {
			t.Errorf("another repository's: %d, %v", changed, err)
		}
	})
}

func TestADeliveryIsAskedForAgainAtGrowingDistances(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Accept(t.Context(), "known", "push", pullRequest(7), gate.UrgencyPeople, nil))
		failed := map[string]int64{"known": 1, "lost": 2, "came": 3, "comes": 4}
		must(t, d.PutUndelivered(t.Context(), failed, nil))
		must(t, d.Accept(t.Context(), "comes", "push", pullRequest(7), gate.UrgencyPeople, nil))
		// It failed again, under another attempt's id; another was delivered, and meant nothing.
		must(t, d.PutUndelivered(t.Context(), map[string]int64{"lost": 9}, map[string]bool{"came": true, "x": true}))
		var asked []time.Duration
		for {
			due, next, err := d.Undelivered(t.Context())
			must(t, err)
			if len(due) == 0 && next.IsZero() {
				break
			}
			if len(due) == 0 {
				d.clock.pass(next.Sub(d.clock.Now()))
				continue
			}
			if len(due) != 1 || due["lost"] != 9 {
				t.Fatalf("due are %v", due)
			}
			asked = append(asked, d.clock.Now().Sub(start).Round(time.Second))
			must(t, d.PutAsked(t.Context(), "lost"))
		}
		const s, m, h = time.Second, time.Minute, time.Hour
		want := []time.Duration{0, 20 * s, 100 * s, 7 * m, 28*m + 20*s, 113*m + 40*s, 7*h + 35*m, 30*h + 20*m + 20*s}
		if !slices.Equal(asked, want) {
			t.Errorf("asked after %v, want %v", asked, want)
		}
		must(t, d.PutAsked(t.Context(), "nobody knows"))
	})
}

// What GitHub was asked for and did not come is asked for when a process starts,
// however often one does.
func TestUndeliveredAreAskedForAtAStart(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.PutUndelivered(t.Context(), map[string]int64{"lost": 9}, nil))
		for range 20 {
			must(t, d.PutAsked(t.Context(), "lost"))
			if due, _, err := d.Undelivered(t.Context()); err != nil || len(due) != 0 {
				t.Fatalf("asked for a moment ago, due are %v, %v", due, err)
			}
			must(t, d.RetryStuck(t.Context()))
			if due, _, err := d.Undelivered(t.Context()); err != nil || due["lost"] != 9 {
				t.Fatalf("at a start, due are %v, %v", due, err)
			}
		}
	})
}

func TestManyUndeliveredAreAskedForInSteps(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, failed := newDatabase(t), map[string]int64{}
		for i := range 450 {
			failed[fmt.Sprint(i)] = int64(i)
		}
		must(t, d.PutUndelivered(t.Context(), failed, nil))
		for _, want := range []int{200, 200, 50} {
			due, next, err := d.Undelivered(t.Context())
			must(t, err)
			if len(due) != want || (want == 200) != next.Equal(d.clock.Now()) {
				t.Errorf("%d are due, the next at %s", len(due), next)
			}
			for id := range due {
				must(t, d.PutAsked(t.Context(), id))
			}
		}
	})
}

func TestProgressIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for _, want := range []recovery.Progress{{}, {Began: start, Cursor: "x"}, {Through: start}} {
			if want != (recovery.Progress{}) {
				must(t, d.PutProgress(t.Context(), "sweep:x", want))
			}
			if got, err := d.Progress(t.Context(), "sweep:x"); err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		}
		must(t, d.Want(t.Context(), "sweep:x"))
		must(t, d.PutProgress(t.Context(), "sweep:x", recovery.Progress{Through: start}))
		if got, err := d.Progress(t.Context(), "sweep:x"); err != nil || got.Wanted.IsZero() {
			t.Errorf("it was wanted: %+v, %v", got, err)
		}
		must(t, d.Retry(t.Context(), d.claim(t), start, "GitHub is away", nil))
		stuck, err := d.Stuck(t.Context())
		must(t, err)
		if len(stuck) != 1 || stuck[0].Subject != "sweep:x" {
			t.Errorf("stuck: %+v", stuck)
		}
		must(t, d.DoneUntil(t.Context(), d.claim(t), seconds(300), nil))
		d.noWork(t, "it is not time")
		d.clock.pass(5 * time.Minute)
		if work := d.claim(t); work.Key != "sweep:x" {
			t.Errorf("claimed %+v", work)
		}
	})
}

func TestPrune(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		const old = 600
		for i := range old {
			must(t, d.Accept(t.Context(), fmt.Sprint("old", i), "push", pullRequest(7), gate.UrgencyPeople, nil))
			must(t, d.DeliveryDone(t.Context(), fmt.Sprint("old", i)))
		}
		must(t, d.Accept(t.Context(), "alone", "installation", policy.PullRequestRef{}, gate.UrgencyPeople, nil))
		must(t, d.Accept(t.Context(), "undone", "push", pullRequest(8), gate.UrgencyPeople, nil))
		for _, key := range []string{"delivery:alone", "pr:11#7"} {
			work, _, err := d.Claim(t.Context(), key)
			must(t, err)
			must(t, d.Done(t.Context(), work, []string{"alone"}))
		}
		d.clock.pass(time.Hour)
		must(t, d.Accept(t.Context(), "new", "push", pullRequest(9), gate.UrgencyPeople, nil))
		must(t, d.DeliveryDone(t.Context(), "new"))
		for _, more := range []bool{true, false} {
			if got, err := d.Prune(t.Context(), start.Add(time.Minute)); err != nil || got != more {
				t.Errorf("there is more: %v, %v", got, err)
			}
		}
		// What was deleted is not known any more; the rest is.
		must(t, d.PutUndelivered(t.Context(), map[string]int64{"old0": 1, "alone": 2, "undone": 3, "new": 4}, nil))
		unknown, _, err := d.Undelivered(t.Context())
		must(t, err)
		if !maps.Equal(unknown, map[string]int64{"old0": 1, "alone": 2}) {
			t.Errorf("unknown are %v", unknown)
		}
		_, err = d.Prune(t.Context(), d.clock.Now().Add(time.Minute))
		must(t, err)
		if unknown, _, err := d.Undelivered(t.Context()); err != nil || len(unknown) != 0 {
			t.Errorf("after a long time %v is still asked for (%v)", unknown, err)
		}
		if work, ok, err := d.Claim(t.Context(), "pr:11#8"); !ok || err != nil || len(d.ids(t, work.Key)) != 1 {
			t.Errorf("the undone one is gone: %v, %v", ok, err)
		}
	})
}
