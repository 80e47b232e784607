package handlers

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// checkRunEvent is a re-run or a press of the button on one of our check runs.
// GitHub sends both only to the App that owns the run.
type checkRunEvent struct{ *Door }

func (checkRunEvent) Handles() []string { return []string{"check_run"} }

// concerns takes the pull request from the run's external id, which we wrote:
// the payload's own list is empty for forks.
func (checkRunEvent) concerns(payload []byte) (policy.PullRequestRef, bool, error) {
	head, err := parse[heading](payload)
	if err != nil || !asksAgain(head) {
		return policy.PullRequestRef{}, false, err
	}
	e, err := parse[github.CheckRunEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	repo, err := repository(e.Repo, e.Installation)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	number := numberOf(e.GetCheckRun().GetExternalID())
	return policy.PullRequestRef{Repository: repo, Number: number}, number > 0, nil
}

// numberOf reads the pull request's number out of an external id of ours, as
// "acme/shop#7" or, on a queue entry, "acme/shop#7@merge-group"; 0 out of
// anything else.
func numberOf(externalID string) int {
	_, number, _ := strings.Cut(externalID, "#")
	number, _, _ = strings.Cut(number, "@")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}

// asksAgain is true of a re-run and of a person's press of the button. Whoever
// may see the button may press it: it reads anew and changes no rule.
func asksAgain(head *heading) bool {
	switch head.Action {
	case "rerequested":
		return true
	case "requested_action":
		return actor(head.Sender).Kind == policy.KindUser
	default:
		return false
	}
}

func mergeGroupOf(e *github.CheckRunEvent, repo policy.Repository) gate.MergeGroup {
	return gate.MergeGroup{
		Repository: repo, HeadSHA: e.GetCheckRun().GetHeadSHA(),
		Number: numberOf(e.GetCheckRun().GetExternalID()),
	}
}

// take has the check written anew when it is decided next, which follows.
func (d checkRunEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.CheckRunEvent](payload)
	if err != nil {
		return nil, err
	}
	repo, err := repository(e.Repo, e.Installation)
	if err != nil {
		return nil, err
	}
	if gate.IsMergeGroupCheck(e.GetCheckRun().GetExternalID()) {
		return nil, d.config.Gate.ObserveMergeGroup(ctx, mergeGroupOf(e, repo))
	}
	ref, ok, err := d.concerns(payload)
	if err != nil || !ok {
		return nil, err
	}
	return nil, d.config.Gate.Reconsider(ctx, ref)
}
