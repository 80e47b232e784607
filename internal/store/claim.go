package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// Lease is how long a claim keeps others from work whose worker does not end it,
// because its process died or was stopped. A worker must have given up well
// before.
const Lease = 40 * time.Second

// ErrClaimLost is returned for a claim that outlived its lease and was followed
// by another: what the worker did may have been done again, and nothing was kept
// of how it ended.
var ErrClaimLost = errors.New("the claim has passed to another worker")

// Work is what a worker has claimed.
type Work struct {
	Key string
	// Ref is the pull request; zero for work that is about none.
	Ref policy.PullRequestRef
	// Want is the wish up to which [Store.Done] will have done it.
	Want int64
	// Attempts is how often it failed since it was last done.
	Attempts int
	// Urgency is that of the most urgent wish since it was last done.
	Urgency gate.Urgency
	// claim tells this claim from an earlier or later one on the same key.
	claim int64
}

// Claim claims the work with that key for one [Lease]. It returns false if there
// is nothing to do or somebody else holds it. Until Done, Retry or Release, one
// of which should be called, nobody else gets it, in this process or another.
func (s *Store) Claim(ctx context.Context, key string) (Work, bool, error) {
	var row workRow
	claimed := false
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		now := s.now()
		claimed = false
		row, err = loadWork(ctx, tx, key)
		if errors.Is(err, errNoWork) {
			return nil
		}
		if err != nil || !row.free(now) {
			return err
		}
		if err := ringTimer(ctx, tx, &row, now); err != nil {
			return err
		}
		row.claim++
		row.claimedUntil, row.rungAt = now.Add(Lease), time.Time{}
		claimed = true
		return saveWork(ctx, tx, row)
	})
	if err != nil {
		return Work{}, false, fmt.Errorf("claim the work %s: %w", key, err)
	}
	if !claimed {
		return Work{}, false, nil
	}
	return Work{Key: row.key, Ref: row.ref, Want: row.want, Attempts: row.attempts, Urgency: row.urgency, claim: row.claim}, true, nil
}

// free reports whether there is something to do that nobody holds.
func (w workRow) free(now time.Time) bool {
	due := w.dueAt()
	return !due.IsZero() && !due.After(now) && !w.claimedUntil.After(now)
}

// Done keeps that the work was done as far as it was wanted when it was claimed,
// and that the deliveries with those ids were worked off, as [Store.DeliveryDone]
// does. A wake-up that came since, or a timer, stays due. The claim ends.
func (s *Store) Done(ctx context.Context, w Work, deliveries []string) error {
	return s.DoneUntil(ctx, w, time.Time{}, deliveries)
}

// DoneUntil is Done for work that is to be done again at that time; zero: not
// before it is asked for.
func (s *Store) DoneUntil(ctx context.Context, w Work, again time.Time, deliveries []string) error {
	err := s.endClaim(ctx, w, func(ctx context.Context, tx *transaction, row *workRow) error {
		row.done = max(row.done, w.Want)
		row.attempts, row.reason, row.notBefore = 0, "", time.Time{}
		row.wantedAt = time.Time{}
		if row.want > row.done {
			// Whoever waits longer goes first.
			row.wantedAt = s.now()
		}
		row.runAt = earlier(row.runAt, atLatest(again))
		return s.closeDeliveries(ctx, tx, deliveries)
	})
	if err != nil {
		return fmt.Errorf("close the work %s: %w", w.Key, err)
	}
	return nil
}

// Retry keeps that the work failed, why, and that it is not to be tried again
// before that time, unless it is woken: a wake-up that came since it was claimed
// leaves it due at once. The deliveries with those ids were worked off all the
// same. The claim ends.
func (s *Store) Retry(ctx context.Context, w Work, at time.Time, reason string, deliveries []string) error {
	err := s.endClaim(ctx, w, func(ctx context.Context, tx *transaction, row *workRow) error {
		row.attempts++
		row.reason = reason
		if row.want == w.Want {
			row.notBefore = atLatest(at)
		}
		if err := s.closeDeliveries(ctx, tx, deliveries); err != nil {
			return err
		}
		return failDeliveries(ctx, tx, w)
	})
	if err != nil {
		return fmt.Errorf("put off the work %s: %w", w.Key, err)
	}
	return nil
}

// Defer gives the work back undone, to be taken up at that time or when it is
// woken. It is no failure: nothing was tried that could be counted.
func (s *Store) Defer(ctx context.Context, w Work, at time.Time, reason string, deliveries []string) error {
	err := s.endClaim(ctx, w, func(ctx context.Context, tx *transaction, row *workRow) error {
		row.reason = reason
		row.notBefore = atLatest(at)
		return s.closeDeliveries(ctx, tx, deliveries)
	})
	if err != nil {
		return fmt.Errorf("defer the work %s: %w", w.Key, err)
	}
	return nil
}

// Release gives the work back undone, as when the process stops.
func (s *Store) Release(ctx context.Context, w Work) error {
	err := s.endClaim(ctx, w, func(context.Context, *transaction, *workRow) error { return nil })
	if err != nil {
		return fmt.Errorf("give back the work %s: %w", w.Key, err)
	}
	return nil
}

// endClaim lets end change the row of a claim that still holds, and frees it.
func (s *Store) endClaim(ctx context.Context, w Work, end func(context.Context, *transaction, *workRow) error) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := loadWork(ctx, tx, w.Key)
		switch {
		case errors.Is(err, errNoWork), err == nil && (row.claim != w.claim || row.claimedUntil.IsZero()):
			return ErrClaimLost
		case err != nil:
			return err
		}
		if err := end(ctx, tx, &row); err != nil {
			return err
		}
		row.claimedUntil, row.rungAt = time.Time{}, time.Time{}
		return saveWork(ctx, tx, row)
	})
	if err != nil {
		return err
	}
	s.signal()
	return nil
}

// forgetClaims gives back what the last process to open a file held: it is gone,
// or the file would be locked. Replicas wait for the lease.
func (s *Store) forgetClaims(ctx context.Context) error {
	if s.server != nil {
		return nil
	}
	_, err := s.writer.ExecContext(ctx, `UPDATE work SET claimed_until = NULL, rung_at = NULL WHERE claimed_until IS NOT NULL OR rung_at IS NOT NULL`)
	return err
}

// Wake returns the channel on which a token comes when work may have come due,
// or when what [Store.NextDue] says may have changed. One token stands for any
// number of changes in this process.
func (s *Store) Wake() <-chan struct{} { return s.wake }

// signal never blocks: a token that is there says it all.
func (s *Store) signal() {
	for _, wake := range []chan struct{}{s.wakeSwitch, s.wake} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}
