package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// StuckWork is work that failed at least once since it was last done.
type StuckWork struct {
	Key string
	// Subject names for people what it is about: "acme/shop#7", the delivery, or the sweep.
	Subject string
	// Reason is why it failed the last time, and Attempts how often it did.
	Reason   string
	Attempts int
	// NextAt is when it is tried again.
	NextAt time.Time
}

// Stuck lists the work that failed at least once, by key.
func (s *Store) Stuck(ctx context.Context) ([]StuckWork, error) {
	var rows []workRow
	err := s.read(ctx, func(tx *transaction) (err error) {
		rows, err = list(ctx, tx, scanWork, selectFromWork+`WHERE attempts > 0 ORDER BY work_key`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the work that failed: %w", err)
	}
	stuck := make([]StuckWork, len(rows))
	for i, row := range rows {
		stuck[i] = StuckWork{Key: row.key, Subject: row.subject(), Reason: row.reason, Attempts: row.attempts, NextAt: row.dueAt()}
	}
	return stuck, nil
}

// RetryStuck makes the work that failed due at once, and the deliveries that GitHub
// is to be asked for again, as when a process starts: what they failed for may have
// been mended.
func (s *Store) RetryStuck(ctx context.Context) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		rows, err := list(ctx, tx, scanWork, selectFromWork+`WHERE attempts > 0 AND not_before IS NOT NULL`)
		if err != nil {
			return err
		}
		for _, row := range rows {
			row.notBefore = time.Time{}
			if err := saveWork(ctx, tx, row); err != nil {
				return err
			}
		}
		// Counted anew: a process that starts again and again gives none up.
		_, err = tx.ExecContext(ctx, `UPDATE redeliveries SET next_at = ?, times = 0 WHERE next_at IS NOT NULL`, s.now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("try the work again that failed: %w", err)
	}
	s.signal()
	return nil
}

func (w workRow) subject() string {
	id, delivery := strings.CutPrefix(w.key, deliveryPrefix)
	switch {
	case delivery:
		return "delivery " + id
	case w.ref == (policy.PullRequestRef{}):
		return w.key
	default:
		return w.ref.String()
	}
}
