package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/gate"
)

// An alarm calls a worker for work that is due; it carries the key and nothing
// else. Truth is in the row: an alarm that comes twice, too late or not at all
// costs a look or some seconds, never an event.

const (
	// ringAgain is how long a worker that was called may take to claim the work
	// before another is called.
	ringAgain = 15 * time.Second
	// maxWaiting is how many alarms of one urgency may wait for a worker. What is
	// due beyond that waits in its row, where it costs no memory.
	maxWaiting = 256
	// maxHeld is more than can be claimed of one urgency at once.
	maxHeld = 256
)

type alarm struct {
	key     string
	urgency gate.Urgency
	// again says that a worker was called before and has not come.
	again bool
	// claim is the row's newest: whoever claims it since has heard.
	claim int64
}

// alarms returns what workers are to be called for, the work that has been due
// longest first; a stop is before any search for one.
func (s *Store) alarms(ctx context.Context, urgency gate.Urgency) ([]alarm, error) {
	now, order := s.now(), `due_at, work_key`
	if urgency == gate.UrgencySwitch {
		order = `CASE WHEN work_key LIKE 'switch:%' THEN 0 ELSE 1 END, ` + order
	}
	var rows []workRow
	err := s.read(ctx, func(tx *transaction) (err error) {
		rows, err = list(ctx, tx, scanAlarm, `
			SELECT work_key, claim, claimed_until, rung_at FROM work
			WHERE urgency = ? AND due_at <= ? ORDER BY `+order+` LIMIT ?`, int(urgency), now.UnixMilli(), maxWaiting+maxHeld)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is due: %w", err)
	}
	waiting := 0
	var due []alarm
	for _, row := range rows {
		called, late := !row.rungAt.IsZero(), now.Sub(row.rungAt) >= ringAgain
		switch {
		case row.claimedUntil.After(now):
			continue
		case !called || late:
			due = append(due, alarm{key: row.key, urgency: urgency, again: called, claim: row.claim})
		}
		if waiting++; waiting == maxWaiting {
			break
		}
	}
	return due, nil
}

func scanAlarm(row scanner) (workRow, error) {
	var w workRow
	var claimedUntil, rungAt sql.NullInt64
	err := row.Scan(&w.key, &w.claim, &claimedUntil, &rungAt)
	w.claimedUntil, w.rungAt = fromNullMillis(claimedUntil), fromNullMillis(rungAt)
	return w, err
}

// rung keeps that workers were called, unless one has come already.
func (s *Store) rung(ctx context.Context, alarms []alarm) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		now := s.now().UnixMilli()
		for _, a := range alarms {
			if _, err := tx.ExecContext(ctx, `UPDATE work SET rung_at = ? WHERE work_key = ? AND claim = ?`, now, a.key, a.claim); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep which workers were called: %w", err)
	}
	return nil
}
