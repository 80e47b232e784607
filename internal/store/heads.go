package store

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/policy"
)

// heads returns the request's heads in the order of their arrival.
func heads(ctx context.Context, tx *transaction, requestID string) ([]policy.Head, error) {
	found, err := list(ctx, tx, scanHead, `
		SELECT sha, since, pusher_id, pusher_login, pusher_kind, replaced
		FROM approval_heads WHERE request_id = ? ORDER BY position`, requestID)
	if err != nil {
		return nil, fmt.Errorf("read the heads: %w", err)
	}
	return found, nil
}

func scanHead(row scanner) (policy.Head, error) {
	var head policy.Head
	var since int64
	err := row.Scan(&head.SHA, &since, &head.By.ID, &head.By.Login, &head.By.Kind, &head.Replaced)
	head.Since = fromMillis(since)
	return head, err
}

// putHead inserts the head, or completes what is known of it.
func putHead(ctx context.Context, tx *transaction, requestID string, position int, head policy.Head) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO approval_heads (request_id, position, sha, since, pusher_id, pusher_login, pusher_kind, replaced) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (request_id, position) DO UPDATE SET pusher_id = excluded.pusher_id, pusher_login = excluded.pusher_login,
			pusher_kind = excluded.pusher_kind, replaced = excluded.replaced`,
		requestID, position, head.SHA, head.Since.UnixMilli(), head.By.ID, head.By.Login, string(head.By.Kind), head.Replaced)
	if err != nil {
		return fmt.Errorf("write the head %s: %w", head.SHA, err)
	}
	return nil
}
