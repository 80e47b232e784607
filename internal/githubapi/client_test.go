package githubapi_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palantir/go-githubapp/githubapp"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

type fixture struct {
	sim          *githubsim.Sim
	acme         *githubsim.Organization
	repo         *githubsim.Repository
	installation *githubsim.Installation
	config       githubapp.Config
	client       *githubapi.Client
	at           policy.Repository
	// waited is how long clients would have waited, one after the other.
	waited []time.Duration
}

func (f *fixture) wait(ctx context.Context, d time.Duration) error {
	f.waited = append(f.waited, d)
	return ctx.Err()
}

func newFixture(t *testing.T) *fixture { return newFixtureOn(t, githubsim.Options{}) }

func newFixtureOn(t *testing.T, options githubsim.Options) *fixture {
	t.Helper()
	sim, err := githubsim.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	f := &fixture{sim: sim, acme: sim.CreateOrganization("acme")}
	f.repo = f.acme.CreateRepository("shop", map[string]string{"README.md": "x\n", "docs/a.md": "a\n"})
	hook := sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", Permissions: map[string]string{
		"metadata": "read", "contents": "read", "pull_requests": "read", "checks": "write", "members": "read",
	}})
	f.installation = hook.Install(f.acme)
	f.at = policy.Repository{Installation: f.installation.ID(), ID: f.repo.ID(), Owner: "acme", Name: "shop"}
	f.config.V3APIURL, f.config.V4APIURL = sim.APIURL(), sim.URL()+"/api/graphql"
	f.config.App.IntegrationID, f.config.App.PrivateKey = hook.ID(), hook.PrivateKeyPEM()
	f.client = f.replica(t, time.Now, nil)
	return f
}

// replica is one more client of the App.
func (f *fixture) replica(t *testing.T, now func() time.Time, budgets githubapi.Budgets) *githubapi.Client {
	t.Helper()
	client, err := githubapi.New(f.config, githubapi.Options{
		UserAgent: "test", PolicyPath: ".github/portcullis.yml", OrganizationRepository: ".github", CheckName: "portcullis",
		Now: now, Wait: f.wait, Budgets: budgets,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (f *fixture) person(login, role string) policy.Actor {
	u := f.sim.CreateUser(login)
	if role != "" {
		f.repo.SetRole(u, role)
	}
	return policy.Actor{ID: u.ID(), Login: login, Kind: policy.KindUser}
}

// open has ann open a pull request.
func (f *fixture) open(t *testing.T) *githubsim.PullRequest {
	t.Helper()
	f.person("ann", "write")
	ann := f.sim.User("ann")
	if _, err := f.repo.Push(ann, "topic", githubsim.Commit{Files: map[string]string{"x": "x\n"}}); err != nil {
		t.Fatal(err)
	}
	pr, err := f.repo.Open(ann, githubsim.PullRequestSpec{Title: "x", Head: "topic"})
	if err != nil {
		t.Fatal(err)
	}
	return pr
}

func TestContentTellsAbsentFromUnreadable(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name, path, at string
		want           string
		absent, fails  bool
	}{
		{name: "a file", path: "docs/a.md", at: "refs/heads/main", want: "a\n"},
		{name: "no such file", path: "docs/b.md", at: "refs/heads/main", absent: true},
		{name: "no such branch", path: "docs/a.md", at: "refs/heads/gone", fails: true},
		{name: "a folder", path: "docs", at: "refs/heads/main", fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			content, err := f.client.Content(t.Context(), f.at, c.path, c.at)
			if (err != nil) != c.fails || string(content) != c.want || (content == nil) != (c.absent || c.fails) {
				t.Errorf("got %q, %v", content, err)
			}
		})
	}
	t.Run("a permission was lost", func(t *testing.T) {
		f.installation.SetPermission("contents", "")
		remove := f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/contents/`), Status: http.StatusNotFound})
		defer remove()
		if content, err := f.client.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main"); err == nil {
			t.Errorf("unreadable is taken for absent: %q", content)
		}
	})
}

func TestStanding(t *testing.T) {
	f := newFixture(t)
	sam := f.person("sam", "maintain")
	f.acme.CreateTeam("security", f.sim.User("sam"))
	f.acme.CreateTeam("leads")
	for role, want := range map[string]policy.Permission{
		"": policy.PermissionRead, "triage": policy.PermissionTriage, "write": policy.PermissionWrite, "admin": policy.PermissionAdmin,
	} {
		standing, err := f.client.Standing(t.Context(), f.at, f.person("p"+role, role), policy.Ask{Permission: true})
		if err != nil || standing.Permission != want {
			t.Errorf("role %q is %s, %v; want %s", role, standing.Permission, err, want)
		}
	}
	standing, err := f.client.Standing(t.Context(), f.at, sam, policy.Ask{Permission: true, Teams: []string{"acme/security", "acme/leads"}})
	if err != nil || standing.Permission != policy.PermissionMaintain || strings.Join(standing.Teams, " ") != "acme/security" {
		t.Errorf("sam is %+v, %v", standing, err)
	}
	var unknown *githubapi.UnknownTeamError
	for _, team := range []string{"acme/nobody", "elsewhere/security", "security"} {
		if _, err := f.client.Standing(t.Context(), f.at, sam, policy.Ask{Teams: []string{team}}); !errors.As(err, &unknown) || unknown.Team != team {
			t.Errorf("the team %s: %v", team, err)
		}
	}
	f.installation.SetPermission("members", "")
	if standing, err := f.client.Standing(t.Context(), f.at, sam, policy.Ask{Teams: []string{"acme/leads"}}); err == nil {
		t.Errorf("unreadable is taken for not a member: %+v", standing)
	}
}

func TestPutCheckTakesOverWhatIsThere(t *testing.T) {
	f := newFixture(t)
	head := f.repo.Head("main")
	check := policy.Check{Name: "portcullis", HeadSHA: head, Outcome: policy.OutcomeWaiting, Title: "waits", Summary: "x"}
	first, err := f.client.PutCheck(t.Context(), f.at, 0, check)
	if err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []policy.Outcome{policy.OutcomeOpen, policy.OutcomeWaiting, policy.OutcomeClosed, policy.Outcome(99)} {
		check.Outcome = outcome
		again, err := f.client.PutCheck(t.Context(), f.at, 0, check)
		if err != nil || again != first {
			t.Fatalf("%s is run %d, %v; want run %d", outcome, again, err, first)
		}
		want := map[policy.Outcome]string{policy.OutcomeOpen: "completed success", policy.OutcomeWaiting: "in_progress "}[outcome]
		if want == "" {
			want = "completed failure"
		}
		if run := f.repo.CheckRuns(head)[0]; run.Status+" "+run.Conclusion != want {
			t.Errorf("%s is shown as %s %s, want %s", outcome, run.Status, run.Conclusion, want)
		}
	}
	t.Run("a run that is gone is made anew", func(t *testing.T) {
		id, err := f.client.PutCheck(t.Context(), f.at, first+1000, check)
		if err != nil || id == first+1000 || id == 0 {
			t.Errorf("run %d, %v", id, err)
		}
	})
}

func TestErrorsNameTheCallAndNoToken(t *testing.T) {
	f := newFixture(t)
	f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/7`), Status: http.StatusBadGateway})
	_, _, err := f.client.Snapshot(t.Context(), policy.PullRequestRef{Repository: f.at, Number: 7}, policy.Questions{})
	var failed *githubapi.Error
	if !errors.As(err, &failed) || failed.Status != http.StatusBadGateway || !strings.HasSuffix(err.Error(), " acme/shop#7: GitHub answered 502") {
		t.Errorf("got %v", err)
	}
	if _, _, err := f.client.Snapshot(t.Context(), policy.PullRequestRef{Number: 7}, policy.Questions{}); !errors.Is(err, githubapi.ErrNoInstallation) {
		t.Errorf("without an installation: %v", err)
	}
	if _, err := githubapi.New(githubapp.Config{V3APIURL: "https://api.example.com/"}, githubapi.Options{
		UserAgent: "test", PolicyPath: ".github/portcullis.yml", OrganizationRepository: ".github", CheckName: "portcullis", Now: time.Now,
	}); err == nil || !strings.Contains(err.Error(), "private_key") {
		t.Errorf("without a key: %v", err)
	}
}
