package githubapi

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// PullRequest reads a pull request.
func (c *Client) PullRequest(ctx context.Context, ref policy.PullRequestRef) (policy.PullRequest, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return policy.PullRequest{}, err
	}
	pr, _, err := client.PullRequests.Get(ctx, ref.Repository.Owner, ref.Repository.Name, ref.Number)
	if err != nil {
		return policy.PullRequest{}, failed(err, "read %s", ref)
	}
	labels := make([]string, len(pr.Labels))
	for i, label := range pr.Labels {
		labels[i] = label.GetName()
	}
	return policy.PullRequest{
		Ref:          ref,
		Title:        pr.GetTitle(),
		Author:       actor(pr.User),
		HeadSHA:      pr.GetHead().GetSHA(),
		HeadBranch:   pr.GetHead().GetRef(),
		BaseBranch:   pr.GetBase().GetRef(),
		Labels:       labels,
		Open:         pr.GetState() == "open",
		ChangedFiles: pr.GetChangedFiles(),
		CommitCount:  pr.GetCommits(),
		CreatedAt:    pr.GetCreatedAt().UTC(),
		UpdatedAt:    pr.GetUpdatedAt().UTC(),
	}, nil
}

// Files lists the changed files; GitHub shows 3,000 at most.
func (c *Client) Files(ctx context.Context, ref policy.PullRequestRef) ([]policy.File, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return nil, err
	}
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.CommitFile, *github.Response, error) {
		return client.PullRequests.ListFiles(ctx, ref.Repository.Owner, ref.Repository.Name, ref.Number, page)
	})
	files := make([]policy.File, len(listed))
	for i, f := range listed {
		files[i] = policy.File{
			Path: f.GetFilename(), PreviousPath: f.GetPreviousFilename(), Status: policy.FileStatus(f.GetStatus()),
			Additions: f.GetAdditions(), Deletions: f.GetDeletions(),
		}
	}
	return files, failed(err, "list the files of %s", ref)
}

// Commits lists the commits, through every parent; GitHub shows 250 at most.
func (c *Client) Commits(ctx context.Context, ref policy.PullRequestRef) ([]policy.Commit, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return nil, err
	}
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.RepositoryCommit, *github.Response, error) {
		return client.PullRequests.ListCommits(ctx, ref.Repository.Owner, ref.Repository.Name, ref.Number, page)
	})
	commits := make([]policy.Commit, len(listed))
	for i, commit := range listed {
		commits[i] = policy.Commit{
			SHA: commit.GetSHA(), Author: actor(commit.Author), Committer: actor(commit.Committer),
			Message: commit.GetCommit().GetMessage(),
		}
	}
	return commits, failed(err, "list the commits of %s", ref)
}

// Reviews lists the submitted reviews, oldest first.
func (c *Client) Reviews(ctx context.Context, ref policy.PullRequestRef) ([]policy.Review, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return nil, err
	}
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.PullRequestReview, *github.Response, error) {
		return client.PullRequests.ListReviews(ctx, ref.Repository.Owner, ref.Repository.Name, ref.Number, page)
	})
	reviews := make([]policy.Review, len(listed))
	for i, review := range listed {
		reviews[i] = policy.Review{
			ID: review.GetID(), By: actor(review.User), State: policy.ReviewState(review.GetState()),
			Commit: review.GetCommitID(), SubmittedAt: review.GetSubmittedAt().UTC(),
		}
	}
	return reviews, failed(err, "list the reviews of %s", ref)
}

// Content reads a file at a commit or full reference. It returns nil without an
// error only if the file does not exist there: GitHub answers 404 also when the
// App may not read contents, so an absence is believed only of a commit that
// the App can read.
func (c *Client) Content(ctx context.Context, repository policy.Repository, path, at string) ([]byte, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	file, _, _, err := client.Repositories.GetContents(ctx, repository.Owner, repository.Name, path, &github.RepositoryContentGetOptions{Ref: at})
	if isNotFound(err) {
		_, _, err := client.Repositories.GetCommit(ctx, repository.Owner, repository.Name, at, nil)
		return nil, failed(err, "read %s of %s at %s", path, repository, at)
	}
	if err != nil {
		return nil, failed(err, "read %s of %s at %s", path, repository, at)
	}
	if file == nil {
		return nil, &Error{Operation: "read " + path + " of " + repository.String() + ", which is a folder", Status: 200}
	}
	content, err := file.GetContent()
	if err != nil {
		return nil, failed(err, "decode %s of %s at %s", path, repository, at)
	}
	return []byte(content), nil
}

func actor(user *github.User) policy.Actor {
	return policy.Actor{ID: user.GetID(), Login: user.GetLogin(), Kind: policy.ActorKind(user.GetType())}
}
