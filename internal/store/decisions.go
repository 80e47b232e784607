package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

var _ gate.Store = (*Store)(nil)

// NextGeneration returns a number above all that were handed out for this pull
// request; the first is 1.
func (s *Store) NextGeneration(ctx context.Context, ref policy.PullRequestRef) (int64, error) {
	var generation int64
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		return tx.QueryRowContext(ctx, `
			INSERT INTO decisions (pull_request, generation, posted_generation, head_sha, decision, check_run_id, digest, posted_at)
			VALUES (?, 1, 0, '', '', 0, '', 0)
			ON CONFLICT (pull_request) DO UPDATE SET generation = decisions.generation + 1
			RETURNING generation`, ref.Key()).Scan(&generation)
	})
	if err != nil {
		return 0, fmt.Errorf("begin a generation of %s: %w", ref, err)
	}
	return generation, nil
}

// Current reports whether the generation is the newest handed out.
func (s *Store) Current(ctx context.Context, ref policy.PullRequestRef, generation int64) (bool, error) {
	var newest int64
	err := s.read(ctx, func(tx *transaction) (err error) {
		newest, err = newestGeneration(ctx, tx, ref)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read the generation of %s: %w", ref, err)
	}
	return newest == generation, nil
}

// BeginPost keeps the decision and that its check is about to be written:
// LastPosted has no Digest until PutPosted. Those that share the check are asked
// to be evaluated. It returns gate.ErrSuperseded if a newer generation was
// handed out, and gate.ErrStopped for an open gate while a kill switch is on.
func (s *Store) BeginPost(ctx context.Context, ref policy.PullRequestRef, posted gate.Posted, sharing []policy.PullRequestRef) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		newest, err := newestGeneration(ctx, tx, ref)
		switch {
		case err != nil:
			return err
		case posted.Generation < newest:
			return gate.ErrSuperseded
		}
		if posted.Decision.Outcome == policy.OutcomeOpen {
			// A switch that is thrown after this finds a gate that may show green.
			if stopped, err := reached(ctx, tx, ref, posted.Decision.ByAgent, killswitch.StateOn); err != nil || stopped {
				return errors.Join(err, gate.ErrStopped)
			}
		}
		posted.Digest = ""
		if err := putDecision(ctx, tx, ref, posted); err != nil {
			return err
		}
		// It may show that from now on, or still what it did.
		_, err = tx.ExecContext(ctx, `UPDATE decisions SET shows = ? WHERE pull_request = ? AND shows < ?`,
			int(posted.Decision.Outcome), ref.Key(), int(posted.Decision.Outcome))
		if err != nil {
			return fmt.Errorf("write what the check may show: %w", err)
		}
		for _, other := range sharing {
			if _, err := wantWork(ctx, tx, pullRequestKey(other), other, gate.UrgencyBackground, s.now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("begin to post generation %d on %s: %w", posted.Generation, ref, err)
	}
	if len(sharing) > 0 {
		s.signal()
	}
	return nil
}

// LastPosted returns what was posted last, the zero Posted if nothing was. After
// [Store.BeginPost] and [Store.ForgetPosted] it has no Digest.
func (s *Store) LastPosted(ctx context.Context, ref policy.PullRequestRef) (gate.Posted, error) {
	var row decisionRow
	err := s.read(ctx, func(tx *transaction) (err error) {
		row, err = decision(ctx, tx, ref)
		return err
	})
	if err != nil {
		return gate.Posted{}, fmt.Errorf("read the last decision on %s: %w", ref, err)
	}
	return row.posted, nil
}

// PutPosted keeps the decision, its audit entry and, if time alone changes the
// decision, the timer to evaluate again then; an earlier timer stays. It returns
// gate.ErrSuperseded and keeps nothing if a newer generation was handed out.
func (s *Store) PutPosted(ctx context.Context, ref policy.PullRequestRef, posted gate.Posted, entry audit.Entry) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		newest, err := newestGeneration(ctx, tx, ref)
		switch {
		case err != nil:
			return err
		case posted.Generation < newest:
			return gate.ErrSuperseded
		case posted.Generation > newest, newest == 0:
			return fmt.Errorf("generation %d was never handed out, the newest is %d", posted.Generation, newest)
		}
		if err := putDecision(ctx, tx, ref, posted); err != nil {
			return err
		}
		if err := putShown(ctx, tx, ref, posted, s.process, s.now()); err != nil {
			return err
		}
		again, err := reviewAt(ctx, tx, ref, posted, s.now())
		if err != nil {
			return err
		}
		if err := setTimer(ctx, tx, ref, again); err != nil {
			return err
		}
		return s.appendAudit(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("keep the decision of generation %d on %s: %w", posted.Generation, ref, err)
	}
	s.signal()
	return nil
}

// ForgetPosted asks for the next decision to be written whatever it says, also to
// merge queues. An evaluation that is under way is superseded: what it writes
// may be what is to be written again. The check run that was written last is
// remembered, to be written over.
func (s *Store) ForgetPosted(ctx context.Context, ref policy.PullRequestRef) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.ExecContext(ctx, `UPDATE decisions SET digest = '', generation = generation + 1 WHERE pull_request = ?`, ref.Key()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE merge_groups SET digest = '' WHERE pull_request = ?`, ref.Key())
		return err
	})
	if err != nil {
		return fmt.Errorf("forget what was posted on %s: %w", ref, err)
	}
	return nil
}

// reviewAt is when the decision is to be made again: at once if it waits for a kill
// switch to be off that is off already. [Store.ResumeGates] did not see it then.
func reviewAt(ctx context.Context, tx *transaction, ref policy.PullRequestRef, posted gate.Posted, now time.Time) (time.Time, error) {
	if !posted.Decision.AwaitsRelease {
		return atLatest(posted.ReviewAt), nil
	}
	releasing, err := reached(ctx, tx, ref, posted.Decision.ByAgent, killswitch.StateReleasing)
	if err != nil || !releasing {
		return now, err
	}
	return atLatest(posted.ReviewAt), nil
}

// AboutHead lists the pull requests of the repository whose last decision is
// about that head, or that have an entry of a merge queue with it.
func (s *Store) AboutHead(ctx context.Context, repository policy.Repository, headSHA string) ([]policy.PullRequestRef, error) {
	var found []workRow
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = workAtHead(ctx, tx, repository, headSHA)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the pull requests at %s of %s: %w", headSHA, repository, err)
	}
	refs := make([]policy.PullRequestRef, len(found))
	for i, row := range found {
		refs[i] = row.ref
	}
	return refs, nil
}

func workAtHead(ctx context.Context, tx *transaction, repository policy.Repository, headSHA string) ([]workRow, error) {
	return list(ctx, tx, scanWork, selectFromWork+`
		WHERE repository_id = ? AND work_key IN (
			SELECT 'pr:' || pull_request FROM decisions WHERE head_sha = ?
			UNION SELECT 'pr:' || pull_request FROM merge_groups WHERE head_sha = ?)
		ORDER BY number`, repository.ID, headSHA, headSHA)
}

// OthersAtHead lists the last decisions about that head on the repository's other
// pull requests that were open then.
func (s *Store) OthersAtHead(ctx context.Context, ref policy.PullRequestRef, headSHA string) ([]gate.Decided, error) {
	var found []gate.Decided
	err := s.view(ctx, func(tx *transaction) error {
		rows, err := workAtHead(ctx, tx, ref.Repository, headSHA)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.ref.Number == ref.Number {
				continue
			}
			last, err := decision(ctx, tx, row.ref)
			if err != nil {
				return err
			}
			if last.posted.Decision.HeadSHA == headSHA && !last.posted.Closed {
				found = append(found, gate.Decided{Ref: row.ref, Decision: last.posted.Decision})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the decisions beside %s at %s: %w", ref, headSHA, err)
	}
	return found, nil
}

// newestGeneration is 0 for a pull request that was never evaluated.
func newestGeneration(ctx context.Context, tx *transaction, ref policy.PullRequestRef) (int64, error) {
	var newest int64
	err := tx.QueryRowContext(ctx, `SELECT generation FROM decisions WHERE pull_request = ?`, ref.Key()).Scan(&newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read the generation: %w", err)
	}
	return newest, nil
}

type decisionRow struct {
	posted   gate.Posted
	reviewAt time.Time
}

// decision returns the zero row for a pull request that was never evaluated.
func decision(ctx context.Context, tx *transaction, ref policy.PullRequestRef) (decisionRow, error) {
	var row decisionRow
	var encoded []byte
	var postedAt int64
	var reviewAt sql.NullInt64
	var closed, autoMerge int64
	err := tx.QueryRowContext(ctx, `
		SELECT posted_generation, decision, check_run_id, digest, posted_at, review_at, closed, base_branch, auto_merge,
			EXISTS (SELECT 1 FROM marked_gates WHERE marked_gates.pull_request = decisions.pull_request)
		FROM decisions WHERE pull_request = ?`, ref.Key()).
		Scan(&row.posted.Generation, &encoded, &row.posted.CheckRunID, &row.posted.Digest, &postedAt, &reviewAt, &closed, &row.posted.Base, &autoMerge, &row.posted.Marked)
	if errors.Is(err, sql.ErrNoRows) {
		return decisionRow{}, nil
	}
	if err != nil {
		return decisionRow{}, fmt.Errorf("read the decision: %w", err)
	}
	row.posted.Closed, row.posted.AutoMerge = closed != 0, autoMerge != 0
	if row.posted.Generation == 0 {
		return row, nil
	}
	row.posted.At, row.reviewAt = fromMillis(postedAt), fromNullMillis(reviewAt)
	row.posted.ReviewAt = row.reviewAt
	if err := json.Unmarshal(encoded, &row.posted.Decision); err != nil {
		return decisionRow{}, fmt.Errorf("read the decision: %w", err)
	}
	return row, nil
}

func putDecision(ctx context.Context, tx *transaction, ref policy.PullRequestRef, posted gate.Posted) error {
	encoded, err := json.Marshal(posted.Decision)
	if err != nil {
		return fmt.Errorf("write the decision: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		UPDATE decisions SET closed = ?, auto_merge = ?, by_agent = ?, base_branch = ?, posted_generation = ?, head_sha = ?, decision = ?, check_run_id = ?, digest = ?, posted_at = ?, review_at = ?
		WHERE pull_request = ?`,
		asNumber(posted.Closed), asNumber(posted.AutoMerge), asNumber(posted.Decision.ByAgent || posted.Decision.Fault != ""), posted.Base, posted.Generation, posted.Decision.HeadSHA, string(encoded), posted.CheckRunID, posted.Digest, posted.At.UnixMilli(),
		nullMillis(atLatest(posted.ReviewAt)), ref.Key())
	if err != nil {
		return fmt.Errorf("write the decision: %w", err)
	}
	// The check of those with the same head does not say any more what they wrote,
	// and it may be another run than the one they know.
	_, err = tx.ExecContext(ctx, `UPDATE decisions SET digest = '', check_run_id = 0 WHERE head_sha = ? AND pull_request LIKE ? AND pull_request <> ?`,
		posted.Decision.HeadSHA, fmt.Sprintf("%d#%%", ref.Repository.ID), ref.Key())
	if err != nil {
		return fmt.Errorf("write the decision: %w", err)
	}
	return nil
}

// putShown keeps what the check shows now that it was written, and that the gate was
// decided anew.
func putShown(ctx context.Context, tx *transaction, ref policy.PullRequestRef, posted gate.Posted, process string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `UPDATE decisions SET shows = ? WHERE pull_request = ?`, int(posted.Decision.Outcome), ref.Key()); err != nil {
		return fmt.Errorf("write the decision: %w", err)
	}
	marked, err := unmark(ctx, tx, ref, now)
	if err != nil || !marked {
		return err
	}
	return putPaced(ctx, tx, ref.Repository.Installation, process, now)
}

// asNumber is how a truth is kept: the two databases have no type for it in common.
func asNumber(truth bool) int {
	if truth {
		return 1
	}
	return 0
}
