package githubapi

import (
	"cmp"
	"context"

	"github.com/portcullis-app/portcullis/policy"
)

// OwnRepository finds a repository of the owner by its name, through the owner's
// installation, and its default branch.
func (c *Client) OwnRepository(ctx context.Context, owner policy.Repository, name string) (policy.Repository, string, error) {
	client, err := c.rest(owner)
	if err != nil {
		return policy.Repository{}, "", err
	}
	found, _, err := client.Repositories.Get(ctx, owner.Owner, name)
	if err != nil {
		return policy.Repository{}, "", failed(err, "find the repository %s/%s", owner.Owner, name)
	}
	return policy.Repository{
		Installation: owner.Installation, ID: found.GetID(), Owner: found.GetOwner().GetLogin(), Name: found.GetName(),
	}, found.GetDefaultBranch(), nil
}

// Policies reads the files that govern a repository: the organization's, that of the
// default branch and, if base names another branch, that branch's.
func (c *Client) Policies(ctx context.Context, repository policy.Repository, base string) ([]policy.PolicyText, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	_, branch, err := c.OwnRepository(ctx, repository, repository.Name)
	if err != nil {
		return nil, err
	}
	return c.restPolicies(ctx, client, repository, cmp.Or(base, branch), branch)
}

// Self is the login of the App's own account.
func (c *Client) Self(ctx context.Context) (string, error) {
	if known := c.self.Load(); known != nil {
		return *known, nil
	}
	app, err := c.creator.NewAppClient()
	if err != nil {
		return "", err
	}
	found, _, err := app.Apps.Get(ctx, "")
	if err != nil {
		return "", failed(err, "read the App's name")
	}
	login := found.GetSlug() + "[bot]"
	c.self.Store(&login)
	return login, nil
}
