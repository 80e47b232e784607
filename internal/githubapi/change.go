package githubapi

import (
	"context"
	"maps"

	"github.com/google/go-github/v60/github"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// SameChange reports whether the two commits change the same files of the base
// branch from the same contents and modes to the same contents and modes. It is
// false where a commit is gone, or a tree is too large for GitHub to list.
func (c *Client) SameChange(ctx context.Context, repository policy.Repository, baseBranch, a, b string) (bool, error) {
	client, err := c.rest(repository)
	if err != nil {
		return false, err
	}
	changes, told := make([]map[string]transition, 2), make([]bool, 2)
	reads, readCtx := errgroup.WithContext(ctx)
	for i, commit := range []string{a, b} {
		reads.Go(func() (err error) {
			changes[i], told[i], err = change(readCtx, client, repository, baseBranch, commit)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return false, err
	}
	return told[0] && told[1] && maps.Equal(changes[0], changes[1]), nil
}

// entry is a file in a tree; the zero entry is no file.
type entry struct{ mode, blob string }

// transition is what becomes of one path.
type transition struct{ from, to entry }

// change lists what becomes of each path between the commit's merge base with
// the branch and the commit; told is false if GitHub cannot tell.
func change(ctx context.Context, client *github.Client, repository policy.Repository, baseBranch, commit string) (changes map[string]transition, told bool, err error) {
	compared, _, err := client.Repositories.CompareCommits(ctx, repository.Owner, repository.Name, baseBranch, commit, &github.ListOptions{PerPage: 1})
	if isNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, failed(err, "compare %s with %s of %s", commit, baseBranch, repository)
	}
	before, told, err := tree(ctx, client, repository, compared.GetMergeBaseCommit().GetSHA())
	if err != nil || !told {
		return nil, false, err
	}
	after, told, err := tree(ctx, client, repository, commit)
	if err != nil || !told {
		return nil, false, err
	}
	changes = map[string]transition{}
	for path, from := range before {
		if to := after[path]; to != from {
			changes[path] = transition{from, to}
		}
	}
	for path, to := range after {
		if _, was := before[path]; !was {
			changes[path] = transition{to: to}
		}
	}
	return changes, true, nil
}

// tree lists the files of a commit; whole is false if GitHub does not have it or
// does not list all of it.
func tree(ctx context.Context, client *github.Client, repository policy.Repository, commit string) (files map[string]entry, whole bool, err error) {
	listed, _, err := client.Git.GetTree(ctx, repository.Owner, repository.Name, commit, true)
	if isNotFound(err) || (err == nil && listed.GetTruncated()) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, failed(err, "list the files of %s of %s", commit, repository)
	}
	files = make(map[string]entry, len(listed.Entries))
	for _, e := range listed.Entries {
		if e.GetType() != "tree" {
			files[e.GetPath()] = entry{e.GetMode(), e.GetSHA()}
		}
	}
	return files, true, nil
}
