package app

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
)

// sweepingWorld is one in which the server looks for what no webhook told. Its
// clock can be moved forward.
func sweepingWorld(t *testing.T) (*testWorld, *clock) {
	t.Helper()
	return sweepingWorldWith(t, Options{})
}

func sweepingWorldWith(t *testing.T, options Options) (*testWorld, *clock) {
	t.Helper()
	c := &clock{}
	options.sweeping, options.Now, options.tokenNow = true, c.now, time.Now
	return newTestWorldWith(t, options), c
}

// sweep has the sweep made now, and waits until what it found is done.
func (tw *testWorld) sweep(key string) {
	tw.t.Helper()
	tw.must(tw.server.store.Want(tw.t.Context(), key))
	tw.settled()
}

// I7: what GitHub could not hand over while the server was down is asked for again
// when it starts.
func TestDeliveriesThatFailedAreAskedForAgain(t *testing.T) {
	t.Parallel()
	tw, _ := sweepingWorld(t)
	pr := tw.opened("ann", "attempts", map[string]string{"auth/login.go": "package auth\n"})
	tw.must(tw.server.Stop(t.Context()))
	_, err := pr.Comment(tw.github.User("sam"), "/approve")
	tw.must(err)
	tw.must(tw.github.WaitForDeliveries(t.Context()))
	failed := tw.github.Deliveries()[len(tw.github.Deliveries())-1]
	if failed.StatusCode == http.StatusAccepted {
		t.Fatalf("the delivery came through: %+v", failed)
	}
	tw.must(tw.serve(t.Context()))
	tw.settled()
	tw.must(tw.github.WaitForDeliveries(t.Context()))
	tw.settled()
	tw.wantCheck(pr, "in_progress: security-review: 1 more approval")
	for _, d := range tw.github.Deliveries() {
		if d.GUID == failed.GUID && (d.Attempts != 2 || d.StatusCode != http.StatusAccepted) {
			t.Errorf("the delivery was sent %d times, at last with %d", d.Attempts, d.StatusCode)
		}
	}
	// What came is not asked for again.
	before := tw.askedAgain()
	tw.sweep(recovery.KeyDeliveries)
	if after := tw.askedAgain(); after != before || before != 1 {
		t.Errorf("%d deliveries were asked for, then %d", before, after)
	}
}

// askedAgain is how many deliveries GitHub was asked to send again.
func (tw *testWorld) askedAgain() int {
	n := 0
	for _, r := range tw.github.Requests() {
		if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/attempts") {
			n++
		}
	}
	return n
}

// I6: whatever webhooks are lost for good, a resync finds what they were about.
func TestAResyncFindsWhatNoWebhookTold(t *testing.T) {
	t.Parallel()
	tw, clock := sweepingWorld(t)
	for _, change := range []struct {
		name string
		do   func(pr *githubsim.PullRequest, branch string)
		want string
	}{
		{"a push", func(pr *githubsim.PullRequest, branch string) {
			_, err := tw.shop.Push(tw.github.User("ann"), branch, githubsim.Commit{Message: "more", Files: map[string]string{"catalogue/y.go": "package catalogue\n"}})
			tw.must(err)
		}, "in_progress: peer-review: 1 more approval"},
		{"a review", func(pr *githubsim.PullRequest, _ string) {
			_, err := pr.Review(tw.github.User("lee"), "REQUEST_CHANGES", "no")
			tw.must(err)
		}, "failure: "},
		{"a label", func(pr *githubsim.PullRequest, _ string) {
			tw.must(pr.AddLabel(tw.github.User("bob"), "security"))
		}, "in_progress: security-review: 2 approvals"},
		{"a policy", func(*githubsim.PullRequest, string) {
			tw.shop.SetFiles("main", map[string]string{
				".github/portcullis.yml": strings.Replace(demoPolicy, "peer-review:     {approvals: 1", "peer-review:     {approvals: 2", 1),
			})
		}, "in_progress: peer-review: 1 more approval"},
	} {
		t.Run(change.name, func(t *testing.T) {
			branch := strings.ReplaceAll(change.name, " ", "-")
			pr := tw.opened("ann", branch, searchFilesWith(branch))
			tw.review(pr, "bob", "APPROVE")
			tw.wantCheck(pr, "success: peer-review")
			tw.sweep(recovery.KeyInstallations)
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
			change.do(pr, branch)
			tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
			tw.sweep(recovery.KeyInstallations)
			tw.wantCheck(pr, change.want)
		})
	}
	t.Run("an opening", func(t *testing.T) {
		tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(githubsim.Delivery) bool { return true }})
		pr := tw.opened("ann", "unheard", searchFiles())
		tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
		tw.sweep(recovery.KeyInstallations)
		tw.wantCheck(pr, "in_progress: peer-review")
	})
	t.Run("nothing, which costs no evaluation", func(t *testing.T) {
		clock.pass(5 * time.Second) // within a second of its last update, nobody knows
		tw.sweep(recovery.KeyInstallations)
		var before, after int64
		before = tw.generations()
		tw.sweep(recovery.KeyInstallations)
		if after = tw.generations(); after != before {
			t.Errorf("%d evaluations of what looks as before", after-before)
		}
	})
}

// generations is how many evaluations there were.
func (tw *testWorld) generations() int64 {
	tw.t.Helper()
	var sum int64
	for _, pr := range tw.shop.PullRequests() {
		posted, err := tw.server.store.LastPosted(tw.t.Context(), tw.refOf(pr))
		tw.must(err)
		sum += posted.Generation
	}
	return sum
}

// A new installation has pull requests that no webhook will ever tell of.
func TestAnInstallationBringsItsPullRequests(t *testing.T) {
	t.Parallel()
	tw, _ := sweepingWorld(t)
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return d.Event == "pull_request" }})
	pr := tw.opened("ann", "before", searchFiles())
	tw.installation.Suspend()
	tw.installation.Unsuspend()
	tw.settled()
	tw.wantCheck(pr, "in_progress: peer-review")
}

// Whoever mends what work fails for, and restarts, does not wait for an hour.
func TestARestartTriesWhatFailed(t *testing.T) {
	t.Parallel()
	tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
	remove := tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/graphql$|/pulls/1$`), Status: http.StatusInternalServerError})
	pr := tw.opened("ann", "search", searchFiles())
	remove()
	tw.settled()
	tw.wantMerge(pr, false)
	tw.must(tw.server.Stop(t.Context()))
	tw.must(tw.serve(t.Context()))
	tw.settled()
	tw.wantCheck(pr, "in_progress: peer-review")
}

// Work that fails stays visible, with its reason, and its gate is closed.
func TestWorkThatKeepsFailingIsVisibleAndClosed(t *testing.T) {
	t.Parallel()
	tw, clock := sweepingWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.comment(pr, "bob", "/approve")
	tw.wantMerge(pr, true)
	remove := tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/graphql$`), Status: http.StatusInternalServerError})
	removeToo := tw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/pulls/1$`), Status: http.StatusInternalServerError})
	for range 15 {
		tw.must(tw.server.store.Evaluate(t.Context(), tw.refOf(pr)))
		tw.settled()
	}
	tw.wantMerge(pr, false)
	stuck, err := tw.server.store.Stuck(t.Context())
	tw.must(err)
	if len(stuck) != 1 || stuck[0].Attempts < 15 || !strings.Contains(stuck[0].Reason, "500") || stuck[0].Subject != "acme/shop#1" {
		t.Errorf("stuck: %+v", stuck)
	}
	if wait := stuck[0].NextAt.Sub(clock.now()); wait > time.Hour+time.Second || wait < 59*time.Minute {
		t.Errorf("it is tried again in %s", wait)
	}
	remove()
	removeToo()
	tw.must(tw.server.store.Evaluate(t.Context(), tw.refOf(pr)))
	tw.settled()
	tw.wantMerge(pr, true)
}
