package githubsim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Job is a job of a run. GitHub hands it the secrets of the repository as they were when the run was queued, and those of
// its environment as they are when it starts.
type Job struct {
	run         *WorkflowRun
	id          int64
	name        string
	environment *Environment // nil for none
	deployment  int64
	status      string // waiting, queued, in_progress or completed
	conclusion  string
	waits       []*App // whose word it waits for
	comments    []string
	secrets     map[string]string // what it was handed; nil until it starts
	mayIDToken  bool              // its workflow asks for id-tokens
	states      []deploymentState // of its deployment, the oldest first
	created     time.Time
	started     time.Time
	ended       time.Time
}

// deploymentState is what GitHub says of a job's deployment from then on.
type deploymentState struct {
	id    int64
	state string
	at    time.Time
}

// StartJob has the run come to a job. One of an environment that Apps protect waits until each of them has approved; an environment
// that is not there is made, without rules, as documented.
func (w *WorkflowRun) StartJob(name, environment string) *Job {
	r := w.repo
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	j := &Job{run: w, id: r.sim.id(), name: name, created: r.sim.tick()}
	if environment != "" {
		j.environment, j.deployment = r.environment(environment), r.sim.id()
		if j.environment == nil {
			j.environment = r.newEnvironment(environment)
		}
		for _, rule := range j.environment.rules {
			j.waits = append(j.waits, rule.app)
		}
	}
	w.jobs = append(w.jobs, j)
	if len(j.waits) == 0 {
		j.start()
		return j
	}
	j.become("waiting")
	j.ask()
	return j
}

// ask tells the Apps that the job waits for, if they are subscribed; each of them hears of its own rule alone.
func (j *Job) ask() {
	const event = "deployment_protection_rule"
	w, r := j.run, j.run.repo
	for _, i := range r.installations() {
		if !slices.Contains(j.waits, i.app) || !slices.Contains(i.app.events, event) {
			continue
		}
		r.sim.emitTo(i, r, event, "requested", w.by, obj{
			"environment": j.environment.name, "event": w.event, "sha": w.sha, "ref": w.branch, "deployment": j.deploymentJSON(),
			"pull_requests": w.pullRequests(), "deployment_callback_url": r.url("actions/runs/%d/deployment_protection_rule", w.id),
		})
	}
}

// start finds a runner and hands the job its secrets: of two of a name the environment's.
func (j *Job) start() {
	j.become("queued")
	j.started = j.run.repo.sim.tick()
	j.secrets = maps.Clone(j.run.secrets)
	if j.environment != nil && j.secrets != nil {
		maps.Copy(j.secrets, j.environment.values())
	}
	j.become("in_progress")
}

// Secret is what the job reads as secrets.NAME: empty if there was none, and no error, as at GitHub.
func (j *Job) Secret(name string) string {
	j.run.repo.sim.mu.Lock()
	defer j.run.repo.sim.mu.Unlock()
	return j.secrets[strings.ToUpper(name)]
}

// ID is its number, which its check run has too.
func (j *Job) ID() int64 { return j.id }

// Status is waiting, in_progress or completed: a runner is found at once.
func (j *Job) Status() string {
	j.run.repo.sim.mu.Lock()
	defer j.run.repo.sim.mu.Unlock()
	return j.status
}

// Comments are what Apps said of it.
func (j *Job) Comments() []string {
	j.run.repo.sim.mu.Lock()
	defer j.run.repo.sim.mu.Unlock()
	return slices.Clone(j.comments)
}

// Complete ends the job; one that has ended stays as it is.
func (j *Job) Complete(conclusion string) {
	j.run.repo.sim.mu.Lock()
	defer j.run.repo.sim.mu.Unlock()
	j.end(conclusion)
}

func (j *Job) end(conclusion string) {
	if j.status == "completed" {
		return
	}
	j.conclusion, j.ended, j.waits = conclusion, j.run.repo.sim.tick(), nil
	j.become("completed")
}

// become changes the status and tells it.
func (j *Job) become(status string) {
	j.status = status
	if j.environment != nil {
		j.states = append(j.states, deploymentState{j.run.repo.sim.id(), j.deployed(), j.run.repo.sim.tick()})
	}
	body := obj{"workflow_job": j.json()}
	if j.environment != nil {
		body["deployment"] = j.deploymentJSON()
	}
	j.run.repo.sim.emit(j.run.repo, "workflow_job", status, j.run.by, body)
}

func (j *Job) json() obj {
	w, r := j.run, j.run.repo
	out := obj{
		"id": j.id, "run_id": w.id, "run_attempt": w.attempt, "run_url": r.url("actions/runs/%d", w.id), "node_id": nodeID("CR", j.id), "head_sha": w.sha,
		"url": r.url("actions/jobs/%d", j.id), "html_url": r.html("actions/runs/%d/job/%d", w.id, j.id), "status": j.status, "conclusion": text(j.conclusion),
		"created_at": j.created, "started_at": j.began(), "completed_at": moment(j.ended), "name": j.name, "steps": []obj{},
		"check_run_url": r.url("check-runs/%d", j.id), "labels": []string{"ubuntu-latest"}, "runner_id": nil, "runner_name": nil, "runner_group_id": nil,
		"runner_group_name": nil, "workflow_name": "CI", "head_branch": w.branch,
	}
	if !j.started.IsZero() {
		out["runner_id"], out["runner_name"], out["runner_group_id"], out["runner_group_name"] = 1, "GitHub Actions 1", 1, "GitHub Actions"
	}
	return out
}

// began is when it started, or, while it waits, when it came to be.
func (j *Job) began() time.Time {
	if j.started.IsZero() {
		return j.created
	}
	return j.started
}

func (j *Job) deploymentJSON() obj {
	w, r := j.run, j.run.repo
	return obj{
		"url": r.url("deployments/%d", j.deployment), "id": j.deployment, "node_id": nodeID("DE", j.deployment), "sha": w.sha, "ref": w.branch, "task": "deploy",
		"payload": obj{}, "original_environment": j.environment.name, "environment": j.environment.name, "description": nil, "creator": w.by.json(),
		"created_at": j.created, "updated_at": j.created, "statuses_url": r.url("deployments/%d/statuses", j.deployment), "repository_url": r.url(""),
		"transient_environment": false, "production_environment": false,
	}
}

// deployed is the state of the job's deployment, in the words of deployments.
func (j *Job) deployed() string {
	switch {
	case j.status == "waiting":
		return "pending"
	case j.status != "completed":
		return j.status
	case j.conclusion == "success":
		return "success"
	default:
		return "failure"
	}
}

// serveDeploymentStatuses lists the newest first.
func serveDeploymentStatuses(c *call) error {
	j, err := c.job(func(j *Job) bool { return j.environment != nil && j.deployment == parseID(c.params["id"]) })
	if err != nil {
		return err
	}
	newest := slices.Clone(j.states)
	slices.Reverse(newest)
	return replyList(c, newest, func(s deploymentState) obj {
		r, at := j.run.repo, j.run.repo.url("deployments/%d", j.deployment)
		page := r.html("actions/runs/%d/job/%d", j.run.id, j.id)
		return obj{
			"url": at + "/statuses/" + decimal(s.id), "id": s.id, "node_id": nodeID("DES", s.id), "state": s.state, "creator": j.run.by.json(), "description": "",
			"environment": j.environment.name, "target_url": page, "log_url": page, "created_at": s.at, "updated_at": s.at,
			"deployment_url": at, "repository_url": r.url(""),
		}
	})
}

// serveReviewRule takes an App's word on its own rule: approved, rejected, or a comment alone. It is one for all jobs of the run that
// wait for the environment.
func serveReviewRule(c *call) error {
	w, err := c.workflowRun()
	if err != nil {
		return err
	}
	var body struct {
		Environment string `json:"environment_name"`
		State       string `json:"state"`
		Comment     string `json:"comment"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Environment == "" || body.State == "" && body.Comment == "" || !slices.Contains([]string{"", "approved", "rejected"}, body.State) {
		return unprocessable("Invalid request.")
	}
	found := false
	for _, j := range w.jobs {
		if j.environment != nil && strings.EqualFold(j.environment.name, body.Environment) && slices.Contains(j.waits, c.actor.app) {
			j.review(c.actor.app, body.State, body.Comment)
			found = true
		}
	}
	if !found {
		return unprocessable("No pending deployment requests to approve or reject")
	}
	return c.reply(http.StatusNoContent, nil)
}

func (j *Job) review(app *App, state, comment string) {
	j.run.repo.sim.tick()
	if comment != "" {
		j.comments = append(j.comments, comment)
	}
	switch state {
	case "approved":
		j.waits = slices.DeleteFunc(j.waits, func(a *App) bool { return a == app })
		if len(j.waits) == 0 {
			j.start()
		}
	case "rejected":
		j.end("failure")
	}
}
