package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// TestMain looks for goroutines that nobody waited for. The one that is left
// out ends by itself: go-github reads the body of an error to its end but closes
// only its own copy, so net/http keeps the call's timer until it runs out.
func TestMain(m *testing.M) {
	playProbe()
	goleak.VerifyTestMain(afterAll{m}, goleak.IgnoreTopFunction("net/http.setRequestCancel.func4"), goleak.Cleanup(func(code int) {
		if code == 0 {
			if err := asked.check(); err != nil {
				_, _ = fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.Exit(code)
	}))
}

// testWorld is a world for one test; nothing that failed waits long.
type testWorld struct {
	*world
	t *testing.T
	// report is where assertions fail.
	report reporter
	log    *bytes.Buffer
}

func newTestWorld(t *testing.T) *testWorld {
	t.Helper()
	return newTestWorldWith(t, atOnce)
}

// atOnce is what most tests are run with: what failed is due again at once, so that
// settled waits for it.
var atOnce = Options{Backoff: func(int) time.Duration { return -time.Second }, wait: func(context.Context, time.Duration) error { return nil }}

func newTestWorldWith(t *testing.T, options Options) *testWorld {
	t.Helper()
	return newTestWorldOn(t, "sqlite:"+t.TempDir()+"/portcullis.db", options)
}

func newTestWorldOn(t *testing.T, database string, options Options) *testWorld {
	t.Helper()
	tw := &testWorld{t: t, report: t, log: &bytes.Buffer{}}
	witness := newWitness(t)
	options.around = witness.around
	options.quiet = !options.sweeping
	options.Log = zerolog.New(zerolog.SyncWriter(tw.log)).Level(zerolog.WarnLevel)
	w, err := newWorld(t.Context(), database, options)
	if err != nil {
		t.Fatal(err)
	}
	tw.world = w
	t.Cleanup(func() {
		if err := w.stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
		witness.testify(t, w.github)
		if t.Failed() {
			log := tw.log.String()
			t.Log(log[max(0, len(log)-2000):])
		}
	})
	return tw
}

// settled waits until everything has happened that will.
func (tw *testWorld) settled() {
	tw.report.Helper()
	ctx, cancel := context.WithTimeout(tw.t.Context(), storyTimeout)
	defer cancel()
	if err := tw.settle(ctx); err != nil {
		tw.report.Fatal(err)
	}
}

// must fails the test on an error.
func (tw *testWorld) must(err error) {
	tw.report.Helper()
	if err != nil {
		tw.report.Fatal(err)
	}
}

// opened opens a pull request and waits until it is decided.
func (tw *testWorld) opened(login, branch string, files map[string]string) *githubsim.PullRequest {
	tw.report.Helper()
	n := newNarrator(tw.world, io.Discard, demoImage)
	tw.must(n.open(login, branch, "Change "+branch, files)(tw.t.Context()))
	tw.settled()
	return n.pr
}

// check is the newest check on the head, as "success: title".
func (tw *testWorld) check(pr *githubsim.PullRequest) string {
	run := (&narrator{world: tw.world, pr: pr}).check()
	state := run.Conclusion
	if state == "" {
		state = run.Status
	}
	return state + ": " + run.Title
}

func (tw *testWorld) wantCheck(pr *githubsim.PullRequest, want string) {
	tw.report.Helper()
	if got := tw.check(pr); !strings.HasPrefix(got, want) {
		tw.report.Errorf("the check says %q, want %q", got, want)
	}
	if run := newestRun(tw, pr); run.AppID != tw.hook.ID() || run.HeadSHA != pr.HeadSHA() {
		tw.report.Errorf("the check is by the App %d on %.7s, want %d on %.7s", run.AppID, run.HeadSHA, tw.hook.ID(), pr.HeadSHA())
	}
}

// wantMerge holds GitHub's own answer, not ours.
func (tw *testWorld) wantMerge(pr *githubsim.PullRequest, allowed bool) {
	tw.report.Helper()
	if box := pr.Mergeability(tw.github.User("ann")); box.Allowed != allowed {
		tw.report.Errorf("merge allowed: %t (%v), want %t; the check says %q", box.Allowed, box.Reasons, allowed, tw.check(pr))
	}
}

func (tw *testWorld) comment(pr *githubsim.PullRequest, login, body string) *githubsim.Comment {
	tw.report.Helper()
	c, err := pr.Comment(tw.github.User(login), body)
	tw.must(err)
	tw.settled()
	return c
}

func (tw *testWorld) review(pr *githubsim.PullRequest, login, state string) *githubsim.Review {
	tw.report.Helper()
	r, err := pr.Review(tw.github.User(login), state, "a review")
	tw.must(err)
	tw.settled()
	return r
}

func (tw *testWorld) push(branch string, files map[string]string) {
	tw.report.Helper()
	_, err := tw.shop.Push(tw.github.User("ann"), branch, githubsim.Commit{Message: "more", Files: files})
	tw.must(err)
	tw.settled()
}

// team is a team of the organization.
func (tw *testWorld) team(slug string) *githubsim.Team {
	tw.report.Helper()
	for _, team := range tw.acme.Teams() {
		if team.Slug() == slug {
			return team
		}
	}
	tw.report.Fatal("no team " + slug)
	return nil
}

// refOf is the server's name for a pull request.
func (tw *testWorld) refOf(pr *githubsim.PullRequest) policy.PullRequestRef {
	return policy.PullRequestRef{
		Repository: policy.Repository{Installation: tw.installation.ID(), ID: tw.shop.ID(), Owner: "acme", Name: "shop"}, Number: pr.Number(),
	}
}
