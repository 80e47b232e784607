package githubapi

import "time"

// GitHub counts points against a secondary limit of 900 a minute for REST: 1 for a
// GET, answered 304 or not, and 5 for a request that writes.
const (
	pointsRead  = 1
	pointsWrite = 5
	// pointsStep is how exactly it is known when a call was made, and pointsSteps the
	// window in which it counts: a step more than a minute.
	pointsStep  = 250 * time.Millisecond
	pointsSteps = int64(time.Minute/pointsStep) + 1
)

// spending is what an installation's REST calls took lately, step by step.
type spending struct {
	steps [pointsSteps]struct {
		at     int64
		points int
	}
}

func stepOf(at time.Time) int64 { return at.UnixNano() / int64(pointsStep) }

// spend counts a call that goes now. The governor is locked.
func (g *governor) spend(at place, points int, now time.Time) {
	if at.resource != coreResource {
		return
	}
	s := g.spent[at.installation]
	if s == nil {
		s = &spending{}
		g.spent[at.installation] = s
	}
	step := stepOf(now)
	slot := &s.steps[step%pointsSteps]
	if slot.at != step {
		slot.at, slot.points = step, 0
	}
	slot.points += points
}

// Spent is how many points of GitHub's secondary limit on REST calls this process
// has spent in the installation during the last minute.
func (c *Client) Spent(installation int64) int {
	g := c.governor
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.spent[installation]
	if s == nil {
		return 0
	}
	total, now := 0, stepOf(g.now())
	for _, slot := range s.steps {
		if now-slot.at < pointsSteps {
			total += slot.points
		}
	}
	return total
}
