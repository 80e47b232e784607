package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/credential"
)

// selected is what selects leases.
func selected(by credential.Selection) (where string, args []any) {
	where = `1 = 1`
	add := func(condition string, arg any) { where, args = where+` AND `+condition, append(args, arg) }
	scope := by.Scope
	if scope.Repository.Owner != "" && scope.IsOrganization() {
		add(`owner = ?`, strings.ToLower(scope.Repository.Owner))
	}
	if !scope.IsOrganization() {
		add(`repository_id = ?`, scope.Repository.ID)
	}
	if scope.Number != 0 {
		add(`number = ?`, scope.Number)
	}
	if scope.Agents {
		add(`by_agent = ?`, 1)
	}
	if by.RepositoryID != 0 {
		add(`repository_id = ?`, by.RepositoryID)
	}
	if by.Installation != 0 {
		add(`installation = ?`, by.Installation)
	}
	if by.Key != "" {
		add(`idem_key = ?`, by.Key)
	}
	if by.Run != 0 {
		add(`run_id = ?`, by.Run)
	}
	if by.Environment != "" {
		add(`lower(environment) = ?`, strings.ToLower(by.Environment))
	}
	if by.Live {
		where += ` AND ` + left
	}
	return where, args
}

// Lease returns one.
func (s *Store) Lease(ctx context.Context, id string) (lease credential.Lease, err error) {
	err = s.read(ctx, func(tx *transaction) (err error) {
		lease, err = loadLease(ctx, tx, `id = ?`, id)
		return err
	})
	if err != nil {
		return credential.Lease{}, fmt.Errorf("read the credential %s: %w", id, err)
	}
	return lease, nil
}

// AcceptedLease finds the lease of the token with that hash, if it is accepted now: it is
// lent, its time is not over, and no kill switch stops it.
func (s *Store) AcceptedLease(ctx context.Context, hash string) (lease credential.Lease, accepted bool, err error) {
	err = s.read(ctx, func(tx *transaction) error {
		accepted = false
		lease, err = loadLease(ctx, tx, `token_hash = ?`, hash)
		if errors.Is(err, credential.ErrUnknown) {
			return nil
		}
		if err != nil || !lease.Accepted(s.now()) {
			return err
		}
		stopped, err := stops(ctx, tx, lease)
		accepted = err == nil && !stopped
		return err
	})
	if err != nil {
		return credential.Lease{}, false, fmt.Errorf("look up a token: %w", err)
	}
	return lease, accepted, nil
}

// Leases lists leases, the oldest first.
func (s *Store) Leases(ctx context.Context, by credential.Selection) (found []credential.Lease, err error) {
	where, args := selected(by)
	err = s.read(ctx, func(tx *transaction) (err error) {
		found, err = loadLeases(ctx, tx, where+` ORDER BY position`, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return found, nil
}

// RecordBegan is when the first audit entry was written: nothing is lent without one.
func (s *Store) RecordBegan(ctx context.Context) (time.Time, error) {
	first, err := s.AuditEntries(ctx, 0, 1)
	if err != nil || len(first) == 0 {
		return time.Time{}, err
	}
	return first[0].At, nil
}

// CountLeases counts all leases by their state.
func (s *Store) CountLeases(ctx context.Context) (map[credential.State]int, error) {
	counts := map[credential.State]int{}
	err := s.read(ctx, func(tx *transaction) error {
		clear(counts)
		type count struct {
			state credential.State
			n     int
		}
		all, err := list(ctx, tx, func(row scanner) (c count, err error) {
			err = row.Scan(&c.state, &c.n)
			return c, err
		}, `SELECT state, count(*) FROM leases GROUP BY state`)
		for _, c := range all {
			counts[c.state] = c.n
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count credentials: %w", err)
	}
	return counts, nil
}

// DueLease is the one that waits longest.
func (s *Store) DueLease(ctx context.Context, installation int64, at time.Time) (lease credential.Lease, next time.Time, err error) {
	if err := s.applyEndings(ctx); err != nil {
		return credential.Lease{}, time.Time{}, err
	}
	err = s.read(ctx, func(tx *transaction) error {
		lease, next = credential.Lease{}, time.Time{}
		first, err := loadLeases(ctx, tx, `installation = ? AND next_at IS NOT NULL ORDER BY next_at, position LIMIT 1`, installation)
		if err != nil || len(first) == 0 {
			return err
		}
		if next = first[0].NextAt; !next.After(at) {
			lease = first[0]
		}
		return nil
	})
	if err != nil {
		return credential.Lease{}, time.Time{}, fmt.Errorf("look for credentials to clear away: %w", err)
	}
	return lease, next, nil
}

// OldestDueLease is since when the lease waits that has waited longest for what is to be
// done about it; zero: none waits.
func (s *Store) OldestDueLease(ctx context.Context) (since time.Time, err error) {
	var oldest sql.NullInt64
	err = s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT MIN(next_at) FROM leases WHERE next_at <= ?`, s.now().UnixMilli()).Scan(&oldest)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("look for the credential that waits longest: %w", err)
	}
	return fromNullMillis(oldest), nil
}
