package store

import (
	"context"
	"fmt"
)

// HasFloor reports whether the owner was last seen with a policy for all
// repositories.
func (s *Store) HasFloor(ctx context.Context, owner string) (bool, error) {
	var n int
	err := s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM floors WHERE lower(owner) = lower(?)`, owner).Scan(&n)
	})
	if err != nil {
		return false, fmt.Errorf("read whether %s has a policy: %w", owner, err)
	}
	return n > 0, nil
}

// PutFloor records that the owner has such a policy, or has it no more.
func (s *Store) PutFloor(ctx context.Context, owner string, has bool) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM floors WHERE lower(owner) = lower(?)`, owner); err != nil || !has {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO floors (owner, seen_at) VALUES (?, ?)`, owner, s.now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("record whether %s has a policy: %w", owner, err)
	}
	return nil
}
