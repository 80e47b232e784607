package githubapi

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// OpenHeads lists the heads of the repository's open pull requests, by number.
func (c *Client) OpenHeads(ctx context.Context, repository policy.Repository) (map[int]string, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	open, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
		return client.PullRequests.List(ctx, repository.Owner, repository.Name, &github.PullRequestListOptions{State: "open", ListOptions: *page})
	})
	heads := map[int]string{}
	for _, pr := range open {
		heads[pr.GetNumber()] = pr.GetHead().GetSHA()
	}
	return heads, failed(err, "list the open pull requests of %s", repository)
}

// CloseIfOpen makes the App's check on that commit say what check says if it is
// green, and reports whether it was.
func (c *Client) CloseIfOpen(ctx context.Context, repository policy.Repository, check policy.Check) (bool, error) {
	client, err := c.rest(repository)
	if err != nil {
		return false, err
	}
	id, err := c.findCheck(ctx, client, repository, check)
	if err != nil || id == 0 {
		return false, err
	}
	run, _, err := client.Checks.GetCheckRun(ctx, repository.Owner, repository.Name, id)
	if err != nil {
		return false, failed(err, "read the check on %s of %s", check.HeadSHA, repository)
	}
	if run.GetConclusion() != "success" {
		return false, nil
	}
	return true, failed(updateCheck(ctx, client, repository, id, check), "close the check on %s of %s", check.HeadSHA, repository)
}
