package githubsim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// deployer is an App whose word jobs may wait for.
type deployer struct {
	*githubsim.App
	install *githubsim.Installation
}

func (w *world) deployer(slug string) deployer {
	app := w.sim.CreateApp(githubsim.AppSpec{
		Slug: slug, Permissions: map[string]string{"deployments": "write", "actions": "read"}, Events: []string{"deployment_protection_rule", "workflow_job"},
	})
	return deployer{app, app.Install(w.org)}
}

// review gives an App's word on the run and holds the answer to a status; of a refusal it returns the sentence.
func (w *world) review(by deployer, run *githubsim.WorkflowRun, body string, status int) string {
	w.t.Helper()
	path := fmt.Sprintf("/repos/acme/castle/actions/runs/%d/deployment_protection_rule", run.ID())
	resp, out := w.do("POST", path, "Bearer "+w.token(by.App, by.install), body)
	equal(w.t, body, resp.StatusCode, status)
	return fmt.Sprint(at(out, "message"))
}

// heard lists what the App heard since the delivery of that number, as "event.action".
func (w *world) heard(app deployer, since int) string {
	var list []string
	for _, d := range w.sim.Deliveries()[since:] {
		if d.AppID == app.ID() {
			list = append(list, d.Event+"."+d.Action)
		}
	}
	return strings.Join(list, " ")
}

// jobs lists the jobs of a run over REST, as "name status conclusion".
func (w *world) jobs(run *githubsim.WorkflowRun) string {
	w.t.Helper()
	out := w.must(200, w.eve, "GET", fmt.Sprintf("/repos/acme/castle/actions/runs/%d/jobs", run.ID()), "")
	var list []string
	for _, job := range at(out, "jobs").([]any) {
		list = append(list, fmt.Sprint(at(job, "name"), " ", at(job, "status"), " ", at(job, "conclusion")))
	}
	return strings.Join(list, ", ")
}

// The repository's secrets are those of the moment in which the run was queued, the environment's those of the moment in which the
// job starts. Of two of a name the environment's wins.
func TestWhichSecretsAJobReads(t *testing.T) {
	w := newWorld(t)
	app := w.deployer("gate")
	env := w.repo.CreateEnvironment("prod")
	w.repo.SetSecret("BOTH", "repository")
	w.repo.SetSecret("REPO", "early")
	env.SetSecret("BOTH", "environment")
	env.SetSecret("ENV", "early")
	read := func(j *githubsim.Job) string {
		var list []string
		for _, name := range []string{"repo", "Env", "BOTH", "NONE"} {
			list = append(list, j.Secret(name))
		}
		return strings.Join(list, "|")
	}
	run := w.repo.StartWorkflowRun(w.alice, "main")
	before := run.StartJob("before", "prod")
	w.repo.SetSecret("REPO", "late")
	env.SetSecret("ENV", "late")
	equal(t, "a job that runs keeps", read(before), "early|early|environment|")
	equal(t, "a job that starts later", read(run.StartJob("deploy", "PROD")), "early|late|environment|")
	equal(t, "one without an environment", read(run.StartJob("test", "")), "early||repository|")
	equal(t, "one whose environment is made for it", read(run.StartJob("stage", "staging")), "early||repository|")
	equal(t, "a run that is queued later", read(w.repo.StartWorkflowRun(w.alice, "main").StartJob("deploy", "prod")), "late|late|environment|")

	env.Protect(app.App)
	waiting := run.StartJob("guarded", "prod")
	equal(t, "while it waits", read(waiting), "|||")
	env.SetSecret("ENV", "just in time")
	w.review(app, run, `{"environment_name":"prod","state":"approved"}`, 204)
	equal(t, "once it was approved", read(waiting), "early|just in time|environment|")
	equal(t, "in the pull request's own repository", read(w.pull("topic").StartWorkflowRun(w.alice).StartJob("a", "staging")), "late||repository|")
}

// A run of a fork's pull request reads nothing, from no environment either.
func TestAForksRunReadsNoSecrets(t *testing.T) {
	w := newWorld(t)
	env := w.repo.CreateEnvironment("prod")
	w.repo.SetSecret("REPO", "x")
	env.SetSecret("ENV", "x")
	fork := w.repo.Fork(w.eve)
	fork.SetSecret("FORK", "x")
	_, err := fork.Push(w.eve, "evil", githubsim.Commit{Files: map[string]string{"x": "y"}})
	must(t, err)
	p, err := w.repo.Open(w.eve, githubsim.PullRequestSpec{Title: "Trust me", Head: "eve:evil"})
	must(t, err)
	j := p.StartWorkflowRun(w.eve).StartJob("deploy", "prod")
	equal(t, "status", j.Status(), "in_progress")
	equal(t, "secrets", j.Secret("REPO")+j.Secret("ENV")+j.Secret("FORK"), "")
}

// A job of a protected environment waits until every App that protects it has approved. Each hears of its own rule.
func TestProtectedJobs(t *testing.T) {
	w := newWorld(t)
	one := w.deployer("one")
	two := w.deployer("two")
	other := w.deployer("other")
	env := w.repo.CreateEnvironment("prod")
	env.Protect(one.App)
	env.Protect(two.App)
	p := w.pull("topic")
	run := p.StartWorkflowRun(w.alice)
	since := len(w.sim.Deliveries())
	j, twin := run.StartJob("deploy", "prod"), run.StartJob("migrate", "prod")
	for app, want := range map[deployer]int{one: 2, two: 2, other: 0} {
		equal(t, app.Slug()+" is asked", strings.Count(w.heard(app, since), "deployment_protection_rule.requested"), want)
		equal(t, app.Slug()+" hears of jobs", strings.Count(w.heard(app, since), "workflow_job.waiting"), 2)
	}
	asked := w.last("deployment_protection_rule", "requested")
	for key, want := range map[string]any{"environment": "prod", "event": "pull_request", "sha": p.HeadSHA(), "ref": "topic"} {
		equal(t, key, at(asked, key), want)
	}
	equal(t, "its pull request", at(asked, "pull_requests", 0, "number"), any(float64(p.Number())))
	equal(t, "where to answer", strings.HasSuffix(fmt.Sprint(at(asked, "deployment_callback_url")), fmt.Sprintf("/repos/acme/castle/actions/runs/%d/deployment_protection_rule", run.ID())), true)
	equal(t, "waiting", w.jobs(run), "deploy waiting <nil>, migrate waiting <nil>")

	since = len(w.sim.Deliveries())
	w.review(one, run, `{"environment_name":"prod","comment":"two approvals are missing"}`, 204)
	w.review(one, run, `{"environment_name":"PROD","state":"approved","comment":"fine"}`, 204)
	equal(t, "comments", strings.Join(j.Comments(), ", "), "two approvals are missing, fine")
	equal(t, "the other rule holds", j.Status()+" "+twin.Status(), "waiting waiting")
	equal(t, "nothing is told", w.heard(one, since), "")
	w.review(two, run, `{"environment_name":"prod","state":"approved"}`, 204)
	equal(t, "one word for all", w.jobs(run), "deploy in_progress <nil>, migrate in_progress <nil>")
	equal(t, "told", w.heard(two, since), strings.TrimSpace(strings.Repeat("workflow_job.queued workflow_job.in_progress ", 2)))
	j.Complete("success")
	j.Complete("failure")
	run.Complete("cancelled")
	equal(t, "ended", w.jobs(run), "deploy completed success, migrate completed cancelled")
}

// A run in which nothing goes on but waiting is listed as waiting and as nothing else, and can be cancelled.
func TestWaitingRuns(t *testing.T) {
	w := newWorld(t)
	app := w.deployer("gate")
	w.repo.CreateEnvironment("prod").Protect(app.App)
	run := w.repo.StartWorkflowRun(w.alice, "main")
	listed := func(status string) {
		t.Helper()
		for _, s := range []string{"in_progress", "waiting", "completed", "queued"} {
			out := w.must(200, w.eve, "GET", "/repos/acme/castle/actions/runs?status="+s, "")
			equal(t, s, at(out, "total_count") == any(1.0), s == status)
		}
		equal(t, "status", run.Status(), status)
	}
	test := run.StartJob("test", "")
	run.StartJob("deploy", "prod")
	listed("in_progress")
	test.Complete("success")
	listed("waiting")
	w.review(app, run, `{"environment_name":"prod","state":"approved"}`, 204)
	listed("in_progress")
	run.StartJob("more", "prod")
	run.Complete("failure")
	listed("completed")
	run = w.repo.StartWorkflowRun(w.alice, "main")
	run.StartJob("deploy", "prod")
	equal(t, "cancelled", w.answer("POST", fmt.Sprintf("/repos/acme/castle/actions/runs/%d/cancel", run.ID()), w.bearer(w.alice), ""), "202")
	equal(t, "its jobs", w.jobs(run), "deploy completed cancelled")
}

// A job and its deployment are read by their numbers, with the permissions for that alone.
func TestOneJobAndItsDeployment(t *testing.T) {
	w := newWorld(t)
	app := w.deployer("gate")
	blind := w.sim.CreateApp(githubsim.AppSpec{Slug: "blind", Permissions: map[string]string{"metadata": "read"}})
	blindToken := "Bearer " + w.token(blind, blind.Install(w.org))
	w.repo.CreateEnvironment("prod").Protect(app.App)
	run := w.repo.StartWorkflowRun(w.alice, "main")
	j := run.StartJob("deploy", "prod")
	deployment := fmt.Sprint(at(w.last("deployment_protection_rule", "requested"), "deployment", "id"))
	job, states := fmt.Sprintf("/repos/acme/castle/actions/jobs/%d", j.ID()), fmt.Sprintf("/repos/acme/castle/deployments/%s/statuses", deployment)
	is := func(status, want string) {
		t.Helper()
		_, read := w.do("GET", job, "Bearer "+w.token(app.App, app.install), "")
		equal(t, "the job", at(read, "status"), any(status))
		_, list := w.do("GET", states, "Bearer "+w.token(app.App, app.install), "")
		var all []string
		for _, s := range list.([]any) {
			all = append(all, fmt.Sprint(at(s, "state")))
		}
		equal(t, "its deployment", strings.Join(all, " "), want)
	}
	is("waiting", "pending")
	w.review(app, run, `{"environment_name":"prod","state":"approved"}`, 204)
	is("in_progress", "in_progress queued pending")
	j.Complete("cancelled")
	is("completed", "failure in_progress queued pending")
	for _, path := range []string{job, states} {
		equal(t, path, w.answer("GET", path, blindToken, ""), "403 Resource not accessible by integration")
	}
	for _, path := range []string{"/repos/acme/castle/actions/jobs/1", "/repos/acme/castle/deployments/1/statuses"} {
		equal(t, path, w.answer("GET", path, "Bearer "+w.token(app.App, app.install), ""), "404 Not Found")
	}
}

// One rejection ends what waits, whatever others say.
func TestRejectedJobs(t *testing.T) {
	w := newWorld(t)
	one := w.deployer("one")
	two := w.deployer("two")
	env := w.repo.CreateEnvironment("prod")
	env.Protect(one.App)
	env.Protect(two.App)
	env.SetSecret("X", "x")
	run := w.repo.StartWorkflowRun(w.alice, "main")
	j, free := run.StartJob("deploy", "prod"), run.StartJob("test", "")
	w.review(one, run, `{"environment_name":"prod","state":"approved"}`, 204)
	w.review(two, run, `{"environment_name":"prod","state":"rejected","comment":"no"}`, 204)
	equal(t, "jobs", w.jobs(run), "deploy completed failure, test in_progress <nil>")
	equal(t, "what was said, what was read", fmt.Sprint(j.Comments(), j.Secret("X"), free.Status()), "[no]in_progress")
	w.review(two, run, `{"environment_name":"prod","state":"approved"}`, 422)
	equal(t, "for good", j.Status(), "completed")
	next := run.StartJob("deploy again", "prod")
	equal(t, "another waits for both", next.Status(), "waiting")
	run.Complete("cancelled")
	equal(t, "a run that ends takes it along", w.jobs(run), "deploy completed failure, test completed cancelled, deploy again completed cancelled")
	w.review(one, run, `{"environment_name":"prod","state":"approved"}`, 422)
}

// A word is taken of an App alone, on its own rule, for what waits.
func TestReviewsRefused(t *testing.T) {
	w := newWorld(t)
	app := w.deployer("gate")
	other := w.deployer("other")
	w.repo.CreateEnvironment("prod").Protect(app.App)
	w.repo.CreateEnvironment("free")
	run, idle := w.repo.StartWorkflowRun(w.alice, "main"), w.repo.StartWorkflowRun(w.alice, "main")
	j := run.StartJob("deploy", "prod")
	run.StartJob("try", "free")
	const good = `{"environment_name":"prod","state":"approved"}`
	for name, c := range map[string]struct {
		app  deployer
		run  *githubsim.WorkflowRun
		body string
	}{
		"an environment that is not there": {app, run, `{"environment_name":"dev","state":"approved"}`},
		"one without a rule":               {app, run, `{"environment_name":"free","state":"approved"}`},
		"no environment":                   {app, run, `{"state":"approved"}`},
		"another state":                    {app, run, `{"environment_name":"prod","state":"success"}`},
		"in another case":                  {app, run, `{"environment_name":"prod","state":"APPROVED"}`},
		"nothing to say":                   {app, run, `{"environment_name":"prod"}`},
		"no body":                          {app, run, ""},
		"nothing waits":                    {app, idle, good},
		"an App without a rule":            {other, run, good},
		"its comment":                      {other, run, `{"environment_name":"prod","comment":"hello"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if why := w.review(c.app, c.run, c.body, 422); why == "" {
				t.Error("it does not say why")
			}
		})
	}
	path := func(id int64) string {
		return fmt.Sprintf("/repos/acme/castle/actions/runs/%d/deployment_protection_rule", id)
	}
	token := "Bearer " + w.token(app.App, app.install)
	equal(t, "no such run", w.answer("POST", path(1), token, good), "404 Not Found")
	equal(t, "a person", w.answer("POST", path(run.ID()), w.bearer(w.root), good), "403 You must authenticate via a GitHub App.")
	equal(t, "nobody", w.answer("POST", path(run.ID()), "", good), "401 Requires authentication")
	app.install.SetPermission("deployments", "read")
	equal(t, "an App that may only read", w.answer("POST", path(run.ID()), token, good), "403 Resource not accessible by integration")
	equal(t, "said, done", fmt.Sprint(j.Comments(), j.Status()), "[]waiting")
	since := len(w.sim.Deliveries())
	app.install.SetPermission("deployments", "")
	equal(t, "an App that may not read waits as well", run.StartJob("more", "prod").Status(), "waiting")
	equal(t, "and is not asked", w.heard(app, since), "installation.new_permissions_accepted workflow_job.waiting")
}

// Events of jobs are as GitHub publishes them: queued, or waiting for those that wait, then in_progress and completed.
func TestWorkflowJobEvents(t *testing.T) {
	w := newWorld(t)
	app := w.deployer("gate")
	w.repo.CreateEnvironment("prod").Protect(app.App)
	since := len(w.sim.Deliveries())
	run := w.repo.StartWorkflowRun(w.alice, "main")
	for _, conclusion := range []string{"success", "failure", "cancelled", "skipped"} {
		run.StartJob("test", "").Complete(conclusion)
	}
	equal(t, "of free ones", w.heard(app, since), strings.TrimSpace(strings.Repeat("workflow_job.queued workflow_job.in_progress workflow_job.completed ", 4)))
	equal(t, "a deployment of free ones", w.last("workflow_job", "completed")["deployment"], nil)
	since = len(w.sim.Deliveries())
	run.StartJob("deploy", "prod")
	w.review(app, run, `{"environment_name":"prod","state":"approved"}`, 204)
	run.Complete("success")
	equal(t, "of one that waits", w.heard(app, since),
		"workflow_job.waiting deployment_protection_rule.requested workflow_job.queued workflow_job.in_progress workflow_job.completed")
	var told []string
	for _, d := range w.sim.Deliveries()[since:] {
		parsed, err := github.ParseWebHook(d.Event, d.Payload)
		must(t, err)
		if e, ok := parsed.(*github.WorkflowJobEvent); ok {
			job := e.GetWorkflowJob()
			told = append(told, fmt.Sprint(job.GetStatus(), " ", job.GetConclusion(), " ", job.GetRunnerName(), " ", job.GetRunID() == run.ID(), " ", at(decoded(t, d.Payload), "deployment", "environment")))
		}
	}
	equal(t, "what they tell", strings.Join(told, ", "),
		"waiting   true prod, queued   true prod, in_progress  GitHub Actions 1 true prod, completed success GitHub Actions 1 true prod")
	since = len(w.sim.Deliveries())
	app.install.SetPermission("actions", "")
	run.StartJob("late", "")
	equal(t, "without actions", w.heard(app, since), "installation.new_permissions_accepted")
}
