package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// ObserveHead records that a commit was seen as the pull request's head, who
// pushed it and onto which. head.Since may be later than the push, never earlier.
func (g *Gate) ObserveHead(ctx context.Context, ref policy.PullRequestRef, head policy.Head) error {
	state, err := g.Workflow.State(ctx, ref.Key())
	if err != nil && !errors.Is(err, ErrUnknownRequest) {
		return fmt.Errorf("observe the head of %s: %w", ref, err)
	}
	request := ApprovalRequest{ID: ref.Key(), Subject: ref.String(), Commit: head.SHA}
	if state.Request.Commit == head.SHA {
		// Seen before: keep what is asked for this commit.
		request = state.Request
	}
	request.Since, request.By, request.Replaced = head.Since, head.By, head.Replaced
	if err := g.Workflow.Request(ctx, request); err != nil {
		return fmt.Errorf("observe the head of %s: %w", ref, err)
	}
	return nil
}

// record changes the request's votes, and opens the request if they are the first
// that is heard of the pull request.
func (g *Gate) record(ctx context.Context, ref policy.PullRequestRef, change func() error) error {
	err := change()
	if !errors.Is(err, ErrUnknownRequest) {
		return err
	}
	if err := g.Workflow.Request(ctx, ApprovalRequest{ID: ref.Key(), Subject: ref.String()}); err != nil {
		return err
	}
	return change()
}

// Dismissal is who dismissed a review, and what it said before; both are zero
// where that is not known.
type Dismissal struct {
	By  policy.Actor
	Was policy.ReviewState
}

// RecordReview records what a review says: an approval, a rejection, or, once
// it is dismissed, nothing any more. A comment is no verdict and leaves an
// earlier one as it is.
func (g *Gate) RecordReview(ctx context.Context, ref policy.PullRequestRef, review policy.Review, dismissal Dismissal) error {
	vote := policy.Vote{Source: ReviewSource(review.ID), By: review.By, Commit: review.Commit, At: review.SubmittedAt}
	if vote.Commit == "" {
		// GitHub forgets the commit when it is gone; the time does not tell it.
		vote.Commit = policy.UnknownCommit
	}
	if !review.By.Known() && review.State != policy.ReviewDismissed {
		// The account was deleted. What it said before that was recorded when it did.
		return nil
	}
	switch review.State {
	case policy.ReviewApproved:
		return g.Approve(ctx, ref, vote)
	case policy.ReviewChangesRequested:
		return g.Reject(ctx, ref, vote)
	case policy.ReviewDismissed:
		return g.recordDismissed(ctx, ref, vote, dismissal)
	default:
		return nil
	}
}

// recordDismissed takes back a review's verdict. A rejection that GitHub only
// tells of now is recorded first: somebody else's dismissal does not undo it.
func (g *Gate) recordDismissed(ctx context.Context, ref policy.PullRequestRef, vote policy.Vote, dismissal Dismissal) error {
	if dismissal.Was == policy.ReviewChangesRequested && vote.By.Known() {
		if err := g.Reject(ctx, ref, vote); err != nil {
			return err
		}
	}
	state, err := g.Workflow.State(ctx, ref.Key())
	if err != nil && !errors.Is(err, ErrUnknownRequest) {
		return fmt.Errorf("record the dismissal of %s on %s: %w", vote.Source, ref, err)
	}
	if state.rejectedBy(vote.Source) != 0 && state.rejectedBy(vote.Source) != dismissal.By.ID {
		return g.withdraw(ctx, ref, vote.Source, dismissal.By)
	}
	return g.recordWithdrawn(ctx, ref, vote, dismissal.By)
}

// Approve records an approval. A commit that is named by its first digits is
// looked up among the commits that the pull request had; a
// [*UnknownCommitError] says that none of them begins so, or more than one.
func (g *Gate) Approve(ctx context.Context, ref policy.PullRequestRef, vote policy.Vote) error {
	err := g.record(ctx, ref, func() error {
		bound, err := g.bind(ctx, ref, vote)
		if err != nil {
			return err
		}
		return g.Workflow.Approve(ctx, ref.Key(), bound)
	})
	if err != nil {
		return fmt.Errorf("record the approval %s on %s: %w", vote.Source, ref, err)
	}
	return nil
}

// Reject records a rejection. It holds whatever is pushed afterwards.
func (g *Gate) Reject(ctx context.Context, ref policy.PullRequestRef, vote policy.Vote) error {
	err := g.record(ctx, ref, func() error { return g.Workflow.Reject(ctx, ref.Key(), vote) })
	if err != nil {
		return fmt.Errorf("record the rejection %s on %s: %w", vote.Source, ref, err)
	}
	return nil
}

// Unapprove records that the person has no verdict any more, from vote.At on.
func (g *Gate) Unapprove(ctx context.Context, ref policy.PullRequestRef, vote policy.Vote) error {
	return g.recordWithdrawn(ctx, ref, vote, vote.By)
}

// recordWithdrawn records that the vote's giver has no verdict from vote.At on.
// The source is withdrawn first, so that what is recorded after it is not an
// approval for a single moment.
func (g *Gate) recordWithdrawn(ctx context.Context, ref policy.PullRequestRef, vote policy.Vote, by policy.Actor) error {
	if err := g.withdraw(ctx, ref, vote.Source, by); err != nil {
		return err
	}
	if !vote.By.Known() {
		return nil
	}
	err := g.record(ctx, ref, func() error { return g.Workflow.Approve(ctx, ref.Key(), vote) })
	if err != nil {
		return fmt.Errorf("record the withdrawal %s on %s: %w", vote.Source, ref, err)
	}
	return nil
}

// WithdrawText takes back the votes that a text carried, because it was edited
// or deleted by that person. An approval goes whoever did it; a rejection of
// somebody else's only gets their name on it, so that nobody lifts a veto by
// tidying up. If nothing of the text has been heard yet and it held commands,
// approvals that it still brings are withdrawn as they come: GitHub may deliver
// the news in any order.
func (g *Gate) WithdrawText(ctx context.Context, ref policy.PullRequestRef, text Text, heldCommands bool, by policy.Actor) error {
	state, err := g.Workflow.State(ctx, ref.Key())
	if err != nil && !errors.Is(err, ErrUnknownRequest) {
		return fmt.Errorf("withdraw %s on %s: %w", text, ref, err)
	}
	if !state.heard(text) && heldCommands {
		return g.withdraw(ctx, ref, string(text), by)
	}
	for _, vote := range state.Votes {
		if !text.carries(vote.Source) {
			continue
		}
		if err := g.withdraw(ctx, ref, vote.Source, by); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gate) withdraw(ctx context.Context, ref policy.PullRequestRef, source string, by policy.Actor) error {
	err := g.record(ctx, ref, func() error { return g.Workflow.Withdraw(ctx, ref.Key(), source, by) })
	if err != nil {
		return fmt.Errorf("withdraw %s on %s: %w", source, ref, err)
	}
	return nil
}

// Refuse records that a command was refused, and why.
func (g *Gate) Refuse(ctx context.Context, ref policy.PullRequestRef, by policy.Actor, command, why string) error {
	err := g.Store.Audit(ctx, audit.Entry{
		At: g.Now(), Actor: by.String(), ActorID: by.ID, Action: "command.refused", Subject: ref.String(), Detail: "/" + command + ": " + why,
	})
	if err != nil {
		return fmt.Errorf("record the refusal of /%s on %s: %w", command, ref, err)
	}
	return nil
}

// Reconsider has the next decision on the pull request written whatever it says:
// GitHub does not show a run any more as it was once somebody asked to re-run it.
func (g *Gate) Reconsider(ctx context.Context, ref policy.PullRequestRef) error {
	if err := g.Store.ForgetPosted(ctx, ref); err != nil {
		return fmt.Errorf("reconsider %s: %w", ref, err)
	}
	return nil
}

// ReconsiderHead asks for all checks on that commit to be decided and written
// anew.
func (g *Gate) ReconsiderHead(ctx context.Context, repository policy.Repository, sha string) error {
	refs, err := g.Store.AboutHead(ctx, repository, sha)
	if err != nil {
		return fmt.Errorf("reconsider %s of %s: %w", sha, repository, err)
	}
	for _, ref := range refs {
		if err := g.Reconsider(ctx, ref); err != nil {
			return err
		}
		if err := g.Store.Evaluate(ctx, ref); err != nil {
			return fmt.Errorf("reconsider %s: %w", ref, err)
		}
	}
	return nil
}

// Reassess asks for the open pull requests in scope to be decided anew: something
// changed that they do not tell of.
func (g *Gate) Reassess(ctx context.Context, scope Scope) error {
	if err := g.Store.EvaluateOpen(ctx, scope); err != nil {
		return fmt.Errorf("reassess the pull requests of %s: %w", scope.Owner, err)
	}
	return nil
}

// UnknownCommitError is returned for an approval of a commit that the pull
// request never had as its head.
type UnknownCommitError struct{ Named string }

func (e *UnknownCommitError) Error() string {
	return fmt.Sprintf("%s is not a commit that this pull request has or had as its head", e.Named)
}

const fullSHALength = 40

// bind completes the commit that a vote names. One that names none is about the
// head that its giver could see, which [policy.CommitAt] finds out.
func (g *Gate) bind(ctx context.Context, ref policy.PullRequestRef, vote policy.Vote) (policy.Vote, error) {
	if vote.Commit == "" || len(vote.Commit) >= fullSHALength || vote.Commit == policy.UnknownCommit {
		return vote, nil
	}
	state, err := g.Workflow.State(ctx, ref.Key())
	if err != nil {
		return vote, fmt.Errorf("look up what %s on %s is about: %w", vote.Source, ref, err)
	}
	vote.Commit, err = state.expand(vote.Commit)
	return vote, err
}

// ReviewSource names the vote that a review's state carries.
func ReviewSource(reviewID int64) string { return fmt.Sprintf("%s:%d", policy.SourceReview, reviewID) }

// Text names a text that people write commands in.
type Text string

// CommentText is a comment on the pull request.
func CommentText(commentID int64) Text {
	return Text(fmt.Sprintf("%s:%d", policy.SourceComment, commentID))
}

// ReviewText is the text of a review, apart from the review's state.
func ReviewText(reviewID int64) Text {
	return Text(fmt.Sprintf("%s:%d", policy.SourceReviewText, reviewID))
}

// Source names the vote that the index-th command of the text carries.
func (t Text) Source(index int) string { return fmt.Sprintf("%s:%d", t, index) }

func (t Text) carries(source string) bool { return textOf(source) == string(t) }

// textOf is the text that a command's vote stands in; it names nothing for the
// vote of a review's state.
func textOf(source string) string {
	end := strings.LastIndex(source, ":")
	if end < 0 {
		return ""
	}
	return source[:end]
}
