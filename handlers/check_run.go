package handlers

import (
	"context"
	"strconv"
	"strings"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// checkRunEvent is a re-run or a press of the button on one of our check runs.
// GitHub sends both only to the App that owns the run.
type checkRunEvent struct{ *Door }

func (checkRunEvent) Handles() []string { return []string{"check_run"} }

// concerns takes the pull request from the run's external id, which we wrote:
// the payload's own list is empty for forks.
func (checkRunEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	head, err := parse[heading](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	return askedAbout(head)
}

// askedAbout is the pull request that is to be looked at again, if one is.
func askedAbout(head *heading) (policy.PullRequestRef, gate.Urgency, error) {
	if !asksAgain(head) {
		return policy.PullRequestRef{}, ignored, nil
	}
	repo, err := head.repository()
	number := numberOf(head.CheckRun.ExternalID)
	return policy.PullRequestRef{Repository: repo, Number: number}, onlyIf(number > 0), err
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

// take has the check written anew when it is decided next, which follows.
func (d checkRunEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	head, err := parse[heading](payload)
	if err != nil {
		return nil, err
	}
	ref, urgency, err := askedAbout(head)
	if err != nil || urgency == ignored {
		return nil, err
	}
	if gate.IsMergeGroupCheck(head.CheckRun.ExternalID) {
		return nil, d.config.Gate.ObserveMergeGroup(ctx, gate.MergeGroup{
			Repository: ref.Repository, HeadSHA: head.CheckRun.HeadSHA, Number: ref.Number,
		})
	}
	return nil, d.config.Gate.Reconsider(ctx, ref)
}
