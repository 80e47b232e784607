package app

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// deployPolicy lends a token to the jobs of an environment.
const deployPolicy = switchPolicy + `credentials:
  deploy: {secret: JIT_1H_DEPLOY, scope: ["deploy:staging"], ttl: 30m, tier: team-lead, environment: staging}
`

// deploying is a pull request with a run whose job waits for Portcullis.
type deploying struct {
	*testWorld

	clock   *clock
	staging *githubsim.Environment
	pr      *githubsim.PullRequest
	run     *githubsim.WorkflowRun
	job     *githubsim.Job
}

func deploys(t *testing.T) *deploying {
	t.Helper()
	d := &deploying{}
	d.testWorld, d.clock = sweepingWorldWith(t, atOnce)
	d.set(deployPolicy)
	d.staging = d.shop.CreateEnvironment("staging")
	d.staging.Protect(d.hook)
	d.pr = d.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	d.run = d.pr.StartWorkflowRun(d.github.User("ann"))
	d.job = d.starts("deploy")
	return d
}

func (d *deploying) starts(name string) *githubsim.Job {
	d.report.Helper()
	job := d.run.StartJob(name, "staging")
	d.settled()
	return job
}

// lastWord is the last that Portcullis said of the job.
func lastWord(job *githubsim.Job) string {
	all := job.Comments()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func (d *deploying) accepted(token string) bool {
	d.report.Helper()
	return strings.Contains(d.introspect(token), `"active":true`)
}

// TestAJobIsLentWhatWasApproved is the whole way: the job waits, is approved, reads the
// secret, and once it has ended there is none.
func TestAJobIsLentWhatWasApproved(t *testing.T) {
	t.Parallel()
	d := deploys(t)
	if d.job.Status() != "waiting" || lastWord(d.job) != "team-lead: 1 more approval from acme/leads" || len(d.staging.Secrets()) != 0 {
		t.Fatalf("%s: %q", d.job.Status(), d.job.Comments())
	}
	d.review(d.pr, "lee", "APPROVE")
	token := d.job.Secret("JIT_1H_DEPLOY")
	if d.job.Status() != "in_progress" || !d.accepted(token) || len(d.job.Comments()) != 1 {
		t.Fatalf("%s with %q: %q", d.job.Status(), token, d.job.Comments())
	}
	second := d.starts("deploy again")
	if second.Secret("JIT_1H_DEPLOY") != token {
		t.Errorf("another job of the run was lent something else: %q", second.Comments())
	}
	d.job.Complete("success")
	d.settled()
	if !d.accepted(token) {
		t.Error("it ended with the first of two jobs")
	}
	second.Complete("failure")
	d.settled()
	if d.accepted(token) || len(d.staging.Secrets()) != 0 {
		t.Error("the jobs have ended, and it has not")
	}
	third := d.starts("deploy once more")
	if other := third.Secret("JIT_1H_DEPLOY"); other == token || !d.accepted(other) {
		t.Errorf("a job that came later reads %q: %q", other, third.Comments())
	}
}

// TestItEndsThoughNobodyTells: that the last job of the environment has ended, or the run,
// is asked of GitHub too.
func TestItEndsThoughNobodyTells(t *testing.T) {
	t.Parallel()
	for name, all := range map[string]bool{"the jobs": false, "the run": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploys(t)
			d.review(d.pr, "lee", "APPROVE")
			second := d.starts("deploy again")
			token := second.Secret("JIT_1H_DEPLOY")
			d.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
			later := func() {
				d.clock.pass(3 * time.Minute)
				d.settled()
			}
			d.job.Complete("success")
			later()
			if !d.accepted(token) {
				t.Fatal("it ended with the first of two jobs")
			}
			if all {
				d.run.Complete("success")
			} else {
				second.Complete("failure")
			}
			later()
			if d.accepted(token) || len(d.staging.Secrets()) != 0 {
				t.Error("they have ended, and it has not")
			}
		})
	}
}

// TestWhatCannotBeReadHidesNoRefusal: that GitHub does not tell of the run does not keep
// it lent when its approval is gone, though nobody told.
func TestWhatCannotBeReadHidesNoRefusal(t *testing.T) {
	t.Parallel()
	d := deploys(t)
	approval := d.review(d.pr, "lee", "APPROVE")
	token := d.job.Secret("JIT_1H_DEPLOY")
	d.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
	d.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/(actions/runs|deployments)/\d+`), Status: http.StatusInternalServerError})
	d.clock.pass(3 * time.Minute)
	d.settled()
	if !d.accepted(token) {
		t.Fatal("it ended because GitHub does not answer")
	}
	d.must(d.pr.DismissReview(d.github.User("sam"), approval.ID, "not so fast"))
	d.clock.pass(3 * time.Minute)
	d.settled()
	if d.accepted(token) {
		t.Error("its approval is gone, and it is accepted")
	}
}

// TestJobsThatAreLentNothing: each is told why.
func TestJobsThatAreLentNothing(t *testing.T) {
	t.Parallel()
	d := deploys(t)
	ann := d.github.User("ann")
	rejected := func(job *githubsim.Job, why string) {
		t.Helper()
		d.settled()
		if job.Status() != "completed" || !strings.Contains(lastWord(job), why) || len(d.staging.Secrets()) != 0 {
			t.Errorf("%s, and it was told %q, want %q", job.Status(), lastWord(job), why)
		}
	}
	production := d.shop.CreateEnvironment("production")
	production.Protect(d.hook)
	rejected(d.run.StartJob("deploy", "production"), "The policy lends nothing to the environment production.")
	rejected(d.shop.StartWorkflowRun(ann, "main").StartJob("deploy", "staging"), "not on the head of an open pull request")

	d.push("typo", map[string]string{"README.md": "# Mine\n"})
	rejected(d.job, "and the pull request's head is")
	d.run = d.pr.StartWorkflowRun(ann)
	waits := d.starts("deploy")
	d.must(d.pr.AddLabel(d.github.User("bob"), switchLabel))
	d.settled()
	if waits.Status() != "waiting" || !strings.Contains(lastWord(waits), "stopped") {
		t.Errorf("while it is stopped it is %s: %q", waits.Status(), waits.Comments())
	}
	d.must(d.pr.Close(ann))
	rejected(waits, "the pull request is closed")
}

// TestAJobIsLentThoughGitHubFailed: what could not be lent is tried again, and the job
// waits meanwhile. Every last word is on record.
func TestAJobIsLentThoughGitHubFailed(t *testing.T) {
	t.Parallel()
	d := deploys(t)
	d.github.Inject(githubsim.Fault{Method: http.MethodPut, Path: regexp.MustCompile(`/environments/staging/secrets/`), Status: http.StatusBadGateway, Times: 2})
	d.review(d.pr, "lee", "APPROVE")
	for range 3 {
		d.clock.pass(2 * time.Minute)
		d.settled()
	}
	if token := d.job.Secret("JIT_1H_DEPLOY"); d.job.Status() != "in_progress" || !d.accepted(token) {
		t.Errorf("it is %s: %q", d.job.Status(), d.job.Comments())
	}
	d.job.Complete("success")
	other := d.run.StartJob("deploy", "production")
	d.settled()
	entries, err := d.server.store.AuditEntries(t.Context(), 0, 1000)
	d.must(err)
	words := ""
	for _, e := range entries {
		if strings.HasPrefix(e.Action, "deployment.") {
			words += e.Action + " " + e.Actor + " " + e.Subject + " "
		}
	}
	if !strings.HasPrefix(words, "deployment.approved ann acme/shop#1 ") {
		t.Errorf("on record: %s; the other job is %s", words, other.Status())
	}
}

// TestAJobWaitsForASlot: the slot is one, and who comes second waits until it is free.
func TestAJobWaitsForASlot(t *testing.T) {
	t.Parallel()
	d := deploys(t)
	d.review(d.pr, "lee", "APPROVE")
	other := d.opened("bob", "typo-2", map[string]string{"NOTES.md": "# Notes\n"})
	d.review(other, "lee", "APPROVE")
	job := other.StartWorkflowRun(d.github.User("bob")).StartJob("deploy", "staging")
	d.settled()
	if job.Status() != "waiting" || !strings.Contains(lastWord(job), "is lent already") {
		t.Fatalf("it is %s: %q", job.Status(), job.Comments())
	}
	first := d.job.Secret("JIT_1H_DEPLOY")
	d.job.Complete("success")
	d.settled()
	if token := job.Secret("JIT_1H_DEPLOY"); token == "" || token == first || !d.accepted(token) || d.accepted(first) {
		t.Errorf("it is %s with %q: %q", job.Status(), token, job.Comments())
	}
}
