package handlers

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// checkSuiteEvent is a re-run of all checks on a commit. A new suite on a push
// says nothing that the pull request's own event does not, and can be switched
// off by the commit's message.
type checkSuiteEvent struct{ *Door }

func (checkSuiteEvent) Handles() []string { return []string{"check_suite"} }

func (checkSuiteEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.CheckSuiteEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = repository(e.Repo, e.Installation)
	return policy.PullRequestRef{}, onlyIf(e.GetAction() == "rerequested"), err
}

// take asks for every check on the commit to be decided and written anew.
func (d checkSuiteEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.CheckSuiteEvent](payload)
	if err != nil {
		return nil, err
	}
	repo, err := repository(e.Repo, e.Installation)
	if err != nil {
		return nil, err
	}
	return nil, d.config.Gate.ReconsiderHead(ctx, repo, e.GetCheckSuite().GetHeadSHA())
}
