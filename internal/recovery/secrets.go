package recovery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// KeySecrets asks for a sweep of the secrets of each installation.
	KeySecrets = "sweep:secrets"
	// prefixSecrets and an installation's id sweep those.
	prefixSecrets = "secrets:"

	// betweenSecrets is how often an installation's secrets are swept. One that never were
	// are swept at once: the database is new, or was lost.
	betweenSecrets = 6 * time.Hour
	// secretsAsked is how often it is asked whether it is time.
	secretsAsked = time.Hour
	// leastBetween is how long it takes at least from one sweep to the next, whatever
	// comes due in between.
	leastBetween = 10 * time.Minute
)

// Secrets are those at GitHub that nothing on record accounts for.
type Secrets interface {
	// SweepOn deletes those that are overdue in some of the installation's repositories,
	// after the one with that number. It returns the last of them, 0 if it was through,
	// and when there will be more to delete; zero: that is not known. How far it came
	// counts also if there is an error.
	SweepOn(ctx context.Context, installation, after int64) (last int64, next time.Time, err error)
}

func keySecretsOf(installation int64) string {
	return prefixSecrets + strconv.FormatInt(installation, 10)
}

// askForSecrets asks for a sweep of each installation that was not swept for long. That a
// process starts is no reason for one: each costs two calls a repository.
func (s *Sweeper) askForSecrets(ctx context.Context) (time.Time, error) {
	active, _, err := s.GitHub.Installations(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, place := range active {
		key := keySecretsOf(place.Installation)
		progress, err := s.Book.Progress(ctx, key)
		if err != nil {
			return time.Time{}, err
		}
		if s.Now().Before(progress.Through.Add(betweenSecrets)) {
			continue
		}
		if err := s.Book.Want(ctx, key); err != nil {
			return time.Time{}, err
		}
	}
	return s.Now().Add(secretsAsked), nil
}

// secrets does one step of the sweep of an installation's secrets.
func (s *Sweeper) secrets(ctx context.Context, installation int64) (again time.Time, _ error) {
	key := keySecretsOf(installation)
	progress, err := s.Book.Progress(ctx, key)
	if err != nil {
		return time.Time{}, err
	}
	if progress.Began.IsZero() {
		progress.Began, progress.Cursor = s.Now(), ""
	}
	after, soonest := readSecretsCursor(progress.Cursor)
	last, next, failure := s.Secrets.SweepOn(ctx, installation, after)
	if !next.IsZero() && (soonest.IsZero() || next.Before(soonest)) {
		soonest = next
	}
	if last != 0 || failure != nil {
		progress.Cursor = fmt.Sprintf("%d %d", last, max(0, soonest.UnixMilli()))
		return s.Now(), errors.Join(failure, s.Book.PutProgress(ctx, key, progress))
	}
	progress, more := progress.end()
	switch earliest := s.Now().Add(leastBetween); {
	case more:
		again = s.Now()
	case soonest.IsZero():
	case soonest.Before(earliest):
		again = earliest
	default:
		again = soonest
	}
	return again, s.Book.PutProgress(ctx, key, progress)
}

// readSecretsCursor reads the number of the last repository that was swept, and when the
// next secret is overdue of those that were seen. One that cannot be read is the
// beginning.
func readSecretsCursor(cursor string) (after int64, soonest time.Time) {
	var millis int64
	if n, err := fmt.Sscanf(cursor, "%d %d", &after, &millis); n != 2 || err != nil {
		return 0, time.Time{}
	}
	if millis > 0 {
		soonest = time.UnixMilli(millis)
	}
	return after, soonest
}
