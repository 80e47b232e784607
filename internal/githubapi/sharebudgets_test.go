package githubapi_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// memory is Budgets for replicas in one process.
type memory struct {
	mu    sync.Mutex
	known map[string]githubapi.Budget
	down  bool
}

var errDown = errors.New("the database is down")

func (m *memory) Budgets(context.Context) ([]githubapi.Budget, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errDown
	}
	var all []githubapi.Budget
	for _, b := range m.known {
		all = append(all, b)
	}
	return all, nil
}

func (m *memory) PutBudget(_ context.Context, b githubapi.Budget) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return errDown
	}
	if m.known == nil {
		m.known = map[string]githubapi.Budget{}
	}
	key := b.Resource + string(rune(b.Installation))
	if known, ok := m.known[key]; ok {
		b = known.Merge(b)
	}
	m.known[key] = b
	return nil
}

func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// TestI12NoRequestLeavesDuringALimit has one of two replicas meet each kind of
// limit. As soon as the other has heard, nothing leaves from either before the
// limit's end, and then both go on.
func TestI12NoRequestLeavesDuringALimit(t *testing.T) {
	for name, fault := range map[string]githubsim.Fault{
		"the hour's": {Status: http.StatusForbidden, Header: map[string]string{"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "Retry-After": "300"}},
		"secondary":  {Status: http.StatusForbidden, Body: `{"message": "You have exceeded a secondary rate limit."}`},
		"429":        {Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "60"}},
	} {
		t.Run(name, func(t *testing.T) {
			hands := &clock{now: time.Now()}
			f := newFixtureOn(t, githubsim.Options{Now: hands.Now})
			shared := &memory{}
			replicas := []*githubapi.Client{f.replica(t, hands.Now, shared), f.replica(t, hands.Now, shared)}
			ask := func(replica int) error {
				_, err := replicas[replica].Content(t.Context(), f.at, "docs/a.md", "refs/heads/main")
				return err
			}
			exchange := func() {
				for _, r := range replicas {
					if err := r.Exchange(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			for i := range replicas {
				if err := ask(i); err != nil {
					t.Fatal(err)
				}
			}
			fault.Times, fault.Path = 1, regexp.MustCompile(`/contents/`)
			f.sim.Inject(fault)
			limit, ok := errors.AsType[*githubapi.LimitError](ask(0))
			if !ok || limit.Installation != f.installation.ID() {
				t.Fatalf("got %v", limit)
			}
			exchange()
			f.sim.ResetRequests()
			for hands.Now().Before(limit.RetryAt) {
				for i := range replicas {
					refused, ok := errors.AsType[*githubapi.LimitError](ask(i))
					if !ok || !refused.RetryAt.Equal(limit.RetryAt) || refused.Secondary != limit.Secondary {
						t.Fatalf("replica %d: %v; want one until %s", i, refused, limit.RetryAt)
					}
				}
				if requests := f.sim.Requests(); len(requests) != 0 {
					t.Fatalf("during the limit: %+v", requests)
				}
				hands.advance(20 * time.Second)
				exchange()
			}
			for i := range replicas {
				if err := ask(i); err != nil {
					t.Errorf("replica %d after the limit: %v", i, err)
				}
			}
		})
	}
}

// TestBudgetsAreToldWhenTheDatabaseIsBack loses the news of a limit at first.
func TestBudgetsAreToldWhenTheDatabaseIsBack(t *testing.T) {
	f := newFixture(t)
	shared := &memory{down: true}
	one, other := f.replica(t, time.Now, shared), f.replica(t, time.Now, shared)
	ask := func(c *githubapi.Client) error {
		_, err := c.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main")
		return err
	}
	f.sim.SetRateLimit(f.installation.ID(), 0, time.Now().Add(time.Hour))
	_, first := errors.AsType[*githubapi.LimitError](ask(one))
	if err := one.Exchange(t.Context()); !first || !errors.Is(err, errDown) {
		t.Fatalf("met the limit: %t; exchange: %v", first, err)
	}
	shared.setDown(false)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	for _, c := range []*githubapi.Client{one, other} {
		loops.Go(func() { c.ShareBudgets(ctx) })
	}
	calls := func() int {
		n := 0
		for _, r := range f.sim.Requests() {
			if strings.Contains(r.Path, "/contents/") {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(10 * time.Second); ; <-time.After(10 * time.Millisecond) {
		f.sim.ResetRequests()
		if _, ok := errors.AsType[*githubapi.LimitError](ask(other)); ok && calls() == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the other replica is not told")
		}
	}
	stop()
	loops.Wait()
	f.replica(t, time.Now, nil).ShareBudgets(t.Context()) // nothing to share: it returns
}

// TestMergeGoesInAnyOrder merges what is learnt in several orders, and twice.
func TestMergeGoesInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	at := func() time.Time {
		if random.IntN(4) == 0 {
			return time.Time{}
		}
		return time.Unix(int64(random.IntN(3)), 0)
	}
	for range 2000 {
		learnt := make([]githubapi.Budget, 4)
		for i := range learnt {
			learnt[i] = githubapi.Budget{BlockedUntil: at()}
			if random.IntN(3) > 0 {
				learnt[i].Limit, learnt[i].Remaining, learnt[i].Reset = 5000+random.IntN(2), random.IntN(3), at()
			}
			if when := at(); !when.IsZero() {
				learnt[i].LastSecondary, learnt[i].Strikes, learnt[i].Spacing = when, random.IntN(3), time.Duration(random.IntN(2))
			}
		}
		var want githubapi.Budget
		for i, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {0, 0, 1, 3, 1, 2}} {
			var got githubapi.Budget
			for _, n := range order {
				got = got.Merge(learnt[n])
			}
			if i == 0 {
				want = got
			}
			if got != want {
				t.Fatalf("in the order %v: %+v; want %+v; of %+v", order, got, want, learnt)
			}
		}
	}
}
