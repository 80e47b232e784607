package githubapi

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// ownersHold is how long it is taken for known whose installations there are.
const ownersHold = 10 * time.Second

// owners are the accounts in which the App is installed and not suspended, by number,
// with their installations. Anybody at GitHub may ask about a repository of theirs: they
// cost nothing of the budget, by which the App gets its tokens.
type owners struct {
	mu            sync.Mutex
	at            time.Time
	installations map[int64]int64
}

// installationFor is the App's installation in the account with that number; 0: none.
func (c *Client) installationFor(ctx context.Context, owner int64) (int64, error) {
	c.owners.mu.Lock()
	defer c.owners.mu.Unlock()
	if now := c.options.Now(); c.owners.installations == nil || now.Sub(c.owners.at) >= ownersHold {
		app, err := c.creator.NewAppClient()
		if err != nil {
			return 0, fmt.Errorf("create the App's client: %w", err)
		}
		all, err := pages(ctx, app.Apps.ListInstallations)
		if err != nil {
			return 0, failed(err, "list the App's installations")
		}
		c.owners.at, c.owners.installations = now, map[int64]int64{}
		for _, one := range all {
			if one.SuspendedAt == nil {
				c.owners.installations[one.GetAccount().GetID()] = one.GetID()
			}
		}
	}
	return c.owners.installations[owner], nil
}

// RepositoryOf finds a repository by its number and its owner's, under the name that it
// had. found is false if the App is not installed in it, or if the name leads to another.
func (c *Client) RepositoryOf(ctx context.Context, name string, id, owner int64) (repository policy.Repository, found bool, err error) {
	installation, err := c.installationFor(ctx, owner)
	if err != nil || installation == 0 {
		return policy.Repository{}, false, err
	}
	login, short, _ := strings.Cut(name, "/")
	// That it is of an account in which the App is installed does not say that it is one
	// of those that the App was given.
	repository, err = c.Repository(ctx, login, short)
	if isNotFound(err) {
		return policy.Repository{}, false, nil
	}
	if err != nil {
		return policy.Repository{}, false, err
	}
	return repository, repository.ID == id && repository.Installation == installation, nil
}

// OpenFrom lists the open pull requests from the branch of the repository itself whose
// head is that commit.
func (c *Client) OpenFrom(ctx context.Context, repository policy.Repository, branch, head string) (numbers []int, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	open, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
		return client.PullRequests.List(ctx, repository.Owner, repository.Name, &github.PullRequestListOptions{State: "open", Head: repository.Owner + ":" + branch, ListOptions: *page})
	})
	for _, pr := range open {
		if pr.GetHead().GetSHA() == head && pr.GetHead().GetRepo().GetID() == repository.ID {
			numbers = append(numbers, pr.GetNumber())
		}
	}
	return numbers, failed(err, "list the open pull requests from %s of %s", branch, repository)
}
