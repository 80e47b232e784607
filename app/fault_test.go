package app

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// callsOfADecision are the calls to GitHub that a decision makes; those by REST
// are made if the query fails.
var callsOfADecision = map[string]struct {
	method, path string
	byREST       bool
}{
	"token":        {http.MethodPost, `/access_tokens$`, false},
	"query":        {http.MethodPost, `/graphql$`, false},
	"permission":   {http.MethodGet, `/collaborators/[^/]+/permission$`, false},
	"updated":      {http.MethodGet, `/pulls/\d+$`, false},
	"find check":   {http.MethodGet, `/check-runs$`, false},
	"create check": {http.MethodPost, `/check-runs$`, false},
	"update check": {http.MethodPatch, `/check-runs/\d+$`, false},
	"react":        {http.MethodPost, `/reactions$`, false},
	"pull request": {http.MethodGet, `/pulls/\d+$`, true},
	"files":        {http.MethodGet, `/pulls/\d+/files$`, true},
	"commits":      {http.MethodGet, `/pulls/\d+/commits$`, true},
	"reviews":      {http.MethodGet, `/pulls/\d+/reviews$`, true},
	"comments":     {http.MethodGet, `/issues/\d+/comments$`, true},
	"history":      {http.MethodGet, `/issues/\d+/events$`, true},
	"same head":    {http.MethodGet, `/commits/[0-9a-f]+/pulls$`, true},
	"organization": {http.MethodGet, `/repos/acme/\.github$`, true},
	"branch":       {http.MethodGet, `/commits/heads/main$`, true},
	"policy":       {http.MethodGet, `/contents/`, true},
}

// withoutGraphQL leaves the server nothing but REST.
func (tw *testWorld) withoutGraphQL() {
	tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/graphql$`), Status: http.StatusBadGateway})
}

// TestAFailingCallNeverOpensAndTheWorkComesBack lets each call of a decision
// fail once, in each way, not carried out and carried out but reported as
// failed, while a pull request is opened, approved and pushed to.
func TestAFailingCallNeverOpensAndTheWorkComesBack(t *testing.T) {
	statuses := []int{0, 403, 429, 500}
	if raced {
		statuses = []int{0, 500} // the others are the same to every goroutine
	}
	for name, call := range callsOfADecision {
		for _, status := range statuses {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/after=%t", name, status, after), func(t *testing.T) {
					t.Parallel()
					var hands clock
					tw := newTestWorldWith(t, Options{Now: hands.now, Backoff: atOnce.Backoff})
					if call.byREST {
						tw.withoutGraphQL()
					}
					// A limit holds for a second at least, and is told in whole ones.
					overcome := func() { hands.pass(2500 * time.Millisecond); tw.settled() }
					fail := func() {
						tw.github.Inject(githubsim.Fault{
							Method: call.method, Path: regexp.MustCompile(call.path), Status: status, After: after, Times: 1,
						})
					}
					fail()
					pr := tw.opened("ann", "search", searchFiles())
					overcome()
					tw.wantCheck(pr, waitingForPeer)
					tw.wantMerge(pr, false)
					fail()
					tw.comment(pr, "bob", "/approve")
					overcome()
					tw.wantMerge(pr, true)
					fail()
					tw.push("search", map[string]string{"catalogue/x.go": "package catalogue\n"})
					overcome()
					tw.wantCheck(pr, waitingForPeer)
					tw.wantMerge(pr, false)
					if runs := tw.shop.CheckRuns(pr.HeadSHA()); len(runs) != 1 {
						t.Errorf("the head has %d runs, want 1: %+v", len(runs), runs)
					}
				})
			}
		}
	}
}

// TestAnOldSuccessIsNotLeftAlone lets a read fail for good while the approval
// that a green check rests on is taken back.
func TestAnOldSuccessIsNotLeftAlone(t *testing.T) {
	for name, call := range callsOfADecision {
		if !call.byREST && name != "permission" || name == "organization" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
			tw.withoutGraphQL()
			pr := tw.opened("ann", "search", searchFiles())
			tw.review(pr, "bob", "APPROVE")
			tw.review(pr, "lee", "APPROVE")
			tw.wantMerge(pr, true)
			tw.github.Inject(githubsim.Fault{Method: call.method, Path: regexp.MustCompile(call.path), Status: http.StatusBadGateway})
			tw.review(pr, "bob", "REQUEST_CHANGES")
			tw.wantCheck(pr, "failure: this could not be decided and will be tried again: ")
			tw.wantMerge(pr, false)
		})
	}
}

// TestALostPermissionCloses takes a permission away from the App: what it may
// not read it must not take for absent.
func TestALostPermissionCloses(t *testing.T) {
	for _, permission := range []string{"contents", "pull_requests", "members"} {
		t.Run(permission, func(t *testing.T) {
			tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
			tw.installation.SetPermission(permission, "")
			pr := tw.opened("ann", "attempts", map[string]string{"auth/login.go": "package auth\n"})
			for _, login := range []string{"bob", "lee", "sam", "sue"} {
				tw.review(pr, login, "APPROVE")
			}
			tw.wantMerge(pr, false)
		})
	}
}

// TestAnUnknownTeamCloses names a team in the policy that does not exist: the
// policy is broken for every pull request but the one that repairs it.
func TestAnUnknownTeamCloses(t *testing.T) {
	tw := newTestWorld(t)
	tw.shop.SetFiles("main", map[string]string{".github/portcullis.yml": strings.Replace(demoPolicy, "acme/security", "acme/nobody", 1)})
	typo := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.wantCheck(typo, "failure: the policy cannot be used: it names the team acme/nobody")
	tw.wantMerge(typo, false)
	repair := tw.opened("ann", "repair", map[string]string{".github/portcullis.yml": demoPolicy})
	for _, login := range []string{"sam", "sue"} {
		tw.shop.SetRole(tw.github.User(login), "maintain")
		tw.review(repair, login, "APPROVE")
	}
	tw.wantMerge(repair, true)
}

// TestWhatChangesWhileItIsDecided lets the world change between the reading and
// the last question, which is asked while a green check is written.
func TestWhatChangesWhileItIsDecided(t *testing.T) {
	for name, change := range map[string]func(*testWorld, *githubsim.PullRequest) error{
		"a push": func(tw *testWorld, _ *githubsim.PullRequest) error {
			_, err := tw.shop.Push(tw.github.User("ann"), "search", githubsim.Commit{Message: "evil", Files: map[string]string{"auth/x.go": "package auth\n"}})
			return err
		},
		"a rejection": func(tw *testWorld, pr *githubsim.PullRequest) error {
			_, err := pr.Review(tw.github.User("lee"), "REQUEST_CHANGES", "no")
			return err
		},
		"a label": func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.AddLabel(tw.github.User("lee"), "security")
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			tw.shop.CreateLabel("security")
			pr := tw.opened("ann", "search", searchFiles())
			decided := pr.HeadSHA()
			// Nothing tells the server about the change: its webhook is lost.
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool {
				return d.Event != "issue_comment"
			}})
			var once bool
			remove := tw.github.Before(http.MethodGet, regexp.MustCompile(`/pulls/\d+$`), func() {
				if !once {
					once = true
					tw.must(change(tw, pr))
				}
			})
			defer remove()
			tw.comment(pr, "bob", "/approve")
			if !once {
				t.Fatal("the change was never made")
			}
			tw.wantMerge(pr, false)
			for _, run := range tw.shop.CheckRuns(decided) {
				if run.Conclusion == "success" && pr.HeadSHA() == decided {
					t.Errorf("a check is green on what had changed: %s", run.Title)
				}
			}
		})
	}
}

// TestLostRepeatedAndReorderedDeliveries ends in the right verdict whatever the
// order in which GitHub delivers.
func TestLostRepeatedAndReorderedDeliveries(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(githubsim.Delivery) bool { return true }})
	_, err := pr.Comment(tw.github.User("bob"), "/approve")
	tw.must(err)
	_, err = tw.shop.Push(tw.github.User("ann"), "search", githubsim.Commit{Message: "more", Files: map[string]string{"catalogue/z.go": "package catalogue\n"}})
	tw.must(err)
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Repeat: func(githubsim.Delivery) int { return 2 }})
	tw.github.ReleaseHeld(func(held []githubsim.Delivery) []githubsim.Delivery {
		for i, j := 0, len(held)-1; i < j; i, j = i+1, j-1 {
			held[i], held[j] = held[j], held[i]
		}
		return held
	})
	tw.settled()
	// The comment came after the push arrived, but was made before it.
	tw.wantMerge(pr, false)
	if n := len(pr.Comments()); n != 2 {
		t.Errorf("%d comments, want bob's and one answer", n)
	}
}

// TestAPushThatNobodyToldUsOf shows a reviewer one commit and then puts another
// in its place, with the webhooks of both pushes lost.
func TestAPushThatNobodyToldUsOf(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	first := pr.HeadSHA()
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return d.Event != "issue_comment" }})
	_, err := tw.shop.Push(tw.github.User("ann"), "search", githubsim.Commit{Message: "nice", Files: map[string]string{"catalogue/nice.go": "package catalogue\n"}})
	tw.must(err)
	tw.comment(pr, "bob", "/approve")
	tw.wantMerge(pr, false)
	_, err = tw.shop.ForcePush(tw.github.User("ann"), "search", first)
	tw.must(err)
	tw.comment(pr, "lee", "/tier")
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
}

// TestAPushThatOnlyThePushBackTellsOf approves a commit that was the head for a
// while. All that is heard of it is that another one replaced it.
func TestAPushThatOnlyThePushBackTellsOf(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	first := pr.HeadSHA()
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
	_, err := tw.shop.Push(tw.github.User("ann"), "search", githubsim.Commit{Message: "nice", Files: map[string]string{"catalogue/nice.go": "package catalogue\n"}})
	tw.must(err)
	tw.comment(pr, "bob", "/approve")
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
	_, err = tw.shop.ForcePush(tw.github.User("ann"), "search", first)
	tw.must(err)
	tw.settled()
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
	tw.comment(pr, "bob", "/approve")
	tw.wantMerge(pr, true)
}

// TestADeletionThatIsDeliveredBeforeTheComment lets GitHub tell first that a
// comment was deleted, or edited, and then that it was made.
func TestADeletionThatIsDeliveredBeforeTheComment(t *testing.T) {
	for name, change := range map[string]func(*testWorld, *githubsim.PullRequest, int64) error{
		"deleted": func(tw *testWorld, pr *githubsim.PullRequest, id int64) error {
			return pr.DeleteComment(tw.github.User("bob"), id)
		},
		"edited": func(tw *testWorld, pr *githubsim.PullRequest, id int64) error {
			return pr.EditComment(tw.github.User("bob"), id, "never mind")
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			pr := tw.opened("ann", "search", searchFiles())
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(d githubsim.Delivery) bool { return d.Action == "created" }})
			comment, err := pr.Comment(tw.github.User("bob"), "/approve")
			tw.must(err)
			tw.must(change(tw, pr, comment.ID))
			tw.settled()
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
			tw.github.ReleaseHeld(nil)
			tw.settled()
			tw.wantCheck(pr, waitingForPeer)
			tw.wantMerge(pr, false)
			if stuck, err := tw.server.store.Stuck(t.Context()); err != nil || len(stuck) != 0 {
				t.Errorf("work is stuck: %+v, %v", stuck, err)
			}
		})
	}
}

// TestAGreenThatWasReportedAsFailedIsTakenBack lets GitHub carry out the write
// of a green check and report it as failed: it is written over at once.
func TestAGreenThatWasReportedAsFailedIsTakenBack(t *testing.T) {
	tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
	pr := tw.opened("ann", "search", searchFiles())
	tw.github.Inject(githubsim.Fault{
		Method: http.MethodPatch, Path: regexp.MustCompile(`/check-runs/\d+$`), Status: http.StatusBadGateway, After: true, Times: 1,
	})
	review, err := pr.Review(tw.github.User("bob"), "APPROVE", "")
	tw.must(err)
	tw.settled()
	tw.wantCheck(pr, "failure: this could not be decided")
	tw.must(pr.DismissReview(tw.github.User("lee"), review.ID, "not yet"))
	tw.settled()
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
}
