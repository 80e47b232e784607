package app

import (
	"errors"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox"
)

// What was lent and started in scope ends, and nothing is lent or started until the
// switch is off.
func TestAStopEndsWhatWasLentAndStarted(t *testing.T) {
	t.Parallel()
	var lend *credential.MemoryJITCredentialIssuer
	var boxes sandbox.Guard
	options := atOnce
	options.stoppers = func(stop killswitch.KillSwitch) map[string]killswitch.Stopper {
		lend = credential.NewMemoryJITCredentialIssuer(stop, time.Now)
		boxes = sandbox.Guard{Sandbox: sandbox.NewMemorySandbox(time.Now, nil), Switch: stop}
		return map[string]killswitch.Stopper{"what was lent": lend, "sandboxes": boxes}
	}
	tw := newTestWorldWith(t, options)
	tw.set(switchPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	place := killswitch.PullRequest(tw.refOf(pr))
	lent, err := lend.Issue(t.Context(), credential.Request{For: place, Scope: []string{"deploy"}, TTL: time.Hour})
	tw.must(err)
	elsewhere := place
	elsewhere.Repository.ID, elsewhere.Repository.Name = 99, "stall"
	other, err := lend.Issue(t.Context(), credential.Request{For: elsewhere, Scope: []string{"deploy"}, TTL: time.Hour})
	tw.must(err)
	box, err := boxes.Create(t.Context(), sandbox.Spec{ID: "one", For: place})
	tw.must(err)

	issue := tw.halts(tw.shop, "bob", "Stop", switchLabel)
	if valid, _ := lend.IsValid(t.Context(), lent.ID); valid {
		t.Error("what was lent in scope is valid still")
	}
	if valid, _ := lend.IsValid(t.Context(), other.ID); !valid {
		t.Error("what was lent elsewhere is not valid any more")
	}
	if there, err := boxes.Status(t.Context(), box.ID); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("the sandbox is %s, %v", there.Status, err)
	}
	if _, err := lend.Issue(t.Context(), credential.Request{For: place, Scope: []string{"deploy"}, TTL: time.Hour}); !errors.Is(err, credential.ErrStopped) {
		t.Errorf("while it is stopped: %v", err)
	}
	if _, err := boxes.Create(t.Context(), sandbox.Spec{ID: "two", For: place}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("while it is stopped: %v", err)
	}
	wantText(t, issue.Body(), "| what was lent | 1 ended |", "| sandboxes | 1 ended |")
	tw.says(issue, "sam", "/killswitch off")
	tw.says(issue, "sue", "/killswitch off")
	if _, err := lend.Issue(t.Context(), credential.Request{For: place, Scope: []string{"deploy"}, TTL: time.Hour}); err != nil {
		t.Errorf("once it goes on: %v", err)
	}
}

func TestAStopCancelsWorkflowsOfAgents(t *testing.T) {
	t.Parallel()
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
