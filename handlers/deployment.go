package handlers

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// deploymentRuleEvent is a job that waits for the App's word before it starts, because
// its environment has the App as a deployment protection rule.
type deploymentRuleEvent struct{ *Door }

func (deploymentRuleEvent) Handles() []string { return []string{"deployment_protection_rule"} }

// deployment is what the payloads about jobs of an environment have.
type deployment struct {
	heading
	Environment string `json:"environment"`
	// CallbackURL has the run's number in it: nothing else of the payload names the run.
	CallbackURL string `json:"deployment_callback_url"`
	Deployment  struct {
		ID          int64  `json:"id"`
		SHA         string `json:"sha"`
		Environment string `json:"environment"`
	} `json:"deployment"`
	PullRequests []struct {
		Number int `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_requests"`
	Job struct {
		ID    int64 `json:"id"`
		RunID int64 `json:"run_id"`
	} `json:"workflow_job"`
	Run struct {
		ID int64 `json:"id"`
	} `json:"workflow_run"`
}

// waitingRun is the run's number, read from an address that is not followed.
func (d *deployment) waitingRun() (int64, error) {
	_, rest, _ := strings.Cut(d.CallbackURL, "/actions/runs/")
	number, _, _ := strings.Cut(rest, "/")
	run, err := strconv.ParseInt(number, 10, 64)
	if err != nil || run < 1 {
		return 0, fmt.Errorf("deployment_callback_url names no run: %w", errIncomplete)
	}
	return run, nil
}

// on is the pull request that the run is on: the one whose head it has, or the only one
// there is. It has no number if there is none. Whether the run has its head is asked of
// GitHub later.
func (d *deployment) on() (policy.PullRequestRef, error) {
	repo, err := d.repository()
	on := policy.PullRequestRef{Repository: repo}
	for _, pr := range d.PullRequests {
		if pr.Head.SHA == d.Deployment.SHA || len(d.PullRequests) == 1 {
			on.Number = pr.Number
			break
		}
	}
	return on, err
}

func (deploymentRuleEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	d, err := parse[deployment](payload)
	if err != nil || d.Action != "requested" {
		return policy.PullRequestRef{}, ignored, err
	}
	on, err := d.on()
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	if _, err := d.waitingRun(); err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	if on.Number == 0 {
		return policy.PullRequestRef{}, gate.UrgencyPeople, nil // work of its own
	}
	return on, gate.UrgencyPeople, nil
}

// take keeps that the job waits: it is decided with its pull request.
func (e deploymentRuleEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	d, err := parse[deployment](payload)
	if err != nil || e.config.Lending == nil {
		return nil, err
	}
	on, err := d.on()
	if err != nil {
		return nil, err
	}
	run, err := d.waitingRun()
	if err != nil {
		return nil, err
	}
	return nil, e.config.Lending.Wait(ctx, credential.Deployment{On: on, Run: run, Environment: d.Environment, By: actor(d.Sender)}, d.Deployment.ID)
}

// workflowJobEvent is a job of a workflow that has ended: it may have been lent something.
type workflowJobEvent struct{ *Door }

func (workflowJobEvent) Handles() []string { return []string{"workflow_job"} }

func (e workflowJobEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	d, err := parse[deployment](payload)
	if err != nil || d.Action != "completed" || d.Deployment.Environment == "" && !e.config.HandsOut {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = d.repository()
	return policy.PullRequestRef{}, gate.UrgencyPeople, err
}

// take ends what was lent to the job.
func (e workflowJobEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	d, err := parse[deployment](payload)
	if err != nil || e.config.Lending == nil {
		return nil, err
	}
	repo, err := d.repository()
	if err != nil {
		return nil, err
	}
	return nil, e.config.Lending.JobEnded(ctx, credential.EndedJob{
		Repository: repo, Run: d.Job.RunID, ID: d.Job.ID, Environment: d.Deployment.Environment, Deployment: d.Deployment.ID,
	})
}

// workflowRunEvent is a workflow run that has ended: what was lent to it ends, also to
// jobs that were of no environment.
type workflowRunEvent struct{ *Door }

func (workflowRunEvent) Handles() []string { return []string{"workflow_run"} }

func (workflowRunEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	d, err := parse[deployment](payload)
	if err != nil || d.Action != "completed" {
		return policy.PullRequestRef{}, ignored, err
	}
	_, err = d.repository()
	return policy.PullRequestRef{}, gate.UrgencyPeople, err
}

// take ends what was lent to the run. It may have been started again meanwhile: then what
// was lent to that attempt ends too, and is to be asked for anew.
func (e workflowRunEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	d, err := parse[deployment](payload)
	if err != nil || e.config.Lending == nil || d.Run.ID == 0 {
		return nil, err
	}
	repo, err := d.repository()
	if err != nil {
		return nil, err
	}
	return nil, e.config.Lending.RunEnded(ctx, repo, d.Run.ID)
}
