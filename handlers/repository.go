package handlers

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// repositoryEvent is a change of a repository's settings. Another default branch
// is another policy.
type repositoryEvent struct{ *Door }

func (repositoryEvent) Handles() []string { return []string{"repository"} }

func (repositoryEvent) concerns(payload []byte) (policy.PullRequestRef, bool, error) {
	e, err := parse[github.RepositoryEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	_, err = repository(e.Repo, e.Installation)
	return policy.PullRequestRef{}, e.GetAction() == "edited", err
}

func (d repositoryEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.RepositoryEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{Owner: e.GetRepo().GetOwner().GetLogin(), RepositoryID: e.GetRepo().GetID()})
}

// labelEvent is a label of a repository that was renamed or deleted, which
// changes labels of pull requests without a word about those.
type labelEvent struct{ *Door }

func (labelEvent) Handles() []string { return []string{"label"} }

func (labelEvent) concerns(payload []byte) (policy.PullRequestRef, bool, error) {
	e, err := parse[github.LabelEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	_, err = repository(e.Repo, e.Installation)
	renamed := e.GetAction() == "edited" && e.GetChanges().GetTitle() == nil
	return policy.PullRequestRef{}, renamed || e.GetAction() == "deleted", err
}

func (d labelEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.LabelEvent](payload)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.Reassess(ctx, gate.Scope{Owner: e.GetRepo().GetOwner().GetLogin(), RepositoryID: e.GetRepo().GetID()})
}
