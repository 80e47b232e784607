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
		urgency := gate.UrgencyBackground
		if recovery.IsUrgent(key) {
			urgency = gate.UrgencySwitch
		}
		now := s.now()
		if _, err := wantWork(ctx, tx, key, policy.PullRequestRef{}, urgency, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO sweeps (sweep, cursor_at, wanted_at) VALUES (?, '', ?)
			ON CONFLICT (sweep) DO UPDATE SET wanted_at = excluded.wanted_at`, key, now.UnixMilli())
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
	var through, began, wanted sql.NullInt64
	err := s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT through_at, began_at, cursor_at, wanted_at FROM sweeps WHERE sweep = ?`, key).Scan(&through, &began, &p.Cursor, &wanted)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return recovery.Progress{}, nil
	}
	if err != nil {
		return recovery.Progress{}, fmt.Errorf("read how far %s came: %w", key, err)
	}
	p.Through, p.Began, p.Wanted = fromNullMillis(through), fromNullMillis(began), fromNullMillis(wanted)
	return p, nil
}

// PutProgress keeps how far a sweep came; when it was wanted is left as it is.
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
	// each time after that, four times as long.
	firstAskAgain = 20 * time.Second
	// mostAskAgain is how often a delivery is asked for at most: the last time is 30
	// hours after the first.
	mostAskAgain = 8
	// askedTogether is how many deliveries are asked for in one step.
	askedTogether = 200
)

// PutUndelivered keeps which deliveries failed, to be asked for at once, and
// forgets those that were delivered since.
func (s *Store) PutUndelivered(ctx context.Context, failed map[string]int64, delivered map[string]bool) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		now := s.now().UnixMilli()
		for _, id := range slices.Sorted(maps.Keys(failed)) {
			known, err := deliveryKnown(ctx, tx, id)
			if err != nil {
				return err
			}
			if known {
				continue
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO redeliveries (id, attempt, found_at, times, next_at) VALUES (?, ?, ?, 0, ?)
				ON CONFLICT (id) DO UPDATE SET attempt = excluded.attempt`, id, failed[id], now, now); err != nil {
				return err
			}
		}
		kept, err := list(ctx, tx, scanText, `SELECT id FROM redeliveries`)
		if err != nil {
			return err
		}
		for _, id := range kept {
			if delivered[id] {
				if _, err := tx.ExecContext(ctx, `DELETE FROM redeliveries WHERE id = ?`, id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep which deliveries failed: %w", err)
	}
	return nil
}

// Undelivered lists deliveries that failed, did not come since, and are to be asked
// for now, with an attempt of each, and when the next one is to be; zero: none is.
// They are asked for at once, and then at growing distances, eight times at most.
func (s *Store) Undelivered(ctx context.Context) (due map[string]int64, next time.Time, err error) {
	type failed struct {
		id      string
		attempt int64
		next    time.Time
	}
	now := s.now()
	var rows []failed
	err = s.read(ctx, func(tx *transaction) (err error) {
		rows, err = list(ctx, tx, func(row scanner) (f failed, err error) {
			var next int64
			err = row.Scan(&f.id, &f.attempt, &next)
			f.next = fromMillis(next)
			return f, err
		}, `
			SELECT id, attempt, next_at FROM redeliveries
			WHERE next_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = redeliveries.id) ORDER BY next_at LIMIT ?`, askedTogether+1)
		return err
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("list which deliveries failed: %w", err)
	}
	due = map[string]int64{}
	for i, f := range rows {
		if f.next.After(now) || i == askedTogether {
			return due, f.next, nil
		}
		due[f.id] = f.attempt
	}
	return due, time.Time{}, nil
}

// PutAsked keeps that GitHub was asked to send the delivery again.
func (s *Store) PutAsked(ctx context.Context, id string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		var times int
		err := tx.QueryRowContext(ctx, `UPDATE redeliveries SET times = times + 1 WHERE id = ? RETURNING times`, id).Scan(&times)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var next time.Time
		if times < mostAskAgain {
			next = s.now().Add(firstAskAgain << (2 * (times - 1)))
		}
		_, err = tx.ExecContext(ctx, `UPDATE redeliveries SET next_at = ? WHERE id = ?`, nullMillis(next), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep that the delivery %s was asked for: %w", id, err)
	}
	return nil
}

func scanText(row scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
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
// those that were about no pull request, what failed before, leases of which nothing has
// been left for long, and tokens of people that are good for nothing any more; it reports
// whether there is more.
func (s *Store) Prune(ctx context.Context, before time.Time) (bool, error) {
	more := false
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		old := `SELECT id FROM deliveries WHERE done_at < ? ORDER BY done_at LIMIT ?`
		ids, err := list(ctx, tx, scanText, old, before.UnixMilli(), prunedTogether)
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
		if _, err := tx.ExecContext(ctx, `DELETE FROM redeliveries WHERE found_at < ?`, before.UnixMilli()); err != nil {
			return err
		}
		leases, err := pruneLeases(ctx, tx, s.now().Add(-leasesKept))
		if err != nil {
			return err
		}
		sandboxes, err := pruneSandboxes(ctx, tx, s.now())
		more = more || leases == prunedTogether || sandboxes == prunedTogether
		if err != nil {
			return err
		}
		return pruneUserTokens(ctx, tx, s.now().Add(-userTokensKept))
	})
	if err != nil {
		return false, fmt.Errorf("delete what was worked off before %s: %w", before, err)
	}
	return more, nil
}
