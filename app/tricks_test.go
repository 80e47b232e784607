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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

// TestAVetoIsNotLiftedByADeletionThatComesFirst lets the author delete the
// comment with the veto, and GitHub tell of that first.
func TestAVetoIsNotLiftedByADeletionThatComesFirst(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "lee", "APPROVE")
	tw.shop.SetRole(tw.github.User("ann"), "admin")
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(d githubsim.Delivery) bool { return d.Action == "created" }})
	veto, err := pr.Comment(tw.github.User("bob"), "/reject no")
	tw.must(err)
	tw.must(pr.DeleteComment(tw.github.User("ann"), veto.ID))
	tw.settled()
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
	tw.github.ReleaseHeld(nil)
	tw.settled()
	tw.wantCheck(pr, "failure: rejected by bob: no")
}

// TestAVetoIsNotLiftedByADismissalThatComesFirst lets the author dismiss a
// rejection, and GitHub tell of that before it tells of the rejection, or tell of
// that alone.
func TestAVetoIsNotLiftedByADismissalThatComesFirst(t *testing.T) {
	t.Parallel()
	isRejection := func(d githubsim.Delivery) bool { return d.Event == "pull_request_review" && d.Action == "submitted" }
	for name, knobs := range map[string]githubsim.DeliveryKnobs{
		"held": {Hold: isRejection}, "lost": {Lose: isRejection},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			pr := tw.opened("ann", "search", searchFiles())
			tw.review(pr, "lee", "APPROVE")
			tw.wantMerge(pr, true)
			tw.shop.SetRole(tw.github.User("ann"), "admin")
			tw.github.SetDeliveryKnobs(knobs)
			no, err := pr.Review(tw.github.User("bob"), "REQUEST_CHANGES", "no")
			tw.must(err)
			tw.must(pr.DismissReview(tw.github.User("ann"), no.ID, "nonsense"))
			tw.settled()
			tw.wantCheck(pr, "failure: rejected by bob")
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
			tw.github.ReleaseHeld(nil)
			tw.settled()
			tw.wantCheck(pr, "failure: rejected by bob")
			tw.wantMerge(pr, false)
		})
	}
}

// TestABotOfUnknownRoleDoesNotHoldTheGate answers as GitHub does for some bots:
// it does not say what they may do.
func TestABotOfUnknownRoleDoesNotHoldTheGate(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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

// TestADetourOverABranchThatNothingGuards judges a harmless change onto a branch
// with a commit that nobody reviewed: a check that is green for it would be green
// for main, with that commit. A branch that has nothing of its own, or requires
// the check, may be merged to.
func TestADetourOverABranchThatNothingGuards(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	ann := tw.github.User("ann")
	_, err := tw.shop.Push(ann, "side", githubsim.Commit{Message: "evil", Files: map[string]string{"auth/login.go": "package auth\n\nconst attempts = 5000\n"}})
	tw.must(err)
	side := tw.shop.Head("side")
	_, err = tw.shop.Push(ann, "typo")
	tw.must(err)
	_, err = tw.shop.ForcePush(ann, "typo", side, githubsim.Commit{Message: "typo", Files: map[string]string{"README.md": "# Shop\n"}})
	tw.must(err)
	pr, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: "Typo", Head: "typo", Base: "side"})
	tw.must(err)
	tw.settled()
	tw.wantCheck(pr, "in_progress: auto: side does not require this check and has commits of its own")
	tw.must(pr.Retarget(ann, "main"))
	tw.wantMerge(pr, false)
	tw.settled()
	tw.wantCheck(pr, "in_progress: security-review: 2 approvals from acme/security")

	for branch, guard := range map[string]func(branch string){
		"plain": func(string) {},
		"guarded": func(branch string) {
			tw.shop.SetFiles(branch, map[string]string{"own.txt": "x\n"})
			tw.shop.CreateRuleset(githubsim.Ruleset{
				Name: branch, Enforcement: "active", Branches: []string{branch},
				RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: tw.hook.ID()}},
			})
		},
		"protected": func(branch string) {
			tw.shop.SetFiles(branch, map[string]string{"own.txt": "y\n"})
			tw.shop.Protect(branch, githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: tw.hook.ID()}}})
		},
	} {
		_, err := tw.shop.Push(ann, branch)
		tw.must(err)
		guard(branch)
		_, err = tw.shop.Push(ann, "fix-"+branch)
		tw.must(err)
		_, err = tw.shop.ForcePush(ann, "fix-"+branch, tw.shop.Head(branch), githubsim.Commit{Message: "fix", Files: map[string]string{"README.md": "# Shop " + branch + "\n"}})
		tw.must(err)
		pr, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: branch, Head: "fix-" + branch, Base: branch})
		tw.must(err)
		tw.settled()
		tw.wantCheck(pr, "success: auto: no approval needed")
	}
}

// TestTheFloorThatCannotBeReadAnyMoreCloses hides the organization's policy from
// the App: it was there before, so it is not taken for gone. It is gone when the
// file is removed.
func TestTheFloorThatCannotBeReadAnyMoreCloses(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	const path = ".github/portcullis.yml"
	strict := "version: 1\nclassify:\n  security_sensitive: {paths: [\"**/*.md\"]}\n"
	floor := tw.acme.CreateRepository(".github", map[string]string{path: strict})
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.wantCheck(pr, "in_progress: security-review: ")

	hidden := tw.github.Inject(githubsim.Fault{
		Method: http.MethodPost, Path: regexp.MustCompile(`/graphql$`),
		GraphQLError: &githubsim.GraphQLError{Type: "NOT_FOUND", Message: "Could not resolve to a Repository with the name 'acme/.github'.", Path: []any{"floor"}},
	})
	tw.must(pr.AddLabel(tw.github.User("bob"), "question"))
	tw.settled()
	tw.wantCheck(pr, "failure: the organization's policy in acme cannot be used: it could be read before")
	hidden()

	floor.SetRole(tw.github.User("lee"), "write")
	_, err := floor.Push(tw.github.User("lee"), "main", githubsim.Commit{Message: "no policy any more", Delete: []string{path}})
	tw.must(err)
	tw.settled()
	tw.wantCheck(pr, "success: auto: ")
}
