package recovery

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// deliveries asks GitHub to deliver again what it could not. It looks back to where
// the last sweep began, at most three days. What it finds is kept, and asked for
// until it comes, however far back it is then.
func (s *Sweeper) deliveries(ctx context.Context) (time.Time, error) {
	more, err := s.look(ctx)
	again, askErr := s.ask(ctx)
	if more && err == nil {
		again = s.Now()
	}
	return again, errors.Join(err, askErr)
}

// look walks through a part of what GitHub tried to deliver, and reports whether
// there is more. How far it came is kept also when GitHub fails.
func (s *Sweeper) look(ctx context.Context) (more bool, _ error) {
	progress, err := s.Book.Progress(ctx, KeyDeliveries)
	if err != nil {
		return false, err
	}
	now := s.Now()
	if progress.Began.IsZero() {
		progress.Began, progress.Cursor = now, ""
	}
	since := progress.Through.Add(-overlap)
	if oldest := now.Add(-rememberedByGitHub); since.Before(oldest) {
		since = oldest
	}
	failed, delivered, next, failure := s.GitHub.FailedDeliveries(ctx, since, progress.Cursor)
	if err := s.Book.PutUndelivered(ctx, failed, delivered); err != nil {
		return false, errors.Join(failure, err)
	}
	progress.Cursor = next
	more = next != ""
	if !more && failure == nil {
		progress, more = progress.end()
	}
	return more, errors.Join(failure, s.Book.PutProgress(ctx, KeyDeliveries, progress))
}

// ask asks for what is due, and returns when to go on. One that fails does not keep
// the others waiting. That it was asked for is kept afterwards: if the process dies
// in between it is asked for twice, and done once.
func (s *Sweeper) ask(ctx context.Context) (again time.Time, _ error) {
	due, next, err := s.Book.Undelivered(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var failures []error
	for _, id := range slices.Sorted(maps.Keys(due)) {
		if err := s.GitHub.Redeliver(ctx, due[id]); err != nil {
			failures = append(failures, err)
			continue
		}
		if err := s.Book.PutAsked(ctx, id); err != nil {
			return time.Time{}, err
		}
		zerolog.Ctx(ctx).Info().Str("event", "delivery.asked_again").Str("github_delivery_id", id).Msg("GitHub could not deliver a webhook and was asked to send it again")
	}
	again = s.Now().Add(betweenDeliveries)
	if !next.IsZero() && next.Before(again) {
		again = next
	}
	return again, errors.Join(failures...)
}
