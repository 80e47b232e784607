package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
)

// setUp matches what docs/operations.md has an owner do: the ruleset, and the
// configuration.
var setUp = regexp.MustCompile("(?s)<<EOF\n(.*?)EOF\ndone\n```\n\n```yaml\n(.*?)```")

// withoutAdministration is a world in which the App may set custom properties and no
// rulesets, and an owner did what the documentation says.
func withoutAdministration(t *testing.T) (*testWorld, *githubsim.PullRequest) {
	t.Helper()
	tw, _ := sweepingWorld(t)
	tw.set(switchPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.wantMerge(pr, true)
	tw.must(tw.server.Stop(t.Context()))
	for _, permission := range []string{"administration", "organization_administration"} {
		tw.installation.SetPermission(permission, "read")
	}
	tw.installation.SetPermission("organization_custom_properties", "write")
	tw.hook.Subscribe("custom_property_values")

	guide, err := os.ReadFile("../docs/operations.md")
	tw.must(err)
	parts := setUp.FindStringSubmatch(string(guide))
	if parts == nil {
		t.Fatal("docs/operations.md does not say how to set up the properties")
	}
	var settings struct {
		KillSwitch KillSwitchConfig `yaml:"kill_switch"`
	}
	tw.must(yaml.UnmarshalWithOptions([]byte(parts[2]), &settings, yaml.Strict()))
	tw.killSwitch = settings.KillSwitch
	owner := tw.github.CreateUser("olga")
	tw.acme.AddOwner(owner)
	for _, name := range []string{settings.KillSwitch.RepositoryProperty, settings.KillSwitch.OrganizationProperty} {
		tw.acme.CreateProperty(githubsim.PropertySpec{Name: name, Type: "true_false"})
		request := httptest.NewRequest(http.MethodPost, "/api/v3/orgs/acme/rulesets", strings.NewReader(strings.ReplaceAll(parts[1], "$name", name)))
		request.Header.Set("Authorization", "Bearer "+owner.Token())
		request.Header.Set("User-Agent", "gh")
		answer := httptest.NewRecorder()
		if tw.github.ServeHTTP(answer, request); answer.Code != http.StatusCreated {
			t.Fatal(answer.Code, answer.Body)
		}
	}
	tw.must(tw.serve(t.Context()))
	for _, d := range tw.github.Deliveries() { // of what happened meanwhile
		if d.StatusCode/100 != 2 {
			tw.must(tw.github.Redeliver(d.GUID))
		}
	}
	tw.settled()
	return tw, pr
}

// Where the App may not write rulesets, a property puts an owner's into force.
func TestAPropertyLocksWhereRulesetsAreRefused(t *testing.T) {
	t.Parallel()
	tw, pr := withoutAdministration(t)
	tw.github.ResetRequests()
	issue := tw.halts(tw.shop, "lee", "Stop", switchLabel)
	tw.wantMerge(pr, false)
	if !tw.lockOn(tw.shop) {
		t.Error("GitHub itself lets a branch be moved")
	}
	sw := tw.theSwitch(tw.shopScope())
	if sw.LockedAt.IsZero() || sw.Lock.Impossible != "" {
		t.Errorf("the lock was not read back: %+v", sw.Lock)
	}
	wantText(t, issue.Body(), "GitHub refuses every one, confirmed ")

	tw.must(tw.shop.SetProperty(tw.github.User("olga"), tw.killSwitch.RepositoryProperty))
	tw.settled()
	if !tw.lockOn(tw.shop) {
		t.Error("an owner took the property away, and it was not put back")
	}
	wantText(t, issue.Body(), "| put back | olga changed the property that locks acme/shop |")

	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.wantMerge(pr, true)
	if value := tw.shop.Property(tw.killSwitch.RepositoryProperty); len(value) > 0 || tw.lockOn(tw.shop) {
		t.Errorf("the property is still %v", value)
	}
	if issue := tw.halts(tw.shop, "lee", "Again", switchLabel); issue.State() != "open" || !tw.lockOn(tw.shop) {
		t.Error("a second stop does not lock")
	}
}

// The organization's switch sets a property of its own, in every repository: to
// start the organization again does not start a repository that is stopped besides.
func TestAPropertyLocksTheOrganization(t *testing.T) {
	t.Parallel()
	tw, pr := withoutAdministration(t)
	floor := tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
	for _, login := range []string{"lee", "sam", "sue"} {
		floor.SetRole(tw.github.User(login), "maintain")
	}
	others := []*githubsim.Repository{floor}
	for i := range 60 { // with the shop and the floor more than two calls set
		others = append(others, tw.acme.CreateRepository(fmt.Sprintf("other-%d", i), map[string]string{"README.md": "x\n"}))
	}
	tw.settled()
	locked := func(doing string, want bool, repositories ...*githubsim.Repository) {
		t.Helper()
		for _, repository := range repositories {
			repository.SetRole(tw.github.User("lee"), "write")
			if tw.lockOn(repository) != want {
				t.Errorf("%s: that %s is locked is not %t", doing, repository.FullName(), want)
			}
		}
	}
	tw.halts(tw.shop, "lee", "Stop the shop", switchLabel)
	issue := tw.halts(floor, "lee", "Stop all", switchLabel)
	locked("stopped", true, append(others, tw.shop)...)
	tw.wantMerge(pr, false)
	scope := killswitch.Organization("acme", tw.installation.ID())
	if sw := tw.theSwitch(scope); sw.LockedAt.IsZero() {
		t.Errorf("the lock was not read back: %+v, %v", sw.Lock, sw.Problems)
	}

	late := tw.acme.CreateRepository("late", map[string]string{"README.md": "x\n"})
	tw.sweep(recovery.KeySwitches(tw.installation.ID()))
	locked("a repository that is made meanwhile", true, late)

	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantState(scope, killswitch.StateOff)
	locked("started again", false, append(others, late)...)
	locked("stopped by itself", true, tw.shop)
	tw.wantMerge(pr, false)
}

// A lock that GitHub puts and does not answer for is taken away in the end, though
// nothing of it is known.
func TestALockThatWasNotAnsweredForIsTakenAway(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"a ruleset": `/rulesets$`, "a property": `/properties/values$`} {
		t.Run(name, func(t *testing.T) {
			tw, pr := withoutAdministration(t)
			if name == "a ruleset" {
				tw.installation.SetPermission("administration", "write")
			}
			remove := tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(path), After: true, Status: http.StatusBadGateway})
			removePatch := tw.github.Inject(githubsim.Fault{Method: http.MethodPatch, Path: regexp.MustCompile(path), After: true, Status: http.StatusBadGateway})
			find := tw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(path), Status: http.StatusBadGateway})
			issue, err := tw.shop.OpenIssue(tw.github.User("lee"), "Stop", "", switchLabel)
			tw.must(err)
			eventually(t, "the lock is put", func() bool { return tw.lockOn(tw.shop) })
			eventually(t, "that is kept", func() bool { return tw.theSwitch(tw.shopScope()).Lock.Tried })
			for _, login := range []string{"sam", "sue"} {
				_, err := issue.Comment(tw.github.User(login), "/killswitch off")
				tw.must(err)
			}
			eventually(t, "it is being started again", func() bool { return tw.theSwitch(tw.shopScope()).State != killswitch.StateOn })
			if !tw.lockOn(tw.shop) {
				t.Error("it is not locked, and GitHub answered nothing")
			}
			eventually(t, "the issue says what holds it up", func() bool { return strings.Contains(issue.Body(), "**held up:** starting again") })
			remove()
			removePatch()
			find()
			tw.settled()
			eventually(t, "it goes on", func() bool { return tw.theSwitch(tw.shopScope()).State == killswitch.StateOff })
			tw.settled()
			tw.wantMerge(pr, true)
		})
	}
}

// The doctor tells whether a property locks, and what is wrong with it.
func TestDoctorOnProperties(t *testing.T) {
	t.Parallel()
	tw, _ := withoutAdministration(t)
	tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
	wants := func(code int, lines ...string) {
		t.Helper()
		got, out := tw.doctor()
		if got != code {
			t.Errorf("exit %d, want %d: %s", got, code, out)
		}
		wantText(t, out, lines...)
	}
	wants(exitOK, "acme: repositories can be locked with the custom property portcullis_stopped", "acme: all of it can be locked with the custom property portcullis_stopped_organization")
	tw.installation.SetPermission("organization_custom_properties", "read")
	wants(exitError, "acme: repositories cannot be locked", "grant the organization permission Custom properties")
	tw.installation.SetPermission("organization_custom_properties", "write")
	tw.acme.CreateProperty(githubsim.PropertySpec{Name: "loose", Type: "true_false", EditableByAll: true})
	tw.acme.CreateProperty(githubsim.PropertySpec{Name: "wordy"})
	tw.killSwitch = KillSwitchConfig{RepositoryProperty: "loose", OrganizationProperty: "wordy"}
	wants(exitError, "the admins of a repository can change the custom property loose", "the custom property wordy is string and not true_false")
	tw.killSwitch = KillSwitchConfig{RepositoryProperty: "none"}
	wants(exitError, "there is no custom property none", "all of it cannot be locked at once")
}

// The command line locks with a property as the server does, and claims nothing that
// it may not see.
func TestBreakGlassWithAProperty(t *testing.T) {
	t.Parallel()
	tw, _ := withoutAdministration(t)
	tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
	tw.settled()
	tw.must(tw.server.Stop(t.Context()))
	for _, scope := range []string{"acme/shop", "acme"} {
		b, out := tw.glass(scope)
		tw.must(b.on(t.Context()))
		wantText(t, out.String(), scope+" is locked: GitHub refuses every merge")
		if !tw.lockOn(tw.shop) {
			t.Errorf("%s: GitHub lets a branch be moved", scope)
		}
		b, out = tw.glass(scope)
		b.withoutServer = true
		tw.must(b.off(t.Context()))
		wantText(t, out.String(), scope+" is not locked")
		if tw.lockOn(tw.shop) {
			t.Errorf("%s: it is still locked", scope)
		}
	}
	b, _ := tw.glass("acme")
	tw.must(b.on(t.Context()))
	tw.must(tw.shop.SetProperty(tw.github.User("olga"), tw.killSwitch.OrganizationProperty))
	b, part := tw.glass("acme")
	tw.must(b.status(t.Context()))
	wantText(t, part.String(), "acme is locked in some of its repositories and not in all of them")
	b, part = tw.glass("acme")
	b.wait = 0
	if err := b.off(t.Context()); !errors.Is(err, errReported) {
		t.Errorf("off with no server that lifts it: %v", err)
	}
	wantText(t, part.String(), "acme is still locked")
	tw.installation.SetPermission("organization_custom_properties", "")
	b, out := tw.glass("acme")
	b.withoutServer = true
	if err := b.off(t.Context()); err == nil || strings.Contains(out.String(), "is not locked") {
		t.Errorf("it may not see the lock, and says %q, %v", out, err)
	}
}
