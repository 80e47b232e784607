package app

import (
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// lentOut is a credential that ann was lent on her pull request, on lee's word.
type lentOut struct {
	*testWorld

	clock    *clock
	pr       *githubsim.PullRequest
	approval *githubsim.Review
	token    string
}

func (l *lentOut) accepted() bool {
	l.report.Helper()
	return strings.Contains(l.introspect(l.token), `"active":true`)
}

// endings of I14, by what happens.
var leaseEndings = map[string]struct {
	happens func(l *lentOut) error
	// stays is true if the secret cannot be deleted, and round if no webhook is about it.
	stays, round bool
}{
	"the pull request is closed": {happens: func(l *lentOut) error { return l.pr.Close(l.github.User("ann")) }},
	"it is merged":               {happens: func(l *lentOut) error { return l.pr.Merge(l.github.User("ann")) }},
	"there is a new push": {happens: func(l *lentOut) error {
		_, err := l.shop.Push(l.github.User("ann"), l.branch(), githubsim.Commit{Message: "more", Files: map[string]string{"README.md": "# Mine\n"}})
		return err
	}},
	"the approval is dismissed": {happens: func(l *lentOut) error {
		return l.pr.DismissReview(l.github.User("sam"), l.approval.ID, "not so fast")
	}},
	"somebody rejects it": {happens: func(l *lentOut) error {
		_, err := l.pr.Review(l.github.User("lee"), "REQUEST_CHANGES", "no")
		return err
	}},
	"the policy names it no more": {happens: func(l *lentOut) error {
		l.set(switchPolicy)
		return nil
	}},
	"the policy lends it for less than it was": {happens: func(l *lentOut) error {
		l.clock.pass(2 * time.Minute)
		l.set(strings.Replace(lendingPolicy, "ttl: 30m", "ttl: 1m", 1))
		return nil
	}},
	"who asked may write no more": {round: true, happens: func(l *lentOut) error {
		l.shop.SetRole(l.github.User("ann"), "read")
		return nil
	}},
	"the kill switch": {happens: func(l *lentOut) error { return l.pr.AddLabel(l.github.User("bob"), switchLabel) }},
	"the repository is archived": {stays: true, happens: func(l *lentOut) error {
		l.shop.Archive()
		return nil
	}},
	"the repository is transferred": {stays: true, happens: func(l *lentOut) error {
		l.shop.Transfer(l.github.CreateOrganization("elsewhere"))
		return nil
	}},
	"the App is suspended": {stays: true, happens: func(l *lentOut) error {
		l.installation.Suspend()
		return nil
	}},
	"the App is removed": {stays: true, happens: func(l *lentOut) error {
		l.installation.Delete()
		return nil
	}},
}

func (l *lentOut) branch() string { return "typo" }

// TestI14WhatEndsALease: pull request closed or merged, approval gone, head changed,
// policy changed, stopped, App gone: each bound lease leaves active, also if the webhook
// is lost, and if it comes twice.
func TestI14WhatEndsALease(t *testing.T) {
	t.Parallel()
	for mode, knobs := range map[string]githubsim.DeliveryKnobs{
		"told": {Repeat: func(githubsim.Delivery) int { return 1 }},
		"lost": {Lose: func(githubsim.Delivery) bool { return true }},
	} {
		for name, ending := range leaseEndings {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				options := atOnce
				if ending.stays {
					options.Backoff = func(int) time.Duration { return time.Minute }
				}
				l := lendsOut(t, options)
				l.github.SetDeliveryKnobs(knobs)
				l.must(ending.happens(l))
				l.settled()
				if mode == "lost" || ending.round {
					l.clock.pass(3 * time.Minute) // the next round
					l.settled()
				}
				if l.accepted() {
					t.Error("it is accepted")
				}
				if left := l.shop.Secrets(); !ending.stays && len(left) != 0 {
					t.Errorf("left at GitHub: %v", left)
				}
			})
		}
	}
}

// lendsOut is a world in which nothing waits long, and something is lent.
func lendsOut(t *testing.T, options Options) *lentOut {
	t.Helper()
	l := &lentOut{}
	l.testWorld, l.clock = sweepingWorldWith(t, options)
	l.set(lendingPolicy)
	l.pr = l.opened("ann", l.branch(), map[string]string{"README.md": "# Shop\n"})
	l.approval = l.review(l.pr, "lee", "APPROVE")
	l.comment(l.pr, "ann", "/credential issue deploy")
	if l.token = l.shop.Secrets()["JIT_1H_DEPLOY"]; !l.accepted() {
		t.Fatalf("nothing was lent: %v", l.pr.Comments())
	}
	return l
}

// TestWhoMayRevoke: whoever asked for it and whoever may write, nobody else.
func TestWhoMayRevoke(t *testing.T) {
	t.Parallel()
	l := lendsOut(t, atOnce)
	reader := l.github.CreateUser("rae")
	l.acme.AddMember(reader)
	l.comment(l.pr, "rae", "/credential revoke deploy")
	if replies := l.pr.Comments(); !l.accepted() || !strings.Contains(replies[len(replies)-1].Body, "Only who asked for it and who may write here end it, and rae is neither.") {
		t.Errorf("a reader ended it: %s", replies[len(replies)-1].Body)
	}
	leases, err := l.server.store.Leases(t.Context(), credential.Selection{})
	l.must(err)
	l.comment(l.pr, "bob", "/credential revoke "+leases[0].ID)
	if l.accepted() || len(l.shop.Secrets()) != 0 {
		t.Error("bob, who may write, could not end it")
	}
	l.comment(l.pr, "ann", "/credential revoke deploy")
	replies := l.pr.Comments()
	if last := replies[len(replies)-1].Body; !strings.Contains(last, `Nothing that is lent here has the id or name "deploy"`) {
		t.Errorf("answered with %q", last)
	}
}
