package githubsim

import (
	"net/http"
	"slices"
	"time"
)

// WorkflowRun is a run of a workflow, as far as it can be cancelled.
type WorkflowRun struct {
	repo           *Repository
	id             int64
	number         int
	branch, sha    string
	by             *User
	status         string // in_progress or completed
	conclusion     string
	created, ended time.Time
}

// StartWorkflowRun starts a run on the branch's tip, as a push by u does. It runs until it is cancelled or Complete ends it.
func (r *Repository) StartWorkflowRun(u *User, branch string) *WorkflowRun {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	run := &WorkflowRun{
		repo: r, id: r.sim.id(), number: len(r.workflows) + 1, branch: branch, sha: r.branches[branch], by: u, status: "in_progress", created: r.sim.tick(),
	}
	r.workflows = append(r.workflows, run)
	return run
}

// Conclusion is cancelled once it was, and empty while it runs.
func (w *WorkflowRun) Conclusion() string {
	w.repo.sim.mu.Lock()
	defer w.repo.sim.mu.Unlock()
	return w.conclusion
}

// ID is the number that the API knows it by.
func (w *WorkflowRun) ID() int64 { return w.id }

// Status is in_progress or completed.
func (w *WorkflowRun) Status() string {
	w.repo.sim.mu.Lock()
	defer w.repo.sim.mu.Unlock()
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
		w.status, w.conclusion, w.ended = "completed", conclusion, w.repo.sim.tick()
	}
}

func workflowRoutes() []route {
	const at = "repos/{owner}/{repo}/actions/runs"
	return []route{
		endpoint("GET "+at, serveWorkflowRuns, needs("actions=read")),
		endpoint("GET "+at+"/{id}", serveWorkflowRun, needs("actions=read")),
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
		"display_title": "CI", "run_number": w.number, "run_attempt": 1, "event": "push", "status": w.status, "conclusion": text(w.conclusion), "workflow_id": 1,
		"check_suite_id": w.id, "check_suite_node_id": nodeID("CS", w.id), "pull_requests": []obj{}, "created_at": w.created, "updated_at": updated,
		"run_started_at": w.created, "actor": w.by.json(), "triggering_actor": w.by.json(), "url": at, "html_url": r.html("actions/runs/%d", w.id),
		"jobs_url": at + "/jobs", "logs_url": at + "/logs", "check_suite_url": r.url("check-suites/%d", w.id), "artifacts_url": at + "/artifacts",
		"cancel_url": at + "/cancel", "rerun_url": at + "/rerun", "workflow_url": r.url("actions/workflows/1"), "previous_attempt_url": nil,
		"head_commit": headCommitJSON(r.net.commits[w.sha]), "repository": r.json(), "head_repository": r.json(),
	}
}

// serveWorkflowRuns lists the newest first, by status or conclusion, branch, commit and who started it.
func serveWorkflowRuns(c *call) error {
	var list []*WorkflowRun
	wants := func(key string, values ...string) bool {
		return c.query.Get(key) == "" || slices.Contains(values, c.query.Get(key))
	}
	for _, w := range slices.Backward(c.repo.workflows) {
		if wants("status", w.status, w.conclusion) && wants("branch", w.branch) && wants("head_sha", w.sha) && wants("actor", w.by.login) && wants("event", "push") {
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
