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
