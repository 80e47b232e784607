package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Evaluate asks for the pull request to be evaluated, at once even if it is
// backing off. The ref's names and installation are the ones that hold from now
// on.
func (s *Store) Evaluate(ctx context.Context, ref policy.PullRequestRef) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := wantWork(ctx, tx, pullRequestKey(ref), ref, s.now())
		return err
	})
	if err != nil {
		return fmt.Errorf("ask to evaluate %s: %w", ref, err)
	}
	s.signal()
	return nil
}

func pullRequestKey(ref policy.PullRequestRef) string { return "pr:" + ref.Key() }

// workRow is a row of the table work. What its due_at is follows from the
// others, and is written with them.
type workRow struct {
	key        string
	ref        policy.PullRequestRef
	want, done int64
	// wantedAt, runAt and notBefore are zero where the row has NULL.
	wantedAt, runAt, notBefore time.Time
	attempts                   int
	reason                     string
}

// dueAt is when there is something to do; zero: never.
func (w workRow) dueAt() time.Time {
	due := earlier(w.wantedAt, w.runAt)
	if !due.IsZero() && due.Before(w.notBefore) {
		return w.notBefore
	}
	return due
}

// ask counts one more wish.
func (w *workRow) ask(since time.Time) {
	if w.want == w.done {
		w.wantedAt = since
	}
	w.want++
}

// wantWork counts a wake-up and ends the back-off. It returns which wish it was.
func wantWork(ctx context.Context, tx *transaction, key string, ref policy.PullRequestRef, now time.Time) (int64, error) {
	row, err := loadWork(ctx, tx, key)
	if err != nil && !errors.Is(err, errNoWork) {
		return 0, err
	}
	row.key, row.ref, row.notBefore = key, ref, time.Time{}
	row.ask(now)
	return row.want, saveWork(ctx, tx, row)
}

// setTimer makes the pull request's work due at that time, unless it will be
// earlier; the zero time sets nothing.
func setTimer(ctx context.Context, tx *transaction, ref policy.PullRequestRef, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	row, err := loadWork(ctx, tx, pullRequestKey(ref))
	if errors.Is(err, errNoWork) {
		row, err = workRow{key: pullRequestKey(ref), ref: ref}, nil
	}
	if err != nil {
		return err
	}
	row.runAt = earlier(row.runAt, at)
	return saveWork(ctx, tx, row)
}

// ringTimer turns a timer that has come into a wish, so that it is done, failed
// or wished for again like any other. The last decision may need looking at
// later than that: its time becomes the timer.
func ringTimer(ctx context.Context, tx *transaction, key string, now time.Time) (workRow, error) {
	row, err := loadWork(ctx, tx, key)
	if err != nil || !row.timerHasCome(now) {
		return row, err
	}
	last, err := decision(ctx, tx, row.ref)
	if err != nil {
		return row, err
	}
	row.ask(row.runAt)
	row.runAt = time.Time{}
	if last.reviewAt.After(now) {
		row.runAt = last.reviewAt
	}
	return row, saveWork(ctx, tx, row)
}

func (w workRow) timerHasCome(now time.Time) bool { return !w.runAt.IsZero() && !w.runAt.After(now) }

const workColumns = `work_key, installation, repository_id, owner, name, number, want, done, wanted_at, run_at, not_before, attempts, reason`

var errNoWork = errors.New("there is no such work")

func loadWork(ctx context.Context, tx *transaction, key string) (workRow, error) {
	row, err := scanWork(tx.QueryRowContext(ctx, selectFromWork+`WHERE work_key = ?`, key))
	if errors.Is(err, sql.ErrNoRows) {
		return workRow{}, errNoWork
	}
	if err != nil {
		return workRow{}, fmt.Errorf("read the work %s: %w", key, err)
	}
	return row, nil
}

func scanWork(row scanner) (workRow, error) {
	var w workRow
	var wantedAt, runAt, notBefore sql.NullInt64
	err := row.Scan(&w.key, &w.ref.Repository.Installation, &w.ref.Repository.ID, &w.ref.Repository.Owner, &w.ref.Repository.Name, &w.ref.Number,
		&w.want, &w.done, &wantedAt, &runAt, &notBefore, &w.attempts, &w.reason)
	w.wantedAt, w.runAt, w.notBefore = fromNullMillis(wantedAt), fromNullMillis(runAt), fromNullMillis(notBefore)
	return w, err
}

func saveWork(ctx context.Context, tx *transaction, w workRow) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO work (`+workColumns+`, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (work_key) DO UPDATE SET installation = excluded.installation, repository_id = excluded.repository_id,
			owner = excluded.owner, name = excluded.name, number = excluded.number, want = excluded.want, done = excluded.done,
			wanted_at = excluded.wanted_at, run_at = excluded.run_at, not_before = excluded.not_before,
			attempts = excluded.attempts, reason = excluded.reason, due_at = excluded.due_at`,
		w.key, w.ref.Repository.Installation, w.ref.Repository.ID, w.ref.Repository.Owner, w.ref.Repository.Name, w.ref.Number,
		w.want, w.done, nullMillis(w.wantedAt), nullMillis(w.runAt), nullMillis(w.notBefore), w.attempts, w.reason, nullMillis(w.dueAt()))
	if err != nil {
		return fmt.Errorf("write the work %s: %w", w.key, err)
	}
	return nil
}

const selectFromWork = `SELECT ` + workColumns + ` FROM work `

// selectWork returns the rows that the query selects, which begins with
// selectFromWork.
func selectWork(ctx context.Context, tx *transaction, query string, args ...any) ([]workRow, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []workRow
	for rows.Next() {
		row, err := scanWork(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// dueWork returns the keys of at most limit rows that are due, the one that is due
// longest first.
func dueWork(ctx context.Context, tx *transaction, now time.Time, limit int) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT work_key FROM work WHERE due_at <= ? ORDER BY due_at, work_key LIMIT ?`, now.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// NextDue tells when the earliest work comes due that is not due at that time,
// and false if there is none. Asked with the time at which [Store.Claim] found
// nothing, it misses nothing that has come due since.
func (s *Store) NextDue(ctx context.Context, after time.Time) (time.Time, bool, error) {
	var due sql.NullInt64
	err := s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT MIN(due_at) FROM work WHERE due_at > ?`, after.UnixMilli()).Scan(&due)
	})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read when work comes due: %w", err)
	}
	return fromNullMillis(due), due.Valid, nil
}

// Backlog counts the work that is due or claimed; claimed work is due until its
// claim ends.
func (s *Store) Backlog(ctx context.Context) (int, error) {
	count := 0
	err := s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM work WHERE due_at <= ?`, s.now().UnixMilli()).Scan(&count)
	})
	if err != nil {
		return 0, fmt.Errorf("count the work: %w", err)
	}
	return count, nil
}
