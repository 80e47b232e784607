package githubsim

import "strings"

// serveThreadEvents lists what happened to an issue or a pull request, as GitHub's issue events do.
func serveThreadEvents(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	return replyList(c, t.timeline, func(e timelineEntry) obj { return e.json() })
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
