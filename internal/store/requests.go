package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/gate"
)

// request returns gate.ErrUnknownRequest for an id that there is no row for.
func request(ctx context.Context, tx *transaction, id string) (gate.ApprovalRequest, error) {
	r := gate.ApprovalRequest{ID: id}
	var since, expiresAfter int64
	var excluded, quorums, alike []byte
	err := tx.QueryRowContext(ctx, `
		SELECT subject, commit_sha, since, tier, required, excluded, expires_after, quorums, alike
		FROM approval_requests WHERE id = ?`, id).
		Scan(&r.Subject, &r.Commit, &since, &r.Tier, &r.Required, &excluded, &expiresAfter, &quorums, &alike)
	if errors.Is(err, sql.ErrNoRows) {
		return r, gate.ErrUnknownRequest
	}
	if err != nil {
		return r, fmt.Errorf("read the request: %w", err)
	}
	r.Since, r.ExpiresAfter = fromMillis(since), time.Duration(expiresAfter)
	if err := json.Unmarshal(excluded, &r.Excluded); err != nil {
		return r, fmt.Errorf("read who is excluded: %w", err)
	}
	if err := errors.Join(json.Unmarshal(quorums, &r.Quorums), json.Unmarshal(alike, &r.Alike)); err != nil {
		return r, fmt.Errorf("read what it takes: %w", err)
	}
	return r, nil
}

func putRequest(ctx context.Context, tx *transaction, r gate.ApprovalRequest) error {
	excluded, err := json.Marshal(r.Excluded)
	if err != nil {
		return fmt.Errorf("write who is excluded: %w", err)
	}
	quorums, quorumsErr := json.Marshal(r.Quorums)
	alike, alikeErr := json.Marshal(r.Alike)
	if err := errors.Join(quorumsErr, alikeErr); err != nil {
		return fmt.Errorf("write what it takes: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO approval_requests (id, subject, commit_sha, since, tier, required, excluded, expires_after, quorums, alike)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET subject = excluded.subject, commit_sha = excluded.commit_sha, since = excluded.since,
			tier = excluded.tier, required = excluded.required, excluded = excluded.excluded, expires_after = excluded.expires_after,
			quorums = excluded.quorums, alike = excluded.alike`,
		r.ID, r.Subject, r.Commit, r.Since.UnixMilli(), string(r.Tier), r.Required, string(excluded), int64(r.ExpiresAfter), string(quorums), string(alike))
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	return nil
}
