package githubapi_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

func made(requests []githubsim.Request) (tokens int) {
	for _, r := range requests {
		if strings.HasSuffix(r.Path, "/access_tokens") {
			tokens++
		}
	}
	return tokens
}

// TestOneTokenForRESTAndGraphQL has many ask at once, by both, before there is a
// token, and again when GitHub has revoked it.
func TestOneTokenForRESTAndGraphQL(t *testing.T) {
	f := newFixture(t)
	pr := f.open(t)
	for range 2 {
		f.sim.ResetRequests()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, _, err := f.client.Snapshot(t.Context(), policy.PullRequestRef{Repository: f.at, Number: pr.Number()}, policy.Questions{}); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if _, err := f.client.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := made(f.sim.Requests()); n != 1 {
			t.Errorf("%d tokens were made, want 1", n)
		}
		f.installation.ExpireTokens()
	}
}

// TestARefusedTokenIsReplaced revokes the token before a read and before a write.
func TestARefusedTokenIsReplaced(t *testing.T) {
	f := newFixture(t)
	check := policy.Check{Name: "portcullis", HeadSHA: f.repo.Head("main"), Outcome: policy.OutcomeWaiting, Title: "waits", Summary: "x", Renewed: true}
	for name, call := range map[string]func() error{
		"read": func() error {
			_, err := f.client.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main")
			return err
		},
		"write": func() error {
			_, err := f.client.PutCheck(t.Context(), f.at, 0, check)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := call(); err != nil {
				t.Fatal(err)
			}
			f.installation.ExpireTokens()
			f.sim.ResetRequests()
			if err := call(); err != nil {
				t.Fatal(err)
			}
			if requests := f.sim.Requests(); len(requests) != 3 || made(requests) != 1 || requests[0].Status != http.StatusUnauthorized {
				t.Errorf("asked %+v", requests)
			}
		})
	}
	if runs := f.repo.CheckRuns(check.HeadSHA); len(runs) != 2 {
		t.Errorf("%d runs, want 2", len(runs))
	}
}

// TestANewTokenThatIsRefusedIsKept has GitHub refuse every token: it is not asked
// for another with each call.
func TestANewTokenThatIsRefusedIsKept(t *testing.T) {
	f := newFixture(t)
	hands := &clock{now: time.Now()}
	f.client = f.replica(t, hands.Now, nil)
	remove := f.sim.Inject(githubsim.Fault{Method: http.MethodGet, Status: http.StatusUnauthorized})
	ask := func() error {
		_, err := f.client.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main")
		return err
	}
	for range 5 {
		if err := ask(); err == nil {
			t.Fatal("no failure")
		}
	}
	if n := made(f.sim.Requests()); n != 2 {
		t.Errorf("%d tokens were made, want 2", n)
	}
	remove()
	if err := ask(); err != nil {
		t.Errorf("when GitHub has come to its senses: %v", err)
	}
	hands.advance(time.Minute)
	f.installation.ExpireTokens()
	if err := ask(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// clock stands still until moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
