package githubapi

import (
	"context"
	"net/url"
	"slices"

	"github.com/google/go-github/v60/github"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// detour reports whether a check that is green for this base branch would let
// more through than was judged: the branch does not require the check, and has
// commits that the default branch has not. A check belongs to a commit, so it
// would still be green when the base is changed to the default branch, and the
// branch's own commits would come along.
func (c *Client) detour(ctx context.Context, client *github.Client, pr policy.PullRequest, defaultBranch string) (bool, error) {
	if pr.BaseBranch == defaultBranch || !pr.Open {
		return false, nil
	}
	var ahead int
	var byRule, byProtection bool
	reads, readCtx := errgroup.WithContext(ctx)
	reads.Go(func() error {
		compared, _, err := client.Repositories.CompareCommits(readCtx, pr.Ref.Repository.Owner, pr.Ref.Repository.Name, defaultBranch, pr.HeadSHA, &github.ListOptions{PerPage: 1})
		ahead = compared.GetAheadBy()
		return failed(err, "compare %s with %s of %s", pr.HeadSHA, defaultBranch, pr.Ref.Repository)
	})
	reads.Go(func() (err error) { byRule, err = c.requiredByRule(readCtx, client, pr); return err })
	reads.Go(func() (err error) { byProtection, err = c.requiredByProtection(readCtx, client, pr); return err })
	if err := reads.Wait(); err != nil {
		return true, err
	}
	return ahead > pr.CommitCount && !byRule && !byProtection, nil
}

// requiredByRule reports whether a ruleset requires the check on the base branch.
func (c *Client) requiredByRule(ctx context.Context, client *github.Client, pr policy.PullRequest) (bool, error) {
	var rules []struct {
		Type       string `json:"type"`
		Parameters struct {
			Checks []struct {
				Context string `json:"context"`
			} `json:"required_status_checks"`
		} `json:"parameters"`
	}
	// go-github refuses rules that it does not know yet.
	err := get(ctx, client, "repos/"+pr.Ref.Repository.String()+"/rules/branches/"+url.PathEscape(pr.BaseBranch)+"?per_page=100", &rules)
	for _, rule := range rules {
		for _, check := range rule.Parameters.Checks {
			if rule.Type == "required_status_checks" && check.Context == c.options.CheckName {
				return true, nil
			}
		}
	}
	return false, failed(err, "read the rules of the branch %s of %s", pr.BaseBranch, pr.Ref.Repository)
}

// requiredByProtection reports whether branch protection requires the check on the
// base branch, as far as it is shown to those who may not change it.
func (c *Client) requiredByProtection(ctx context.Context, client *github.Client, pr policy.PullRequest) (bool, error) {
	var branch struct {
		Protection struct {
			Checks struct {
				Contexts []string `json:"contexts"`
			} `json:"required_status_checks"`
		} `json:"protection"`
	}
	err := get(ctx, client, "repos/"+pr.Ref.Repository.String()+"/branches/"+url.PathEscape(pr.BaseBranch), &branch)
	return slices.Contains(branch.Protection.Checks.Contexts, c.options.CheckName),
		failed(err, "read the protection of the branch %s of %s", pr.BaseBranch, pr.Ref.Repository)
}
