package app

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// amid has enough people ask to start again, and something happen before the first
// call that is made for it and matches.
func (tw *testWorld) amid(issue *githubsim.Issue, method, path string, happens func()) {
	tw.report.Helper()
	happened := false
	tw.says(issue, "sam", "/killswitch off")
	remove := tw.github.Before(method, regexp.MustCompile(path), func() {
		if !happened {
			happened = true
			happens()
		}
	})
	tw.says(issue, "sue", "/killswitch off")
	remove()
	if !happened {
		tw.report.Errorf("nothing called %s %s", method, path)
	}
}

// stoppedAgain holds that a stop is whole, and that it can be ended like any other.
func (tw *testWorld) stoppedAgain(pr *githubsim.PullRequest, issue *githubsim.Issue) {
	tw.report.Helper()
	tw.wantState(tw.shopScope(), killswitch.StateOn)
	tw.wantCheck(pr, "failure: stopped")
	tw.wantMerge(pr, false)
	if !tw.lockOn(tw.shop) {
		tw.report.Errorf("the ruleset does not lock")
	}
	if sw := tw.theSwitch(tw.shopScope()); sw.SoftAt.IsZero() || !sw.Lock.Enforced || len(sw.Requests) > 0 {
		tw.report.Errorf("on record: soft at %s, %+v, asked by %v", sw.SoftAt, sw.Lock, sw.Requests)
	}
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.wantCheck(pr, "success")
	tw.wantMerge(pr, true)
}

// TestAStopAmidARelease: whoever stops while others start again is not overlooked,
// at whichever moment of it and whether or not a webhook tells.
func TestAStopAmidARelease(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct{ method, path string }{
		"before the gates are open":      {http.MethodPatch, `/check-runs/\d+$`},
		"before the label is looked for": {http.MethodGet, `/issues$`},
		"before the label is off":        {http.MethodDelete, `/issues/\d+/labels/`},
		"before the lock is lifted":      {http.MethodPut, `/rulesets/\d+$`},
		"before that is read back":       {http.MethodGet, `/rules/branches/`},
	} {
		for told, late := range map[string]bool{"told at once": false, "told too late": true} {
			t.Run(name+", "+told, func(t *testing.T) {
				t.Parallel()
				tw, clock := sweepingWorld(t)
				tw.set(switchPolicy)
				pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
				issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
				tw.wantMerge(pr, false)
				var second *githubsim.Issue
				hear := func() {}
				tw.amid(issue, at.method, at.path, func() {
					if late {
						hear = inProcess{tw, clock}.unhear()
					}
					var err error
					second, err = tw.shop.OpenIssue(tw.github.User("lee"), "Not yet", "", switchLabel)
					tw.must(err)
					if at.method != http.MethodPatch || late {
						return
					}
					for deadline := time.Now().Add(5 * time.Second); tw.theSwitch(tw.shopScope()).State != killswitch.StateOn && time.Now().Before(deadline); {
						<-time.After(time.Millisecond)
					}
				})
				hear()
				clock.pass(2 * time.Minute)
				tw.sweep(recovery.KeySwitches(tw.installation.ID()))
				tw.stoppedAgain(pr, second)
			})
		}
	}
}

// TestAStopAmidAReleaseThatTookTheLabelOff: the App took it off for the release, which
// is no word of the operator's to begin another.
func TestAStopAmidAReleaseThatTookTheLabelOff(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	var second *githubsim.Issue
	tw.amid(issue, http.MethodDelete, `/issues/\d+/labels/`, func() {
		tw.github.Inject(githubsim.Fault{Method: http.MethodPut, Path: regexp.MustCompile(`/rulesets/\d+$`), Status: http.StatusBadGateway, Times: 1})
		tw.github.Before(http.MethodGet, regexp.MustCompile(`/issues$`), func() {
			if second == nil {
				var err error
				second, err = tw.shop.OpenIssue(tw.github.User("lee"), "Not yet", "", switchLabel)
				tw.must(err)
			}
		})
	})
	acts := tw.audited("killswitch.")
	wantText(t, acts, "killswitch.releasing sue, killswitch.again lee")
	if n := strings.Count(acts, "killswitch.releasing"); n != 1 {
		t.Errorf("it was begun %d times to start again: %s", n, acts)
	}
	if len(issue.Labels()) == 0 {
		t.Error("the label is not back on the issue")
	}
	tw.stoppedAgain(pr, second)
}

// TestAStopBetweenTwoRequests voids the first, though its webhook is lost.
func TestAStopBetweenTwoRequests(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.says(issue, "sam", "/killswitch off")
	hear := inProcess{testWorld: tw}.unhear()
	_, err := tw.shop.OpenIssue(tw.github.User("lee"), "Not yet", "", switchLabel)
	tw.must(err)
	tw.must(tw.github.WaitForDeliveries(t.Context()))
	hear()
	tw.says(issue, "sue", "/killswitch off")
	tw.wantState(tw.shopScope(), killswitch.StateOn)
	tw.wantMerge(pr, false)
	tw.wantCheck(pr, "failure: stopped")
	if asked := tw.theSwitch(tw.shopScope()).Requests; len(asked) != 1 || asked[0].By.Login != "sue" {
		t.Errorf("asked by %v", asked)
	}
	tw.says(issue, "sam", "/killswitch off")
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.wantMerge(pr, true)
}

// TestALockThatMayBeGoneIsNotOnRecord: it was lifted, and GitHub does not say whether
// that holds.
func TestALockThatMayBeGoneIsNotOnRecord(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	lifted, again := false, false
	defer tw.github.Before(http.MethodPut, regexp.MustCompile(`/rulesets/\d+$`), func() {
		if !lifted {
			lifted = true
			tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rules/branches/`), Status: http.StatusBadGateway, Times: 1})
		}
	})()
	// The next attempt looks for labels before anything else.
	defer tw.github.Before(http.MethodGet, regexp.MustCompile(`/issues$`), func() {
		if again = again || lifted; again && tw.theSwitch(tw.shopScope()).Lock.Enforced {
			t.Error("the lock may be gone, and is on record as in force")
		}
	})()
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	if !again {
		t.Fatal("it was not tried again")
	}
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.wantMerge(pr, true)
}

// TestBreakGlassAmidARelease: the command line does not know that others start again,
// and what it stops is stopped all the same.
func TestBreakGlassAmidARelease(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	tw.amid(issue, http.MethodGet, `/issues$`, func() {
		b, out := tw.glass("acme/shop")
		tw.must(b.on(t.Context()))
		wantText(t, out.String(), "acme/shop is locked: GitHub refuses every merge")
	})
	own := tw.shop.Issue(lastNumber(tw.shop))
	if own == nil || own.Number() == issue.Number() {
		t.Fatal("the command line opened no issue of its own")
	}
	sw := tw.theSwitch(tw.shopScope())
	wantText(t, sw.Stop().Reason, "Stop; a token leaked")
	tw.stoppedAgain(pr, issue)
	if own.State() != "closed" || len(own.Labels()) > 0 || issue.State() != "closed" {
		t.Errorf("once it is off, the issues are %s with %v, and %s", own.State(), own.Labels(), issue.State())
	}
	wantText(t, own.Body(), "### acme/shop goes on")
}

// TestWhoPutTheLabelThere reads an issue's history: an act that was undone since does
// not stand.
func TestWhoPutTheLabelThere(t *testing.T) {
	t.Parallel()
	tw, _ := stoppable(t)
	b, _ := tw.glass("acme/shop")
	bob, lee := tw.github.User("bob"), tw.github.User("lee")
	issue, err := tw.shop.OpenIssue(bob, "Something else", "")
	tw.must(err)
	carrier := killswitch.Carrier{Repository: tw.shopScope().Repository, Number: issue.Number(), Label: switchLabel}
	since := time.Time{}
	for _, step := range []struct {
		what string
		act  func() error
		want string
	}{
		{"another label", func() error { return issue.AddLabel(bob, "security") }, ""},
		{"the label", func() error { return issue.AddLabel(bob, switchLabel) }, "bob"},
		{"it taken off", func() error { return issue.RemoveLabel(lee, switchLabel) }, ""},
		{"it put back", func() error { return issue.AddLabel(lee, switchLabel) }, "lee"},
		{"another taken off", func() error { return issue.RemoveLabel(bob, "security") }, "lee"},
		{"closed", func() error { return issue.Close(lee) }, ""},
		{"opened again", func() error { return issue.Reopen(bob) }, "bob"},
		{"nothing since then", func() error { return nil }, ""},
	} {
		tw.must(step.act())
		by, at, found, err := platform{b.client}.WhoPut(t.Context(), carrier, since)
		if err != nil || found != (step.want != "") || found && by.Login != step.want {
			t.Errorf("%s: it was put by %s: %t, %v; want %q", step.what, by, found, err, step.want)
		}
		if step.what == "opened again" {
			since = at
		}
	}
}

// TestAutoMergesGoOnThoughTheEndFails: what is left when the switch is off is done by
// whoever looks at it next.
func TestAutoMergesGoOnThoughTheEndFails(t *testing.T) {
	t.Parallel()
	tw, _ := stoppable(t)
	tw.must(tw.server.Stop(t.Context()))
	b, _ := tw.glass("acme/shop")
	gates := &failingGates{MemoryStore: killswitch.NewMemoryStore(), fails: 1}
	k := killswitch.NewGitHubKillSwitch(killswitch.Config{
		GitHub: platform{b.client}, Store: gates, Gates: gates, Now: time.Now, Log: zerolog.Nop(),
		OrganizationRepository: ".github", Self: b.client.Self,
	})
	scope := tw.shopScope()
	enforce := func(well bool) killswitch.Switch {
		t.Helper()
		_, err := k.Enforce(t.Context(), scope)
		if well != (err == nil) {
			t.Errorf("it is enforced: %v", err)
		}
		sw, err := gates.Switch(t.Context(), scope)
		tw.must(err)
		return sw
	}
	tw.must(k.Activate(t.Context(), scope, policy.Actor{Login: "bob"}, "for a test"))
	issue := tw.shop.Issue(enforce(true).Carrier.Number)
	for _, login := range []string{"sam", "sue"} {
		user := tw.github.User(login)
		_ = k.Deactivate(t.Context(), scope, policy.Actor{ID: user.ID(), Login: login, Kind: policy.KindUser})
	}
	if sw := enforce(false); sw.State != killswitch.StateOff || issue.State() != "open" {
		t.Errorf("it is %q, the issue %s", sw.State, issue.State())
	}
	if sw := enforce(true); gates.resumed != 1 || sw.Unfinished || issue.State() != "closed" {
		t.Errorf("auto-merges went on %d times, to do: %t, the issue is %s", gates.resumed, sw.Unfinished, issue.State())
	}
	if enforce(true); gates.resumed != 1 {
		t.Errorf("auto-merges went on %d times", gates.resumed)
	}
}

// failingGates lets auto-merges go on only after so many failures.
type failingGates struct {
	*killswitch.MemoryStore

	fails, resumed int
}

func (f *failingGates) ResumeGates(context.Context, killswitch.Scope) error {
	if f.fails--; f.fails >= 0 {
		return errors.New("the database is gone")
	}
	f.resumed++
	return nil
}

// TestAReleaseThatWaitsLeavesTheBudgetToTheGates: GitHub counts what it reads as well,
// and gates are decided anew with what is left of a minute.
func TestAReleaseThatWaitsLeavesTheBudgetToTheGates(t *testing.T) {
	t.Parallel()
	c := &clock{}
	tw := newTestWorldWith(t, Options{Now: c.now, tokenNow: time.Now})
	tw.set(switchPolicy)
	tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	defer tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/check-runs`), Status: http.StatusInternalServerError})()
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantState(tw.shopScope(), killswitch.StateReleasing)
	tw.github.ResetRequests()
	for range 6 {
		c.pass(10 * time.Second)
		tw.settled()
	}
	all, _ := tw.calls()
	if asked := len(slices.DeleteFunc(all, func(call string) bool { return strings.Contains(call, "/check-runs") })); asked > 45 {
		t.Errorf("a minute took %d calls beside those that fail: %q", asked, all)
	}
	tw.wantState(tw.shopScope(), killswitch.StateReleasing)
}
