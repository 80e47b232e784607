package app

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// reporter is the part of a test that assertions use.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// recorder notes what an assertion says instead of failing the test.
type recorder struct{ said []string }

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.said = append(r.said, fmt.Sprint(args...))
	runtime.Goexit()
}

// recorded runs the scenario with assertions that fail nothing, and returns
// what they said.
func (tw *testWorld) recorded(scenario func(*testWorld)) []string {
	r := &recorder{}
	under := *tw
	under.report = r
	done := make(chan struct{})
	go func() {
		defer close(done)
		scenario(&under)
	}()
	<-done
	return r.said
}

// ordinary is what the suite does all the time: a review, a push, a rejection,
// and a conversation longer than a page, held by the suite's own assertions.
func ordinary(tw *testWorld) {
	tw.report.Helper()
	pr := tw.opened("ann", "search", searchFiles())
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
	tw.review(pr, "bob", "APPROVE")
	tw.wantCheck(pr, "success: peer-review: approved by bob")
	tw.wantMerge(pr, true)
	tw.push("search", map[string]string{"catalogue/more.go": "package catalogue\n"})
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
	tw.comment(pr, "lee", "/reject no")
	tw.wantCheck(pr, "failure: rejected by lee: no")
	tw.wantMerge(pr, false)
}

// crowded is a pull request with more files than a page has, the sensitive one
// on the second.
func crowded(tw *testWorld) {
	tw.report.Helper()
	files := map[string]string{"zone/auth/login.go": "package auth\n"}
	for i := range 120 {
		files[fmt.Sprintf("catalogue/f%03d.go", i)] = "package catalogue\n"
	}
	pr := tw.opened("ann", "crowded", files)
	tw.wantCheck(pr, "in_progress: security-review: 2 approvals from acme/security")
	tw.review(pr, "sam", "APPROVE")
	tw.review(pr, "sue", "APPROVE")
	tw.wantCheck(pr, "success: security-review: approved by sam, sue")
	tw.wantMerge(pr, true)
}

// TestTheSuiteNoticesAGitHubThatLies breaks the simulator in every way that it
// can be broken, and wants the suite's assertions to fail that hold on an honest
// one. No lie may open the gate unnoticed.
func TestTheSuiteNoticesAGitHubThatLies(t *testing.T) {
	for name, c := range map[string]struct {
		mutation githubsim.Mutation
		scenario func(*testWorld)
		noticed  bool
	}{
		"honest, ordinary":    {githubsim.NoMutation, ordinary, false},
		"honest, crowded":     {githubsim.NoMutation, crowded, false},
		"wrong App on run":    {githubsim.WrongAppOnRun, ordinary, true},
		"old SHA":             {githubsim.OldSHA, ordinary, true},
		"neutral for failure": {githubsim.NeutralForFailure, ordinary, true},
		"dropped second page": {githubsim.DroppedSecondPage, crowded, true},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorldWith(t, Options{})
			tw.github.SetMutation(c.mutation)
			said := tw.recorded(c.scenario)
			if noticed := len(said) > 0; noticed != c.noticed {
				t.Errorf("noticed: %t, want %t: %q", noticed, c.noticed, said)
			}
			t.Logf("%q", said)
		})
	}
}
