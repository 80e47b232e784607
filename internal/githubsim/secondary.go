package githubsim

import (
	"net/http"
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
	// BanAfter is how many requests in a row may be refused for coming too fast before the installation is banned; with 0 it never is.
	// GitHub documents that continuing to make requests while limited may get an integration banned, not when.
	BanAfter int
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

// Spending is what an installation asked for since the start or since limits were last set. It is counted with limits and without, and
// counts what was refused too, but for Writes and CheckRunUpdates.
type Spending struct {
	MostRESTPoints, MostGraphQLPoints, MostContent int // in any minute
	MostConcurrent                                 int
	Writes                                         int // REST requests that write
	CheckRunUpdates                                int // of these, those that change a check run
	Refused                                        int // by secondary limits
	Banned                                         bool
}

// Spending tells how fast an installation asked, and whether it ever broke a limit.
func (s *Sim) Spending(i *Installation) Spending {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.spendingOf(i)
	out := mine.total
	out.MostRESTPoints, out.MostGraphQLPoints, out.MostContent = mine.rest.most, mine.graph.most, mine.contents.most
	return out
}

// LiftBan lets an installation ask again.
func (s *Sim) LiftBan(i *Installation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.spendingOf(i)
	mine.total.Banned, mine.inARow = false, 0
}

// spending is what an installation asked of late.
type spending struct {
	underWay, inARow      int // requests at once; refusals in a row
	rest, graph, contents window
	contentsAnHour        window
	total                 Spending
}

// window is what was spent in the last minute or hour.
type window struct {
	list []spent // oldest first
	sum  int
	most int // that sum ever was
}

type spent struct {
	at     time.Time
	points int
}

// add notes what is spent, forgets what is older than the window is long, and returns what was spent in it.
func (w *window) add(at time.Time, points int, long time.Duration) int {
	for len(w.list) > 0 && !w.list[0].at.After(at.Add(-long)) {
		w.sum -= w.list[0].points
		w.list = w.list[1:]
	}
	w.list = append(w.list, spent{at, points})
	w.sum += points
	w.most = max(w.most, w.sum)
	return w.sum
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
	spending.total.MostConcurrent = max(spending.total.MostConcurrent, spending.underWay)
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
	over := tooMany(mine.underWay, limits.Concurrent)
	switch {
	case c.graph:
		over = tooMany(mine.graph.add(now, 1, time.Minute), limits.GraphQLPoints) || over
	case reading:
		over = tooMany(mine.rest.add(now, 1, time.Minute), limits.RESTPoints) || over
	default:
		over = tooMany(mine.rest.add(now, 5, time.Minute), limits.RESTPoints) || over
		if c.req.Method == http.MethodPost && strings.HasPrefix(c.path, "/repos/") {
			over = tooMany(mine.contentsAnHour.add(now, 1, time.Hour), limits.ContentAnHour) || over
			over = tooMany(mine.contents.add(now, 1, time.Minute), limits.Content) || over
		}
	}
	if over || mine.total.Banned {
		return c.refusedSecondary(limits, mine)
	}
	mine.inARow = 0
	if !reading && !c.graph {
		mine.total.Writes++
		if c.req.Method == http.MethodPatch && strings.Contains(c.path, "/check-runs/") {
			mine.total.CheckRunUpdates++
		}
	}
	return nil
}

func (c *call) refusedSecondary(limits SecondaryLimits, mine *spending) error {
	mine.total.Refused++
	mine.inARow++
	if mine.total.Banned {
		return banned()
	}
	mine.total.Banned = limits.BanAfter > 0 && mine.inARow >= limits.BanAfter
	if limits.RetryAfter > 0 {
		c.header.Set("Retry-After", strconv.Itoa(int(limits.RetryAfter.Seconds())))
	}
	return refuse(http.StatusForbidden, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
}

// banned is what a banned installation is told; in which words GitHub does so is not documented.
func banned() error {
	return refuse(http.StatusForbidden, "This integration was banned: it continued to make requests while it was rate limited.")
}

// chargeMutation adds what a mutation costs more than a query: five points together.
func (c *call) chargeMutation() {
	if t := c.actor.token; t != nil && t.install != nil {
		c.sim.spendingOf(t.install).graph.add(c.sim.now(), 4, time.Minute)
	}
}

func tooMany(n, most int) bool { return most > 0 && n > most }
