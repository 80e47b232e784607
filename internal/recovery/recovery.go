// Package recovery finds what no webhook told. It asks GitHub for the deliveries
// that could not be handed over, and compares what is open with what was seen
// last; what is found becomes work like any other. It decides nothing.
//
// A sweep is a piece of work with a key, which any replica may do. It is done in
// steps of some seconds, and how far it came is kept, so that a process that dies
// loses one step.
package recovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/policy"
)

// The keys of the sweeps.
const (
	// KeyDeliveries asks for deliveries that failed.
	KeyDeliveries = "sweep:deliveries"
	// KeyInstallations asks for a resync of every installation.
	KeyInstallations = "sweep:installations"
	// prefixResync and an installation's id compare that installation.
	prefixResync = "resync:"
	// KeyPrune deletes what was kept long enough.
	KeyPrune = "sweep:prune"
	// KeySandboxes looks at the sandboxes that run.
	KeySandboxes = "sweep:sandboxes"
)

// KeyResync is the key of an installation's resync.
func KeyResync(installation int64) string {
	return prefixResync + strconv.FormatInt(installation, 10)
}

const (
	// betweenDeliveries is how often failed deliveries are asked for.
	betweenDeliveries = 5 * time.Minute
	// rememberedByGitHub is for how long GitHub knows deliveries.
	rememberedByGitHub = 3 * 24 * time.Hour
	// overlap is how far a sweep looks back into the last one: a delivery is listed
	// once it was tried, up to ten seconds after it began.
	overlap = 10 * time.Minute
	// betweenResyncs, and up to as much again by chance, is how often all open pull
	// requests are compared.
	betweenResyncs = 30 * time.Minute
	// betweenPrunes is how often old deliveries are deleted.
	betweenPrunes = time.Hour
	// repositoriesPerStep is how many repositories are compared before it is kept how
	// far a resync came.
	repositoriesPerStep = 50
)

// GitHub is what recovery asks. githubapi.Client fits.
type GitHub interface {
	FailedDeliveries(ctx context.Context, since time.Time, cursor string) (failed map[string]int64, delivered map[string]bool, next string, err error)
	Redeliver(ctx context.Context, attempt int64) error
	Installations(ctx context.Context) (active, suspended []policy.Repository, err error)
	Repositories(ctx context.Context, installation int64) ([]policy.Repository, error)
	OpenPullRequests(ctx context.Context, repositories []policy.Repository) (map[int64]map[int]string, error)
	// Flagged lists what is open and carries a label that may be a kill switch.
	Flagged(ctx context.Context, repositories []policy.Repository) (map[int64][]policy.Flag, error)
}

// Book is what recovery remembers. Each method is one transaction.
type Book interface {
	// Want asks for a sweep, at once. That it was asked for shows in its progress.
	Want(ctx context.Context, key string) error
	// Progress is how far the sweep came; zero if it was never begun.
	Progress(ctx context.Context, key string) (Progress, error)
	// PutProgress keeps how far the sweep came, but for when it was wanted.
	PutProgress(ctx context.Context, key string, progress Progress) error
	// PutUndelivered keeps which deliveries failed, each with an attempt, and forgets
	// those that were delivered since.
	PutUndelivered(ctx context.Context, failed map[string]int64, delivered map[string]bool) error
	// Undelivered lists some of the deliveries that failed, that did not come since
	// and that are to be asked for now, each with an attempt, and when the next one
	// is to be; zero: none is.
	Undelivered(ctx context.Context) (due map[string]int64, next time.Time, err error)
	// PutAsked keeps that GitHub was asked to send the delivery again.
	PutAsked(ctx context.Context, id string) error
	// PutListing compares the repository's open pull requests with the last time and
	// asks for those to be evaluated that look different, are new or are gone. It
	// returns how many.
	PutListing(ctx context.Context, repository policy.Repository, listed map[int]string) (int, error)
	// WakeSwitches has the kill switches that are on compared with GitHub.
	WakeSwitches(ctx context.Context, installation int64) error
	// PutReach keeps where the App is installed, and returns where it was active when
	// that was last kept and is no longer.
	PutReach(ctx context.Context, at time.Time, active, suspended []policy.Repository) (lost []policy.Repository, err error)
	// Prune deletes what was done before that time, and reports whether there is more.
	Prune(ctx context.Context, before time.Time) (more bool, err error)
}

// Progress is how far a sweep came.
type Progress struct {
	// Through is up to when everything was seen by an earlier sweep.
	Through time.Time
	// Began is when the one that is under way began; zero: none is.
	Began time.Time
	// Cursor is where it goes on.
	Cursor string
	// Wanted is when it was last asked for with [Book.Want].
	Wanted time.Time
}

// end ends the sweep, and reports whether another is to follow: it was asked for
// since this one began, which a process may have done that is no more.
func (p Progress) end() (_ Progress, again bool) {
	return Progress{Through: p.Began, Wanted: p.Wanted}, p.Began.Before(p.Wanted)
}

// Sweeper does sweeps. Its fields are required and do not change.
type Sweeper struct {
	GitHub GitHub
	Book   Book
	// Switches hears of labels that are kill switches.
	Switches Switches
	// Secrets deletes what nothing on record accounts for.
	Secrets Secrets
	// Sandboxes ends those that may not run.
	Sandboxes Sandboxes
	Now       func() time.Time
	// KeepDeliveries is how long deliveries are kept once they were worked off.
	KeepDeliveries time.Duration
}

// Sandboxes are those that run, whoever started them.
type Sandboxes interface {
	// Sweep ends those that may not run, and returns when to look again; zero: never.
	Sweep(ctx context.Context) (next time.Time, err error)
}

// Begin asks for the sweeps that a process makes when it starts.
func (s *Sweeper) Begin(ctx context.Context) error {
	for _, key := range []string{KeyReach, KeyDeliveries, KeyInstallations, KeySecrets, KeySandboxes, KeyPrune} {
		if err := s.Book.Want(ctx, key); err != nil {
			return fmt.Errorf("ask for the sweep %s: %w", key, err)
		}
	}
	return nil
}

// LongestWait is how long a sweep that failed waits at most for its next attempt.
const LongestWait = betweenDeliveries

// Owns reports whether the key is one of a sweep.
func Owns(key string) bool {
	return strings.HasPrefix(key, "sweep:") || strings.HasPrefix(key, prefixResync) || strings.HasPrefix(key, prefixSecrets) || IsUrgent(key)
}

// Sweep does one step of the sweep with the key, and returns when to go on; zero:
// not before it is asked for.
func (s *Sweeper) Sweep(ctx context.Context, key string) (time.Time, error) {
	switch key {
	case KeyDeliveries:
		return s.deliveries(ctx)
	case KeyInstallations:
		return s.installations(ctx)
	case KeyReach:
		return s.reach(ctx)
	case KeySecrets:
		return s.askForSecrets(ctx)
	case KeySandboxes:
		return s.sandboxes(ctx)
	case KeyPrune:
		return s.prune(ctx)
	}
	kind, number, _ := strings.Cut(key, ":")
	installation, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil:
	case kind+":" == prefixResync:
		return s.resync(ctx, installation)
	case kind+":" == prefixSwitches:
		return s.switches(ctx, installation)
	case kind+":" == prefixSecrets:
		return s.secrets(ctx, installation)
	}
	return time.Time{}, fmt.Errorf("there is no sweep %s", key)
}

// sandboxes ends those that may not run. One that cannot be seen to, or whose installation
// has no calls left, keeps no other from being looked at again.
func (s *Sweeper) sandboxes(ctx context.Context) (time.Time, error) {
	next, err := s.Sandboxes.Sweep(ctx)
	if err != nil && !next.IsZero() {
		zerolog.Ctx(ctx).Warn().Err(err).Str("event", "sandbox.sweep_failed").Time("next", next).Msg("not all sandboxes could be seen to; the rest was")
		err = nil
	}
	return next, err
}

// installations asks for a resync of each, so that one that cannot be read does
// not keep the others waiting.
func (s *Sweeper) installations(ctx context.Context) (time.Time, error) {
	active, _, err := s.GitHub.Installations(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, place := range active {
		for _, key := range []string{KeySwitches(place.Installation), KeyResync(place.Installation)} {
			if err := s.Book.Want(ctx, key); err != nil {
				return time.Time{}, err
			}
		}
	}
	return s.Now().Add(betweenResyncs + rand.N(betweenResyncs)), nil //nolint:gosec // to spread load takes no secrecy
}

func (s *Sweeper) prune(ctx context.Context) (time.Time, error) {
	more, err := s.Book.Prune(ctx, s.Now().Add(-s.KeepDeliveries))
	if err != nil || more {
		return s.Now(), err
	}
	return s.Now().Add(betweenPrunes), nil
}
