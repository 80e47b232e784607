package app

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestDemoInABrowser tells the README's story with a browser: ann opens a pull
// request, is refused, bob approves, a push takes the approval away.
func TestDemoInABrowser(t *testing.T) {
	tw := newTestWorld(t)
	tw.servePages()
	v := newVisitor(t, tw.github.URL())

	v.open("/")
	v.see("Try this", "A typo needs nobody")
	v.looks("start")
	v.press("Start as ann")
	v.looks("propose")
	v.press("Open as ann")
	v.see("Fix a typo #1", "auto: no approval needed", "GitHub lets ann merge this")
	v.press("Merge pull request")
	v.see("Merged by ann")

	v.open("/acme/shop/compare?story=1&as=ann")
	v.press("Open as ann")
	v.see("Add search to the catalogue #2", "peer-review: 1 more approval from anyone with write", "GitHub does not let ann merge this")
	v.press("Merge pull request")
	v.see("GitHub refused what ann did (405)", `Required status check "portcullis" is in progress.`)
	v.press("/approve")
	v.see("ann is the author")

	v.become("bob")
	v.fill("body", "Nice, this is what the catalogue needs.\n\n/approve")
	v.press("Comment")
	v.see("peer-review: approved by bob", "GitHub lets bob merge this")
	v.looks("approved")
	v.keepPicture()

	_, err := tw.shop.PullRequest(2).Comment(tw.github.User("lee"), "I look on.")
	tw.must(err)
	v.do(chromedp.WaitVisible(chromedp.ID("news")))
	v.press("Show it")
	v.see("I look on.")

	v.become("ann")
	v.press("Push a commit")
	v.unfold()
	v.edit("catalogue/rank.go", "package catalogue\n\nfunc rank() int { return 1 }\n")
	v.looks("push")
	v.press("Push as ann")
	v.see("peer-review: 1 more approval from anyone with write", "GitHub does not let ann merge this")

	v.become("bob")
	v.press("Approve")
	v.see("peer-review: approved by bob")
	v.open("/acme/shop/pull/2/checks")
	v.see("peer-review: approved by bob", "Re-evaluate")
	v.looks("checks")
	v.press("Re-evaluate")
	v.see("peer-review: approved by bob")
	v.open("/acme/shop/pull/2/files")
	v.looks("files")
	v.open("/acme/shop/pull/2")
	v.press("Merge pull request")
	v.see("Merged by bob")
	v.looks("merged")
	v.open("/acme/shop/rules")
	v.looks("rules")
	v.open("/acme/shop/pulls?state=closed")
	v.see("Add search to the catalogue", "merged by bob")
	v.looks("list")
	if pr := tw.shop.PullRequest(2); pr == nil || !pr.Merged() {
		t.Error("GitHub does not say that it is merged")
	}
}
