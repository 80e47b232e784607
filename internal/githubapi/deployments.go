package githubapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// ReviewDeployment gives the App's word on a job that waits for it, because its
// environment has the App as a deployment protection rule: state is "approved" or
// "rejected", or empty for a comment alone. waiting is false if no such job waits for
// the App any more. It needs the permission Deployments: write.
func (c *Client) ReviewDeployment(ctx context.Context, repository policy.Repository, run int64, environment, state, comment string) (waiting bool, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return false, err
	}
	body := map[string]string{"environment_name": environment, "comment": comment}
	if state != "" {
		body["state"] = state
	}
	err = call(ctx, client, http.MethodPost, fmt.Sprintf("repos/%s/%s/actions/runs/%d/deployment_protection_rule", repository.Owner, repository.Name, run), body, nil)
	if statusOf(err) == http.StatusUnprocessableEntity || isNotFound(err) {
		return false, nil
	}
	return err == nil, failed(err, "give a word on the deployment to %s in run %d of %s", environment, run, repository)
}

// DeploymentEnded reports whether the job of a deployment has ended, by the newest of its
// states, whose numbers rise. It needs the permission Deployments: read.
func (c *Client) DeploymentEnded(ctx context.Context, repository policy.Repository, deployment int64) (bool, error) {
	client, err := c.rest(repository)
	if err != nil {
		return false, err
	}
	states, _, err := client.Repositories.ListDeploymentStatuses(ctx, repository.Owner, repository.Name, deployment, &github.ListOptions{PerPage: 100})
	if err != nil {
		return false, failed(err, "look at the deployment %d of %s", deployment, repository)
	}
	if len(states) == 0 {
		return false, nil
	}
	newest := slices.MaxFunc(states, func(a, b *github.DeploymentStatus) int { return cmp.Compare(a.GetID(), b.GetID()) })
	return slices.Contains([]string{"success", "failure", "error", "inactive"}, newest.GetState()), nil
}

// JobEnded reports whether a job has ended; of one that is not there it is not known. It
// needs the permission Actions: read.
func (c *Client) JobEnded(ctx context.Context, repository policy.Repository, job int64) (bool, error) {
	client, err := c.rest(repository)
	if err != nil {
		return false, err
	}
	read, _, err := client.Actions.GetWorkflowJobByID(ctx, repository.Owner, repository.Name, job)
	if isNotFound(err) {
		return false, nil
	}
	return read.GetStatus() == "completed", failed(err, "look at the job %d of %s", job, repository)
}

// WorkflowRun is a run of a workflow.
type WorkflowRun struct {
	HeadSHA string
	// Event is what started it, as pull_request.
	Event string
	// Attempt counts how many times it was started.
	Attempt   int
	Completed bool
}

// WorkflowRun reads a run; found is false if it is not there any more. It needs the
// permission Actions: read.
func (c *Client) WorkflowRun(ctx context.Context, repository policy.Repository, run int64) (found WorkflowRun, there bool, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return WorkflowRun{}, false, err
	}
	read, _, err := client.Actions.GetWorkflowRunByID(ctx, repository.Owner, repository.Name, run)
	if isNotFound(err) {
		return WorkflowRun{}, false, nil
	}
	if err != nil {
		return WorkflowRun{}, false, failed(err, "look at run %d of %s", run, repository)
	}
	return WorkflowRun{HeadSHA: read.GetHeadSHA(), Event: read.GetEvent(), Attempt: read.GetRunAttempt(), Completed: read.GetStatus() == "completed"}, true, nil
}
