package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/portcullis-app/portcullis/policy"
)

// heads returns the request's heads in the order of their arrival.
func heads(ctx context.Context, tx *sql.Tx, requestID string) ([]policy.Head, error) {
	rows, err := tx.QueryContext(ctx, `SELECT sha, since FROM approval_heads WHERE request_id = ? ORDER BY position`, requestID)
	if err != nil {
		return nil, fmt.Errorf("read the heads: %w", err)
	}
	defer rows.Close()
	var found []policy.Head
	for rows.Next() {
		var head policy.Head
		var since int64
		if err := rows.Scan(&head.SHA, &since); err != nil {
			return nil, fmt.Errorf("read the heads: %w", err)
		}
		head.Since = fromMillis(since)
		found = append(found, head)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the heads: %w", err)
	}
	return found, nil
}

func insertHead(ctx context.Context, tx *sql.Tx, requestID string, position int, head policy.Head) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO approval_heads (request_id, position, sha, since) VALUES (?, ?, ?, ?)`,
		requestID, position, head.SHA, head.Since.UnixMilli())
	if err != nil {
		return fmt.Errorf("write the head %s: %w", head.SHA, err)
	}
	return nil
}
