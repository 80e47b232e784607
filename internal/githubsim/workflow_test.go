package githubsim_test

import (
	"fmt"
	"net/http"
	"testing"
)

// Runs are listed by state and branch, and cancelled once.
func TestWorkflowRuns(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	ours, theirs, done := w.repo.StartWorkflowRun(w.alice, "main"), w.repo.StartWorkflowRun(w.bob, "topic"), w.repo.StartWorkflowRun(w.alice, "main")
	done.Complete("success")
	done.Complete("failure")
	equal(t, "completed", done.Status()+" "+done.Conclusion(), "completed success")
	list := func(query string) string {
		out := w.must(200, w.eve, "GET", "/repos/acme/castle/actions/runs?"+query, "")
		got := fmt.Sprint(at(out, "total_count"))
		for i := range len(at(out, "workflow_runs").([]any)) {
			got += fmt.Sprint(" ", at(out, "workflow_runs", i, "run_number"))
		}
		return got
	}
	for query, want := range map[string]string{
		"": "3 3 2 1", "status=in_progress": "2 2 1", "branch=main": "2 3 1", "status=in_progress&branch=main": "1 1", "status=success": "1 3",
		"per_page=1": "3 3", "status=cancelled": "0", "actor=bob": "1 2",
	} {
		equal(t, query, list(query), want)
	}
	cancel := fmt.Sprintf("/repos/acme/castle/actions/runs/%d/cancel", theirs.ID())
	token := "Bearer " + w.token(w.app, w.install)
	status := func(bearer, path string) int {
		resp, _ := w.do(http.MethodPost, path, bearer, "")
		return resp.StatusCode
	}
	equal(t, "by an App without actions", status(token, cancel), 403)
	equal(t, "by somebody without write", status(w.bearer(w.eve), cancel), 403)
	w.install.SetPermission("actions", "write")
	equal(t, "no such run", status(token, "/repos/acme/castle/actions/runs/1/cancel"), 404)
	equal(t, "cancelled", status(token, cancel), 202)
	equal(t, "twice", status(token, cancel), 409)
	equal(t, "state", theirs.Status()+" "+theirs.Conclusion()+" "+ours.Status()+" "+ours.Conclusion(), "completed cancelled in_progress ")
	equal(t, "listed", list("status=cancelled"), "1 2")
	one := w.must(200, w.eve, "GET", fmt.Sprintf("/repos/acme/castle/actions/runs/%d", theirs.ID()), "")
	equal(t, "one", at(one, "conclusion"), any("cancelled"))
}
