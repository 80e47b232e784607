package handlers

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// mergeGroupEvent is a merge queue that waits for our check on an entry.
type mergeGroupEvent struct{ *Door }

func (mergeGroupEvent) Handles() []string { return []string{"merge_group"} }

func (mergeGroupEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.MergeGroupEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	repo, err := repository(e.Repo, e.Installation)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	// The pull request's own work, so that an entry is decided in its turn. A
	// branch that names none is work of its own.
	ref, _ := mergeGroup(e, repo).PullRequest()
	return ref, onlyIf(e.GetAction() == "checks_requested" || e.GetAction() == "destroyed"), nil
}

// take remembers the entry, for which the pull request is decided anew, until
// it has left the queue.
func (d mergeGroupEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.MergeGroupEvent](payload)
	if err != nil {
		return nil, err
	}
	repo, err := repository(e.Repo, e.Installation)
	if err != nil {
		return nil, err
	}
	if e.GetAction() == "destroyed" {
		return nil, d.config.Gate.DropMergeGroup(ctx, mergeGroup(e, repo))
	}
	return nil, d.config.Gate.ObserveMergeGroup(ctx, mergeGroup(e, repo))
}

func mergeGroup(e *github.MergeGroupEvent, repo policy.Repository) gate.MergeGroup {
	return gate.MergeGroup{Repository: repo, HeadSHA: e.GetMergeGroup().GetHeadSHA(), HeadRef: e.GetMergeGroup().GetHeadRef()}
}
