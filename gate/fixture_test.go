package gate_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palantir/go-githubapp/githubapp"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// fixture is a gate on a simulated GitHub, without webhooks: what the gate
// knows it has read.
type fixture struct {
	t      *testing.T
	github *githubsim.Sim
	repo   *githubsim.Repository
	config gate.Config
	store  *store.Store
	ref    policy.PullRequestRef
	pr     *githubsim.PullRequest
	// passed is how far the clock is ahead of the machine's.
	passed atomic.Int64
}

func (f *fixture) now() time.Time { return time.Now().Add(time.Duration(f.passed.Load())) }

func (f *fixture) pass(d time.Duration) { f.passed.Add(int64(d)) }

// newFixture opens a pull request that needs a peer.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	sim, err := githubsim.Start(githubsim.Options{Now: f.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	f.github = sim
	acme := sim.CreateOrganization("acme")
	f.repo = acme.CreateRepository("shop", map[string]string{"README.md": "x\n", policy.DefaultPath: "version: 1\n"})
	for login, role := range map[string]string{"ann": "write", "bob": "write", "lee": "write"} {
		f.repo.SetRole(sim.CreateUser(login), role)
	}
	hook := sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", Permissions: map[string]string{
		"metadata": "read", "contents": "read", "pull_requests": "read", "checks": "write", "members": "read",
	}})
	installation := hook.Install(acme)

	var app githubapp.Config
	app.V3APIURL, app.V4APIURL = sim.APIURL(), sim.URL()+"/api/graphql"
	app.App.IntegrationID, app.App.PrivateKey = hook.ID(), hook.PrivateKeyPEM()
	client, err := githubapi.New(app, githubapi.Options{
		UserAgent: "portcullis-test", PolicyPath: policy.DefaultPath, OrganizationRepository: ".github", CheckName: "portcullis", Now: f.now,
	})
	f.must(err)
	f.store, err = store.Open(t.Context(), "sqlite::memory:", f.now)
	f.must(err)
	t.Cleanup(func() { f.must(f.store.Close()) })
	f.config = gate.Config{
		GitHub: client, Workflow: f.store, Store: f.store, Switch: killswitch.LabelsOnly{}, Now: f.now, CheckName: "portcullis", PolicyPath: policy.DefaultPath,
	}

	ann := sim.User("ann")
	files := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		files["lib/"+name+".go"] = strings.Repeat("line\n", 25)
	}
	_, err = f.repo.Push(ann, "topic", githubsim.Commit{Message: "topic", Files: files})
	f.must(err)
	f.pr, err = f.repo.Open(ann, githubsim.PullRequestSpec{Title: "Topic", Head: "topic", Base: "main"})
	f.must(err)
	f.ref = policy.PullRequestRef{
		Repository: policy.Repository{Installation: installation.ID(), ID: f.repo.ID(), Owner: "acme", Name: "shop"}, Number: f.pr.Number(),
	}
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) review(login, state string) {
	f.t.Helper()
	_, err := f.pr.Review(f.github.User(login), state, "a review")
	f.must(err)
}

func (f *fixture) evaluate(g *gate.Gate) policy.Decision {
	f.t.Helper()
	decision, err := g.Evaluate(f.t.Context(), f.ref)
	f.must(err)
	return decision
}

// check is what GitHub shows on the head.
func (f *fixture) check() string {
	runs := f.repo.CheckRuns(f.pr.HeadSHA())
	if len(runs) != 1 {
		f.t.Fatalf("the head has %d runs, want 1", len(runs))
	}
	return runs[0].Status + " " + runs[0].Conclusion
}

// vote is an approval of the current head, as a command would carry it.
func (f *fixture) vote(login string) policy.Vote {
	u := f.github.User(login)
	return policy.Vote{
		Source: gate.CommentText(1).Source(0), By: policy.Actor{ID: u.ID(), Login: login, Kind: policy.KindUser},
		Commit: f.pr.HeadSHA(), At: time.Now(),
	}
}
