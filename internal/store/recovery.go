package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/policy"
)

var _ recovery.Book = (*Store)(nil)

// Want asks for work that is about no pull request.
func (s *Store) Want(ctx context.Context, key string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := wantWork(ctx, tx, key, policy.PullRequestRef{}, gate.UrgencyBackground, s.now())
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for %s: %w", key, err)
	}
	s.signal()
	return nil
}

// Progress is how far a sweep came; zero if it was never begun.
func (s *Store) Progress(ctx context.Context, key string) (recovery.Progress, error) {
	var p recovery.Progress
	var through, began sql.NullInt64
	err := s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT through_at, began_at, cursor_at FROM sweeps WHERE sweep = ?`, key).Scan(&through, &began, &p.Cursor)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return recovery.Progress{}, nil
	}
	if err != nil {
		return recovery.Progress{}, fmt.Errorf("read how far %s came: %w", key, err)
	}
	p.Through, p.Began = fromNullMillis(through), fromNullMillis(began)
	return p, nil
}

// PutProgress keeps how far a sweep came.
func (s *Store) PutProgress(ctx context.Context, key string, p recovery.Progress) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO sweeps (sweep, through_at, began_at, cursor_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (sweep) DO UPDATE SET through_at = excluded.through_at, began_at = excluded.began_at, cursor_at = excluded.cursor_at`,
			key, nullMillis(p.Through), nullMillis(p.Began), p.Cursor)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep how far %s came: %w", key, err)
	}
	return nil
}

const (
	// firstAskAgain is how long to wait before a delivery is asked for a second time;
	// each time after that, twice as long.
	firstAskAgain = 4 * time.Minute
	// mostAskAgain is how often a delivery is asked for at most.
	mostAskAgain = 10
)

// AskAgain returns those of the deliveries that are not known and may be asked
// for again, and keeps that they are: at once, and then at growing distances, ten
// times at most.
func (s *Store) AskAgain(ctx context.Context, ids []string) ([]string, error) {
	var again []string
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		again = nil
		for _, id := range ids {
			may, err := s.mayAskAgain(ctx, tx, id)
			if err != nil {
				return err
			}
			if may {
				again = append(again, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keep what is asked for again: %w", err)
	}
	return again, nil
}

func (s *Store) mayAskAgain(ctx context.Context, tx *transaction, id string) (bool, error) {
	if known, err := deliveryKnown(ctx, tx, id); known || err != nil {
		return false, err
	}
	var askedAt int64
	var times int
	err := tx.QueryRowContext(ctx, `SELECT asked_at, times FROM redeliveries WHERE id = ?`, id).Scan(&askedAt, &times)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if err == nil && (times >= mostAskAgain || s.now().Before(fromMillis(askedAt).Add(firstAskAgain<<(times-1)))) {
		return false, nil
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO redeliveries (id, asked_at, times) VALUES (?, ?, 1)
		ON CONFLICT (id) DO UPDATE SET asked_at = excluded.asked_at, times = redeliveries.times + 1`, id, s.now().UnixMilli())
	return err == nil, err
}

// PutListing compares a repository's open pull requests, by number, with what
// they looked like the last time, and asks for those to be evaluated that look
// different. So are those that are new, and those that are gone from the list.
func (s *Store) PutListing(ctx context.Context, repository policy.Repository, listed map[int]string) (int, error) {
	var changed []int
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		before, err := listing(ctx, tx, repository)
		if err != nil {
			return err
		}
		open, err := openWork(ctx, tx, gate.Scope{Owner: repository.Owner, RepositoryID: repository.ID})
		if err != nil {
			return err
		}
		changed = differences(before, listed)
		for _, row := range open {
			if _, still := listed[row.ref.Number]; !still && !slices.Contains(changed, row.ref.Number) {
				changed = append(changed, row.ref.Number)
			}
		}
		for _, number := range changed {
			if err := putListed(ctx, tx, repository, number, listed[number]); err != nil {
				return err
			}
			ref := policy.PullRequestRef{Repository: repository, Number: number}
			if _, err := wantWork(ctx, tx, pullRequestKey(ref), ref, gate.UrgencyBackground, s.now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("keep what is open in %s: %w", repository, err)
	}
	if len(changed) > 0 {
		s.signal()
	}
	return len(changed), nil
}

func differences(before, now map[int]string) []int {
	var changed []int
	for _, number := range slices.Sorted(maps.Keys(now)) {
		if before[number] != now[number] {
			changed = append(changed, number)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(before)) {
		if _, still := now[number]; !still {
			changed = append(changed, number)
		}
	}
	return changed
}

type listed struct {
	number int
	looks  string
}

func listing(ctx context.Context, tx *transaction, repository policy.Repository) (map[int]string, error) {
	rows, err := list(ctx, tx, func(row scanner) (l listed, err error) {
		err = row.Scan(&l.number, &l.looks)
		return l, err
	}, `SELECT number, looks FROM listings WHERE repository_id = ?`, repository.ID)
	found := map[int]string{}
	for _, row := range rows {
		found[row.number] = row.looks
	}
	return found, err
}

// putListed keeps what an open pull request looks like, or, if that is empty,
// forgets it.
func putListed(ctx context.Context, tx *transaction, repository policy.Repository, number int, looks string) error {
	if looks == "" {
		_, err := tx.ExecContext(ctx, `DELETE FROM listings WHERE repository_id = ? AND number = ?`, repository.ID, number)
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO listings (repository_id, number, looks) VALUES (?, ?, ?)
		ON CONFLICT (repository_id, number) DO UPDATE SET looks = excluded.looks`, repository.ID, number, looks)
	return err
}

// prunedTogether is how many deliveries one transaction deletes: others wait for
// it.
const prunedTogether = 500

// Prune deletes deliveries that were worked off before that time, the work of
// those that were about no pull request, and what was asked for again before; it
// reports whether there is more.
func (s *Store) Prune(ctx context.Context, before time.Time) (bool, error) {
	more := false
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		old := `SELECT id FROM deliveries WHERE done_at < ? ORDER BY done_at LIMIT ?`
		ids, err := list(ctx, tx, func(row scanner) (id string, err error) { err = row.Scan(&id); return id, err }, old, before.UnixMilli(), prunedTogether)
		if err != nil {
			return err
		}
		more = len(ids) == prunedTogether
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, `DELETE FROM deliveries WHERE id = ?`, id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM work WHERE work_key = ? AND due_at IS NULL`, deliveryPrefix+id); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM redeliveries WHERE asked_at < ?`, before.UnixMilli())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("delete what was worked off before %s: %w", before, err)
	}
	return more, nil
}
