package githubapi_test

import (
	"errors"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// TestWhatGitHubRefusesIsALimitError asks too fast, and too much, of everything a
// caller asks for.
func TestWhatGitHubRefusesIsALimitError(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	reset := start.Add(20 * time.Minute)
	for _, c := range []struct {
		name      string
		exhaust   func(*fixture)
		write     bool
		want      time.Duration // 0: no limit
		secondary bool
	}{
		{"content", func(f *fixture) { f.sim.SetSecondaryLimits(githubsim.SecondaryLimits{Content: 1}) }, true, time.Minute, true},
		{"points, GitHub says how long", func(f *fixture) {
			f.sim.SetSecondaryLimits(githubsim.SecondaryLimits{RESTPoints: 1, RetryAfter: 2 * time.Minute})
		}, true, 2 * time.Minute, true},
		{"the budget of REST", func(f *fixture) { f.sim.SetRateLimit(f.installation.ID(), 0, reset) }, true, 20 * time.Minute, false},
		{"the budget of GraphQL, where REST helps out", func(f *fixture) { f.sim.SetGraphQLRateLimit(f.installation.ID(), 0, reset) }, false, 0, false},
		{"both budgets", func(f *fixture) {
			f.sim.SetGraphQLRateLimit(f.installation.ID(), 0, reset)
			f.sim.SetRateLimit(f.installation.ID(), 0, reset)
		}, false, 20 * time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			hands := &clock{now: start}
			f := newFixtureOn(t, githubsim.Options{Now: hands.Now})
			f.client = f.replica(t, hands.Now, nil)
			pr := f.open(t)
			call := func() error {
				if c.write {
					_, err := f.client.PutCheck(t.Context(), f.at, 0, policy.Check{Name: "portcullis", HeadSHA: pr.HeadSHA(), Title: "x", Summary: "x", Renewed: true})
					return err
				}
				_, _, err := f.client.Snapshot(t.Context(), policy.PullRequestRef{Repository: f.at, Number: pr.Number()}, policy.Questions{})
				return err
			}
			if err := call(); err != nil {
				t.Fatal(err)
			}
			c.exhaust(f)
			var err error
			for range 2 {
				if err = call(); err != nil {
					break
				}
			}
			limit, ok := errors.AsType[*githubapi.LimitError](err)
			if ok != (c.want > 0) || (ok && (!limit.RetryAt.Equal(start.Add(c.want)) || limit.Secondary != c.secondary)) {
				t.Errorf("got %v; want a limit of %s", err, c.want)
			}
		})
	}
}
