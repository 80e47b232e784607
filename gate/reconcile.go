package gate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// recordSeen makes facts of what the snapshot shows and no delivery told: the
// head, reviews that were submitted or dismissed, and verdicts in texts.
func (g *Gate) recordSeen(ctx context.Context, s policy.Snapshot) (ApprovalState, error) {
	ref := s.PullRequest.Ref
	state, err := g.Workflow.State(ctx, ref.Key())
	if err != nil && !errors.Is(err, ErrUnknownRequest) {
		return ApprovalState{}, err
	}
	news := false
	if state.Request.Commit != s.PullRequest.HeadSHA {
		news = true
		if err := g.recordHead(ctx, s.PullRequest); err != nil {
			return ApprovalState{}, err
		}
	}
	for _, review := range s.Reviews {
		dismissal := dismissal(s.History, review)
		if state.knows(review, dismissal) {
			continue
		}
		news = true
		if err := g.RecordReview(ctx, ref, review, dismissal); err != nil {
			return ApprovalState{}, err
		}
	}
	for _, said := range texts(s) {
		if state.heard(said.Text) || said.Edited {
			continue
		}
		news = true
		if _, err := g.RecordText(ctx, ref, said); err != nil {
			return ApprovalState{}, err
		}
	}
	if !news {
		return state, nil
	}
	return g.Workflow.State(ctx, ref.Key())
}

// lagging reports whether GitHub shows less than it has delivered: a comment is
// missing that was made after the last update that the reading shows. For a
// minute that is taken for a replica's delay; after that, the comment is gone.
func lagging(s policy.Snapshot, votes []policy.Vote, now time.Time) bool {
	return slices.ContainsFunc(votes, func(v policy.Vote) bool {
		return strings.HasPrefix(v.Source, policy.SourceComment+":") && v.Verdict == policy.VerdictApprove && s.Gone(v.Source) &&
			s.PullRequest.UpdatedAt.Before(v.At) && now.Sub(v.At) < time.Minute
	})
}

// recordHead records the head that a reading shows. The push came before the
// last update, whose time GitHub gives to the second, rounded down. If nobody
// tells of it, there may have been others before it: what was said since the last
// head that is known is not known to be about that.
func (g *Gate) recordHead(ctx context.Context, pr policy.PullRequest) error {
	return g.ObserveHead(ctx, pr.Ref, policy.Head{SHA: pr.HeadSHA, Since: pr.UpdatedAt.Add(time.Second), Replaced: policy.UnknownCommit})
}

// dismissal finds in the history who dismissed the review.
func dismissal(history []policy.Event, review policy.Review) Dismissal {
	for _, event := range slices.Backward(history) {
		if event.Kind == policy.EventReviewDismissed && event.ReviewID == review.ID {
			return Dismissal{By: event.By, Was: event.Was}
		}
	}
	return Dismissal{}
}

// Said is a text that somebody wrote.
type Said struct {
	Text Text
	By   policy.Actor
	Body string
	At   time.Time
	// Commit is the commit that a review is about; empty for a comment.
	Commit string
	// Edited is true if it does not say any more what it said at first.
	Edited bool
}

// texts are what people wrote on the pull request.
func texts(s policy.Snapshot) []Said {
	var all []Said
	for _, c := range s.Comments {
		all = append(all, Said{Text: CommentText(c.ID), By: c.By, Body: c.Body, At: c.CreatedAt, Edited: c.Edited})
	}
	for _, r := range s.Reviews {
		if r.State == policy.ReviewDismissed {
			continue
		}
		commit := r.Commit
		if commit == "" {
			commit = policy.UnknownCommit
		}
		all = append(all, Said{Text: ReviewText(r.ID), By: r.By, Body: r.Body, At: r.SubmittedAt, Commit: commit, Edited: r.Edited})
	}
	return slices.DeleteFunc(all, func(said Said) bool { return !strings.Contains(said.Body, "/") })
}

// RecordText records the votes that a text holds. Machines have none. refused
// has, by the index of the command, why a vote is none: its commit is unknown.
func (g *Gate) RecordText(ctx context.Context, ref policy.PullRequestRef, said Said) (refused map[int]error, err error) {
	refused = map[int]error{}
	if said.By.Kind != policy.KindUser {
		return refused, nil
	}
	commands := policy.ParseCommands(said.Body)
	for i, command := range commands[:min(len(commands), policy.MaxCommands)] {
		if command.Fault != "" {
			continue
		}
		var unknown *UnknownCommitError
		switch err := g.recordCommand(ctx, ref, said, i, command); {
		case errors.As(err, &unknown):
			refused[i] = unknown
		case err != nil:
			return nil, err
		}
	}
	return refused, nil
}

// recordCommand records the vote that the index-th command of a text gives or
// takes back; other commands are none.
func (g *Gate) recordCommand(ctx context.Context, ref policy.PullRequestRef, said Said, index int, command policy.Command) error {
	vote := policy.Vote{
		Source: said.Text.Source(index), By: said.By, Commit: cmp.Or(command.SHA, said.Commit), At: said.At, Reason: command.Reason,
	}
	switch command.Verb {
	case policy.VerbApprove:
		return g.Approve(ctx, ref, vote)
	case policy.VerbReject:
		return g.Reject(ctx, ref, vote)
	case policy.VerbUnapprove:
		return g.Unapprove(ctx, ref, vote)
	default:
		return nil
	}
}
