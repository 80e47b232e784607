package recovery

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// KeyReach asks where the App is installed and not suspended.
const KeyReach = "sweep:reach"

// betweenReaches is how often that is asked: that nothing is enforced is to be known
// within a minute, although a webhook was lost.
const betweenReaches = 40 * time.Second

// reach keeps where the App is installed.
func (s *Sweeper) reach(ctx context.Context) (time.Time, error) {
	began := s.Now()
	active, suspended, err := s.GitHub.Installations(ctx)
	if err != nil {
		return time.Time{}, err
	}
	lost, err := s.Book.PutReach(ctx, began, active, suspended)
	if err != nil {
		return time.Time{}, err
	}
	for _, place := range lost {
		zerolog.Ctx(ctx).Error().Str("event", "installation.lost").Str("owner", place.Owner).Int64("installation", place.Installation).
			Msg("the App is suspended or not installed any more: nothing is enforced there")
	}
	return began.Add(betweenReaches), nil
}
