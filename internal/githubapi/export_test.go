package githubapi

import (
	"context"

	"github.com/portcullis-app/portcullis/policy"
)

// Answers are the entries of the installation's cache, by key.
func (c *Client) Answers(installation int64) map[string]string {
	answers := map[string]string{}
	found, _ := c.creator.kept.Get(installation)
	kept := found.(*keptClient).answers.(cache)
	for _, key := range kept.entries.Keys() {
		entry, _ := kept.Get(key.(string))
		answers[key.(string)] = string(entry)
	}
	return answers
}

// Exchange is one turn of ShareBudgets.
func (c *Client) Exchange(ctx context.Context) error { return c.governor.exchange(ctx) }

// Comments lists a pull request's comments by REST.
func (c *Client) Comments(ctx context.Context, repository policy.Repository, number int) ([]policy.Comment, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	return restReader{Client: client, ref: policy.PullRequestRef{Repository: repository, Number: number}}.comments(ctx)
}

// DeleteRuleset deletes a ruleset of the repository.
func (c *Client) DeleteRuleset(ctx context.Context, repository policy.Repository, id int64) error {
	client, err := c.rest(repository)
	if err != nil {
		return err
	}
	_, err = client.Repositories.DeleteRuleset(ctx, repository.Owner, repository.Name, id)
	return err
}
