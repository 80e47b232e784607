package githubsim

import (
	"slices"
	"strings"
)

// serveThreadEvents lists what happened to an issue or a pull request, as GitHub's issue events do.
func serveThreadEvents(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	return replyList(c, t.timeline, func(e timelineEntry) obj { return e.json() })
}

// serveTimeline lists the same with the comments among it, oldest first.
func serveTimeline(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	type entry struct {
		at    int64
		shape func() obj
	}
	var list []entry
	for _, e := range t.timeline {
		list = append(list, entry{e.at.Unix(), e.timelineJSON})
	}
	for _, one := range t.comments {
		list = append(list, entry{one.created.Unix(), one.timelineJSON})
	}
	slices.SortStableFunc(list, func(a, b entry) int { return int(a.at - b.at) })
	return replyList(c, list, func(e entry) obj { return e.shape() })
}

// timelineJSON is the entry as the timeline has it, which tells less of assignments than the events do, and more of closing.
func (e timelineEntry) timelineJSON() obj {
	out := e.json()
	delete(out, "assigner")
	if e.event == "closed" || e.event == "reopened" {
		out["state_reason"] = nil
	}
	return out
}

func (c *comment) timelineJSON() obj {
	out := c.json()
	out["event"], out["actor"] = "commented", c.author.json()
	return out
}

func (e timelineEntry) json() obj {
	r := e.thread.repo
	out := obj{
		"id": e.id, "node_id": nodeID("IssueEvent", e.id), "url": r.url("issues/events/%d", e.id),
		"actor": e.actor.json(), "event": e.event, "commit_id": text(e.commit), "commit_url": nil, "created_at": stamp(e.at),
		"performed_via_github_app": r.sim.viaApp(r.sim.appOfBot(e.actor)),
	}
	if e.commit != "" {
		out["commit_url"] = r.url("commits/%s", e.commit)
	}
	switch e.event {
	case "labeled", "unlabeled":
		out["label"] = obj{"name": e.label.name, "color": e.label.color}
	case "assigned", "unassigned":
		out["assignee"], out["assigner"] = e.assignee.json(), e.actor.json()
	case "renamed":
		out["rename"] = obj{"from": e.from, "to": e.to}
	case "locked":
		out["lock_reason"] = text(e.to)
	case "review_dismissed":
		out["dismissed_review"] = obj{"state": strings.ToLower(e.was), "review_id": e.review.id, "dismissal_message": e.text}
	}
	return out
}

// appOfBot is the App that acts under the account, or nil.
func (s *Sim) appOfBot(u *User) *App {
	for _, app := range s.apps {
		if app.bot == u {
			return app
		}
	}
	return nil
}
