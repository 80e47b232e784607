package store

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// PutClosed records that the pull request is not open any more, and forgets its
// entries in merge queues. The next decision that is kept says whether it is open again.
func (s *Store) PutClosed(ctx context.Context, ref policy.PullRequestRef) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.ExecContext(ctx, `UPDATE decisions SET closed = 1 WHERE pull_request = ?`, ref.Key()); err != nil {
			return err
		}
		if _, err := unmark(ctx, tx, ref, s.now()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM merge_groups WHERE pull_request = ?`, ref.Key())
		return err
	})
	if err != nil {
		return fmt.Errorf("close %s: %w", ref, err)
	}
	return nil
}

// EvaluateOpen asks for the open pull requests in scope to be evaluated.
func (s *Store) EvaluateOpen(ctx context.Context, scope gate.Scope) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		rows, err := openWork(ctx, tx, scope)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if _, err := wantWork(ctx, tx, row.key, row.ref, gate.UrgencyBackground, s.now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ask to evaluate the pull requests of %s: %w", scope.Owner, err)
	}
	s.signal()
	return nil
}

// openWork selects the work of the open pull requests in scope.
func openWork(ctx context.Context, tx *transaction, scope gate.Scope) ([]workRow, error) {
	query := selectFromWork + `
		WHERE lower(owner) = lower(?) AND number > 0
		AND work_key NOT IN (SELECT 'pr:' || pull_request FROM decisions WHERE closed = 1)`
	args := []any{scope.Owner}
	if scope.RepositoryID != 0 {
		query += ` AND repository_id = ?`
		args = append(args, scope.RepositoryID)
	}
	if scope.Base != "" {
		query += ` AND work_key NOT IN (SELECT 'pr:' || pull_request FROM decisions WHERE base_branch NOT IN ('', ?))`
		args = append(args, scope.Base)
	}
	if scope.Voter != 0 {
		query += ` AND work_key IN (SELECT 'pr:' || request_id FROM approval_votes WHERE voter_id = ? OR lifter_id = ?)`
		args = append(args, scope.Voter, scope.Voter)
	}
	return list(ctx, tx, scanWork, query, args...)
}
