package githubapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// editGrace is how much later than its creation a comment may say it was updated
// without having been edited.
const editGrace = time.Second

// Snapshot reads the pull request with everything that a decision looks at: by
// one query, and if that fails by REST, which shows the same in more calls. The
// two have budgets of their own at GitHub, so that one may work without the
// other. The query also says what the people may do who are asked about.
func (c *Client) Snapshot(ctx context.Context, ref policy.PullRequestRef, likely policy.Questions) (policy.Snapshot, map[int64]policy.Standing, error) {
	s, standings, err := c.graphSnapshot(ctx, ref, likely)
	if err == nil || ctx.Err() != nil {
		return s, standings, err
	}
	zerolog.Ctx(ctx).Warn().AnErr("cause", errors.Unwrap(err)).Err(err).Stringer("pr", ref).Msg("the query failed; reading by REST")
	s, err = c.restSnapshot(ctx, ref)
	return s, nil, err
}

// settled is how long a pull request must have been left alone when it was read
// for its time of the last update to tell whether anything happened since:
// GitHub gives that time to the second.
const settled = 2 * time.Second

// Moved reports whether anything of the snapshot may be different now. It asks
// conditionally, which does not count against the rate limit as long as nothing
// is: for the pull request by the time of its last update, for each policy by
// the tip of its branch.
func (c *Client) Moved(ctx context.Context, s policy.Snapshot) (bool, error) {
	pr := s.PullRequest
	if s.ReadAt.Sub(pr.UpdatedAt) < settled || len(s.Policies) == 0 {
		return true, nil
	}
	client, err := c.rest(pr.Ref.Repository)
	if err != nil {
		return true, err
	}
	moved := make([]bool, len(s.Policies)+1)
	reads, readCtx := errgroup.WithContext(ctx)
	for i, text := range s.Policies {
		reads.Go(func() (err error) { moved[i], err = tipMoved(readCtx, client, text); return err })
	}
	reads.Go(func() (err error) { moved[len(s.Policies)], err = updated(readCtx, client, pr); return err })
	if err := reads.Wait(); err != nil {
		return true, err
	}
	for _, m := range moved {
		if m {
			return true, nil
		}
	}
	return false, nil
}

// Updated reports whether the pull request itself was updated since it was read,
// as far as GitHub's time of the last update tells.
func (c *Client) Updated(ctx context.Context, pr policy.PullRequest) (bool, error) {
	client, err := c.rest(pr.Ref.Repository)
	if err != nil {
		return true, err
	}
	return updated(ctx, client, pr)
}

// updated asks for the pull request if it was updated since.
func updated(ctx context.Context, client *github.Client, pr policy.PullRequest) (bool, error) {
	request, err := client.NewRequest(http.MethodGet, "repos/"+pr.Ref.Repository.String()+"/pulls/"+number(pr.Ref), nil)
	if err != nil {
		return true, failed(err, "ask whether %s was updated", pr.Ref)
	}
	request.Header.Set("If-Modified-Since", pr.UpdatedAt.UTC().Format(http.TimeFormat))
	var now github.PullRequest
	_, err = client.Do(ctx, request, &now)
	if statusOf(err) == http.StatusNotModified {
		return false, nil
	}
	if err != nil {
		return true, failed(err, "ask whether %s was updated", pr.Ref)
	}
	return !now.GetUpdatedAt().Time.Equal(pr.UpdatedAt), nil
}

// tipMoved asks for the tip of the policy's branch if it is another one now.
func tipMoved(ctx context.Context, client *github.Client, text policy.PolicyText) (bool, error) {
	owner, name, _ := strings.Cut(text.Repository, "/")
	tip, _, err := client.Repositories.GetCommitSHA1(ctx, owner, name, "heads/"+text.Branch, text.Commit)
	if statusOf(err) == http.StatusNotModified {
		return false, nil
	}
	if err != nil {
		return true, failed(err, "ask whether the branch %s of %s has moved", text.Branch, text.Repository)
	}
	return tip != text.Commit, nil
}

func number(ref policy.PullRequestRef) string { return strconv.Itoa(ref.Number) }
