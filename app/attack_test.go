package app

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestABranchNamedLikeTheQueues names a branch as the merge queue names its own,
// after a pull request that is open, and asks for a re-run.
func TestABranchNamedLikeTheQueues(t *testing.T) {
	tw := newTestWorld(t)
	tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	pr := tw.opened("ann", "gh-readonly-queue/main/pr-1-abc", map[string]string{"auth/login.go": "package auth\n"})
	tw.must(tw.shop.RerequestCheckRun(tw.github.User("ann"), newestRun(tw, pr).ID))
	tw.settled()
	tw.wantCheck(pr, "in_progress: security-review: 2 approvals from acme/security")
	tw.wantMerge(pr, false)
}

// TestAVetoIsRecordedThoughNobodyMayAnswer locks the conversation, as far as the
// App can see: it may neither react nor reply.
func TestAVetoIsRecordedThoughNobodyMayAnswer(t *testing.T) {
	for name, body := range map[string]string{"alone": "/reject leaks the token", "after another command": "/tier\n\n/reject leaks the token"} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
			pr := tw.opened("ann", "search", searchFiles())
			tw.review(pr, "bob", "APPROVE")
			tw.wantMerge(pr, true)
			for _, path := range []string{`/reactions$`, `/issues/\d+/comments$`} {
				tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(path), Status: http.StatusForbidden})
			}
			_, err := pr.Comment(tw.github.User("lee"), body)
			tw.must(err)
			tw.settled()
			tw.wantCheck(pr, "failure: rejected by lee: leaks the token")
			tw.wantMerge(pr, false)
		})
	}
}

// TestADismissalNeverRevives lets the submission of a rejection be lost, and
// then its dismissal be seen: the approval before it does not come back.
func TestADismissalNeverRevives(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "bob", "APPROVE")
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return d.Event == "pull_request_review" }})
	no, err := pr.Review(tw.github.User("bob"), "REQUEST_CHANGES", "no")
	tw.must(err)
	tw.must(pr.DismissReview(tw.github.User("lee"), no.ID, "settled"))
	tw.comment(pr, "lee", "/tier")
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
}

// TestAVetoIsNotLiftedByADeletionThatComesFirst lets somebody else delete the
// comment with the veto, and GitHub tell of that first.
func TestAVetoIsNotLiftedByADeletionThatComesFirst(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "lee", "APPROVE")
	tw.shop.SetRole(tw.github.User("lee"), "admin")
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(d githubsim.Delivery) bool { return d.Action == "created" }})
	veto, err := pr.Comment(tw.github.User("bob"), "/reject no")
	tw.must(err)
	tw.must(pr.DeleteComment(tw.github.User("lee"), veto.ID))
	tw.settled()
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
	tw.github.ReleaseHeld(nil)
	tw.settled()
	tw.wantCheck(pr, "failure: rejected by bob: no")
}

// TestABotOfUnknownRoleDoesNotHoldTheGate answers as GitHub does for some bots:
// it does not say what they may do.
func TestABotOfUnknownRoleDoesNotHoldTheGate(t *testing.T) {
	tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
	tw.shop.SetRole(tw.github.CreateBot("reviewer[bot]", 0), "write")
	tw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/collaborators/reviewer.*/permission$`), Status: http.StatusNotFound})
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "reviewer[bot]", "APPROVE")
	tw.wantMerge(pr, false)
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, true)
}

// TestATakenBackApprovalWasNeverOne looks at the audit trail of /unapprove.
func TestATakenBackApprovalWasNeverOne(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.comment(pr, "bob", "/unapprove")
	entries, err := tw.server.store.AuditEntries(t.Context(), 0, 1000)
	tw.must(err)
	for _, e := range entries {
		if e.Action == "approval.approve" {
			t.Errorf("the trail says %+v", e)
		}
	}
	tw.wantMerge(pr, false)
}
