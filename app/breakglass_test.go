package app

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
)

// glass is the command line beside a world's server.
func (tw *testWorld) glass(scope string) (*breakGlass, *strings.Builder) {
	tw.report.Helper()
	out := &strings.Builder{}
	b := &breakGlass{out: out, scope: scope, reason: "a token leaked", settings: tw.config(), wait: 20 * time.Second}
	tw.must(b.prepare())
	return b, out
}

// besideTheLock are the calls that wait for nothing and that the lock may not wait
// for: what makes the label.
var besideTheLock = regexp.MustCompile(`/issues|^/repos/[^/]+/[^/]+$`)

// holdUntilLocked lets no call of besideTheLock through until a ruleset was written,
// so that a lock that waits for one is late by five seconds, and is told from the
// calls that were made before it.
func (tw *testWorld) holdUntilLocked() (release func()) {
	locked := func() bool {
		all, _ := tw.calls()
		return slices.ContainsFunc(all, writesRuleset)
	}
	return tw.github.Before("", besideTheLock, func() {
		for late := time.After(5 * time.Second); !locked(); {
			select {
			case <-time.After(time.Millisecond):
			case <-late:
				return
			}
		}
	})
}

func writesRuleset(call string) bool {
	return strings.Contains(call, "/rulesets") && !strings.HasPrefix(call, "GET")
}

// callsToLock are the App's calls up to the one that writes the ruleset.
func (tw *testWorld) callsToLock() []string {
	tw.report.Helper()
	all, _ := tw.calls()
	last := slices.IndexFunc(all, writesRuleset)
	if last < 0 {
		tw.report.Errorf("nothing was locked:\n%s", strings.Join(all, "\n"))
	}
	return all[:last+1]
}

func TestBreakGlassWithNoServer(t *testing.T) {
	tw, pr := stoppable(t)
	floor := tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
	tw.must(tw.server.Stop(t.Context()))
	for scope, home := range map[string]*githubsim.Repository{"acme/shop": tw.shop, "acme": floor} {
		t.Run(scope, func(t *testing.T) {
			tw.github.ResetRequests()
			b, out := tw.glass(scope)
			release := tw.holdUntilLocked()
			tw.must(b.on(t.Context()))
			release()
			tw.wantMerge(pr, false)
			wantText(t, out.String(), scope+" is locked: GitHub refuses every merge", "carries the label killswitch")
			if until := tw.callsToLock(); len(until) > 2 {
				t.Errorf("%d calls and not 2, a token and the ruleset, until merges are impossible:\n%s", len(until), strings.Join(until, "\n"))
			}
			issue := home.Issue(lastNumber(home))
			wantText(t, issue.Title(), "Stopped: a token leaked")
			wantText(t, issue.Body(), "### "+scope+" is stopped", "| by | the command line |", "red as soon as a server runs")

			b, out = tw.glass(scope)
			tw.must(b.status(t.Context()))
			wantText(t, out.String(), scope+" is stopped: ", scope+" is locked")

			b, out = tw.glass(scope)
			b.wait = 10 * time.Millisecond
			if err := b.off(t.Context()); err == nil {
				t.Error("without a server, and without being told that there is none, it lifts the lock")
			}
			tw.wantMerge(pr, false)
			wantText(t, out.String(), "still locked: no server has lifted the lock")

			b, out = tw.glass(scope)
			b.withoutServer = true
			tw.must(b.off(t.Context()))
			wantText(t, out.String(), "checks that were green are red", scope+" is not locked")
			tw.wantCheck(pr, "failure: the kill switch was turned off from the command line")
		})
	}
}

// lastNumber is the number of the newest issue with the label.
func lastNumber(repo *githubsim.Repository) int {
	number := 0
	for n := 1; n < 100; n++ {
		if issue := repo.Issue(n); issue != nil && strings.Join(issue.Labels(), " ") == switchLabel {
			number = n
		}
	}
	return number
}

func TestBreakGlassBesideAServer(t *testing.T) {
	tw, pr := stoppable(t)
	b, _ := tw.glass("acme/shop")
	tw.must(b.on(t.Context()))
	tw.settled()
	tw.wantState(tw.shopScope(), killswitch.StateOn)
	tw.wantCheck(pr, "failure: stopped (acme/shop) by portcullis[bot]: a token leaked")
	tw.wantMerge(pr, false)

	b, out := tw.glass("acme/shop")
	tw.must(b.off(t.Context()))
	wantText(t, out.String(), "the label killswitch is off", "acme/shop is not locked")
	tw.settled()
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.wantMerge(pr, true)
	tw.wantCheck(pr, "success")
}

func TestBreakGlassOnOnePullRequest(t *testing.T) {
	tw, pr := stoppable(t)
	tw.must(tw.server.Stop(t.Context()))
	b, out := tw.glass("acme/shop#1")
	tw.must(b.on(t.Context()))
	tw.wantMerge(pr, false)
	wantText(t, out.String(), "acme/shop#1 has no lock of its own", "the check of acme/shop#1 is red")
	if strings.Join(pr.Labels(), " ") != switchLabel {
		t.Errorf("its labels are %v", pr.Labels())
	}
}

func TestBreakGlassRefusesWhatNamesNoScope(t *testing.T) {
	tw, _ := stoppable(t)
	for _, scope := range []string{"", "acme/shop/x", "acme/shop#0", "https://github.com/acme", "acme shop"} {
		b, _ := tw.glass(scope)
		if err := b.on(t.Context()); err == nil || !strings.Contains(err.Error(), "--scope is OWNER") {
			t.Errorf("%q: %v", scope, err)
		}
	}
	for _, scope := range []string{"nobody", "acme/nothing"} {
		b, _ := tw.glass(scope)
		if err := b.on(t.Context()); err == nil || !strings.Contains(err.Error(), "the App is not installed") {
			t.Errorf("%q: %v", scope, err)
		}
	}
}
