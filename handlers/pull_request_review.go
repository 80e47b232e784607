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

// pullRequestReviewEvent is a review that was submitted, edited or dismissed.
type pullRequestReviewEvent struct{ *Door }

var reviewActions = []string{"submitted", "edited", "dismissed"}

func (pullRequestReviewEvent) Handles() []string { return []string{"pull_request_review"} }

func (pullRequestReviewEvent) concerns(payload []byte) (policy.PullRequestRef, bool, error) {
	e, err := parse[github.PullRequestReviewEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	return ref, slices.Contains(reviewActions, e.GetAction()), err
}

// Handle records the review's verdict, bound to the commit that the delivery
// names, and obeys the commands in its text.
func (d pullRequestReviewEvent) Handle(ctx context.Context, _, _ string, payload []byte) error {
	e, err := parse[github.PullRequestReviewEvent](payload)
	if err != nil {
		return err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetPullRequest().GetNumber())
	if err != nil {
		return err
	}
	review := policy.Review{
		ID: e.GetReview().GetID(), By: actor(e.GetReview().GetUser()),
		// Webhooks spell the state in lower case, the REST API in upper case.
		State:  policy.ReviewState(strings.ToUpper(e.GetReview().GetState())),
		Commit: e.GetReview().GetCommitID(), SubmittedAt: e.GetReview().GetSubmittedAt().UTC(),
	}
	if e.GetAction() == "edited" {
		return d.withdrawText(ctx, ref, e)
	}
	if err := d.config.Gate.RecordReview(ctx, ref, review, actor(e.GetSender())); err != nil {
		return err
	}
	if e.GetAction() == "dismissed" {
		return d.withdrawText(ctx, ref, e)
	}
	return d.obey(ctx, speech{
		about: ref, by: review.By, text: gate.ReviewText(review.ID), body: e.GetReview().GetBody(),
		at: review.SubmittedAt, commit: cmp.Or(review.Commit, policy.UnknownCommit),
	})
}

// withdrawText takes back the commands in the review's text. What an edited text
// said before, its payload does not tell.
func (d pullRequestReviewEvent) withdrawText(ctx context.Context, ref policy.PullRequestRef, e *github.PullRequestReviewEvent) error {
	edited := e.GetAction() == "edited"
	held := edited || holdsCommands(e.GetReview().GetBody())
	return d.config.Gate.WithdrawText(ctx, ref, gate.ReviewText(e.GetReview().GetID()), held, actor(e.GetSender()))
}
