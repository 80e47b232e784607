package recovery

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/policy"
)

// resync compares the open pull requests of an installation with what was seen
// of them last.
func (s *Sweeper) resync(ctx context.Context, installation int64) (again time.Time, _ error) {
	key := KeyResync(installation)
	progress, err := s.Book.Progress(ctx, key)
	if err != nil {
		return time.Time{}, err
	}
	repositories, err := s.GitHub.Repositories(ctx, installation)
	if err != nil {
		return time.Time{}, err
	}
	if progress.Began.IsZero() {
		progress.Began = s.Now()
	}
	// The cursor is the id of the last repository that was compared.
	last, _ := strconv.ParseInt(progress.Cursor, 10, 64)
	rest := slices.DeleteFunc(repositories, func(r policy.Repository) bool { return r.ID <= last })
	rest = rest[:min(len(rest), repositoriesPerStep)]
	if err := s.compare(ctx, rest); err != nil {
		return time.Time{}, err
	}
	if len(rest) == repositoriesPerStep {
		progress.Cursor = strconv.FormatInt(rest[len(rest)-1].ID, 10)
		return s.Now(), s.Book.PutProgress(ctx, key, progress)
	}
	progress, more := progress.end()
	if more {
		again = s.Now()
	}
	return again, s.Book.PutProgress(ctx, key, progress)
}

func (s *Sweeper) compare(ctx context.Context, repositories []policy.Repository) error {
	if len(repositories) == 0 {
		return nil
	}
	listed, err := s.GitHub.OpenPullRequests(ctx, repositories)
	if err != nil {
		return err
	}
	for _, repository := range repositories {
		open, read := listed[repository.ID]
		if !read {
			continue
		}
		changed, err := s.Book.PutListing(ctx, repository, open)
		if err != nil {
			return err
		}
		if changed > 0 {
			zerolog.Ctx(ctx).Info().Str("event", "resync.changed").Str("repository", repository.String()).Int("pull_requests", changed).
				Msg("open pull requests look different from the last time and are evaluated")
		}
	}
	return nil
}
