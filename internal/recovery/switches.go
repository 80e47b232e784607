package recovery

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// prefixSwitches and an installation's id look for kill switches there.
const prefixSwitches = "switches:"

// KeySwitches is the key of the search for an installation's kill switches.
func KeySwitches(installation int64) string {
	return prefixSwitches + strconv.FormatInt(installation, 10)
}

// IsUrgent reports whether the sweep overtakes other work.
func IsUrgent(key string) bool { return strings.HasPrefix(key, prefixSwitches) || key == KeyReach }

// betweenSwitches is how often labels are looked for of which no webhook told: what is
// stopped is to be stopped within a minute.
const betweenSwitches = 40 * time.Second

// Switches takes in what is found of kill switches.
type Switches interface {
	// Known are the switches that are on. It is asked before GitHub is read.
	Known(ctx context.Context) (map[string]bool, error)
	// Swept takes in all that one repository shows.
	Swept(ctx context.Context, repository policy.Repository, found []policy.Flag, known map[string]bool) error
}

// switches looks for labels that are switches, and has those that are on compared
// with GitHub. A repository that cannot be read does not keep the others from it.
func (s *Sweeper) switches(ctx context.Context, installation int64) (time.Time, error) {
	began := s.Now()
	if err := s.Book.WakeSwitches(ctx, installation); err != nil {
		return time.Time{}, err
	}
	repositories, err := s.GitHub.Repositories(ctx, installation)
	if err != nil {
		return time.Time{}, err
	}
	var errs []error
	for some := range slices.Chunk(repositories, repositoriesPerStep) {
		known, err := s.Switches.Known(ctx)
		if err != nil {
			return time.Time{}, err
		}
		found, err := s.GitHub.Flagged(ctx, some)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, repository := range some {
			if flags, read := found[repository.ID]; read {
				errs = append(errs, s.Switches.Swept(ctx, repository, flags, known))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return time.Time{}, err
	}
	return began.Add(betweenSwitches), nil
}
