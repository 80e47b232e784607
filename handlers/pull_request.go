package handlers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
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

func (d pullRequestEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	head, err := parse[heading](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	ref, err := head.pullRequest()
	if is, _ := d.config.Switch.Means(ref.Repository, head.Label.Name); is {
		return ref, ignored, err // it is work on the switch
	}
	return ref, onlyIf(slices.Contains(pullRequestActions, head.Action) && matters(head)), err
}

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

func (d pullRequestEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	head, err := parse[heading](payload)
	if err != nil || head.Action != "labeled" && head.Action != "unlabeled" {
		return killswitch.Scope{}, false, err
	}
	ref, err := head.pullRequest()
	if err != nil {
		return killswitch.Scope{}, false, err
	}
	is, agents := d.config.Switch.Means(ref.Repository, head.Label.Name)
	scope := killswitch.PullRequest(ref)
	scope.Agents = agents
	return scope, is, nil
}

func (d pullRequestEvent) throw(ctx context.Context, payload []byte, heardAt time.Time) error {
	scope, is, err := d.throws(payload)
	if err != nil || !is {
		return err
	}
	e, err := parse[github.PullRequestEvent](payload)
	if err != nil {
		return err
	}
	n := killswitch.Notice{
		Scope: scope, Carrier: killswitch.Carrier{Repository: scope.Repository, Number: scope.Number, Label: e.GetLabel().GetName()},
		By: actor(e.GetSender()), At: e.GetPullRequest().GetUpdatedAt().UTC(), HeardAt: heardAt, Branch: e.GetRepo().GetDefaultBranch(),
	}
	if e.GetAction() == "labeled" {
		return d.config.Switch.Put(ctx, n)
	}
	return d.config.Switch.Taken(ctx, n, "took the label off")
}
