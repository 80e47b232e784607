package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Work is what a worker has claimed.
type Work struct {
	Key string
	// Ref is the pull request; zero for a delivery that is about none.
	Ref policy.PullRequestRef
	// Want is the wish up to which [Store.Done] will have done it.
	Want int64
	// Attempts is how often it failed since it was last done.
	Attempts int
	// claim tells this claim from an earlier or later one on the same key.
	claim int64
}

// claims are the keys that workers of this process hold, each with the number
// of the claim. mu guards both fields.
type claims struct {
	mu   sync.Mutex
	held map[string]int64
	last int64
}

// Claim returns the work that has been due longest and that nobody has claimed,
// and false if there is none. Until Done, Retry or Release, one of which must
// be called, nobody else gets work with the same key.
func (s *Store) Claim(ctx context.Context) (Work, bool, error) {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	row, ok, err := s.longestDue(ctx)
	if err != nil {
		return Work{}, false, fmt.Errorf("claim work: %w", err)
	}
	if !ok {
		return Work{}, false, nil
	}
	s.claims.last++
	s.claims.held[row.key] = s.claims.last
	// There may be more: the next worker looks.
	s.signal()
	return Work{Key: row.key, Ref: row.ref, Want: row.want, Attempts: row.attempts, claim: s.claims.last}, true, nil
}

// longestDue needs claims.mu held, from before it reads until the claim is
// made: else it could choose work that another worker has just done.
func (s *Store) longestDue(ctx context.Context) (workRow, bool, error) {
	now := s.now()
	var due []string
	err := s.read(ctx, func(tx *transaction) (err error) {
		due, err = dueWork(ctx, tx, now, len(s.claims.held)+1)
		return err
	})
	if err != nil {
		return workRow{}, false, err
	}
	next := slices.IndexFunc(due, func(key string) bool { return s.claims.held[key] == 0 })
	if next < 0 {
		return workRow{}, false, nil
	}
	var row workRow
	err = s.read(ctx, func(tx *transaction) (err error) {
		row, err = loadWork(ctx, tx, due[next])
		return err
	})
	if err == nil && row.timerHasCome(now) {
		err = s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
			row, err = ringTimer(ctx, tx, row.key, now)
			return err
		})
	}
	return row, err == nil, err
}

// Done keeps that the work was done as far as it was wanted when it was claimed,
// and that the deliveries with those ids were worked off, as [Store.DeliveryDone]
// does. A wake-up that came since, or a timer, stays due. The claim ends whatever
// is returned; after an error the work is due again.
func (s *Store) Done(ctx context.Context, w Work, deliveries []string) error {
	defer s.Release(w)
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := loadWork(ctx, tx, w.Key)
		if err != nil {
			return err
		}
		row.done = max(row.done, w.Want)
		row.attempts, row.reason, row.notBefore = 0, "", time.Time{}
		row.wantedAt = time.Time{}
		if row.want > row.done {
			// Whoever waits longer goes first.
			row.wantedAt = s.now()
		}
		if err := saveWork(ctx, tx, row); err != nil {
			return err
		}
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
// same. The claim ends whatever is returned; after an error the work is due at
// once.
func (s *Store) Retry(ctx context.Context, w Work, at time.Time, reason string, deliveries []string) error {
	defer s.Release(w)
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := loadWork(ctx, tx, w.Key)
		if err != nil {
			return err
		}
		row.attempts++
		row.reason = reason
		if row.want == w.Want {
			row.notBefore = atLatest(at)
		}
		if err := saveWork(ctx, tx, row); err != nil {
			return err
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

// Release gives the work back undone, as when the process stops. It does nothing
// if the claim has ended already, whoever holds the key now.
func (s *Store) Release(w Work) {
	s.claims.mu.Lock()
	if s.claims.held[w.Key] == w.claim {
		delete(s.claims.held, w.Key)
	}
	s.claims.mu.Unlock()
	s.signal()
}

// Wake returns the channel on which a token comes when work may have come due,
// or when what [Store.NextDue] says may have changed. One token stands for any
// number of changes: whoever takes it claims until there is nothing more.
func (s *Store) Wake() <-chan struct{} { return s.wake }

// signal never blocks: a token that is there says it all.
func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
