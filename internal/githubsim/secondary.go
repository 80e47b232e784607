package githubsim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SecondaryLimits say how fast an installation may ask, in any minute unless they say otherwise; 0 is as fast as it likes.
type SecondaryLimits struct {
	Concurrent    int // requests at once, REST and GraphQL together
	RESTPoints    int // 1 for a GET, 5 for a request that writes
	GraphQLPoints int // 1 for a query
	// Content counts requests that make something: which do is not published, and is taken for every POST below repos/.
	Content, ContentAnHour int
	// RetryAfter is what a refusal says; with 0 it says nothing, as GitHub's do at times.
	RetryAfter time.Duration
}

// DocumentedLimits are the numbers that GitHub publishes.
func DocumentedLimits() SecondaryLimits {
	return SecondaryLimits{Concurrent: 100, RESTPoints: 900, GraphQLPoints: 2000, Content: 80, ContentAnHour: 500}
}

// SetSecondaryLimits puts limits in force for every installation, which are off at first: a load test passes them in a second.
func (s *Sim) SetSecondaryLimits(limits SecondaryLimits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secondary = limits
	clear(s.spent)
}

// spending is what an installation asked of late.
type spending struct {
	underWay              int
	rest, graph, contents []spent
}

type spent struct {
	at     time.Time
	points int
}

// begin counts a request as under way; end takes it off again.
func (s *Sim) begin(req *http.Request) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, value, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	t := s.tokens[value]
	if t == nil || t.install == nil {
		return func() {}
	}
	spending := s.spendingOf(t.install)
	spending.underWay++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		spending.underWay--
	}
}

func (s *Sim) spendingOf(i *Installation) *spending {
	if s.spent[i.id] == nil {
		s.spent[i.id] = &spending{}
	}
	return s.spent[i.id]
}

// checkSecondary refuses what comes too fast. What is refused counts as well: asking on keeps a limit in force.
func (c *call) checkSecondary() error {
	if c.actor.token == nil || c.actor.token.install == nil {
		return nil
	}
	limits, now, mine := c.sim.secondary, c.sim.now(), c.sim.spendingOf(c.actor.token.install)
	reading := c.req.Method == http.MethodGet || c.req.Method == http.MethodHead
	points := 5
	if reading || c.graph {
		points = 1
	}
	list, most := &mine.rest, limits.RESTPoints
	if c.graph {
		list, most = &mine.graph, limits.GraphQLPoints
	}
	over := tooMany(mine.underWay, limits.Concurrent)
	over = tooMany(add(list, spent{now, points}, time.Minute, most > 0), most) || over
	if !reading && !c.graph && c.req.Method == http.MethodPost && strings.HasPrefix(c.path, "/repos/") {
		anHour := add(&mine.contents, spent{now, 1}, time.Hour, limits.Content+limits.ContentAnHour > 0)
		over = tooMany(anHour, limits.ContentAnHour) || tooMany(sum(mine.contents, now.Add(-time.Minute)), limits.Content) || over
	}
	if !over {
		return nil
	}
	if limits.RetryAfter > 0 {
		c.header.Set("Retry-After", strconv.Itoa(int(limits.RetryAfter.Seconds())))
	}
	return refuse(http.StatusForbidden, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
}

func tooMany(n, most int) bool { return most > 0 && n > most }

// add notes what is spent, forgets what is older than the window, and returns what was spent in it.
func add(list *[]spent, one spent, window time.Duration, counted bool) int {
	if !counted {
		return 0
	}
	*list = append(slices.DeleteFunc(*list, func(s spent) bool { return !s.at.After(one.at.Add(-window)) }), one)
	return sum(*list, one.at.Add(-window))
}

func sum(list []spent, after time.Time) int {
	total := 0
	for _, s := range list {
		if s.at.After(after) {
			total += s.points
		}
	}
	return total
}
