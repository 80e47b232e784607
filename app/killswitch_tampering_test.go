package app

import (
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/killswitch"
)

func TestTampering(t *testing.T) {
	t.Parallel()
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

// A ruleset that somebody puts into force while no switch is on is left to them, and
// on record.
func TestAStrayLockIsOnRecord(t *testing.T) {
	t.Parallel()
	tw, pr := stoppable(t)
	issue := tw.halts(tw.shop, "lee", "Stop", switchLabel)
	lock := tw.theSwitch(tw.shopScope()).Lock.ID
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	tw.wantMerge(pr, true)
	if acts := tw.audited("killswitch.stray"); acts != "" {
		t.Errorf("what the App did itself is on record as somebody's: %s", acts)
	}
	tw.shop.SetRulesetEnforcement(lock, "active")
	tw.settled()
	tw.wantMerge(pr, false)
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	if acts := tw.audited("killswitch.stray"); acts == "" {
		t.Error("it is not on record")
	}
}

func TestASweepFindsWhatNoWebhookTold(t *testing.T) {
	t.Parallel()
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
