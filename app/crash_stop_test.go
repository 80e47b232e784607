package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestCrashPointsOfAStop lets the process die once at each moment of a stop and of
// starting again: merges stay impossible from the confirmed lock to the end of the
// switch, and in the end nothing is left of it.
func TestCrashPointsOfAStop(t *testing.T) {
	walkCrashes(t, []string{
		"Change:1", "Change:2", "Change:3", "Change:4", "Change:5", "Change:6", "Change:7", "Change:8",
		"MarkGates:1", "MarkGates:2", "ResumeGates:1", "WantMarked:1", "WakeSwitches:1",
	}, []crashCall{
		{"lock put", http.MethodPost, `/rulesets$`}, {"lock lifted", http.MethodPut, `/rulesets/\d+$`},
		{"lock read back", http.MethodGet, `/rules/branches/`}, {"issue told", http.MethodPatch, `/issues/\d+$`},
		{"label off", http.MethodDelete, `/issues/\d+/labels/`}, {"farewell", http.MethodPost, `/issues/\d+/comments$`},
	}, (*cluster).stopStory)
}

// stopStory is a stop of the repository, and two people who start it again.
func (c *cluster) stopStory(variables ...string) {
	t := c.t
	t.Helper()
	tw := &testWorld{world: c.world, t: t, report: t}
	tw.set(switchPolicy)
	died := c.startToDie(variables...)
	n := newNarrator(c.world, io.Discard, demoImage)
	tw.must(n.open("ann", "typo", "Fix a typo", map[string]string{"README.md": "# Shop\n"})(t.Context()))
	pr := n.pr
	shows := func(what string, is func() bool) {
		t.Helper()
		for begun := time.Now(); !is(); <-time.After(5 * time.Millisecond) {
			if time.Since(begun) > 90*time.Second { // a lease ends, and a sweep
				t.Fatalf("%s: not so; the check says %q", what, tw.check(pr))
			}
		}
	}
	checked := func(prefix string) func() bool {
		return func() bool { return strings.HasPrefix(tw.check(pr), prefix) }
	}
	shows("it may be merged", checked("success"))

	issue, err := tw.shop.OpenIssue(tw.github.User("lee"), "A token leaked", "Please stop.", switchLabel)
	tw.must(err)
	shows("it is locked", func() bool { return strings.Contains(issue.Body(), "GitHub refuses every one, confirmed ") })
	if tw.wantMerge(pr, false); !tw.lockOn(tw.shop) {
		t.Error("the issue says that it is locked, and GitHub lets a branch be moved")
	}
	shows("it is stopped", checked("failure: stopped"))
	tw.must(n.open("ann", "typo-2", "Fix another", map[string]string{"NOTES.md": "# Notes\n"})(t.Context()))
	armed := n.pr
	tw.must(armed.EnableAutoMerge(tw.github.User("ann")))
	for _, login := range []string{"sam", "sue"} {
		_, err := issue.Comment(tw.github.User(login), "/killswitch off")
		tw.must(err)
	}
	// An old green is never enough: while there is a label there is no merge.
	shows("the label is off", func() bool {
		merge := pr.Mergeability(tw.github.User("ann"))
		stopped := len(issue.Labels()) > 0
		if merge.Allowed && stopped {
			t.Error("it may be merged, and the label is on")
		}
		return !stopped
	})
	c.stopEndsWell(tw, pr, armed, issue, died())
}

// stopEndsWell holds that nothing is left of a stop.
func (c *cluster) stopEndsWell(tw *testWorld, pr, armed *githubsim.PullRequest, issue *githubsim.Issue, limit time.Duration) {
	t := c.t
	t.Helper()
	for deadline := time.Now().Add(limit); ; <-time.After(20 * time.Millisecond) {
		undone, err := c.records.undone(t.Context())
		merge := pr.Mergeability(tw.github.User("ann"))
		if err == nil && undone == 0 && merge.Allowed && armed.Merged() && issue.State() == "closed" && len(issue.Labels()) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not right after %s: the check says %q, merge allowed: %t %v; auto-merged: %t (%s); the issue is %s; %d deliveries are not worked off (%v)",
				limit, tw.check(pr), merge.Allowed, merge.Reasons, armed.Merged(), tw.check(armed), issue.State(), undone, err)
		}
	}
	if tw.lockOn(tw.shop) {
		t.Error("it is still locked")
	}
	told := map[string]int{}
	for _, comment := range issue.Comments() {
		if comment.User == tw.hook.BotLogin() {
			told[comment.Body]++
		}
	}
	goodbyes := 0
	for text, n := range told {
		if n > 1 {
			t.Errorf("%d times: %s", n, text)
		}
		if strings.Contains(text, "goes on after") {
			goodbyes++
		}
	}
	if goodbyes != 1 {
		t.Errorf("%d farewells: %s", goodbyes, fmt.Sprint(told))
	}
	c.replicas[0].terminate()
	if _, err := c.records.chain(t.Context()); err != nil {
		t.Errorf("the audit chain: %v", err)
	}
}
