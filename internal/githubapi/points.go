package githubapi

import "time"

// GitHub counts points against a secondary limit of 900 a minute for REST: 1 for a
// GET, answered 304 or not, and 5 for a request that writes.
const (
	pointsRead  = 1
	pointsWrite = 5
	// pointsSeconds is the window in which they count, in seconds.
	// A second more than a minute, since a call is known by its second.
	pointsSeconds = 61
)

// spending is what an installation's REST calls took lately, second by second.
type spending struct {
	seconds [pointsSeconds]struct {
		at     int64
		points int
	}
}

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
	second := now.Unix()
	slot := &s.seconds[second%pointsSeconds]
	if slot.at != second {
		slot.at, slot.points = second, 0
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
	total, now := 0, g.now().Unix()
	for _, slot := range s.seconds {
		if now-slot.at < pointsSeconds {
			total += slot.points
		}
	}
	return total
}
