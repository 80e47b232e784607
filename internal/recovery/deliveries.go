package recovery

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// deliveries asks GitHub to deliver again what it could not. It goes back to
// where the last sweep began, at most three days.
func (s *Sweeper) deliveries(ctx context.Context) (time.Time, error) {
	progress, err := s.Book.Progress(ctx, KeyDeliveries)
	if err != nil {
		return time.Time{}, err
	}
	now := s.Now()
	if progress.Began.IsZero() {
		progress.Began, progress.Cursor = now, ""
	}
	since := progress.Through.Add(-overlap)
	if oldest := now.Add(-rememberedByGitHub); since.Before(oldest) {
		since = oldest
	}
	undelivered, _, next, err := s.GitHub.FailedDeliveries(ctx, since, progress.Cursor)
	if err != nil {
		return time.Time{}, err
	}
	if err := s.redeliver(ctx, undelivered); err != nil {
		return time.Time{}, err
	}
	if next != "" {
		progress.Cursor = next
		return now, s.Book.PutProgress(ctx, KeyDeliveries, progress)
	}
	return now.Add(betweenDeliveries), s.Book.PutProgress(ctx, KeyDeliveries, Progress{Through: progress.Began})
}

// redeliver asks for each once. What is asked for is kept first: if the process
// dies in between, it is asked for by a later sweep.
func (s *Sweeper) redeliver(ctx context.Context, undelivered map[string]int64) error {
	if len(undelivered) == 0 {
		return nil
	}
	ids, err := s.Book.AskAgain(ctx, slices.Sorted(maps.Keys(undelivered)))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.GitHub.Redeliver(ctx, undelivered[id]); err != nil {
			return err
		}
		zerolog.Ctx(ctx).Info().Str("event", "delivery.asked_again").Str("github_delivery_id", id).Msg("GitHub could not deliver a webhook and was asked to send it again")
	}
	return nil
}
