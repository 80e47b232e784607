package githubapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// runningStatuses are those of runs that have not ended, as GitHub filters them: one
// whose jobs wait for a deployment protection rule is waiting.
var runningStatuses = []string{"in_progress", "queued", "waiting", "pending", "requested"}

// CancelRuns cancels the repository's workflow runs on those commits that have not
// ended, and returns how many that were. It needs the permission Actions: write. To
// list them costs nothing of the budget while nothing changed.
func (c *Client) CancelRuns(ctx context.Context, repository policy.Repository, commits map[string]bool) (cancelled int, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return 0, err
	}
	for _, status := range runningStatuses {
		runs, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.WorkflowRun, *github.Response, error) {
			list, response, err := client.Actions.ListRepositoryWorkflowRuns(ctx, repository.Owner, repository.Name, &github.ListWorkflowRunsOptions{Status: status, ListOptions: *page})
			if err != nil {
				return nil, response, err
			}
			return list.WorkflowRuns, response, nil
		})
		if err != nil {
			return cancelled, failed(err, "list the workflow runs of %s", repository)
		}
		for _, run := range runs {
			if !commits[run.GetHeadSHA()] {
				continue
			}
			_, err := client.Actions.CancelWorkflowRunByID(ctx, repository.Owner, repository.Name, run.GetID())
			// go-github takes GitHub's 202 for an error.
			if accepted, ok := errors.AsType[*github.AcceptedError](err); ok && accepted != nil {
				err = nil
			}
			if statusOf(err) == http.StatusConflict {
				continue // it has ended meanwhile
			}
			if err != nil {
				return cancelled, failed(err, "cancel the workflow run %d of %s", run.GetID(), repository)
			}
			cancelled++
		}
	}
	return cancelled, nil
}
