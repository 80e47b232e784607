package app

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
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
	for name, at := range map[string]struct{ method, path string }{
		"before the gates are open":      {http.MethodPatch, `/check-runs/\d+$`},
		"before the label is looked for": {http.MethodGet, `/issues$`},
		"before the label is off":        {http.MethodDelete, `/issues/\d+/labels/`},
		"before the lock is lifted":      {http.MethodPut, `/rulesets/\d+$`},
		"before that is read back":       {http.MethodGet, `/rules/branches/`},
	} {
		for told, late := range map[string]bool{"told at once": false, "told too late": true} {
			t.Run(name+", "+told, func(t *testing.T) {
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
