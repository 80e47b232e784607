package githubsim_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

var ctx = context.Background()

// Semantics 1 and 2: only Apps write check runs, and only the one that made it changes it.
func TestCheckOwnership(t *testing.T) {
	w := newWorld(t)
	other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other", Permissions: allPermissions})
	otherClient := w.client(other, other.Install(w.org))
	p := w.pull("topic")
	run := w.check(w.gh, p.HeadSHA(), "gate", "success")

	_, _, err := otherClient.Checks.UpdateCheckRun(ctx, "acme", "castle", run.GetID(), github.UpdateCheckRunOptions{Name: "gate", Conclusion: new("failure")})
	refused(t, err, 403, fmt.Sprintf("Invalid app_id `%d` - check run can only be modified by the GitHub App that created it.", other.ID()))
	_, _, err = w.as(w.root).Checks.CreateCheckRun(ctx, "acme", "castle", github.CreateCheckRunOptions{Name: "gate", HeadSHA: p.HeadSHA()})
	refused(t, err, 403, "You must authenticate via a GitHub App.")
	equal(t, "conclusion", w.repo.CheckRuns(p.HeadSHA())[0].Conclusion, "success")
}

// Semantics 3 and 4 and the documented limits: what a check run body may say.
func TestCheckBodies(t *testing.T) {
	long := strings.Repeat("ü", 65536)
	tests := []struct {
		body   string
		status int
		field  string
	}{
		{`{"name":"gate"}`, 201, ""},
		{`{"name":"gate","conclusion":"success"}`, 201, ""},
		{`{"name":"gate","status":"completed","conclusion":"neutral"}`, 201, ""},
		{`{"name":"gate","output":{"title":"t","summary":""}}`, 201, ""},
		{`{"name":"gate","output":{"title":"t","summary":"` + long[2:] + `"}}`, 201, ""},
		{`{"name":"gate","actions":[{"label":"12345678901234567890","description":"d","identifier":"i"}]}`, 201, ""},
		{`{}`, 422, "name"},
		{`{"name":"gate","head_sha":"0000000000000000000000000000000000000000"}`, 422, ""},
		{`{"name":"gate","status":"completed"}`, 422, "conclusion"},
		{`{"name":"gate","completed_at":"2026-01-01T00:00:00Z"}`, 422, "conclusion"},
		{`{"name":"gate","conclusion":"stale"}`, 422, "conclusion"},
		{`{"name":"gate","conclusion":"great"}`, 422, "conclusion"},
		{`{"name":"gate","status":"waiting"}`, 422, "status"},
		{`{"name":"gate","status":"pending"}`, 422, "status"},
		{`{"name":"gate","status":"in_progress","conclusion":"success"}`, 422, "status"},
		{`{"name":"gate","output":{"title":"t"}}`, 422, "output.summary"},
		{`{"name":"gate","output":{"summary":"s"}}`, 422, "output.title"},
		{`{"name":"gate","output":{"title":"t","summary":"` + long + `"}}`, 422, "output.summary"},
		{`{"name":"gate","output":{"title":"t","summary":"s","text":"` + long + `"}}`, 422, "output.text"},
		{`{"name":"gate","output":{"title":"t","summary":"s","annotations":[{}` + strings.Repeat(`,{}`, 50) + `]}}`, 422, "output.annotations"},
		{`{"name":"gate","output":{"title":"t","summary":"s","annotations":[{"path":"a","start_line":1,"end_line":1,"message":"m"}]}}`, 422, "output.annotations.annotation_level"},
		{`{"name":"gate","actions":[{},{},{},{}]}`, 422, "actions"},
		{`{"name":"gate","actions":[{"label":"123456789012345678901","description":"d","identifier":"i"}]}`, 422, "actions.label"},
		{`{"name":"gate","actions":[{"label":"l","description":"` + strings.Repeat("d", 41) + `","identifier":"i"}]}`, 422, "actions.description"},
		{`{"name":"gate","actions":[{"label":"l","description":"d","identifier":"` + strings.Repeat("i", 21) + `"}]}`, 422, "actions.identifier"},
		{`{"name":"gate","actions":[{"label":"l","description":"d"}]}`, 422, "actions.identifier"},
		{`{"name":`, 400, ""},
	}
	w := newWorld(t)
	token, _, err := w.asApp(w.app).Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	must(t, err)
	head := w.pull("topic").HeadSHA()
	for _, test := range tests {
		body := test.body
		if !strings.Contains(body, "head_sha") && strings.HasPrefix(body, `{"name"`) {
			body = `{"head_sha":"` + head + `",` + body[1:]
		}
		resp, out := w.do("POST", "/repos/acme/castle/check-runs", "token "+token.GetToken(), body)
		if resp.StatusCode != test.status {
			t.Errorf("%.80s: %d %v, want %d", test.body, resp.StatusCode, out, test.status)
		}
		if test.field != "" && at(out, "errors", 0, "field") != test.field {
			t.Errorf("%.80s: errors %v, want field %s", test.body, at(out, "errors"), test.field)
		}
	}
}

// Semantic 4: PATCH replaces what it gives and appends annotations; in_progress reopens.
func TestCheckUpdate(t *testing.T) {
	w := newWorld(t)
	head := w.pull("topic").HeadSHA()
	note := &github.CheckRunAnnotation{
		Path: new("README.md"), StartLine: new(1), EndLine: new(1), AnnotationLevel: new("notice"), Message: new("look"),
	}
	run, _, err := w.gh.Checks.CreateCheckRun(ctx, "acme", "castle", github.CreateCheckRunOptions{
		Name: "gate", HeadSHA: head, Conclusion: new("success"), ExternalID: new("7"), DetailsURL: new("https://example.com/7"),
		Output:  &github.CheckRunOutput{Title: new("one"), Summary: new("s"), Text: new("t"), Annotations: []*github.CheckRunAnnotation{note}},
		Actions: []*github.CheckRunAction{{Label: "Again", Description: "Evaluate again", Identifier: "again"}},
	})
	must(t, err)
	equal(t, "status", run.GetStatus(), "completed")
	changed, _, err := w.gh.Checks.UpdateCheckRun(ctx, "acme", "castle", run.GetID(), github.UpdateCheckRunOptions{
		Name: "gate", Status: new("in_progress"),
		Output: &github.CheckRunOutput{Title: new("two"), Summary: new("s2"), Annotations: []*github.CheckRunAnnotation{note, note}},
	})
	must(t, err)
	equal(t, "conclusion after reopening", changed.GetConclusion(), "")
	equal(t, "completed_at after reopening", changed.CompletedAt, nil)
	equal(t, "annotations", changed.Output.GetAnnotationsCount(), 3)
	equal(t, "text kept", changed.Output.GetText(), "t")
	view := w.repo.CheckRuns(head)[0]
	equal(t, "title", view.Title, "two")
	equal(t, "updates", view.Updates, 1)
	equal(t, "external id", view.ExternalID, "7")
	equal(t, "actions", strings.Join(view.Actions, ","), "again")
	_, _, err = w.gh.Checks.UpdateCheckRun(ctx, "acme", "castle", run.GetID(), github.UpdateCheckRunOptions{Name: "gate", Status: new("completed")})
	refused(t, err, 422, "conclusion")
}

// Semantic 4: the list has the newest of each name; filters and paging work.
func TestCheckLists(t *testing.T) {
	w := newWorld(t)
	head := w.pull("topic").HeadSHA()
	for range 31 {
		w.check(w.gh, head, "gate", "failure")
	}
	last := w.check(w.gh, head, "gate", "success")
	w.check(w.gh, head, "build", "in_progress")
	count := func(o github.ListCheckRunsOptions) (int, []*github.CheckRun, *github.Response) {
		list, resp, err := w.gh.Checks.ListCheckRunsForRef(ctx, "acme", "castle", "topic", &o)
		must(t, err)
		return list.GetTotal(), list.CheckRuns, resp
	}
	total, _, _ := count(github.ListCheckRunsOptions{})
	equal(t, "latest", total, 2)
	total, runs, _ := count(github.ListCheckRunsOptions{CheckName: new("gate")})
	equal(t, "by name", total, 1)
	equal(t, "the newest", runs[0].GetID(), last.GetID())
	total, runs, resp := count(github.ListCheckRunsOptions{Filter: new("all")})
	equal(t, "all", total, 33)
	equal(t, "first page", len(runs), 30)
	equal(t, "next page", resp.NextPage, 2)
	total, _, _ = count(github.ListCheckRunsOptions{Status: new("in_progress")})
	equal(t, "by status", total, 1)
	total, _, _ = count(github.ListCheckRunsOptions{AppID: github.Int64(1)})
	equal(t, "by App", total, 0)
}

// An incomplete run turns stale after 14 days, and does not pass.
func TestCheckTurnsStale(t *testing.T) {
	w := newWorld(t)
	head := w.pull("topic").HeadSHA()
	w.check(w.gh, head, "gate", "in_progress")
	w.clock.advance(13 * 24 * time.Hour)
	equal(t, "status", w.repo.CheckRuns(head)[0].Status, "in_progress")
	w.clock.advance(2 * 24 * time.Hour)
	equal(t, "conclusion", w.repo.CheckRuns(head)[0].Conclusion, "stale")
}

// Semantics 5 and 8: a rerequest sends the suite back to queued, leaves the run alone, and only the owner hears.
func TestRerequestAndAction(t *testing.T) {
	w := newWorld(t)
	other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other", Permissions: allPermissions, Events: allEvents})
	other.Install(w.org)
	head := w.pull("topic").HeadSHA()
	run, _, err := w.gh.Checks.CreateCheckRun(ctx, "acme", "castle", github.CreateCheckRunOptions{
		Name: "gate", HeadSHA: head, Conclusion: new("failure"),
		Actions: []*github.CheckRunAction{{Label: "Again", Description: "Evaluate again", Identifier: "again"}},
	})
	must(t, err)
	suite := func() *github.CheckSuite {
		list, _, err := w.gh.Checks.ListCheckSuitesForRef(ctx, "acme", "castle", head, &github.ListCheckSuiteOptions{AppID: new(int(w.app.ID()))})
		must(t, err)
		return list.CheckSuites[0]
	}
	equal(t, "suite conclusion", suite().GetConclusion(), "failure")
	w.check(w.gh, head, "build", "success")
	equal(t, "worst conclusion", suite().GetConclusion(), "failure")
	refused(t, w.repo.RerequestCheckRun(w.eve, run.GetID()), 403, "")
	must(t, w.repo.RerequestCheckRun(w.bob, run.GetID()))
	equal(t, "suite status", suite().GetStatus(), "queued")
	equal(t, "run conclusion", w.repo.CheckRuns(head)[1].Conclusion, "failure")
	refused(t, w.repo.RequestAction(w.bob, run.GetID(), "nothing"), 422, "no action")
	must(t, w.repo.RequestAction(w.bob, run.GetID(), "again"))
	payload := w.last("check_run", "requested_action")
	equal(t, "identifier", at(payload, "requested_action", "identifier"), any("again"))
	equal(t, "sender", at(payload, "sender", "login"), any("bob"))
	heard := map[string]map[int64]int{}
	for _, d := range w.sim.Deliveries() {
		if d.Event == "check_run" {
			if heard[d.Action] == nil {
				heard[d.Action] = map[int64]int{}
			}
			heard[d.Action][d.AppID]++
		}
	}
	for action, want := range map[string]int{"created": 2, "completed": 2, "rerequested": 0, "requested_action": 0} {
		equal(t, action+" heard by the other App", heard[action][other.ID()], want)
	}
	equal(t, "rerequested heard by its owner", heard["rerequested"][w.app.ID()], 1)
}

// Semantics 6 and 7: a push requests a suite of every App that may write checks; a fork's has no pull requests and no branch.
func TestCheckSuiteRequested(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	own := w.last("check_suite", "requested")
	equal(t, "branch", at(own, "check_suite", "head_branch"), any("topic"))
	fork := w.repo.Fork(w.eve)
	sha, err := fork.Push(w.eve, "patch", githubsim.Commit{Files: map[string]string{"x": "y\n"}})
	must(t, err)
	p, err := w.repo.Open(w.eve, githubsim.PullRequestSpec{Title: "From a fork", Head: "eve:patch"})
	must(t, err)
	foreign := w.last("check_suite", "requested")
	equal(t, "sha", at(foreign, "check_suite", "head_sha"), any(sha))
	equal(t, "branch", at(foreign, "check_suite", "head_branch"), nil)
	run := w.check(w.gh, sha, "gate", "success")
	equal(t, "pull requests", len(run.PullRequests), 0)
	_, err = fork.Push(w.eve, "patch", githubsim.Commit{Files: map[string]string{"x": "z\n"}})
	must(t, err)
	equal(t, "head follows", at(w.last("pull_request", "synchronize"), "after"), any(p.HeadSHA()))
	equal(t, "label", at(w.last("pull_request", "synchronize"), "pull_request", "head", "label"), any("eve:patch"))
}
