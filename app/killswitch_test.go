package app

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
)

// switchPolicy asks for two of a team to start again.
const switchPolicy = demoPolicy + `kill_switch:
  deactivate: {teams: [acme/security], approvals: 2}
`

const switchLabel = "killswitch"

// stoppable is a world with a pull request that may be merged.
func stoppable(t *testing.T) (*testWorld, *githubsim.PullRequest) {
	t.Helper()
	tw := newTestWorld(t)
	tw.set(switchPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.wantMerge(pr, true)
	return tw, pr
}

// halts opens an issue that is the switch.
func (tw *testWorld) halts(repo *githubsim.Repository, login, title, label string) *githubsim.Issue {
	tw.report.Helper()
	issue, err := repo.OpenIssue(tw.github.User(login), title, "Please stop.", label)
	tw.must(err)
	tw.settled()
	return issue
}

// theSwitch is what is on record.
func (tw *testWorld) theSwitch(scope killswitch.Scope) killswitch.Switch {
	tw.report.Helper()
	sw, err := tw.server.store.Switch(tw.t.Context(), scope)
	tw.must(err)
	return sw
}

func (tw *testWorld) shopScope() killswitch.Scope {
	return killswitch.Scope{Repository: tw.refOf(tw.shop.PullRequest(1)).Repository}
}

func (tw *testWorld) wantState(scope killswitch.Scope, want killswitch.State) {
	tw.report.Helper()
	if sw := tw.theSwitch(scope); sw.State != want {
		tw.report.Errorf("the switch of %s is %q, want %q", scope, sw.State, want)
	}
}

// says comments on an issue, and returns what it is answered with.
func (tw *testWorld) says(issue *githubsim.Issue, login, body string) string {
	tw.report.Helper()
	_, err := issue.Comment(tw.github.User(login), body)
	tw.must(err)
	tw.settled()
	all := issue.Comments()
	return all[len(all)-1].Body
}

func wantText(t reporter, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
}

func TestALabelOnAnIssueStopsTheRepository(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	issue := tw.halts(tw.shop, "bob", "A token leaked", switchLabel)
	tw.wantCheck(pr, "failure: stopped (acme/shop) by bob: A token leaked")
	tw.wantMerge(pr, false)
	sw := tw.theSwitch(tw.shopScope())
	if sw.LockedAt.IsZero() || !sw.Lock.Enforced || len(sw.Problems) > 0 || sw.SoftAt.IsZero() {
		t.Errorf("on record: locked at %s, %+v, %v, soft at %s", sw.LockedAt, sw.Lock, sw.Problems, sw.SoftAt)
	}
	wantText(t, issue.Body(), "Please stop.", "### acme/shop is stopped", "| by | bob |", "| reason | A token leaked |",
		"GitHub refuses every one", "red on every open pull request", "counts from acme/security", "2 requests from acme/security")

	wantText(t, tw.says(issue, "bob", "/killswitch off"), "@bob This `/killswitch` has no effect: bob is not one of: acme/security.")
	wantText(t, tw.says(issue, "sam", "/killswitch off"), "still needed to start again: 1 more request from acme/security")
	wantText(t, tw.says(issue, "sam", "/killswitch off"), "still needed to start again: 1 more request from acme/security")
	wantText(t, issue.Body(), "Asked to start again: sam.", "Still needed: 1 more request from acme/security.")
	tw.wantMerge(pr, false)

	tw.says(issue, "sue", "/killswitch off all is well")
	tw.wantMerge(pr, true)
	tw.wantCheck(pr, "success: auto")
	if issue.State() != "closed" || len(issue.Labels()) != 0 {
		t.Errorf("the issue is %s with %v", issue.State(), issue.Labels())
	}
	wantText(t, issue.Body(), "### acme/shop goes on", "Please stop.")
	comments := ""
	for _, c := range issue.Comments() {
		comments += c.Body + "\n"
	}
	wantText(t, comments, "acme/shop goes on after", "Started again by sam and sue", "GitHub refused every merge from")
	actions := tw.audited("killswitch.")
	if want := "killswitch.on bob, killswitch.locked portcullis, killswitch.off_refused bob, killswitch.off_asked sam, " +
		"killswitch.off_asked sue, killswitch.releasing sue, killswitch.unlocked portcullis, killswitch.off portcullis"; actions != want {
		t.Errorf("on record:\n%s, want\n%s", actions, want)
	}
}

// audited are the acts on record that begin so, with who did them.
func (tw *testWorld) audited(prefix string) string {
	tw.report.Helper()
	entries, err := tw.server.store.AuditEntries(tw.t.Context(), 0, 1000)
	tw.must(err)
	var acts []string
	for _, e := range entries {
		if strings.HasPrefix(e.Action, prefix) {
			acts = append(acts, e.Action+" "+e.Actor)
		}
	}
	return strings.Join(acts, ", ")
}

func TestALabelInTheOrganizationsRepositoryStopsIt(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	floor := tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n", ".github/portcullis.yml": "version: 1\nkill_switch: {deactivate: {users: [lee], approvals: 1}}\n"})
	stall := tw.acme.CreateRepository("stall", map[string]string{"README.md": "x\n"})
	stall.SetRole(tw.github.User("ann"), "write")
	_, err := stall.Push(tw.github.User("ann"), "topic", githubsim.Commit{Message: "x", Files: map[string]string{"README.md": "y\n"}})
	tw.must(err)
	other, err := stall.Open(tw.github.User("ann"), githubsim.PullRequestSpec{Title: "Topic", Head: "topic"})
	tw.must(err)
	tw.settled()
	tw.wantMerge(other, true)

	floor.SetRole(tw.github.User("sam"), "triage")
	issue := tw.halts(floor, "sam", "Everything", switchLabel)
	for _, p := range []*githubsim.PullRequest{pr, other} {
		tw.wantMerge(p, false)
	}
	wantText(t, issue.Body(), "### acme is stopped", "counts from lee")
	// The people of one repository do not start the organization again.
	wantText(t, tw.says(issue, "sue", "/killswitch off"), "sue is not one of: lee")
	tw.wantMerge(other, false)
	tw.says(issue, "lee", "/killswitch off")
	for _, p := range []*githubsim.PullRequest{pr, other} {
		tw.wantMerge(p, true)
	}
}

func TestACommandStops(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	tw.comment(pr, "bob", "/killswitch repo a token leaked")
	tw.wantMerge(pr, false)
	tw.wantCheck(pr, "failure: stopped (acme/shop) by bob: a token leaked")
	sw := tw.theSwitch(tw.shopScope())
	issue := tw.shop.Issue(sw.Carrier.Number)
	if issue == nil || issue.State() != "open" || strings.Join(issue.Labels(), " ") != switchLabel {
		t.Fatalf("carried by %s", sw.Carrier)
	}
	wantText(t, issue.Body(), "### acme/shop is stopped", "| by | bob |")
	comments := pr.Comments()
	wantText(t, comments[len(comments)-1].Body, "**acme/shop** is stopped", sw.Carrier.String())

	stranger := tw.github.CreateUser("eve")
	tw.shop.SetRole(stranger, "read")
	wantText(t, tw.says(issue, "eve", "/killswitch off"), "eve is not one of")
	wantText(t, tw.says(issue, "eve", "/killswitch repo more"), "eve is not one of: anyone with triage")
}

func TestALabelOnAPullRequestStopsThatOne(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	tw.set(demoPolicy + "kill_switch: {deactivate: {permission: write, approvals: 1}}\n")
	tw.settled()
	other := tw.opened("ann", "other", map[string]string{"README.md": "# Stall\n"})
	tw.must(pr.AddLabel(tw.github.User("bob"), switchLabel))
	tw.settled()
	tw.wantCheck(pr, "failure: stopped (acme/shop#1) by bob")
	tw.wantMerge(pr, false)
	tw.wantMerge(other, true)

	// Whoever made it does not start it again, and neither does their label.
	tw.must(pr.RemoveLabel(tw.github.User("ann"), switchLabel))
	tw.settled()
	tw.wantMerge(pr, false)
	if strings.Join(pr.Labels(), " ") != switchLabel {
		t.Errorf("its labels are %v", pr.Labels())
	}
	wantText(t, pr.Comments()[0].Body, "@ann took the label off, but may not start acme/shop#1 again: ann opened the pull request.")
	tw.must(pr.RemoveLabel(tw.github.User("lee"), switchLabel))
	tw.settled()
	tw.wantMerge(pr, true)
	tw.wantCheck(pr, "success")
}

func TestTheAgentsSwitchStopsAgentsOnly(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	agent := tw.opened("claude[bot]", "agent/typo", map[string]string{"catalogue/list.go": "package list\n"})
	tw.review(agent, "bob", "APPROVE")
	tw.wantMerge(agent, true)
	issue := tw.halts(tw.shop, "bob", "The agents run wild", switchLabel+"-agents")
	tw.wantMerge(agent, false)
	tw.wantCheck(agent, "failure: stopped (agents in acme/shop) by bob: The agents run wild")
	tw.wantMerge(pr, true)
	wantText(t, issue.Body(), "### agents in acme/shop is stopped", "blocked by the check of each pull request")
	wantText(t, tw.says(issue, "claude[bot]", "/killswitch off"), "/killswitch off")
	tw.wantMerge(agent, false)
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantMerge(agent, true)
}

// lockOn reports whether GitHub itself refuses to move the default branch.
func (tw *testWorld) lockOn(repo *githubsim.Repository) bool {
	_, err := repo.Push(tw.github.User("lee"), repo.DefaultBranch(), githubsim.Commit{Message: "x", Files: map[string]string{"x": "x\n"}})
	return err != nil && strings.Contains(err.Error(), "Cannot update this protected ref")
}

// policybot.md 3.2, number 7: an older decision that finishes after the label turned
// the reference green again.
func TestASlowOlderDecisionDoesNotTurnItGreenAgain(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	tw.set(switchPolicy)
	pr := tw.opened("ann", "search", searchFiles())
	thrown := false
	remove := tw.github.Before(http.MethodPatch, regexp.MustCompile(`/check-runs/\d+$`), func() {
		if thrown {
			return
		}
		thrown = true
		// The green write is on its way. The label lands, and its own work is done first.
		_, err := tw.shop.OpenIssue(tw.github.User("bob"), "Stop", "", switchLabel)
		tw.must(err)
		for deadline := time.Now().Add(5 * time.Second); tw.theSwitch(tw.shopScope()).LockedAt.IsZero() && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
	})
	defer remove()
	tw.comment(pr, "bob", "/approve")
	if !thrown {
		t.Fatal("no check was written")
	}
	tw.settled()
	tw.wantCheck(pr, "failure: stopped")
	tw.wantMerge(pr, false)
}

// policybot.md 3.2, number 7, the other half: the write that was to say red is lost.
func TestALostStatusWriteIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("done all the same: %t", after), func(t *testing.T) {
			tw, pr := stoppable(t)
			tw.github.Inject(githubsim.Fault{Method: http.MethodPatch, Path: regexp.MustCompile(`/check-runs/\d+$`), Status: 502, After: after, Times: 2})
			tw.halts(tw.shop, "bob", "Stop", switchLabel)
			tw.wantCheck(pr, "failure: stopped")
			tw.wantMerge(pr, false)
		})
	}
}

func TestALockThatFailsIsTriedUntilItLands(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	remove := tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rulesets`), Status: 502, Times: 3})
	defer remove()
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.wantCheck(pr, "failure: stopped")
	if sw := tw.theSwitch(tw.shopScope()); !sw.Lock.Enforced || sw.LockedAt.IsZero() {
		t.Errorf("the lock: %+v", sw.Lock)
	}
	wantText(t, issue.Body(), "GitHub refuses every one")
}

// The checks turn red though the call that locks is not answered: they wait for it only
// for a moment.
func TestChecksTurnRedThoughTheLockHangs(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	red := false
	defer tw.github.Before(http.MethodPost, regexp.MustCompile(`/rulesets$`), func() {
		for deadline := time.Now().Add(5 * time.Second); !red && time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
			red = strings.HasPrefix(tw.check(pr), "failure: stopped")
		}
	})()
	tw.halts(tw.shop, "bob", "Stop", switchLabel)
	if !red {
		t.Error("the check waits for the lock")
	}
}

func TestAppThatMayNotLockSaysSo(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	tw.installation.SetPermission("administration", "read")
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.wantCheck(pr, "failure: stopped")
	tw.wantMerge(pr, false)
	wantText(t, issue.Body(), "the App may not lock branches", "those that were green could be merged for")
}

// Issue 5: from the label's webhook at most two calls until no merge is possible.
func TestWhatALockCosts(t *testing.T) {
	t.Parallel()
	for name, prepared := range map[string]bool{"a ruleset that is made for it": false, "one that was there": true} {
		t.Run(name, func(t *testing.T) {
			tw, pr := stoppable(t)
			if prepared {
				issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
				for _, login := range []string{"sam", "sue"} {
					tw.says(issue, login, "/killswitch off")
				}
				tw.wantMerge(pr, true)
			}
			tw.github.ResetRequests()
			tw.halts(tw.shop, "lee", "Again", switchLabel)
			until := 0
			for i, r := range tw.github.Requests() {
				if strings.Contains(r.Path, "/rules/branches/") {
					break
				}
				if i++; strings.Contains(r.Path, "/rulesets") {
					until = i
				}
			}
			t.Logf("%d calls", until)
			if until == 0 || until > 3 {
				t.Errorf("GitHub forbids merges after %d calls:\n%v", until, tw.github.Requests())
			}
		})
	}
}
