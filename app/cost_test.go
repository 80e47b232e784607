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

// TestWhatCannotChangeAVerdictCostsNothing does what no rule looks at.
func TestWhatCannotChangeAVerdictCostsNothing(t *testing.T) {
	tw := newTestWorld(t)
	ann, bob := tw.github.User("ann"), tw.github.User("bob")
	pr := tw.opened("ann", "search", searchFiles())
	for name, do := range map[string]func() error{
		"a title":           func() error { return pr.SetTitle(ann, "another title") },
		"a description":     func() error { return pr.SetBody(ann, "/approve") },
		"a comment":         func() error { _, err := pr.Comment(bob, "fine"); return err },
		"an assignment":     func() error { return pr.Assign(bob, bob) },
		"a push to main":    func() error { tw.shop.SetFiles("main", map[string]string{"x.txt": "x\n"}); return nil },
		"another branch":    func() error { _, err := tw.shop.Push(ann, "other"); return err },
		"a label's creator": func() error { tw.shop.CreateLabel("nice"); return nil },
		"an issue": func() error {
			_, err := tw.shop.OpenIssue(ann, "an issue", "/approve")
			return err
		},
		"somebody's role, who said nothing": func() error { tw.shop.SetRole(tw.github.User("sue"), "read"); return nil },
	} {
		tw.github.ResetRequests()
		tw.must(do())
		tw.settled()
		if all, _ := tw.calls(); len(all) > 0 {
			t.Errorf("%s cost %q", name, all)
		}
	}
}

// TestWhatCanChangeAVerdictChangesIt does to a pull request that is open, and onto
// what it depends on, one thing each, of which nothing else is said. Labels, roles,
// teams, policies and merge groups have tests of their own: [TestAttack12LabelTakenOffByAMaker]
// to 15.
func TestWhatCanChangeAVerdictChangesIt(t *testing.T) {
	open := func(tw *testWorld) *githubsim.PullRequest {
		pr := tw.opened("claude[bot]", "search", searchFiles())
		tw.review(pr, "bob", "APPROVE")
		tw.wantCheck(pr, "success: peer-review: approved by bob")
		return pr
	}
	for name, c := range map[string]struct {
		act  func(tw *testWorld, pr *githubsim.PullRequest) error
		want string
	}{
		"a push": {func(tw *testWorld, _ *githubsim.PullRequest) error {
			_, err := tw.shop.Push(tw.github.User("ann"), "search", githubsim.Commit{Message: "more", Files: map[string]string{"x.go": "package x\n"}})
			return err
		}, waitingForPeer},
		"another base branch": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.Retarget(tw.github.User("ann"), "release")
		}, waitingForPeer},
		"an approver calls the agent": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			_, err := pr.Comment(tw.github.User("bob"), "@claude please mend this")
			return err
		}, waitingForPeer},
		"an approver calls the agent in a review": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			_, err := pr.Review(tw.github.User("bob"), "COMMENT", "@claude please mend this")
			return err
		}, waitingForPeer},
		"the agent assigns an approver": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.Assign(tw.github.User("claude[bot]"), tw.github.User("bob"))
		}, waitingForPeer},
		"an approver changes their mind": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			_, err := pr.Comment(tw.github.User("bob"), "/reject it leaks")
			return err
		}, "failure: rejected by bob: it leaks"},
		"an approval is dismissed": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.DismissReview(tw.github.User("ann"), pr.Reviews()[0].ID, "too fast")
		}, waitingForPeer},
		"a policy for the organization": {func(tw *testWorld, _ *githubsim.PullRequest) error {
			tw.acme.CreateRepository(".github", map[string]string{".github/portcullis.yml": "version: 1\ntiers: {peer-review: {approvals: 2, from: {permission: write}}}\n"})
			return nil
		}, "in_progress: peer-review: 1 more approval from anyone with write"},
		"it is closed": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.Close(tw.github.User("ann"))
		}, "failure: the pull request is closed; reopen it to have it decided"},
		"it is closed and reopened": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			tw.must(pr.Close(tw.github.User("ann")))
			tw.settled()
			return pr.Reopen(tw.github.User("ann"))
		}, "success: peer-review: approved by bob"},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			_, err := tw.shop.Push(tw.github.User("ann"), "release")
			tw.must(err)
			pr := open(tw)
			tw.must(c.act(tw, pr))
			tw.settled()
			tw.wantCheck(pr, c.want)
		})
	}
}
