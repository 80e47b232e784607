package githubapi

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// hub answers calls as told and counts them, at a time that is told as well.
type hub struct {
	now    time.Time
	status int
	header map[string]string
	body   string
	calls  int
}

func (h *hub) RoundTrip(*http.Request) (*http.Response, error) {
	h.calls++
	header := http.Header{}
	for name, value := range h.header {
		header.Set(name, value)
	}
	return &http.Response{StatusCode: h.status, Header: header, Body: io.NopCloser(strings.NewReader(h.body))}, nil
}

// budget are the headers of a budget that is filled in half an hour.
func budget(remaining int, more ...string) map[string]string {
	headers := map[string]string{
		"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": strconv.Itoa(remaining), "X-RateLimit-Used": strconv.Itoa(5000 - remaining),
		"X-RateLimit-Reset": strconv.FormatInt(start.Add(30*time.Minute).Unix(), 10), "X-RateLimit-Resource": coreResource,
	}
	for i := 0; i < len(more); i += 2 {
		headers[more[i]] = more[i+1]
	}
	return headers
}

const secondaryBody = `{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`

func newGoverned() (*hub, governed) {
	h := &hub{now: start, status: http.StatusOK, header: budget(4000)}
	return h, governed{newGovernor(func() time.Time { return h.now }, nil), 7, "/graphql", h}
}

// send makes one call; limit is nil if it was let go and not refused by a limit.
func send(t *testing.T, g governed, method, path string, headers ...string) (limit *LimitError, response *http.Response) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://github.invalid"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err = g.RoundTrip(request)
	if err != nil && !errors.As(err, &limit) {
		t.Fatal(err)
	}
	if err == nil {
		_ = response.Body.Close()
	}
	return limit, response
}

// TestLimitsAsGitHubDocumentsThem tells limits from other refusals, and for how
// long each holds.
func TestLimitsAsGitHubDocumentsThem(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name      string
		path      string
		status    int
		header    map[string]string
		body      string
		wait      time.Duration // 0: no limit
		secondary bool
	}{
		{name: "a missing permission", status: 403, header: budget(4000), body: `{"message": "Resource not accessible by integration"}`},
		{name: "not found", status: 404, header: budget(4000)},
		{name: "the hour's, as 403", status: 403, header: budget(0), body: `{"message": "API rate limit exceeded for installation ID 7."}`, wait: 30 * minute},
		{name: "the hour's, as 429", status: 429, header: budget(0), wait: 30 * minute},
		{name: "Retry-After wins", status: 403, header: budget(0, "Retry-After", "90"), wait: 90 * time.Second},
		{name: "Retry-After as a date", status: 429, header: budget(9, "Retry-After", start.Add(2*minute).Format(http.TimeFormat)), wait: 2 * minute, secondary: true},
		{name: "a reset that is past", status: 403, header: budget(0, "X-RateLimit-Reset", "1"), wait: time.Second},
		{name: "secondary, with Retry-After", status: 403, header: budget(4000, "Retry-After", "120"), body: secondaryBody, wait: 2 * minute, secondary: true},
		{name: "secondary, without", status: 403, header: budget(4000), body: secondaryBody, wait: minute, secondary: true},
		{name: "secondary, and the hour's last", status: 403, header: budget(0), body: secondaryBody, wait: 30 * minute, secondary: true},
		{name: "429 and no word", status: 429, wait: minute, secondary: true},
		{name: "429 of a page that is no JSON", status: 429, body: "<html>", wait: minute, secondary: true},
		{name: "longer than any limit", status: 429, header: budget(9, "Retry-After", "99999999"), wait: 24 * time.Hour, secondary: true},
		{name: "of a query, the hour's", path: "/graphql", status: 200, header: budget(0, "X-RateLimit-Resource", graphResource), body: `{"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}`, wait: 30 * minute},
		{name: "of a query, some points are left", path: "/graphql", status: 200, header: budget(3, "X-RateLimit-Resource", graphResource), body: `{"errors": [{"type": "RATE_LIMITED", "message": "no more"}]}`, wait: minute},
		{name: "of a query, secondary", path: "/graphql", status: 200, header: budget(3000, "X-RateLimit-Resource", graphResource), body: `{"data": null, "errors": [{"message": "You have exceeded a secondary rate limit."}]}`, wait: minute, secondary: true},
		{name: "another error of a query", path: "/graphql", status: 200, body: `{"errors": [{"type": "NOT_FOUND", "message": "no repository acme/rate-limit"}]}`},
		{name: "a query that shows such words", path: "/graphql", status: 200, body: `{"data": {"body": "\"errors\": [{\"type\": \"RATE_LIMITED\"}] secondary rate limit"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, g := newGoverned()
			h.status, h.header, h.body = c.status, c.header, c.body
			limit, response := send(t, g, http.MethodGet, c.path)
			if c.wait == 0 {
				if limit != nil || response.StatusCode != c.status || response.Header.Get("X-RateLimit-Remaining") != "" {
					t.Errorf("got %v, %+v", limit, response)
				}
				return
			}
			if limit == nil || !limit.RetryAt.Equal(start.Add(c.wait)) || limit.Secondary != c.secondary || limit.Installation != 7 || limit.Reason == "" {
				t.Fatalf("got %+v; want %s", limit, c.wait)
			}
			// Nothing leaves until then, and then it does.
			h.status, h.header, h.body = http.StatusOK, nil, "{}"
			h.now = limit.RetryAt.Add(-time.Millisecond)
			if again, _ := send(t, g, http.MethodGet, c.path); again == nil || h.calls != 1 || !again.RetryAt.Equal(limit.RetryAt) {
				t.Errorf("before its end: %v, %d calls", again, h.calls)
			}
			other := map[string]string{"/graphql": "", "": "/graphql"}[c.path]
			if elsewhere, _ := send(t, g, http.MethodGet, other); (elsewhere != nil) != c.secondary {
				t.Errorf("what is asked of the other budget: %v", elsewhere)
			}
			h.now = limit.RetryAt
			if after, _ := send(t, g, http.MethodGet, c.path); after != nil {
				t.Errorf("after its end: %v", after)
			}
		})
	}
}

// TestTheLastCallOfABudgetIsKnown stops before GitHub has to refuse.
func TestTheLastCallOfABudgetIsKnown(t *testing.T) {
	h, g := newGoverned()
	h.header = budget(0)
	if limit, _ := send(t, g, http.MethodGet, "/a"); limit != nil {
		t.Fatalf("the last call: %v", limit)
	}
	if limit, _ := send(t, g, http.MethodGet, "/a"); limit == nil || h.calls != 1 || !limit.RetryAt.Equal(start.Add(30*time.Minute)) || limit.Secondary {
		t.Errorf("one more: %v", limit)
	}
	// The App's own budget is another.
	if limit, _ := send(t, g, http.MethodGet, "/app", "Authorization", "Bearer x"); limit != nil {
		t.Errorf("as the App: %v", limit)
	}
	if limit, _ := send(t, g, http.MethodGet, "/app", "Authorization", "Bearer x"); limit == nil || limit.Installation != 0 {
		t.Errorf("as the App once more: %v", limit)
	}
}

// TestSecondaryLimitsThatGoOn wait longer each time, and from the start after
// some quiet. Those of calls that were under way together count once.
func TestSecondaryLimitsThatGoOn(t *testing.T) {
	h, g := newGoverned()
	strike := func() time.Duration {
		h.status, h.body = http.StatusForbidden, secondaryBody
		limit, _ := send(t, g, http.MethodGet, "/a")
		if limit == nil {
			t.Fatal("no limit")
		}
		for range 3 {
			v, err := judge(&http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(secondaryBody))}, coreResource, h.now)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.governor.hear(t.Context(), place{7, coreResource}, v); err == nil {
				t.Error("what was under way met no limit")
			}
		}
		wait := limit.RetryAt.Sub(h.now)
		h.now = limit.RetryAt.Add(leastWait)
		return wait
	}
	for _, want := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		if got := strike().Minutes(); got != float64(want) {
			t.Errorf("waits %v minutes, want %d", got, want)
		}
	}
	h.now = h.now.Add(quiet)
	if got := strike(); got != time.Minute {
		t.Errorf("after some quiet it waits %s", got)
	}
}

// TestWritesAreSpacedAfterASecondaryLimit lets one go each second, until it has
// been quiet; reads are not held up.
func TestWritesAreSpacedAfterASecondaryLimit(t *testing.T) {
	h, g := newGoverned()
	for range 5 {
		if limit, _ := send(t, g, http.MethodPost, "/a"); limit != nil {
			t.Fatalf("before any limit: %v", limit)
		}
	}
	h.status, h.body = http.StatusForbidden, secondaryBody
	limit, _ := send(t, g, http.MethodPost, "/a")
	h.status, h.body, h.now = http.StatusOK, "", limit.RetryAt
	if limit, _ := send(t, g, http.MethodPost, "/a"); limit != nil {
		t.Fatalf("the first: %v", limit)
	}
	calls, last := h.calls, h.now
	for range 3 {
		limit, _ := send(t, g, http.MethodPatch, "/a")
		if limit == nil || !limit.Secondary || limit.RetryAt.Sub(last) < time.Second || h.calls != calls {
			t.Fatalf("too early: %+v", limit)
		}
		last = limit.RetryAt // each is told a time of its own
	}
	if limit, _ := send(t, g, http.MethodGet, "/a"); limit != nil {
		t.Errorf("a read: %v", limit)
	}
	h.now = h.now.Add(time.Second)
	if limit, _ := send(t, g, http.MethodPost, "/a"); limit != nil {
		t.Errorf("a second later: %v", limit)
	}
	h.now = h.now.Add(quiet)
	for range 5 {
		if limit, _ := send(t, g, http.MethodPost, "/a"); limit != nil {
			t.Errorf("after some quiet: %v", limit)
		}
	}
}

// TestBackgroundWorkLeavesAFifth holds back what can wait, until the budget is
// filled again.
func TestBackgroundWorkLeavesAFifth(t *testing.T) {
	for remaining, held := range map[int]bool{1000: false, 999: true} {
		h, g := newGoverned()
		h.header = budget(remaining)
		if limit, _ := send(t, g, http.MethodGet, "/a"); limit != nil {
			t.Fatal(limit)
		}
		waits := func() error { return g.governor.check(Background(t.Context()), place{7, coreResource}) }
		limit, ok := errors.AsType[*LimitError](waits())
		if ok != held || (held && !limit.RetryAt.Equal(start.Add(30*time.Minute))) {
			t.Errorf("with %d left: %v", remaining, limit)
		}
		if limit, _ := send(t, g, http.MethodGet, "/a"); limit != nil {
			t.Errorf("what cannot wait: %v", limit)
		}
		h.now = start.Add(30 * time.Minute)
		if err := waits(); err != nil {
			t.Errorf("when the budget is filled: %v", err)
		}
	}
}

// With a token that GitHub refuses, the answer tells of the sixty calls an hour that
// anybody has.
func TestTheBudgetOfNobodyIsNotTheInstallations(t *testing.T) {
	h, g := newGoverned()
	send(t, g, http.MethodGet, "/a")
	h.status, h.header = http.StatusUnauthorized, budget(59, "X-RateLimit-Limit", "60")
	send(t, g, http.MethodGet, "/a")
	if err := g.governor.check(Background(t.Context()), place{7, coreResource}); err != nil {
		t.Errorf("background work is held back: %v", err)
	}
	h.status, h.header = http.StatusOK, budget(900)
	send(t, g, http.MethodGet, "/a")
	if err := g.governor.check(Background(t.Context()), place{7, coreResource}); err == nil {
		t.Error("background work is not held back although less than a fifth is left")
	}
}
