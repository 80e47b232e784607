package app

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// typical opens a pull request of five files in three commits that needs a team
// lead, with four comments and a review on it.
func (tw *testWorld) typical(branch string) *githubsim.PullRequest {
	tw.t.Helper()
	ann := tw.github.User("ann")
	for i := range 3 {
		files := map[string]string{fmt.Sprintf("deploy/%s-%d.yml", branch, i): "a: 1\n"}
		if i < 2 {
			files[fmt.Sprintf("catalogue/%s-%d.go", branch, i)] = "package catalogue\n"
		}
		_, err := tw.shop.Push(ann, branch, githubsim.Commit{Message: "part", Files: files})
		tw.must(err)
	}
	pr, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: "Deploy", Head: branch, Base: "main"})
	tw.must(err)
	for i := range 4 {
		_, err := pr.Comment(tw.github.User("bob"), fmt.Sprintf("thought %d", i))
		tw.must(err)
	}
	_, err = pr.Review(tw.github.User("bob"), "COMMENT", "looks fine")
	tw.must(err)
	return pr
}

// calls lists what the server asked of GitHub.
func (tw *testWorld) calls() (all []string, billed int) {
	for _, r := range tw.github.Requests() {
		if r.AppID != tw.hook.ID() {
			continue
		}
		all = append(all, fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status))
		if r.Billed {
			billed++
		}
	}
	return all, billed
}

// clock is one that a test can set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

// TestWhatADecisionCosts holds the price of a decision: one query, one write, and,
// while a gate is opened, one question that GitHub answers for nothing. To look
// again costs nothing once GitHub has been asked about the approver by name.
func TestWhatADecisionCosts(t *testing.T) {
	var hands clock
	tw := newTestWorldWith(t, Options{Now: hands.now})
	pr := tw.typical("deploy")
	tw.settled()
	hands.pass(time.Minute)

	tw.github.ResetRequests()
	tw.review(pr, "lee", "APPROVE")
	tw.wantMerge(pr, true)
	if all, billed := tw.calls(); len(all) > 3 || billed > 2 {
		t.Errorf("%d calls, %d billed: %q", len(all), billed, all)
	}

	hands.pass(time.Minute)
	for i, most := range []int{2, 0, 0} {
		tw.github.ResetRequests()
		tw.must(tw.server.store.Evaluate(t.Context(), tw.refOf(pr)))
		tw.settled()
		all, billed := tw.calls()
		if billed > most {
			t.Errorf("looking for the %d. time cost %d billed calls: %q", i+2, billed, all)
		}
	}
}
