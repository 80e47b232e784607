package store

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/policy"
)

// votes returns the request's votes in the order of their first recording.
func votes(ctx context.Context, tx *transaction, requestID string) ([]policy.Vote, error) {
	found, err := list(ctx, tx, scanVote, `
		SELECT source, voter_id, voter_login, voter_kind, verdict, commit_sha, given_at, reason, lifter_id, lifter_login, lifter_kind
		FROM approval_votes WHERE request_id = ? ORDER BY position`, requestID)
	if err != nil {
		return nil, fmt.Errorf("read the votes: %w", err)
	}
	return found, nil
}

func scanVote(row scanner) (policy.Vote, error) {
	var v policy.Vote
	var at int64
	err := row.Scan(&v.Source, &v.By.ID, &v.By.Login, &v.By.Kind, &v.Verdict, &v.Commit, &at, &v.Reason,
		&v.LiftedBy.ID, &v.LiftedBy.Login, &v.LiftedBy.Kind)
	v.At = fromMillis(at)
	return v, err
}

// putVote inserts the vote, or replaces the one that the source has.
func putVote(ctx context.Context, tx *transaction, requestID string, position int, v policy.Vote) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO approval_votes (request_id, position, source, voter_id, voter_login, voter_kind, verdict, commit_sha, given_at, reason,
			lifter_id, lifter_login, lifter_kind)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (request_id, source) DO UPDATE SET voter_id = excluded.voter_id, voter_login = excluded.voter_login,
			voter_kind = excluded.voter_kind, verdict = excluded.verdict, commit_sha = excluded.commit_sha,
			given_at = excluded.given_at, reason = excluded.reason,
			lifter_id = excluded.lifter_id, lifter_login = excluded.lifter_login, lifter_kind = excluded.lifter_kind`,
		requestID, position, v.Source, v.By.ID, v.By.Login, string(v.By.Kind), string(v.Verdict), v.Commit, v.At.UnixMilli(), v.Reason,
		v.LiftedBy.ID, v.LiftedBy.Login, string(v.LiftedBy.Kind))
	if err != nil {
		return fmt.Errorf("write the vote: %w", err)
	}
	return nil
}
