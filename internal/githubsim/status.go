package githubsim

import (
	"net/http"
	"slices"
	"time"
)

// status is a commit status, the older kind of check: whoever can push may set one, under any name.
type status struct {
	id          int64
	context     string
	state       string // error, failure, pending or success
	description string
	targetURL   string
	creator     *User
	created     time.Time
}

// SetStatus sets a commit status, which needs write. It never satisfies a required check that is pinned to an App.
func (r *Repository) SetStatus(u *User, sha, context, state string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	_, err := r.setStatus(actor{user: u}, sha, status{context: context, state: state})
	return err
}

func (r *Repository) setStatus(a actor, sha string, given status) (*status, error) {
	switch {
	case r.roleOf(a) < roleRead:
		return nil, notFound()
	case r.roleOf(a) < roleWrite:
		return nil, refuse(http.StatusForbidden, "Must have push access to set a commit status.")
	case r.net.commits[sha] == nil:
		return nil, unprocessable("No commit found for SHA: " + sha)
	case !slices.Contains([]string{"error", "failure", "pending", "success"}, given.state):
		return nil, invalid("Status", "state", "invalid", "")
	}
	if given.context == "" {
		given.context = "default"
	}
	given.id, given.creator, given.created = r.sim.id(), a.user, r.sim.tick()
	r.statuses[sha] = append(r.statuses[sha], &given)
	r.sim.emit(r, "status", "", a.user, obj{
		"id": given.id, "sha": sha, "name": r.fullName(), "context": given.context, "state": given.state,
		"description": text(given.description), "target_url": text(given.targetURL), "created_at": given.created, "updated_at": given.created,
		"branches": []obj{}, "commit": r.commitJSON(r.net.commits[sha]),
	})
	return &given, nil
}

// latestStatuses are the newest statuses on a commit, one for each context, newest first.
func (r *Repository) latestStatuses(sha string) []*status {
	seen := map[string]bool{}
	var list []*status
	for _, s := range slices.Backward(r.statuses[sha]) {
		if !seen[s.context] {
			seen[s.context] = true
			list = append(list, s)
		}
	}
	return list
}

// combined is the state of all statuses together.
func combined(list []*status) string {
	state := "success"
	for _, s := range list {
		switch s.state {
		case "error", "failure":
			return "failure"
		case "pending":
			state = "pending"
		}
	}
	if len(list) == 0 {
		return "pending"
	}
	return state
}
