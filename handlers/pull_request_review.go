package handlers

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// pullRequestReviewEvent is a review that was submitted, edited or dismissed.
type pullRequestReviewEvent struct{ *Door }

var reviewActions = []string{"submitted", "edited", "dismissed"}

func (pullRequestReviewEvent) Handles() []string { return []string{"pull_request_review"} }

func (pullRequestReviewEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	head, err := parse[heading](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	ref, err := head.pullRequest()
	return ref, onlyIf(slices.Contains(reviewActions, head.Action)), err
}

// take records the review's verdict, bound to the commit that the delivery
// names, and the votes in its text.
func (d pullRequestReviewEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.PullRequestReviewEvent](payload)
	if err != nil {
		return nil, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	if err != nil {
		return nil, err
	}
	review := policy.Review{
		ID: e.GetReview().GetID(), By: actor(e.GetReview().GetUser()),
		// Webhooks spell the state in lower case, the REST API in upper case.
		State:  policy.ReviewState(strings.ToUpper(e.GetReview().GetState())),
		Commit: e.GetReview().GetCommitID(), SubmittedAt: e.GetReview().GetSubmittedAt().UTC(),
	}
	if e.GetAction() == "edited" {
		return nil, d.withdrawText(ctx, ref, e)
	}
	if err := d.config.Gate.RecordReview(ctx, ref, review, gate.Dismissal{By: actor(e.GetSender())}); err != nil {
		return nil, err
	}
	if e.GetAction() == "dismissed" {
		return nil, d.withdrawText(ctx, ref, e)
	}
	return d.obey(ctx, speech{about: ref, Said: gate.Said{
		Text: gate.ReviewText(review.ID), By: review.By, Body: e.GetReview().GetBody(),
		At: review.SubmittedAt, Commit: cmp.Or(review.Commit, policy.UnknownCommit),
	}})
}

// withdrawText takes back the commands in the review's text. What an edited text
// said before, its payload does not tell.
func (d pullRequestReviewEvent) withdrawText(ctx context.Context, ref policy.PullRequestRef, e *github.PullRequestReviewEvent) error {
	edited := e.GetAction() == "edited"
	held := edited || holdsCommands(e.GetReview().GetBody())
	return d.config.Gate.WithdrawText(ctx, ref, gate.ReviewText(e.GetReview().GetID()), held, actor(e.GetSender()))
}

func (d pullRequestReviewEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	return d.ordersFor(payload, d.ordered)
}

func (d pullRequestReviewEvent) order(ctx context.Context, payload []byte, heardAt time.Time) (SwitchAnswer, error) {
	s, orders, err := d.ordered(payload, heardAt)
	if err != nil || len(orders) == 0 {
		return nil, err
	}
	return d.obeyOrders(ctx, s, orders)
}

func (d pullRequestReviewEvent) ordered(payload []byte, heardAt time.Time) (speech, map[int]killswitch.Order, error) {
	e, err := parse[github.PullRequestReviewEvent](payload)
	if err != nil || e.GetAction() != "submitted" {
		return speech{}, nil, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	if err != nil {
		return speech{}, nil, err
	}
	s := speech{about: ref, Said: gate.Said{
		Text: gate.ReviewText(e.GetReview().GetID()), By: actor(e.GetReview().GetUser()), Body: e.GetReview().GetBody(),
		At: e.GetReview().GetSubmittedAt().UTC(),
	}}
	return s, d.orders(s, killswitch.Order{PullRequest: true, HeardAt: heardAt, Branch: e.GetRepo().GetDefaultBranch()}), nil
}
