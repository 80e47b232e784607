package githubsim

import (
	"maps"
	"net/http"
	"slices"
)

// Documented ends of the lists in a push event.
const (
	mostPushedCommits = 2048
	mostPushedFiles   = 3000 // of one commit, added, removed and modified together
)

// pushedJSON is a commit as a push event has it. The paths are what git's own comparison with the first parent says, without looking
// for renames: a renamed file is one removed and one added.
func (r *Repository) pushedJSON(c *commit) obj {
	before := tree{}
	if len(c.parents) > 0 {
		before = r.net.commits[c.parents[0]].files
	}
	left := mostPushedFiles
	cut := func(list []string) []string {
		list = list[:min(left, len(list))]
		left -= len(list)
		return list
	}
	added, removed, modified := changedPaths(before, c.files)
	out := pushedCommitJSON(c)
	out["added"], out["removed"], out["modified"] = cut(added), cut(removed), cut(modified)
	out["url"] = r.html("commit/%s", c.sha)
	return out
}

// changedPaths compares two trees by path, each list in order and none of them nil.
func changedPaths(before, after tree) (added, removed, modified []string) {
	added, removed, modified = []string{}, []string{}, []string{}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		switch old := before[path]; {
		case old == nil:
			added = append(added, path)
		case old != after[path]:
			modified = append(modified, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if after[path] == nil {
			removed = append(removed, path)
		}
	}
	return added, removed, modified
}

// emitRef tells of a branch that came or went: the create and delete events.
func (r *Repository) emitRef(a actor, event, branch string) {
	body := obj{"ref": branch, "ref_type": "branch", "pusher_type": "user"}
	if event == "create" {
		body["master_branch"], body["description"] = r.branch, nil
	}
	r.sim.emit(r, event, "", a.user, body)
}

// DeleteBranch deletes a branch, which needs write. Open pull requests from it or into it are closed.
func (r *Repository) DeleteBranch(u *User, branch string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.removeBranch(actor{user: u}, branch)
}

func (r *Repository) removeBranch(a actor, branch string) error {
	switch {
	case r.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Must have write rights to Repository.")
	case r.branches[branch] == "":
		return unprocessable("Reference does not exist")
	case branch == r.branch:
		return unprocessable("Cannot delete the default branch")
	}
	r.deleteBranch(a, branch)
	return nil
}

// closeInto closes the open pull requests into a branch that is gone.
func (r *Repository) closeInto(a actor, branch string) {
	for _, p := range r.openPulls() {
		if p.base == branch {
			p.become(a, "closed")
		}
	}
}
