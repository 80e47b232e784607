package githubsim

import (
	"slices"
	"time"
)

// timelineEntry is one thing that happened to a thread: who did what, when. The event is spelled as in REST's issue events.
type timelineEntry struct {
	id       int64
	thread   *thread
	event    string
	actor    *User
	at       time.Time
	label    *label  // of labeled and unlabeled; its name is the one that it has now
	assignee *User   // of assigned and unassigned
	from, to string  // the branches of base_ref_changed, the commits of head_ref_force_pushed, the titles of renamed
	review   *review // of review_dismissed
	was      string  // the state of that review before
	text     string  // the message of the dismissal
	commit   string  // the head after head_ref_force_pushed, the commit on the base of merged
}

// record adds an entry to the timeline, at the time of the last change: it is called after touch.
func (t *thread) record(a actor, entry timelineEntry) {
	entry.id, entry.thread, entry.actor, entry.at = t.repo.sim.id(), t, a.user, t.updated
	t.timeline = append(t.timeline, entry)
}

// assigned are the accounts that the timeline leaves assigned, in the order in which they were.
func (t *thread) assigned() []*User {
	var list []*User
	for _, e := range t.timeline {
		switch e.event {
		case "assigned":
			list = append(list, e.assignee)
		case "unassigned":
			list = slices.DeleteFunc(list, func(u *User) bool { return u == e.assignee })
		}
	}
	return list
}
