package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

var _ gate.ApprovalWorkflow = (*Store)(nil)

// Request opens a request or brings it up to date, by the rule of
// [gate.ApprovalState.Observe]. What moves the request to another commit or
// changes what it takes is written to the audit chain.
func (s *Store) Request(ctx context.Context, request gate.ApprovalRequest) error {
	request.Since = atLatest(request.Since)
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		state, err := approvalState(ctx, tx, request.ID)
		known := !errors.Is(err, gate.ErrUnknownRequest)
		if err != nil && known {
			return err
		}
		next, changed := state.Observe(request)
		if known && !changed {
			return nil
		}
		return s.putObserved(ctx, tx, state, next)
	})
	if err != nil {
		return fmt.Errorf("record the approval request %s: %w", request.ID, err)
	}
	return nil
}

func (s *Store) putObserved(ctx context.Context, tx *transaction, state, next gate.ApprovalState) error {
	if err := putRequest(ctx, tx, next.Request); err != nil {
		return err
	}
	for position, head := range next.Heads {
		if position < len(state.Heads) && state.Heads[position] == head {
			continue
		}
		if err := putHead(ctx, tx, next.Request.ID, position, head); err != nil {
			return err
		}
	}
	was, is := state.Request, next.Request
	if was.Commit == is.Commit && was.Tier == is.Tier && was.Required == is.Required {
		return nil
	}
	return s.appendAudit(ctx, tx, audit.Entry{
		At: s.now(), Actor: audit.Itself, Action: "approval.request", Subject: is.Subject, Commit: is.Commit, Detail: asks(is),
	})
}

func asks(r gate.ApprovalRequest) string {
	switch {
	case !r.Tier.Known():
		return "the tier is not known yet"
	case r.Required == 1:
		return string(r.Tier) + ": 1 approval"
	default:
		return fmt.Sprintf("%s: %d approvals", r.Tier, r.Required)
	}
}

// Approve records an approval and its audit entry.
func (s *Store) Approve(ctx context.Context, id string, vote policy.Vote) error {
	vote.Verdict = policy.VerdictApprove
	return s.record(ctx, id, vote)
}

// Reject records a rejection and its audit entry.
func (s *Store) Reject(ctx context.Context, id string, vote policy.Vote) error {
	vote.Verdict = policy.VerdictReject
	return s.record(ctx, id, vote)
}

func (s *Store) record(ctx context.Context, id string, vote policy.Vote) error {
	err := gate.ValidateVote(vote)
	if err == nil {
		vote.At, vote.Reason = atEarliest(vote.At), storableText(vote.Reason)
		err = s.changeVotes(ctx, id, nil, func(state gate.ApprovalState) []policy.Vote { return state.WithVote(vote) })
	}
	if err != nil {
		return fmt.Errorf("record the vote %s on %s: %w", vote.Source, id, err)
	}
	return nil
}

// Withdraw takes back what came, or will still come, from the source, and
// writes that to the audit chain.
func (s *Store) Withdraw(ctx context.Context, id, source string, by policy.Actor) error {
	err := s.changeVotes(ctx, id, &by, func(state gate.ApprovalState) []policy.Vote { return state.WithoutVote(source, by) })
	if err != nil {
		return fmt.Errorf("withdraw the vote %s on %s: %w", source, id, err)
	}
	return nil
}

// changeVotes keeps those votes that change made different, each with an audit
// entry that names by, or, if by is nil, the voter. It writes nothing if there
// are none.
func (s *Store) changeVotes(ctx context.Context, id string, by *policy.Actor, change func(gate.ApprovalState) []policy.Vote) error {
	return s.write(ctx, func(ctx context.Context, tx *transaction) error {
		state, err := approvalState(ctx, tx, id)
		if err != nil {
			return err
		}
		for position, vote := range change(state) {
			if position < len(state.Votes) && sameVote(state.Votes[position], vote) {
				continue
			}
			if err := putVote(ctx, tx, id, position, vote); err != nil {
				return err
			}
			if err := s.appendAudit(ctx, tx, voteEntry(s.now(), state.Request.Subject, vote, by)); err != nil {
				return err
			}
		}
		return nil
	})
}

func sameVote(a, b policy.Vote) bool {
	sameTime := a.At.Equal(b.At)
	a.At, b.At = time.Time{}, time.Time{}
	return sameTime && a == b
}

// voteEntry tells what was recorded, not what was asked for: an approval whose
// source was withdrawn before is recorded as withdrawn.
func voteEntry(now time.Time, subject string, vote policy.Vote, by *policy.Actor) audit.Entry {
	if by == nil {
		by = &vote.By
	}
	entry := audit.Entry{At: now, Actor: by.String(), ActorID: by.ID, Subject: subject, Commit: vote.Commit, Detail: "by " + vote.Source}
	switch {
	case vote.Verdict == policy.VerdictReject && vote.LiftedBy.Known():
		entry.Action = "approval.lift"
		entry.Detail = vote.Source + " of " + vote.By.String()
	case vote.Verdict == policy.VerdictApprove:
		entry.Action = "approval.approve"
	case vote.Verdict == policy.VerdictReject:
		entry.Action = "approval.reject"
	default:
		entry.Action = "approval.withdraw"
		entry.Detail = vote.Source + " of " + vote.By.String()
	}
	if vote.Reason != "" {
		entry.Detail += ": " + vote.Reason
	}
	return entry
}

// Status counts the votes as of the store's clock.
func (s *Store) Status(ctx context.Context, id string) (gate.ApprovalStatus, error) {
	state, err := s.State(ctx, id)
	if err != nil {
		return "", err
	}
	return state.Status(s.now()), nil
}

// State returns the request and its votes, all of one moment.
func (s *Store) State(ctx context.Context, id string) (gate.ApprovalState, error) {
	var state gate.ApprovalState
	err := s.view(ctx, func(tx *transaction) (err error) {
		state, err = approvalState(ctx, tx, id)
		return err
	})
	if err != nil {
		return gate.ApprovalState{}, fmt.Errorf("read the approval request %s: %w", id, err)
	}
	return state, nil
}

func approvalState(ctx context.Context, tx *transaction, id string) (gate.ApprovalState, error) {
	var state gate.ApprovalState
	var err error
	if state.Request, err = request(ctx, tx, id); err != nil {
		return gate.ApprovalState{}, err
	}
	if state.Heads, err = heads(ctx, tx, id); err != nil {
		return gate.ApprovalState{}, err
	}
	state.Votes, err = votes(ctx, tx, id)
	return state, err
}
