package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// Evaluate asks for the pull request to be evaluated, at once even if it is
// backing off. The ref's names and installation are the ones that hold from now
// on.
func (s *Store) Evaluate(ctx context.Context, ref policy.PullRequestRef) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := wantWork(ctx, tx, pullRequestKey(ref), ref, gate.UrgencyBackground, s.now())
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
	// claim is the number of the newest claim, claimedUntil zero if nobody holds it,
	// rungAt when a worker was last called, zero if none was since the last claim.
	claim                int64
	claimedUntil, rungAt time.Time
	// urgency is that of the most urgent wish since the work was last done.
	urgency gate.Urgency
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
func (w *workRow) ask(since time.Time, urgency gate.Urgency) {
	if w.want == w.done {
		w.wantedAt, w.urgency = since, urgency
	}
	if urgency < w.urgency {
		// Whoever was called for it may be far back in a slower queue.
		w.urgency, w.rungAt = urgency, time.Time{}
	}
	w.want++
}

// wantWork counts a wake-up and ends the back-off. It returns which wish it was.
func wantWork(ctx context.Context, tx *transaction, key string, ref policy.PullRequestRef, urgency gate.Urgency, now time.Time) (int64, error) {
	row, err := loadWork(ctx, tx, key)
	if err != nil && !errors.Is(err, errNoWork) {
		return 0, err
	}
	row.key, row.ref, row.notBefore = key, ref, time.Time{}
	row.ask(now, urgency)
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
		row, err = workRow{key: pullRequestKey(ref), ref: ref, urgency: gate.UrgencyBackground}, nil
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
func ringTimer(ctx context.Context, tx *transaction, row *workRow, now time.Time) error {
	if row.runAt.IsZero() || row.runAt.After(now) {
		return nil
	}
	last, err := decision(ctx, tx, row.ref)
	if err != nil {
		return err
	}
	urgency := gate.UrgencyBackground
	if row.ref.Number == 0 {
		urgency = row.urgency // its own: it always is
	}
	row.ask(row.runAt, urgency)
	row.runAt = time.Time{}
	if last.reviewAt.After(now) {
		row.runAt = last.reviewAt
	}
	return nil
}

const workColumns = `work_key, installation, repository_id, owner, name, number, want, done, wanted_at, run_at, not_before, attempts, reason,
	claim, claimed_until, rung_at, urgency`

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
	var wantedAt, runAt, notBefore, claimedUntil, rungAt sql.NullInt64
	err := row.Scan(&w.key, &w.ref.Repository.Installation, &w.ref.Repository.ID, &w.ref.Repository.Owner, &w.ref.Repository.Name, &w.ref.Number,
		&w.want, &w.done, &wantedAt, &runAt, &notBefore, &w.attempts, &w.reason, &w.claim, &claimedUntil, &rungAt, &w.urgency)
	w.wantedAt, w.runAt, w.notBefore = fromNullMillis(wantedAt), fromNullMillis(runAt), fromNullMillis(notBefore)
	w.claimedUntil, w.rungAt = fromNullMillis(claimedUntil), fromNullMillis(rungAt)
	return w, err
}

func saveWork(ctx context.Context, tx *transaction, w workRow) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO work (`+workColumns+`, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (work_key) DO UPDATE SET installation = excluded.installation, repository_id = excluded.repository_id,
			owner = excluded.owner, name = excluded.name, number = excluded.number, want = excluded.want, done = excluded.done,
			wanted_at = excluded.wanted_at, run_at = excluded.run_at, not_before = excluded.not_before,
			attempts = excluded.attempts, reason = excluded.reason, claim = excluded.claim, claimed_until = excluded.claimed_until,
			rung_at = excluded.rung_at, urgency = excluded.urgency, due_at = excluded.due_at`,
		w.key, w.ref.Repository.Installation, w.ref.Repository.ID, w.ref.Repository.Owner, w.ref.Repository.Name, w.ref.Number,
		w.want, w.done, nullMillis(w.wantedAt), nullMillis(w.runAt), nullMillis(w.notBefore), w.attempts, w.reason,
		w.claim, nullMillis(w.claimedUntil), nullMillis(w.rungAt), int(w.urgency), nullMillis(w.dueAt()))
	if err != nil {
		return fmt.Errorf("write the work %s: %w", w.key, err)
	}
	return nil
}

const selectFromWork = `SELECT ` + workColumns + ` FROM work `

// NextDue tells when the earliest work comes due that is not due at that time,
// and false if there is none. Asked with the time at which nothing was due, it
// misses nothing that has come due since.
func (s *Store) NextDue(ctx context.Context, after time.Time) (time.Time, bool, error) {
	var due sql.NullInt64
	err := s.read(ctx, func(tx *transaction) error {
		at := after.UnixMilli()
		// The index begins with the urgency.
		return tx.QueryRowContext(ctx, `
			SELECT MIN(due_at) FROM (
				SELECT MIN(due_at) AS due_at FROM work WHERE urgency = 1 AND due_at > ?
				UNION ALL SELECT MIN(due_at) FROM work WHERE urgency = 2 AND due_at > ?
				UNION ALL SELECT MIN(due_at) FROM work WHERE urgency = 3 AND due_at > ?) AS each`, at, at, at).Scan(&due)
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
