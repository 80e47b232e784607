package githubapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/go-github/v60/github"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// complete reads by REST what the query does not show in full.
func (pr *graphPullRequest) complete(ctx context.Context, r restReader, s *policy.Snapshot) error {
	reads, readCtx := errgroup.WithContext(ctx)
	// A query does not tell the former path of a renamed file.
	renamed := slices.ContainsFunc(s.Files, func(f policy.File) bool { return f.Status == policy.FileRenamed })
	if renamed || !pr.Files.whole() {
		reads.Go(func() (err error) { s.Files, err = r.files(readCtx); return err })
	}
	// A query shows no bots among a commit's authors.
	unmapped := slices.ContainsFunc(s.Commits, func(c policy.Commit) bool { return !c.Author.Known() || !c.Committer.Known() })
	if unmapped || !pr.Commits.whole() {
		reads.Go(func() error { return r.mapCommits(readCtx, s) })
	}
	if !pr.Reviews.whole() {
		reads.Go(func() (err error) { s.Reviews, err = r.reviews(readCtx); return err })
	}
	if !pr.Comments.whole() {
		reads.Go(func() (err error) { s.Comments, err = r.comments(readCtx); return err })
	}
	if !pr.Timeline.whole() {
		reads.Go(func() (err error) { s.History, err = r.history(readCtx); return err })
	}
	if !pr.Labels.whole() {
		return &Error{Operation: "read " + r.ref.String() + ", which has more than 100 labels", Status: http.StatusOK}
	}
	return reads.Wait()
}

// mapCommits reads the commits by REST, and keeps the co-authors that the query
// told of.
func (r restReader) mapCommits(ctx context.Context, s *policy.Snapshot) error {
	commits, err := r.commits(ctx)
	if err != nil {
		return err
	}
	for i, commit := range commits {
		known := slices.IndexFunc(s.Commits, func(c policy.Commit) bool { return c.SHA == commit.SHA })
		if known >= 0 {
			commits[i].CoAuthors = s.Commits[known].CoAuthors
		}
	}
	s.Commits = commits
	return nil
}

// graphPolicies are the files that govern the pull request.
func (c *Client) graphPolicies(ctx context.Context, client *github.Client, repository policy.Repository, data graphSnapshot, own bool) ([]policy.PolicyText, error) {
	type source struct {
		place policy.Place
		at    *graphBranch
	}
	base := data.Repository.PullRequest.BaseRef
	if base == nil || data.Repository.DefaultBranchRef == nil {
		return nil, &Error{Operation: "read the base branch of " + repository.String() + ", which is gone", Status: http.StatusOK}
	}
	sources := []source{{policy.Place{Repository: repository.String(), Organization: own}, data.Repository.DefaultBranchRef}}
	if base.Name != data.Repository.DefaultBranchRef.Name {
		sources = append(sources, source{policy.Place{Repository: repository.String()}, base})
	}
	if data.Floor != nil && data.Floor.DefaultBranchRef != nil {
		place := policy.Place{Repository: repository.Owner + "/" + c.options.OrganizationRepository, Organization: true}
		sources = append([]source{{place, data.Floor.DefaultBranchRef}}, sources...)
	}
	texts := make([]policy.PolicyText, len(sources))
	for i, s := range sources {
		var err error
		if texts[i], err = c.policyOf(ctx, client, s.place, s.at); err != nil {
			return nil, err
		}
	}
	return texts, nil
}
