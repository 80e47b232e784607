package githubsim

import (
	"net/http"
	"slices"
	"time"
)

// WorkflowRun is a run of a workflow, as far as it can be cancelled and has jobs that read secrets.
type WorkflowRun struct {
	repo           *Repository
	id             int64
	number         int
	attempt        int
	branch, sha    string
	by             *User
	status         string // in_progress or completed
	conclusion     string
	created, ended time.Time
	event          string
	pull           *PullRequest      // nil but for runs on pull requests
	from           *Repository       // where the head is
	secrets        map[string]string // of the repository, as they were when it was queued; nil for a fork's
	jobs           []*Job
}

// StartWorkflowRun starts a run on the branch's tip, as a push by u does. It runs until it is cancelled or Complete ends it.
func (r *Repository) StartWorkflowRun(u *User, branch string) *WorkflowRun {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.queueRun(&WorkflowRun{branch: branch, sha: r.branches[branch], by: u, event: "push", from: r})
}

// StartWorkflowRun starts a run on the pull request, as a push to its branch by u does. One from a fork gets no secrets.
func (p *PullRequest) StartWorkflowRun(u *User) *WorkflowRun {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.repo.queueRun(&WorkflowRun{branch: p.headRef, sha: p.head, by: u, event: "pull_request", pull: p, from: p.headRepo})
}

func (r *Repository) queueRun(run *WorkflowRun) *WorkflowRun {
	run.repo, run.id, run.number, run.attempt, run.status, run.created = r, r.sim.id(), len(r.workflows)+1, 1, "in_progress", r.sim.tick()
	if run.from == r {
		run.secrets = r.secrets.values()
	}
	r.workflows = append(r.workflows, run)
	return run
}

// pullRequests are those that the run is on, as events and answers tell them; of forks GitHub tells none.
func (w *WorkflowRun) pullRequests() []obj {
	if w.pull == nil || w.from != w.repo {
		return []obj{}
	}
	return []obj{w.pull.payload(true)}
}

// Conclusion is cancelled once it was, and empty while it runs.
func (w *WorkflowRun) Conclusion() string {
	w.repo.sim.mu.Lock()
	defer w.repo.sim.mu.Unlock()
	return w.conclusion
}

// ID is the number that the API knows it by.
func (w *WorkflowRun) ID() int64 { return w.id }

// Status is in_progress, waiting while nothing runs and a job waits for an App's word, or completed.
func (w *WorkflowRun) Status() string {
	w.repo.sim.mu.Lock()
	defer w.repo.sim.mu.Unlock()
	return w.state()
}

func (w *WorkflowRun) state() string {
	have := func(status string) bool {
		return slices.ContainsFunc(w.jobs, func(j *Job) bool { return j.status == status })
	}
	if w.status == "in_progress" && have("waiting") && !have("in_progress") {
		return "waiting"
	}
	return w.status
}

// Complete ends the run by itself, with success, failure or another conclusion; one that has ended stays as it is.
func (w *WorkflowRun) Complete(conclusion string) {
	w.repo.sim.mu.Lock()
	defer w.repo.sim.mu.Unlock()
	w.end(conclusion)
}

func (w *WorkflowRun) end(conclusion string) {
	if w.status != "completed" {
		for _, j := range w.jobs {
			j.end(conclusion)
		}
		w.status, w.conclusion, w.ended = "completed", conclusion, w.repo.sim.tick()
		w.repo.sim.emit(w.repo, "workflow_run", "completed", w.by, obj{"workflow_run": w.payload(), "workflow": w.repo.workflowJSON(w.created)})
	}
}

// Rerun starts the run again, which has ended, as another attempt of it.
func (w *WorkflowRun) Rerun() {
	w.repo.sim.mu.Lock()
	defer w.repo.sim.mu.Unlock()
	if w.status == "completed" {
		w.attempt++
		w.status, w.conclusion, w.ended = "in_progress", "", time.Time{}
		w.repo.sim.tick()
	}
}

func workflowRoutes() []route {
	const at = "repos/{owner}/{repo}/actions/runs"
	return []route{
		endpoint("GET "+at, serveWorkflowRuns, needs("actions=read")),
		endpoint("GET "+at+"/{id}", serveWorkflowRun, needs("actions=read")),
		endpoint("GET "+at+"/{id}/jobs", serveJobs, needs("actions=read")),
		endpoint("GET repos/{owner}/{repo}/actions/jobs/{id}", serveJob, needs("actions=read")),
		endpoint("GET repos/{owner}/{repo}/deployments/{id}/statuses", serveDeploymentStatuses, needs("deployments=read")),
		endpoint("POST "+at+"/{id}/deployment_protection_rule", serveReviewRule, needs("deployments=write"), appsOnly),
		endpoint("POST "+at+"/{id}/cancel", serveCancel, needs("actions=write"), withRole(roleWrite)),
	}
}

func (w *WorkflowRun) json() obj {
	r, at := w.repo, w.repo.url("actions/runs/%d", w.id)
	updated := w.created
	if !w.ended.IsZero() {
		updated = w.ended
	}
	return obj{
		"id": w.id, "name": "CI", "node_id": nodeID("WFR", w.id), "head_branch": w.branch, "head_sha": w.sha, "path": ".github/workflows/ci.yml",
		"display_title": "CI", "run_number": w.number, "run_attempt": w.attempt, "event": w.event, "status": w.state(), "conclusion": text(w.conclusion), "workflow_id": 1,
		"check_suite_id": w.id, "check_suite_node_id": nodeID("CS", w.id), "pull_requests": []obj{}, "created_at": w.created, "updated_at": updated,
		"run_started_at": w.created, "actor": w.by.json(), "triggering_actor": w.by.json(), "url": at, "html_url": r.html("actions/runs/%d", w.id),
		"jobs_url": at + "/jobs", "logs_url": at + "/logs", "check_suite_url": r.url("check-suites/%d", w.id), "artifacts_url": at + "/artifacts",
		"cancel_url": at + "/cancel", "rerun_url": at + "/rerun", "workflow_url": r.url("actions/workflows/1"), "previous_attempt_url": nil,
		"head_commit": headCommitJSON(r.net.commits[w.sha]), "repository": r.json(), "head_repository": w.headRepository(),
	}
}

// payload is the run as webhooks have it.
func (w *WorkflowRun) payload() obj {
	out := w.json()
	out["repository"] = w.repo.lite()
	if w.from != nil {
		out["head_repository"] = w.from.lite()
	}
	return out
}

// workflowJSON is the one workflow that there is.
func (r *Repository) workflowJSON(at time.Time) obj {
	return obj{
		"id": 1, "node_id": nodeID("W", 1), "name": "CI", "path": ".github/workflows/ci.yml", "state": "active", "created_at": at, "updated_at": at,
		"url": r.url("actions/workflows/1"), "html_url": r.html("blob/%s/.github/workflows/ci.yml", r.branch), "badge_url": r.html("workflows/CI/badge.svg"),
	}
}

// headRepository is null once it is gone.
func (w *WorkflowRun) headRepository() any {
	if w.from == nil {
		return nil
	}
	return w.from.json()
}

func serveJobs(c *call) error {
	w, err := c.workflowRun()
	if err != nil {
		return err
	}
	return replyCounted(c, "jobs", w.jobs, (*Job).json)
}

// job finds the one that is so in all runs of the repository.
func (c *call) job(is func(*Job) bool) (*Job, error) {
	for _, w := range c.repo.workflows {
		if at := slices.IndexFunc(w.jobs, is); at >= 0 {
			return w.jobs[at], nil
		}
	}
	return nil, notFound()
}

func serveJob(c *call) error {
	j, err := c.job(func(j *Job) bool { return j.id == parseID(c.params["id"]) })
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, j.json())
}

// serveWorkflowRuns lists the newest first, by status or conclusion, branch, commit and who started it.
func serveWorkflowRuns(c *call) error {
	var list []*WorkflowRun
	wants := func(key string, values ...string) bool {
		return c.query.Get(key) == "" || slices.Contains(values, c.query.Get(key))
	}
	for _, w := range slices.Backward(c.repo.workflows) {
		if wants("status", w.state(), w.conclusion) && wants("branch", w.branch) && wants("head_sha", w.sha) && wants("actor", w.by.login) && wants("event", w.event) {
			list = append(list, w)
		}
	}
	return replyCounted(c, "workflow_runs", list, (*WorkflowRun).json)
}

func (c *call) workflowRun() (*WorkflowRun, error) {
	for _, w := range c.repo.workflows {
		if w.id == parseID(c.params["id"]) {
			return w, nil
		}
	}
	return nil, notFound()
}

func serveWorkflowRun(c *call) error {
	w, err := c.workflowRun()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, w.json())
}

// serveCancel is 202, and 409 for a run that has ended.
func serveCancel(c *call) error {
	w, err := c.workflowRun()
	switch {
	case err != nil:
		return err
	case w.status == "completed":
		return refuse(http.StatusConflict, "Cannot cancel a workflow run that is completed.")
	}
	w.end("cancelled")
	return c.reply(http.StatusAccepted, obj{})
}
