package handlers

import (
	"context"
	"slices"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// pullRequestEvent is a change of the pull request itself.
type pullRequestEvent struct{ *Door }

// pullRequestActions are the changes that can change a verdict.
var pullRequestActions = []string{
	"opened", "reopened", "synchronize", "edited", "labeled", "unlabeled", "ready_for_review", "converted_to_draft",
}

func (pullRequestEvent) Handles() []string { return []string{"pull_request"} }

func (pullRequestEvent) concerns(payload []byte) (policy.PullRequestRef, bool, error) {
	e, err := parse[github.PullRequestEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	return ref, slices.Contains(pullRequestActions, e.GetAction()), err
}

// Handle records the head that the event shows: since the opening, or since the
// push, by GitHub's clock.
func (d pullRequestEvent) Handle(ctx context.Context, _, _ string, payload []byte) error {
	e, err := parse[github.PullRequestEvent](payload)
	if err != nil {
		return err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	if err != nil {
		return err
	}
	since := e.GetPullRequest().GetUpdatedAt().Time
	if e.GetAction() == "opened" {
		since = e.GetPullRequest().GetCreatedAt().Time
	}
	return d.config.Gate.ObserveHead(ctx, ref, policy.Head{SHA: e.GetPullRequest().GetHead().GetSHA(), Since: since.UTC()})
}
