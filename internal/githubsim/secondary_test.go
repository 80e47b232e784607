package githubsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Each secondary limit lets through as many as it says, and more when its time is over; the others do not mind.
func TestSecondaryLimits(t *testing.T) {
	const read, write, query = "GET /repos/acme/castle", "POST /repos/acme/castle/labels", "query"
	for _, c := range []struct {
		name, ask, other string
		limits           githubsim.SecondaryLimits
		passes           int
		soonOver         bool
	}{
		{"reads", read, query, githubsim.SecondaryLimits{RESTPoints: 3}, 3, true},
		{"writes cost five", write, query, githubsim.SecondaryLimits{RESTPoints: 10}, 2, true},
		{"queries", query, read, githubsim.SecondaryLimits{GraphQLPoints: 2}, 2, true},
		{"content", write, read, githubsim.SecondaryLimits{Content: 2}, 2, true},
		{"content of an hour", write, read, githubsim.SecondaryLimits{ContentAnHour: 3}, 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			token, labels := w.token(w.app, w.install), 0
			ask := func(what string) *http.Response {
				if what == query {
					resp, _ := w.ask(token, `{ rateLimit { cost remaining resetAt } }`)
					return resp
				}
				method, path, _ := strings.Cut(what, " ")
				body := ""
				if method == http.MethodPost {
					labels++
					body = fmt.Sprintf(`{"name": "l%d", "color": "ffffff"}`, labels)
				}
				resp, _ := w.do(method, path, "Bearer "+token, body)
				return resp
			}
			w.sim.SetSecondaryLimits(c.limits)
			for i := range c.passes {
				if status := ask(c.ask).StatusCode; status >= 300 {
					t.Fatalf("number %d is %d", i, status)
				}
			}
			resp := ask(c.ask)
			equal(t, "one more", resp.StatusCode, http.StatusForbidden)
			equal(t, "Retry-After", resp.Header.Get("Retry-After"), "")
			equal(t, "elsewhere", ask(c.other).StatusCode, http.StatusOK)
			w.clock.advance(time.Minute + time.Second)
			if !c.soonOver { // a token does not live longer than an hour
				equal(t, "a minute later", ask(c.ask).StatusCode, http.StatusForbidden)
				return
			}
			c.limits.RetryAfter = time.Minute
			if status := ask(c.ask).StatusCode; status >= 300 {
				t.Errorf("when it is over: %d", status)
			}
			w.sim.SetSecondaryLimits(c.limits)
			for range c.passes {
				ask(c.ask)
			}
			equal(t, "Retry-After when asked for", ask(c.ask).Header.Get("Retry-After"), "60")
		})
	}
}

// So many requests at once, and no more.
func TestConcurrencyLimit(t *testing.T) {
	w := newWorld(t)
	token := w.token(w.app, w.install)
	limits := githubsim.DocumentedLimits()
	limits.Concurrent = 2
	w.sim.SetSecondaryLimits(limits)
	w.sim.SetLatency(200 * time.Millisecond)
	var mu sync.Mutex
	var all sync.WaitGroup
	statuses := map[int]int{}
	for range 5 {
		all.Go(func() {
			resp, _ := w.do(http.MethodGet, "/repos/acme/castle", "Bearer "+token, "")
			mu.Lock()
			defer mu.Unlock()
			statuses[resp.StatusCode]++
		})
	}
	all.Wait()
	if statuses[403] == 0 || statuses[200]+statuses[403] != 5 {
		t.Errorf("answers were %v", statuses)
	}
	w.sim.SetLatency(0)
	resp, _ := w.do(http.MethodGet, "/repos/acme/castle", "Bearer "+token, "")
	equal(t, "one at a time", resp.StatusCode, http.StatusOK)
}

// Asking on while limited gets an installation banned, if the limits say so; other installations are not.
func TestBan(t *testing.T) {
	w := newWorld(t)
	other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other"})
	otherInstall := other.Install(w.org)
	token, theirs := "Bearer "+w.token(w.app, w.install), "Bearer "+w.token(other, otherInstall)
	ask := func(bearer string) string {
		resp, out := w.do(http.MethodGet, "/repos/acme/castle", bearer, "")
		if text, ok := at(out, "message").(string); ok {
			return fmt.Sprint(resp.StatusCode, " ", text)
		}
		return fmt.Sprint(resp.StatusCode)
	}
	w.sim.SetSecondaryLimits(githubsim.SecondaryLimits{RESTPoints: 2, BanAfter: 2})
	for i, want := range []string{"200", "200", "403 You have exceeded a secondary", "403 You have exceeded a secondary", "403 This integration was banned"} {
		if got := ask(token); !strings.HasPrefix(got, want) {
			t.Errorf("number %d is %q, want %q", i, got, want)
		}
	}
	_, _, err := w.asApp(w.app).Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	refused(t, err, 403, "banned")
	w.clock.advance(2 * time.Minute)
	equal(t, "later", strings.HasPrefix(ask(token), "403 This integration was banned"), true)
	resp, _ := w.ask(strings.TrimPrefix(token, "Bearer "), `{rateLimit {cost}}`)
	equal(t, "GraphQL", resp.StatusCode, 403)
	equal(t, "others", ask(theirs), "200")
	got := w.sim.Spending(w.install)
	equal(t, "told", fmt.Sprint(got.Banned, got.Refused), "true 5")
	equal(t, "of others", fmt.Sprint(w.sim.Spending(otherInstall).Banned, w.sim.Spending(otherInstall).Refused), "false 0")
	w.clock.advance(2 * time.Minute)
	w.sim.LiftBan(w.install)
	equal(t, "lifted", ask(token), "200")
}

// A refusal now and then is no ban: a request that passes ends the row.
func TestNoBanForOneRefusal(t *testing.T) {
	w := newWorld(t)
	token := "Bearer " + w.token(w.app, w.install)
	w.sim.SetSecondaryLimits(githubsim.SecondaryLimits{RESTPoints: 1, BanAfter: 2})
	for range 3 {
		for range 2 {
			w.do(http.MethodGet, "/repos/acme/castle", token, "")
		}
		w.clock.advance(61 * time.Second)
	}
	got := w.sim.Spending(w.install)
	equal(t, "told", fmt.Sprint(got.Banned, got.Refused), "false 3")
}

// What an installation spent is counted without limits too: the most in any minute, not in a minute of the clock.
func TestSpending(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	run := w.check(w.gh, p.HeadSHA(), "gate", "in_progress")
	w.sim.SetSecondaryLimits(githubsim.SecondaryLimits{}) // counts anew
	token := w.token(w.app, w.install)
	update := func() {
		resp, _ := w.do(http.MethodPatch, fmt.Sprintf("/repos/acme/castle/check-runs/%d", run.GetID()), "Bearer "+token, `{"status":"in_progress"}`)
		equal(t, "update", resp.StatusCode, 200)
	}
	update()
	w.clock.advance(40 * time.Second)
	update()
	w.do(http.MethodGet, "/repos/acme/castle", "Bearer "+token, "")
	w.clock.advance(40 * time.Second)
	update()
	w.ask(token, `{rateLimit {cost}}`)
	w.ask(token, `mutation {disablePullRequestAutoMerge(input: {pullRequestId: "PR_x"}) {clientMutationId}}`)
	w.do(http.MethodPost, "/repos/acme/castle/labels", "Bearer "+token, `{"name":"new"}`)
	w.clock.advance(2 * time.Minute)
	w.do(http.MethodGet, "/repos/acme/castle", "Bearer "+token, "") // the most is not what was last
	equal(t, "spending", fmt.Sprintf("%+v", w.sim.Spending(w.install)),
		"{MostRESTPoints:16 MostGraphQLPoints:6 MostContent:1 MostConcurrent:1 Writes:4 CheckRunUpdates:3 Refused:0 Banned:false}")
}
