package handlers

import (
	"context"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// pushEvent is a push to a branch, which may change the policy that governs the
// pull requests onto it.
type pushEvent struct{ *Door }

func (pushEvent) Handles() []string { return []string{"push"} }

func (d pushEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.PushEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = pushedRepository(e)
	branch := strings.HasPrefix(e.GetRef(), "refs/heads/")
	return policy.PullRequestRef{}, onlyIf(branch && !e.GetDeleted() && d.touches(e)), err
}

// maxListedPush is how many commits a push lists at most.
const maxListedPush = 2048

// touches reports whether the push may have changed a policy that governs open
// pull requests. A push that was forced, or whose commits are not all listed, may
// have. A branch that was just created is the base of nothing yet, but it may be
// the first of the organization's.
func (d pushEvent) touches(e *github.PushEvent) bool {
	if e.GetCreated() && !d.governsOwner(e.GetRepo().GetName()) {
		return false
	}
	path := d.config.PolicyPath
	if e.GetForced() || len(e.Commits) == 0 || len(e.Commits) >= maxListedPush {
		return true
	}
	return slices.ContainsFunc(e.Commits, func(c *github.HeadCommit) bool {
		return slices.Contains(c.Added, path) || slices.Contains(c.Modified, path) || slices.Contains(c.Removed, path)
	})
}

// take has the open pull requests decided anew that the policy governs: those
// onto the branch; if it is the default branch, those of the repository; and if
// the policy is the organization's, those of all repositories.
func (d pushEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.PushEvent](payload)
	if err != nil {
		return nil, err
	}
	repo, err := pushedRepository(e)
	if err != nil {
		return nil, err
	}
	scope := gate.Scope{Owner: repo.Owner, RepositoryID: repo.ID, Base: strings.TrimPrefix(e.GetRef(), "refs/heads/")}
	if scope.Base == e.GetRepo().GetDefaultBranch() {
		// It is the floor of the other branches.
		scope.Base = ""
		if d.governsOwner(repo.Name) {
			scope.RepositoryID = 0
		}
	}
	return nil, d.config.Gate.Reassess(ctx, scope)
}

// pushedRepository reads the repository in the shape that push events have it:
// the owner has a name beside the login.
func pushedRepository(e *github.PushEvent) (policy.Repository, error) {
	owner, _, _ := strings.Cut(e.GetRepo().GetFullName(), "/")
	return complete(policy.Repository{
		Installation: e.GetInstallation().GetID(), ID: e.GetRepo().GetID(), Owner: owner, Name: e.GetRepo().GetName(),
	})
}
