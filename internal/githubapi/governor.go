package githubapi

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// The limits that GitHub names in x-ratelimit-resource, as far as they are asked for.
const (
	coreResource  = "core"
	graphResource = "graphql"
)

const (
	// firstWait is how long GitHub asks to wait after a secondary limit for which it
	// says nothing else. It doubles with each that follows, up to mostWait.
	firstWait = time.Minute
	mostWait  = time.Hour
	// leastWait is how long a limit lasts at least: clocks differ.
	leastWait = time.Second
	// writeSpacing is how far apart writes are that met a secondary limit, until there
	// were none for quiet.
	writeSpacing = time.Second
	quiet        = 5 * time.Minute
	// reserve is the part of a budget that is kept from background work.
	reserve = 5
	// putTimeout bounds how long a call waits until the other replicas know of a limit.
	putTimeout = 2 * time.Second
)

// governor knows GitHub's limits, and lets no call go that they forbid. Nobody
// waits in it.
type governor struct {
	now    func() time.Time
	shared Budgets // nil: nobody else is told

	mu      sync.Mutex
	known   map[place]*knownLimit
	writing map[int64]*pace
	spent   map[int64]*spending
	flushed time.Time
}

type place struct {
	installation int64
	resource     string
}

// knownLimit is what is known of one limit.
type knownLimit struct {
	Budget

	reason string
	// untold says that other replicas do not have it yet.
	untold bool
}

// pace is when an installation's writes go, if they are spaced.
type pace struct {
	last time.Time
	// next is when a write that has to wait is told to come back: those that wait
	// are spread, so that they do not come all at once.
	next time.Time
}

func newGovernor(now func() time.Time, shared Budgets) *governor {
	return &governor{now: now, shared: shared, known: map[place]*knownLimit{}, writing: map[int64]*pace{}, spent: map[int64]*spending{}}
}

// admit says whether a call may go now; a write that may has taken its turn.
func (g *governor) admit(ctx context.Context, at place, write bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if limit := g.blocked(ctx, at, now); limit != nil {
		return limit
	}
	all := g.at(place{at.installation, AllResources})
	if !write {
		g.spend(at, pointsRead, now)
		return nil
	}
	turn := g.writing[at.installation]
	if turn == nil {
		turn = &pace{}
		g.writing[at.installation] = turn
	}
	if free := turn.last.Add(all.Spacing); !isUrgent(ctx) && all.Spacing > 0 && now.Before(all.BlockedUntil.Add(quiet)) && now.Before(free) {
		if turn.next.Before(free) || turn.next.After(now.Add(firstWait)) {
			turn.next = free
		}
		limit := &LimitError{Installation: at.installation, Resource: AllResources, RetryAt: turn.next, Secondary: true, Reason: "writes are spaced after a secondary limit"}
		// A little more, so that nobody finds the one before them late.
		turn.next = turn.next.Add(all.Spacing + all.Spacing/4)
		return limit
	}
	turn.last = now
	g.spend(at, pointsWrite, now)
	return nil
}

// check is admit without taking a turn.
func (g *governor) check(ctx context.Context, at place) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if limit := g.blocked(ctx, at, g.now()); limit != nil {
		return limit
	}
	return nil
}

// Allowed returns a [*LimitError] if GitHub's limits do not allow work in the
// installation to be begun: it could not write what it finds. A query that is not
// allowed is no reason, because REST can be asked instead; but for what can wait
// it is ([Background]).
func (c *Client) Allowed(ctx context.Context, installation int64) error {
	if err := c.governor.check(ctx, place{installation, coreResource}); err != nil || !isBackground(ctx) {
		return err
	}
	return c.governor.check(ctx, place{installation, graphResource})
}

func (g *governor) blocked(ctx context.Context, at place, now time.Time) *LimitError {
	for _, resource := range []string{AllResources, at.resource} {
		a := g.at(place{at.installation, resource})
		if now.Before(a.BlockedUntil) {
			return a.limit()
		}
	}
	own := g.at(at)
	if isBackground(ctx) && now.Before(own.Reset) && own.Remaining*reserve < own.Limit {
		return &LimitError{
			Installation: at.installation, Resource: at.resource, RetryAt: own.Reset,
			Reason: "what is left of the hour's budget is kept for what cannot wait",
		}
	}
	return nil
}

func (g *governor) at(at place) *knownLimit {
	a := g.known[at]
	if a == nil {
		a = &knownLimit{Budget: Budget{Installation: at.installation, Resource: at.resource}}
		g.known[at] = a
	}
	return a
}

func (a *knownLimit) limit() *LimitError {
	reason := a.reason
	if reason == "" {
		reason = "another replica met it"
	}
	return &LimitError{Installation: a.Installation, Resource: a.Resource, RetryAt: a.BlockedUntil, Secondary: a.Resource == AllResources, Reason: reason}
}

// hear takes in what an answer says of limits. If GitHub refused the call by a
// limit, or the call was the last of its budget, the other replicas know before it
// returns.
func (g *governor) hear(ctx context.Context, at place, v verdict) error {
	if v.resource != "" {
		at.resource = v.resource
	}
	limit, news := g.learn(at, v)
	if news != nil {
		g.tell(ctx, *news)
	}
	if limit == nil {
		return nil
	}
	return limit
}

// learn returns the limit that refused the call, and what others must know at
// once.
func (g *governor) learn(at place, v verdict) (*LimitError, *Budget) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	own := g.at(at)
	if v.limit > 0 {
		merged := own.Merge(Budget{Limit: v.limit, Remaining: v.remaining, Reset: v.reset})
		own.untold = own.untold || merged != own.Budget
		own.Budget = merged
	}
	if !v.refused {
		if v.exhausted() && v.reset.After(now) {
			return nil, own.block(v.reset, "the hour's budget is used up")
		}
		return nil, nil
	}
	if v.secondary {
		own = g.at(place{at.installation, AllResources})
		own.strike(now)
	}
	var until time.Time
	switch {
	case !v.retryAfter.IsZero():
		until = clamp(v.retryAfter, now, now.Add(longestWait))
	case v.exhausted():
		until = clamp(v.reset, now.Add(leastWait), now.Add(longestWait))
	case now.Before(own.BlockedUntil):
		until = own.BlockedUntil // one of those that were under way
	default:
		until = now.Add(min(firstWait<<min(max(own.Strikes-1, 0), 10), mostWait))
	}
	news := own.block(until, v.message)
	limit := own.limit()
	limit.Reason = v.message
	if until.After(limit.RetryAt) {
		limit.RetryAt = until
	}
	return limit, news
}

func clamp(at, earliest, latest time.Time) time.Time {
	if at.Before(earliest) {
		return earliest
	}
	if at.After(latest) {
		return latest
	}
	return at
}

// strike counts a secondary limit. Those of calls that were under way together
// are one.
func (a *knownLimit) strike(now time.Time) {
	switch {
	case now.Before(a.BlockedUntil):
	case now.Before(a.BlockedUntil.Add(quiet)):
		a.Strikes++
	default:
		a.Strikes = 1
	}
	a.LastSecondary, a.Spacing, a.untold = now, writeSpacing, true
}

// block returns what others must know, nil if they know it but for less than the
// shortest wait.
func (a *knownLimit) block(until time.Time, reason string) *Budget {
	if !until.After(a.BlockedUntil) {
		return nil
	}
	known := until.Sub(a.BlockedUntil) < leastWait
	a.BlockedUntil, a.reason, a.untold = until, reason, true
	if known {
		return nil
	}
	news := a.Budget
	return &news
}

// tell puts the news where the others look. If that fails, they are told with the
// next exchange.
func (g *governor) tell(ctx context.Context, news Budget) {
	zerolog.Ctx(ctx).Warn().Int64("installation", news.Installation).Str("resource", news.Resource).Time("until", news.BlockedUntil).Msg("GitHub's limit is reached")
	if g.shared == nil {
		return
	}
	putCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
	defer cancel()
	if err := g.shared.PutBudget(putCtx, news); err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("the other replicas were not told of GitHub's limit")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.at(place{news.Installation, news.Resource}); a.Budget == news {
		a.untold = false
	}
}

// governed holds the calls of one installation to the limits.
type governed struct {
	governor     *governor
	installation int64
	// graphPath is the path of GraphQL's address.
	graphPath string
	next      http.RoundTripper
}

// RoundTrip makes the call if the limits allow it. A refusal by a limit is a
// [*LimitError].
func (g governed) RoundTrip(r *http.Request) (*http.Response, error) {
	at := g.place(r)
	if err := g.governor.admit(r.Context(), at, changes(r)); err != nil {
		return nil, notSent(r, err)
	}
	response, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	v, err := judge(response, at.resource, g.governor.now())
	if err != nil {
		return nil, err
	}
	if err := g.governor.hear(r.Context(), at, v); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// allowed says whether the call may go now, as far as it need not take a turn.
func (g governed) allowed(r *http.Request) error { return g.governor.check(r.Context(), g.place(r)) }

// place is which limit a request counts against. What is signed with the App's
// key, as the request for a token is, counts against the App's own.
func (g governed) place(r *http.Request) place {
	at := place{g.installation, coreResource}
	if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		at.installation = 0
	}
	if r.URL.Path == g.graphPath {
		at.resource = graphResource
	}
	return at
}

// changes reports whether a request may change anything at GitHub.
func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Context().Value(readKey) == nil
}

// notSent closes the body of a request that is not made, as a RoundTripper must.
func notSent(r *http.Request, err error) error {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return err
}
