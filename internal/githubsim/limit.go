package githubsim

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// bucket is one primary rate limit: an installation's, a user's or an App's.
type bucket struct {
	limit, used int
	reset       time.Time
}

// usualLimit is what an installation, a user and an App may ask in an hour.
const usualLimit = 5000

// SetRateLimit gives an installation so many requests until reset, after which it has 5,000 an hour again; a remaining above
// 5,000 raises the limit, for load tests. At 0 every request is a 403 with x-ratelimit-remaining 0.
func (s *Sim) SetRateLimit(installationID int64, remaining int, reset time.Time) {
	s.setLimit(coreResource, installationID, remaining, reset)
}

// SetGraphQLRateLimit is SetRateLimit for the points of GraphQL, which are counted apart. At 0 every query is a 200 with the
// error RATE_LIMITED.
func (s *Sim) SetGraphQLRateLimit(installationID int64, remaining int, reset time.Time) {
	s.setLimit(graphResource, installationID, remaining, reset)
}

func (s *Sim) setLimit(resource string, installationID int64, remaining int, reset time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := max(usualLimit, remaining)
	s.buckets[fmt.Sprintf("%sinstallation:%d", resource, installationID)] = &bucket{limit: limit, used: limit - remaining, reset: reset}
}

// resource is which limit pays for the request.
func (c *call) resource() string {
	if c.graph {
		return graphResource
	}
	return coreResource
}

// The limits, as x-ratelimit-resource names them.
const (
	coreResource  = "core"
	graphResource = "graphql"
)

// bucket is what pays for the actor's requests; an anonymous one has a bucket that never fills.
func (s *Sim) bucket(a actor, resource string) *bucket {
	var key string
	switch {
	case a.token != nil && a.token.install != nil:
		key = fmt.Sprintf("%sinstallation:%d", resource, a.token.install.id)
	case a.jwt:
		key = fmt.Sprintf("%sapp:%d", resource, a.app.id)
	case a.user != nil:
		key = fmt.Sprintf("%suser:%d", resource, a.user.id)
	default:
		return &bucket{limit: 60, reset: s.now().Add(time.Hour)}
	}
	b := s.buckets[key]
	if b == nil || !s.now().Before(b.reset) {
		b = &bucket{limit: usualLimit, reset: s.now().Add(time.Hour)}
		s.buckets[key] = b
	}
	return b
}

// checkLimit refuses when the primary limit is used up; the wording is GitHub's.
func (c *call) checkLimit() error {
	if b := c.sim.bucket(c.actor, coreResource); b.used >= b.limit {
		return refuse(http.StatusForbidden, "API rate limit exceeded for %s.", c.actor.limitName())
	}
	return nil
}

func (a actor) limitName() string {
	if a.token != nil && a.token.install != nil {
		return fmt.Sprintf("installation ID %d", a.token.install.id)
	}
	return "user ID " + a.login()
}

// bill counts the request and tells the client where it stands; a fault's own headers stay.
func (s *Sim) bill(c *call, billed bool) {
	b := s.bucket(c.actor, c.resource())
	if billed {
		b.used = min(b.limit, b.used+c.points)
	}
	for name, value := range map[string]string{
		"Limit": strconv.Itoa(b.limit), "Remaining": strconv.Itoa(b.limit - b.used), "Used": strconv.Itoa(b.used),
		"Reset": strconv.FormatInt(b.reset.Unix(), 10), "Resource": c.resource(),
	} {
		if c.header.Get("X-RateLimit-"+name) == "" {
			c.header.Set("X-RateLimit-"+name, value)
		}
	}
}

func serveRateLimit(c *call) error {
	resources := obj{}
	for _, name := range []string{coreResource, graphResource} {
		b := c.sim.bucket(c.actor, name)
		resources[name] = obj{"limit": b.limit, "used": b.used, "remaining": b.limit - b.used, "reset": b.reset.Unix()}
	}
	// Nothing is searched here, so nothing of it is ever used.
	resources["search"] = obj{"limit": 30, "used": 0, "remaining": 30, "reset": c.sim.now().Add(time.Minute).Unix()}
	return c.reply(http.StatusOK, obj{"resources": resources, "rate": resources[coreResource]})
}
