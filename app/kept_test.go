package app

import (
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestARebaseKeepsAnApprovalOfTheSameChange puts the same change on top of a base
// branch that has moved, and then another change.
func TestARebaseKeepsAnApprovalOfTheSameChange(t *testing.T) {
	tw := newTestWorld(t)
	tw.set(demoPolicy + "approval: {on_push: keep-if-unchanged}\n")
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, true)

	moved := tw.shop.SetFiles("main", map[string]string{"NEWS.md": "news\n"})
	rebase := func(files map[string]string) {
		_, err := tw.shop.ForcePush(tw.github.User("ann"), "search", moved, githubsim.Commit{Message: "rebased", Files: files})
		tw.must(err)
		tw.settled()
	}
	rebase(searchFiles())
	tw.wantMerge(pr, true)
	other := searchFiles()
	other["catalogue/index.go"] += "\nfunc more() {}\n"
	rebase(other)
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
}

// TestAnApproverWhoIsGoneDoesNotCount deletes the account of who approved; what
// they wrote is by nobody then.
func TestAnApproverWhoIsGoneDoesNotCount(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.comment(pr, "bob", "/approve")
	tw.wantMerge(pr, true)
	tw.github.User("bob").Delete()
	tw.comment(pr, "lee", "/tier")
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
}
