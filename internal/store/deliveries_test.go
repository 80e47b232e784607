package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

// ids are what the key's undone deliveries are called, in order.
func (d *database) ids(t *testing.T, key string) []string {
	t.Helper()
	deliveries, err := d.Deliveries(t.Context(), key)
	must(t, err)
	var ids []string
	for _, delivery := range deliveries {
		ids = append(ids, delivery.ID)
	}
	return ids
}

func TestDeliveriesInOrderOfArrival(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		for _, id := range []string{"c", "a", "b"} {
			must(t, d.Accept(t.Context(), id, "pull_request", ref, gate.UrgencyPeople, []byte(`{"id":"`+id+`"}`)))
		}
		must(t, d.Accept(t.Context(), "other", "pull_request", pullRequest(8), gate.UrgencyPeople, nil))
		work := d.claim(t)
		if got := fmt.Sprint(d.ids(t, work.Key)); got != "[c a b]" || work.Ref != ref {
			t.Errorf("the deliveries of %+v are %s", work, got)
		}
		must(t, d.DeliveryDone(t.Context(), "a"))
		must(t, d.DeliveryDone(t.Context(), "a"))
		if got := fmt.Sprint(d.ids(t, work.Key)); got != "[c b]" {
			t.Errorf("after one was done they are %s", got)
		}
	})
}

func TestDeliveryAboutNoPullRequest(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.clock.pass(1500 * time.Millisecond)
		must(t, d.Accept(t.Context(), "d1", "installation", policy.PullRequestRef{}, gate.UrgencyPeople, []byte(`{"action":"created"}`)))
		work := d.claim(t)
		if work.Key != "delivery:d1" || work.Ref != (policy.PullRequestRef{}) {
			t.Errorf("claimed %+v", work)
		}
		deliveries, err := d.Deliveries(t.Context(), work.Key)
		must(t, err)
		if len(deliveries) != 1 || deliveries[0].Event != "installation" || string(deliveries[0].Payload) != `{"action":"created"}` ||
			!deliveries[0].ReceivedAt.Equal(d.clock.Now()) {
			t.Errorf("the deliveries are %+v", deliveries)
		}
		must(t, d.Retry(t.Context(), work, d.clock.Now(), "no", nil))
		stuck, err := d.Stuck(t.Context())
		must(t, err)
		if len(stuck) != 1 || stuck[0].Subject != "delivery d1" {
			t.Errorf("stuck %+v", stuck)
		}
	})
}

func TestRepeatedDeliveryChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		must(t, d.Accept(t.Context(), "d1", "pull_request", ref, gate.UrgencyPeople, []byte("one")))
		work := d.claim(t)
		must(t, d.Accept(t.Context(), "d1", "pull_request", ref, gate.UrgencyPeople, []byte("two")))
		deliveries, err := d.Deliveries(t.Context(), work.Key)
		must(t, err)
		if len(deliveries) != 1 || string(deliveries[0].Payload) != "one" {
			t.Errorf("the deliveries are %+v", deliveries)
		}
		must(t, d.DeliveryDone(t.Context(), "d1"))
		must(t, d.Done(t.Context(), work, nil))
		must(t, d.Accept(t.Context(), "d1", "pull_request", ref, gate.UrgencyPeople, []byte("three")))
		d.noWork(t, "the delivery was done before")
	})
}

// The end of the work and of the deliveries that were worked off is one fact; the
// others stay.
func TestWorkEndsWithItsDeliveries(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		for _, id := range []string{"d1", "d2", "d3"} {
			must(t, d.Accept(t.Context(), id, "pull_request", ref, gate.UrgencyPeople, []byte(id)))
		}
		for _, step := range []struct {
			end  func(work store.Work) error
			left []string
		}{
			{func(work store.Work) error { return d.Retry(t.Context(), work, d.clock.Now(), "no", []string{"d2"}) }, []string{"d1", "d3"}},
			{func(work store.Work) error { return d.Done(t.Context(), work, []string{"d1"}) }, []string{"d3"}},
		} {
			work := d.claim(t)
			must(t, step.end(work))
			deliveries, err := d.Deliveries(t.Context(), work.Key)
			must(t, err)
			var left []string
			for _, delivery := range deliveries {
				left = append(left, delivery.ID)
			}
			if !slices.Equal(left, step.left) {
				t.Errorf("the deliveries %q are left, want %q", left, step.left)
			}
		}
	})
}

func TestDeliveriesThatComeAtTheSameTime(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		const crowd, each = 16, 10
		var all sync.WaitGroup
		for i := range crowd {
			all.Go(func() {
				for j := range each {
					// Every other one is sent twice.
					id := fmt.Sprintf("d%d", (i*each+j)/2)
					if err := d.Accept(t.Context(), id, "pull_request", pullRequest(1+i%4), gate.UrgencyPeople, []byte(id)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		seen := map[string]bool{}
		for range 4 {
			work := d.claim(t)
			deliveries, err := d.Deliveries(t.Context(), work.Key)
			must(t, err)
			for _, delivery := range deliveries {
				if seen[delivery.ID] || string(delivery.Payload) != delivery.ID {
					t.Errorf("delivery %s: %q, seen before: %v", delivery.ID, delivery.Payload, seen[delivery.ID])
				}
				seen[delivery.ID] = true
			}
		}
		if len(seen) != crowd*each/2 {
			t.Errorf("%d deliveries, want %d", len(seen), crowd*each/2)
		}
	})
}

// One delivery that cannot be kept does not keep its neighbours from being kept.
func TestDeliveryThatSpoilsItsGroup(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.edit(t, `CREATE UNIQUE INDEX no_bad ON deliveries (event) WHERE event = 'bad'`)
		must(t, d.Accept(t.Context(), "the first", "bad", pullRequest(8), gate.UrgencyPeople, nil))
		must(t, d.Done(t.Context(), d.claim(t), nil))
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				event := "good"
				if i%4 == 0 {
					event = "bad"
				}
				if err := d.Accept(t.Context(), fmt.Sprint(i), event, pullRequest(7), gate.UrgencyPeople, nil); (err == nil) != (event == "good") {
					t.Errorf("%s: %v", event, err)
				}
			})
		}
		all.Wait()
		work := d.claim(t)
		if kept := d.ids(t, work.Key); len(kept) != 30 || work.Want != 30 {
			t.Errorf("%d deliveries kept and %d wanted, want 30", len(kept), work.Want)
		}
	})
}

func TestPayloadsSurvive(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		random := make([]byte, 1<<20)
		for i := range random {
			random[i] = byte(rand.Uint32())
		}
		for i, payload := range [][]byte{nil, {0}, bytes.Repeat([]byte("portcullis "), 1<<16), random} {
			must(t, d.Accept(t.Context(), fmt.Sprint("d", i), "push", pullRequest(7), gate.UrgencyPeople, payload))
		}
		deliveries, err := d.Deliveries(t.Context(), "pr:11#7")
		must(t, err)
		if len(deliveries) != 4 || len(deliveries[0].Payload) != 0 || !bytes.Equal(deliveries[3].Payload, random) ||
			len(deliveries[2].Payload) != 11<<16 {
			t.Errorf("the payloads have changed")
		}
	})
}
