package githubsim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// What changes who may do what is told, in GitHub's shapes, and takes effect.
func TestGrantEvents(t *testing.T) {
	tests := []struct {
		name          string
		act           func(w *world) error
		event, action string
		path          []any
		want          any
	}{
		{"team created", team, "team", "created", []any{"team", "slug"}, "leads"},
		{"its first member", team, "membership", "added", []any{"member", "login"}, "alice"},
		{"scope", team, "membership", "added", []any{"scope"}, "team"},
		{"joined the organization by it", team, "organization", "member_added", []any{"membership", "user", "login"}, "alice"},
		{"removed from the team", func(w *world) error {
			w.org.CreateTeam("leads", w.alice).Remove(w.alice)
			return nil
		}, "membership", "removed", []any{"team", "slug"}, "leads"},
		{"removed from the organization", func(w *world) error {
			w.org.CreateTeam("leads", w.alice)
			w.org.RemoveMember(w.alice)
			return nil
		}, "membership", "removed", []any{"member", "login"}, "alice"},
		{"owner removed", func(w *world) error {
			w.org.AddOwner(w.alice)
			w.org.RemoveMember(w.alice)
			return nil
		}, "organization", "member_removed", []any{"membership", "role"}, "admin"},
		{"team renamed", func(w *world) error {
			w.org.CreateTeam("leads").Rename("chiefs")
			return nil
		}, "team", "edited", []any{"changes", "name", "from"}, "leads"},
		{"team deleted", func(w *world) error {
			w.org.CreateTeam("leads", w.alice).Delete()
			return nil
		}, "team", "deleted", []any{"team", "slug"}, "leads"},
		{"team in a repository", func(w *world) error {
			w.org.CreateTeam("leads").SetRole(w.repo, "write")
			return nil
		}, "team", "added_to_repository", []any{"repository", "full_name"}, "acme/castle"},
		{"team with another role", func(w *world) error {
			made := w.org.CreateTeam("leads")
			made.SetRole(w.repo, "write")
			made.SetRole(w.repo, "admin")
			return nil
		}, "team", "edited", []any{"changes", "repository", "permissions", "from", "admin"}, false},
		{"team out of a repository", func(w *world) error {
			made := w.org.CreateTeam("leads")
			made.SetRole(w.repo, "write")
			made.SetRole(w.repo, "none")
			return nil
		}, "team", "removed_from_repository", []any{"repository", "full_name"}, "acme/castle"},
		{"collaborator added", func(w *world) error { return w.repo.Grant(w.root, w.eve, "maintain") }, "member", "added", []any{"changes", "role_name", "to"}, "maintain"},
		{"by whom", func(w *world) error { return w.repo.Grant(w.root, w.eve, "maintain") }, "member", "added", []any{"sender", "login"}, "root"},
		{"collaborator edited", func(w *world) error { return w.repo.Grant(w.root, w.bob, "triage") }, "member", "edited", []any{"changes", "old_permission", "from"}, "write"},
		{"triage counts as read", func(w *world) error { return w.repo.Grant(w.root, w.bob, "triage") }, "member", "edited", []any{"changes", "permission", "to"}, "read"},
		{"collaborator removed", func(w *world) error { return w.repo.Grant(w.root, w.bob, "") }, "member", "removed", []any{"member", "login"}, "bob"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			hook := w.receive(w.app)
			must(t, test.act(w))
			w.wait()
			payload := w.last(test.event, test.action)
			equal(t, fmt.Sprint(test.path), at(payload, test.path...), test.want)
			equal(t, "installation", at(payload, "installation", "id"), any(float64(w.install.ID())))
			equal(t, "organization", at(payload, "organization", "login"), any("acme"))
			raw, err := json.Marshal(payload)
			must(t, err)
			_, err = github.ParseWebHook(test.event, raw)
			must(t, err)
			heard := slices.ContainsFunc(hook.list(), func(r *http.Request) bool { return r.Header.Get("X-GitHub-Event") == test.event })
			equal(t, "sent over HTTP", heard, true)
		})
	}
}

func team(w *world) error {
	w.org.CreateTeam("leads", w.alice)
	return nil
}

// The events about people need the permission members; nothing is told of what does not change.
func TestWhoHearsOfGrants(t *testing.T) {
	w := newWorld(t)
	w.install.SetPermission("members", "")
	w.org.CreateTeam("leads", w.alice).SetRole(w.repo, "write")
	w.repo.SetRole(w.eve, "write")
	for _, event := range w.events() {
		name, _, _ := strings.Cut(event, ".")
		if slices.Contains([]string{"member", "membership", "team", "organization"}, name) {
			t.Errorf("%s was sent without the permission members", event)
		}
	}
	w.install.SetPermission("members", "read")
	w.repo.SetRole(w.eve, "write")
	w.repo.SetRole(w.sim.CreateUser("mallory"), "none")
	w.org.RemoveMember(w.bob)
	if slices.ContainsFunc(w.events(), func(e string) bool { return strings.HasPrefix(e, "member") }) {
		t.Fatalf("nothing changed, and yet %v", w.events())
	}
	refused(t, w.repo.Grant(w.bob, w.eve, "admin"), 403, "admin rights")
}

// A team's role is its members' role: over REST, for merging, and until the team or the membership ends.
func TestTeamRole(t *testing.T) {
	level := func(w *world, login string) string {
		got, _, err := w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", login)
		must(t, err)
		return got.GetPermission() + "/" + got.GetUser().GetRoleName()
	}
	ends := map[string]func(*world, *githubsim.Team){
		"left":    func(w *world, leads *githubsim.Team) { leads.Remove(w.eve) },
		"deleted": func(_ *world, leads *githubsim.Team) { leads.Delete() },
		"no role": func(w *world, leads *githubsim.Team) { leads.SetRole(w.repo, "") },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			leads := w.org.CreateTeam("leads", w.eve, w.alice)
			equal(t, "as a member", level(w, "eve"), "read/read")
			leads.SetRole(w.repo, "maintain")
			equal(t, "by the team", level(w, "eve"), "write/maintain")
			equal(t, "the higher of two", level(w, "alice"), "write/maintain")
			p := w.pull("topic")
			equal(t, "may merge", p.Mergeability(w.eve).Allowed, true)
			end(w, leads)
			equal(t, "afterwards", level(w, "eve"), "read/read")
			equal(t, "may merge", p.Mergeability(w.eve).Allowed, false)
		})
	}
}

// A renamed team is found under its new slug only; a deleted one is not found.
func TestTeamOverREST(t *testing.T) {
	w := newWorld(t)
	leads := w.org.CreateTeam("leads", w.alice)
	leads.Rename("chiefs")
	_, _, err := w.gh.Teams.GetTeamMembershipBySlug(ctx, "acme", "leads", "alice")
	refused(t, err, 404, "")
	_, _, err = w.gh.Teams.GetTeamMembershipBySlug(ctx, "acme", "chiefs", "alice")
	must(t, err)
	leads.Delete()
	_, _, err = w.gh.Teams.GetTeamBySlug(ctx, "acme", "chiefs")
	refused(t, err, 404, "")
}

// An App that is uninstalled hears so, and its tokens end.
func TestUninstall(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.gh.Repositories.Get(ctx, "acme", "castle")
	must(t, err)
	w.install.Delete()
	w.install.Delete()
	payload := w.last("installation", "deleted")
	equal(t, "repositories", at(payload, "repositories", 0, "full_name"), any("acme/castle"))
	before := len(w.events())
	w.pull("topic")
	equal(t, "events afterwards", len(w.events()), before)
	_, _, err = w.gh.Repositories.Get(ctx, "acme", "castle")
	refused(t, err, 401, "Bad credentials")
	_, _, err = w.asApp(w.app).Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	refused(t, err, 404, "")
	list, _, err := w.asApp(w.app).Apps.ListInstallations(ctx, nil)
	must(t, err)
	equal(t, "installations", len(list), 0)
	again := w.app.Install(w.org)
	if again.ID() == w.install.ID() {
		t.Fatal("a new installation has the old one's id")
	}
}

// Nobody has told what an App's bot may do, so GitHub does not know it as a user.
func TestPermissionOfBots(t *testing.T) {
	w := newWorld(t)
	outsider := w.sim.CreateBot("renovate[bot]", 29139614)
	for _, login := range []string{w.app.BotLogin(), outsider.Login()} {
		_, _, err := w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", strings.NewReplacer("[", "%5B", "]", "%5D").Replace(login))
		refused(t, err, 404, login+" is not a user")
	}
	w.repo.SetRole(outsider, "write")
	got, _, err := w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", "renovate%5Bbot%5D")
	must(t, err)
	equal(t, "permission", got.GetPermission(), "write")
	got, _, err = w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", "eve")
	must(t, err)
	equal(t, "a person with nothing", got.GetPermission(), "read") // the repository is public
}
