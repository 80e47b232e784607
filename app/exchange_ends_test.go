package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestWhatIsHandedToAJobEndsWithIt: with that job, and with no other of its run, also if
// nobody tells of it.
func TestWhatIsHandedToAJobEndsWithIt(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"told": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tw, clock := sweepingWorldWith(t, atOnce)
			tw.set(exchangePolicy)
			tw.shop.CreateEnvironment("production")
			pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
			tw.review(pr, "lee", "APPROVE")
			run := pr.StartWorkflowRun(tw.github.User("ann"))
			// The second is of no environment, and the third of a server that does not say in
			// its id-tokens which job asks.
			jobs := []*githubsim.Job{run.StartJob("a", "production"), run.StartJob("b", ""), run.StartJob("c", "production")}
			idTokens, lent := make([]string, len(jobs)), make([]exchanged, len(jobs))
			for i, job := range jobs {
				token, err := job.PermitIDToken().IDToken(demoAudience)
				tw.must(err)
				wish := wantsRelease
				switch i {
				case 1:
					wish = wantsDeploy
				case 2:
					token = tw.altered(token, jwt.MapClaims{"check_run_id": "0"})
				}
				idTokens[i], lent[i] = token, tw.exchange(token, wish)
			}
			holds := func(when string, want ...bool) {
				t.Helper()
				for i, is := range want {
					if got := strings.Contains(tw.introspect(lent[i].Token), `"active":true`); got != is {
						t.Errorf("%s: the job %d's is accepted: %t (%s)", when, i, got, lent[i].text)
					}
				}
			}
			holds("at first", true, true, true)
			if lost {
				tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
			}
			happens := func(what func(string)) {
				what("success")
				tw.settled()
				if lost {
					clock.pass(3 * time.Minute)
					tw.settled()
				}
			}
			happens(jobs[1].Complete)
			holds("after the second job", true, false, true)
			if late := tw.exchange(tw.altered(idTokens[1], jwt.MapClaims{"jti": "another"}), wantsDeploy); late.status != http.StatusForbidden || !strings.Contains(late.text, "its job has ended") {
				t.Errorf("with an id-token of the job that has ended: %d %s", late.status, late.text)
			}
			happens(jobs[2].Complete)
			holds("after the third", true, false, true)
			happens(run.Complete)
			holds("after the run", false, false, false)
		})
	}
}

// A run on a push is on the pull request from its branch, and one that goes on to a second
// attempt keeps nothing of the first.
func TestAnAttemptKeepsNothingOfTheOneBefore(t *testing.T) {
	t.Parallel()
	tw, pr := exchanges(t)
	run := tw.shop.StartWorkflowRun(tw.github.User("ann"), "typo")
	token := tw.idToken(run, "")
	lent := tw.exchange(token, wantsDeploy)
	wantText(t, tw.introspect(lent.Token), `"active":true`)

	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return strings.HasPrefix(d.Event, "workflow_") }})
	run.Complete("failure")
	run.Rerun()
	tw.comment(pr, "bob", "/approve")
	if got := tw.introspect(lent.Token); got != `{"active":false}` {
		t.Errorf("in the next attempt: %s", got)
	}
	if late := tw.exchange(token, wantsRelease); late.status != http.StatusForbidden {
		t.Errorf("with a token of the first attempt: %d %s", late.status, late.text)
	}
}

// A run on a head that was pushed over gets nothing, though the new one is approved.
func TestARunOnAnOldHeadIsLentNothing(t *testing.T) {
	t.Parallel()
	tw, pr := exchanges(t)
	old := tw.idToken(pr.StartWorkflowRun(tw.github.User("ann")), "")
	tw.push("typo", map[string]string{"README.md": "# A shop\n"})
	tw.review(pr, "lee", "APPROVE")
	if got := tw.exchange(old, wantsDeploy); got.status != http.StatusForbidden || !strings.Contains(got.text, "and the pull request's head is") {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := tw.exchange(tw.idToken(pr.StartWorkflowRun(tw.github.User("ann")), ""), wantsDeploy); got.status != http.StatusOK {
		t.Errorf("on the new head: %d %s", got.status, got.text)
	}
}
