package handlers

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// pullRequestEvent is a change of the pull request itself.
type pullRequestEvent struct{ *Door }

// pullRequestActions are the changes that can change a verdict, or take the
// check from a pull request or give it back.
var pullRequestActions = []string{
	"opened", "reopened", "closed", "synchronize", "edited", "labeled", "unlabeled", "assigned", "ready_for_review", "converted_to_draft",
}

func (pullRequestEvent) Handles() []string { return []string{"pull_request"} }

func (pullRequestEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	head, err := parse[heading](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	ref, err := head.pullRequest()
	if strings.HasPrefix(head.Label.Name, switchLabel) {
		return ref, gate.UrgencySwitch, err
	}
	return ref, onlyIf(slices.Contains(pullRequestActions, head.Action) && matters(head)), err
}

// switchLabel begins the names of the labels that stop everything, unless a
// policy calls them something else; those are only as urgent as people.
const switchLabel = "killswitch"

// matters is false of an edit that leaves the base branch as it is, since no rule
// reads titles or descriptions, and of an assignment by a person: only an
// agent's says who asked it.
func matters(head *heading) bool {
	switch head.Action {
	case "edited":
		return head.Changes.Base != nil
	case "assigned":
		return actor(head.Sender).Kind != policy.KindUser
	default:
		return true
	}
}

// take records the head that the event shows: since the opening, or since the
// push, by GitHub's clock. Who opened or pushed it took part in the change. Other
// events show a head and do not tell of those between it and the last one.
func (d pullRequestEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.PullRequestEvent](payload)
	if err != nil {
		return nil, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	if err != nil {
		return nil, err
	}
	head := policy.Head{
		SHA: e.GetPullRequest().GetHead().GetSHA(), Since: e.GetPullRequest().GetUpdatedAt().UTC(), Replaced: policy.UnknownCommit,
	}
	switch e.GetAction() {
	case "opened":
		head.Since, head.By, head.Replaced = e.GetPullRequest().GetCreatedAt().UTC(), actor(e.GetSender()), ""
	case "synchronize":
		head.By, head.Replaced = actor(e.GetSender()), cmp.Or(e.GetBefore(), policy.UnknownCommit)
	}
	return nil, d.config.Gate.ObserveHead(ctx, ref, head)
}
