package killswitch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/audit"
)

const (
	// lockFirst is how long the gates wait for the lock to be put.
	lockFirst = time.Second
	// look is how often it is looked how far the checks are.
	look = 30 * time.Second
	// LongestWait is how long work on switches that failed waits at most for its next
	// attempt.
	LongestWait = 15 * time.Second
)

// The parts of a switch that is on, as its record and its issue name them.
const (
	partLock  = "the lock"
	partIssue = "this issue"
	partGates = "pull requests"
	// partRelease is what of starting again fails.
	partRelease = "starting again"
)

// Enforce makes GitHub and everything else be as the record of the place's switches
// says. It may be called at any time and again; parts do not wait for each other. It
// returns when to go on; zero: when something happens. With an error it is to be
// called again soon: what could not be done is named in the issue until then.
func (k *GitHubKillSwitch) Enforce(ctx context.Context, place Scope) (again time.Time, _ error) {
	var errs []error
	for _, agents := range []bool{false, true} {
		scope := place
		scope.Agents = agents
		sw, err := k.config.Store.Switch(ctx, scope)
		if err != nil {
			errs = append(errs, fmt.Errorf("look up the kill switch of %s: %w", scope, err))
			continue
		}
		next, err := k.enforce(ctx, sw)
		errs = append(errs, err)
		if !next.IsZero() && (again.IsZero() || next.Before(again)) {
			again = next
		}
	}
	return again, errors.Join(errs...)
}

func (k *GitHubKillSwitch) enforce(ctx context.Context, sw Switch) (time.Time, error) {
	switch sw.State {
	case StateOn:
		return k.stop(ctx, sw)
	case StateReleasing:
		next, err := k.release(ctx, sw)
		if next.IsZero() && err == nil {
			return next, nil
		}
		return next, errors.Join(err, k.obstruct(ctx, sw.Scope, err), k.tellIssue(ctx, sw.Scope))
	default:
		return time.Time{}, k.finish(ctx, sw)
	}
}

// obstruct keeps what keeps the scope from being started again; nil: nothing.
func (k *GitHubKillSwitch) obstruct(ctx context.Context, scope Scope, cause error) error {
	why := ""
	if cause != nil {
		why = cause.Error()
	}
	_, err := k.config.Store.Change(ctx, scope, false, func(sw *Switch) (bool, []audit.Entry) {
		changed := sw.State == StateReleasing && sw.Problems[partRelease] != why
		if changed {
			sw.Problem(partRelease, why)
		}
		return changed, nil
	})
	return err
}

// stop does all that a switch does that is on, side by side. To mark ten thousand gates
// takes the processor and the database from what locks, which is two calls: the gates
// are marked once that has ended, or soon if it does not.
func (k *GitHubKillSwitch) stop(ctx context.Context, sw Switch) (time.Time, error) {
	locked, tried := context.WithTimeout(ctx, lockFirst)
	parts := map[string]func(context.Context) (int, error){
		partLock: func(ctx context.Context) (int, error) {
			defer tried()
			return 0, k.enforceLock(ctx, sw)
		},
		partQueue: func(ctx context.Context) (int, error) { return 0, k.pauseQueue(ctx, sw) },
		partIssue: func(ctx context.Context) (int, error) { return 0, k.carry(ctx, sw) },
		partGates: func(ctx context.Context) (int, error) {
			<-locked.Done()
			return 0, k.config.Gates.MarkGates(ctx, sw.Scope, sw.mark())
		},
	}
	for name, stopper := range k.config.Stoppers {
		parts[name] = func(ctx context.Context) (int, error) { return stopper.Stop(ctx, sw.Scope) }
	}
	var mu sync.Mutex
	var working sync.WaitGroup
	ended, failed := map[string]int{}, map[string]error{}
	for name, part := range parts {
		working.Go(func() {
			n, err := part(ctx)
			mu.Lock()
			defer mu.Unlock()
			ended[name], failed[name] = n, err
		})
	}
	working.Wait()
	next, err := k.account(ctx, sw.Scope, ended, failed)
	return next, errors.Join(err, k.tellIssue(ctx, sw.Scope))
}

// account keeps how far it came, and returns the errors for which it is to be tried
// again.
func (k *GitHubKillSwitch) account(ctx context.Context, scope Scope, ended map[string]int, failed map[string]error) (time.Time, error) {
	left, green, err := k.config.Gates.MarkedGates(ctx, scope)
	if err != nil {
		return time.Time{}, err
	}
	errs := []error{}
	_, err = k.config.Store.Change(ctx, scope, false, func(sw *Switch) (bool, []audit.Entry) {
		if sw.State != StateOn {
			return false, nil
		}
		changed := false
		for part, err := range failed {
			why := ""
			if err != nil {
				why = err.Error()
			}
			changed = changed || sw.Problems[part] != why
			sw.Problem(part, why)
		}
		for part, n := range ended {
			if n > 0 {
				sw.count(part, n)
				changed = true
			}
		}
		if green == 0 && sw.SoftAt.IsZero() && sw.Problems[partGates] == "" {
			sw.SoftAt, changed = k.config.Now(), true
		}
		return changed, nil
	})
	for _, failure := range failed {
		if !errors.Is(failure, errNoQueue) {
			errs = append(errs, failure)
		}
	}
	if left > 0 {
		return k.config.Now().Add(look), errors.Join(append(errs, err)...)
	}
	return time.Time{}, errors.Join(append(errs, err)...)
}
