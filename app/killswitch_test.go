package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox"
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

func TestTampering(t *testing.T) {
	for name, tamper := range map[string]func(tw *testWorld, issue *githubsim.Issue) error{
		"the label taken off": func(tw *testWorld, issue *githubsim.Issue) error {
			return issue.RemoveLabel(tw.github.User("bob"), switchLabel)
		},
		"the issue closed": func(tw *testWorld, issue *githubsim.Issue) error { return issue.Close(tw.github.User("bob")) },
		"the ruleset disabled": func(tw *testWorld, _ *githubsim.Issue) error {
			tw.shop.SetRulesetEnforcement(tw.theSwitch(tw.shopScope()).Lock.ID, "disabled")
			return nil
		},
		"the ruleset deleted": func(tw *testWorld, _ *githubsim.Issue) error {
			return tw.shop.DeleteRuleset(tw.github.User("bob"), tw.theSwitch(tw.shopScope()).Lock.ID)
		},
		"the issue deleted": func(tw *testWorld, issue *githubsim.Issue) error { return issue.Delete(tw.github.User("bob")) },
		"the issue moved away": func(tw *testWorld, issue *githubsim.Issue) error {
			attic := tw.acme.CreateRepository("attic", map[string]string{"README.md": "x\n"})
			attic.SetRole(tw.github.User("bob"), "admin")
			_, err := issue.Transfer(tw.github.User("bob"), attic)
			return err
		},
		"the label deleted from the repository": func(tw *testWorld, _ *githubsim.Issue) error {
			tw.shop.DeleteLabel(switchLabel)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw, pr := stoppable(t)
			tw.shop.SetRole(tw.github.User("bob"), "admin")
			issue := tw.halts(tw.shop, "lee", "Stop", switchLabel)
			tw.must(tamper(tw, issue))
			tw.settled()
			tw.wantMerge(pr, false)
			sw := tw.theSwitch(tw.shopScope())
			issue = tw.shop.Issue(sw.Carrier.Number)
			if sw.State != killswitch.StateOn || issue == nil || issue.State() != "open" || strings.Join(issue.Labels(), " ") != switchLabel {
				t.Fatalf("the switch is %q, carried by %s: %v", sw.State, sw.Carrier, issue)
			}
			if rules := tw.lockOn(tw.shop); !rules {
				t.Error("the ruleset does not lock any more")
			}
			if acts := tw.audited("killswitch.tampered"); acts == "" {
				t.Error("it is not on record")
			}
			wantText(t, issue.Body(), "| put back | ")
		})
	}
}

// lockOn reports whether GitHub itself refuses to move the default branch.
func (tw *testWorld) lockOn(repo *githubsim.Repository) bool {
	_, err := repo.Push(tw.github.User("lee"), repo.DefaultBranch(), githubsim.Commit{Message: "x", Files: map[string]string{"x": "x\n"}})
	return err != nil && strings.Contains(err.Error(), "Cannot update this protected ref")
}

// policybot.md 3.2, number 7: an older decision that finishes after the label turned
// the reference green again.
func TestASlowOlderDecisionDoesNotTurnItGreenAgain(t *testing.T) {
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

func TestAppThatMayNotLockSaysSo(t *testing.T) {
	tw, pr := stoppable(t)
	tw.installation.SetPermission("administration", "read")
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.wantCheck(pr, "failure: stopped")
	tw.wantMerge(pr, false)
	wantText(t, issue.Body(), "the App may not lock branches", "those that were green could be merged for")
}

// Issue 5: from the label's webhook at most two calls until no merge is possible.
func TestWhatALockCosts(t *testing.T) {
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

func TestASweepFindsWhatNoWebhookTold(t *testing.T) {
	tw, clock := sweepingWorld(t)
	tw.set(switchPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.wantMerge(pr, true)
	tw.hook.SetWebhookURL(tw.github.URL() + "/nowhere")
	issue, err := tw.shop.OpenIssue(tw.github.User("bob"), "Stop", "", switchLabel)
	tw.must(err)
	tw.sweep(recovery.KeySwitches(tw.installation.ID()))
	tw.wantMerge(pr, false)
	tw.wantState(tw.shopScope(), killswitch.StateOn)

	clock.pass(2 * time.Minute)
	tw.must(issue.RemoveLabel(tw.github.User("bob"), switchLabel))
	tw.sweep(recovery.KeySwitches(tw.installation.ID()))
	if strings.Join(issue.Labels(), " ") != switchLabel {
		t.Errorf("the label was taken off, and nobody put it back: %v", issue.Labels())
	}
	for _, login := range []string{"sam", "sue"} {
		clock.pass(2 * time.Minute)
		tw.shop.SetRole(tw.github.User(login), "triage")
		tw.must(issue.RemoveLabel(tw.github.User(login), switchLabel))
		tw.sweep(recovery.KeySwitches(tw.installation.ID()))
	}
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.wantMerge(pr, true)
}

func TestWhatAMergeQueueDoes(t *testing.T) {
	for mode, want := range map[string]string{"halt": "dequeued", "drain": "merged", "pause": "queued"} {
		t.Run(mode, func(t *testing.T) {
			tw, _ := stoppable(t)
			queue := tw.mergeQueue(5)
			tw.set(switchPolicy + "  merge_queue: " + mode + "\n")
			tw.settled()
			pr := tw.opened("ann", "queued", map[string]string{"catalogue/list.go": "package list\n"})
			tw.review(pr, "bob", "APPROVE")
			group, err := pr.Enqueue(tw.github.User("ann"))
			tw.must(err)
			tw.settled()
			issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
			if got := group.Try(); got != want {
				t.Errorf("the entry is %s, want %s", got, want)
			}
			tw.says(issue, "sam", "/killswitch off")
			tw.says(issue, "sue", "/killswitch off")
			tw.wantState(tw.shopScope(), killswitch.StateOff)
			if got := tw.queueLimit(queue); got != 5 {
				t.Errorf("the queue merges %d entries at once, and did 5", got)
			}
			if got := group.Try(); mode == "pause" && got != "merged" {
				t.Errorf("once it goes on the entry is %s", got)
			}
		})
	}
}

// mergeQueue makes a ruleset with a merge queue, and returns its id.
func (tw *testWorld) mergeQueue(most int) int64 {
	tw.report.Helper()
	id := tw.shop.CreateRuleset(githubsim.Ruleset{Name: "queue", Branches: []string{"~DEFAULT_BRANCH"}})
	tw.asLee(http.MethodPut, id, fmt.Sprintf(`{"rules":[{"type":"merge_queue","parameters":{"check_response_timeout_minutes":60,"grouping_strategy":"ALLGREEN",
		"max_entries_to_build":5,"max_entries_to_merge":%d,"merge_method":"MERGE","min_entries_to_merge":1,"min_entries_to_merge_wait_minutes":5}}]}`, most))
	return id
}

// asLee asks for a ruleset of the shop as an admin with curl, past the judge of what
// the server asks.
func (tw *testWorld) asLee(method string, ruleset int64, body string) string {
	tw.report.Helper()
	tw.shop.SetRole(tw.github.User("lee"), "admin")
	request := httptest.NewRequest(method, fmt.Sprintf("/api/v3/repos/acme/shop/rulesets/%d", ruleset), strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+tw.github.User("lee").Token())
	request.Header.Set("User-Agent", "curl")
	answer := httptest.NewRecorder()
	if tw.github.ServeHTTP(answer, request); answer.Code != http.StatusOK {
		tw.report.Fatal(answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func (tw *testWorld) queueLimit(ruleset int64) (most int) {
	tw.report.Helper()
	_, rest, _ := strings.Cut(tw.asLee(http.MethodGet, ruleset, ""), `"max_entries_to_merge":`)
	_, err := fmt.Sscanf(strings.TrimSpace(rest), "%d", &most)
	tw.must(err)
	return most
}

// What was lent and started in scope ends, and nothing is lent or started until the
// switch is off.
func TestAStopEndsWhatWasLentAndStarted(t *testing.T) {
	var lend *credential.MemoryJITCredentialIssuer
	var boxes *sandbox.MemorySandbox
	options := atOnce
	options.stoppers = func(stop killswitch.KillSwitch) map[string]killswitch.Stopper {
		lend = credential.NewMemoryJITCredentialIssuer(stop, time.Now)
		boxes = sandbox.NewMemorySandbox(stop, func([]string) sandbox.Result { return sandbox.Result{} })
		return map[string]killswitch.Stopper{"credentials": lend, "sandboxes": boxes}
	}
	tw := newTestWorldWith(t, options)
	tw.set(switchPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	place := killswitch.PullRequest(tw.refOf(pr))
	lent, err := lend.Issue(t.Context(), place, nil, time.Hour)
	tw.must(err)
	elsewhere := place
	elsewhere.Repository.ID, elsewhere.Repository.Name = 99, "stall"
	other, err := lend.Issue(t.Context(), elsewhere, nil, time.Hour)
	tw.must(err)
	box, _, err := boxes.Create(t.Context(), place, sandbox.SandboxConstraints{})
	tw.must(err)

	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	if valid, _ := lend.IsValid(t.Context(), lent.ID); valid {
		t.Error("what was lent in scope is valid still")
	}
	if valid, _ := lend.IsValid(t.Context(), other.ID); !valid {
		t.Error("what was lent elsewhere is not valid any more")
	}
	if status, _ := boxes.Status(t.Context(), box); status != sandbox.StatusTerminated {
		t.Errorf("the sandbox is %s", status)
	}
	if _, err := lend.Issue(t.Context(), place, nil, time.Hour); !errors.Is(err, credential.ErrStopped) {
		t.Errorf("while it is stopped: %v", err)
	}
	if _, _, err := boxes.Create(t.Context(), place, sandbox.SandboxConstraints{}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("while it is stopped: %v", err)
	}
	wantText(t, issue.Body(), "| credentials | 1 ended |", "| sandboxes | 1 ended |")
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	if _, err := lend.Issue(t.Context(), place, nil, time.Hour); err != nil {
		t.Errorf("once it goes on: %v", err)
	}
}

func TestAStopCancelsWorkflowsOfAgents(t *testing.T) {
	tw, pr := stoppable(t)
	tw.installation.SetPermission("actions", "write")
	tw.set(switchPolicy + "  cancel_workflows: true\n")
	tw.settled()
	agent := tw.opened("claude[bot]", "agent/typo", map[string]string{"catalogue/list.go": "package list\n"})
	theirs := tw.shop.StartWorkflowRun(tw.github.User("claude[bot]"), "agent/typo")
	ours := tw.shop.StartWorkflowRun(tw.github.User("ann"), "typo")
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.wantMerge(agent, false)
	tw.wantMerge(pr, false)
	if theirs.Conclusion() != "cancelled" || ours.Conclusion() != "" {
		t.Errorf("the agent's run is %q, the person's %q", theirs.Conclusion(), ours.Conclusion())
	}
	wantText(t, issue.Body(), "| workflow runs | 1 ended |")
}
