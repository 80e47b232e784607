package app

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// The moments at which the process dies, by name: before and after each thing
// that it keeps, and each that it asks of GitHub. A number other than 1 is for
// what the start of the process does as well.
var (
	crashesAtWrites = []string{
		"Accept:1", "Accept:4", "rung:1", "rung:4", "Claim:1", "Claim:5", "NextGeneration:1", "NextGeneration:3", "Request:1", "Approve:1", "Audit:1",
		"BeginPost:1", "BeginPost:2", "PutPosted:1", "PutPosted:2", "DeliveryDone:1", "DoneUntil:1", "DoneUntil:4",
		"RetryStuck:1", "Want:1", "PutUndelivered:1", "PutAsked:1", "PutProgress:1", "PutListing:1", "Prune:1",
	}
	crashesAtCalls = []crashCall{
		{"token", http.MethodPost, `/access_tokens$`}, {"snapshot", http.MethodPost, `/graphql$`},
		{"check created", http.MethodPost, `/check-runs$`}, {"check updated", http.MethodPatch, `/check-runs/\d+$`},
		{"reaction", http.MethodPost, `/reactions$`}, {"reply", http.MethodPost, `/issues/\d+/comments$`},
	}
)

// crashCall is a call to GitHub at which the process dies.
type crashCall struct{ name, method, path string }

// quickCrashes are walked by `go test`; with PORTCULLIS_KILLLOOP all are.
var quickCrashes = regexp.MustCompile(`after:(Accept|Claim|BeginPost|PutPosted|Change):1|after check (created|updated)|before reply`)

// TestCrashPoints lets the process die once at each of its moments, and starts it
// again: in the end all is as if it had not.
func TestCrashPoints(t *testing.T) {
	walkCrashes(t, crashesAtWrites, crashesAtCalls, (*cluster).crashStory)
}

// walkCrashes tells the story once for each moment and each database.
func walkCrashes(t *testing.T, atWrites []string, atCalls []crashCall, story func(c *cluster, variables ...string)) {
	t.Helper()
	t.Parallel() // beside the other walks: most of one is waiting
	_, thorough := crashTime(t)
	for engine, database := range map[string]func(*testing.T) string{"sqlite": func(*testing.T) string { return "" }, "postgres": sharedDatabase} {
		walk := func(point string, crash func(t *testing.T, c *cluster)) {
			if !thorough && (engine != "sqlite" || !quickCrashes.MatchString(point)) {
				return
			}
			t.Run(engine+"/"+point, func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, database(t))
				c.binary = binaryWith(t, "crashpoints")
				crash(t, c)
			})
		}
		for _, name := range atWrites {
			for _, when := range []string{"before", "after"} {
				if when == "before" && engine == "postgres" {
					continue // that is after the one before it
				}
				point := when + ":" + name
				walk(point, func(_ *testing.T, c *cluster) { story(c, "PORTCULLIS_CRASH_AT="+point) })
			}
		}
		for _, call := range atCalls {
			for _, when := range []string{"before", "after"} {
				walk(when+" "+call.name, func(_ *testing.T, c *cluster) {
					c.trouble.killAt.Store(&killPoint{method: call.method, path: regexp.MustCompile(call.path), after: when == "after", kill: func() { (<-c.launched).kill() }})
					story(c)
				})
			}
		}
	}
}

// crashStory is a pull request's life. The process dies somewhere in it, and is
// started again as soon as it has.
func (c *cluster) crashStory(variables ...string) {
	t := c.t
	t.Helper()
	w, ann := c.world, c.github.User("ann")
	again := c.startToDie(variables...)
	tw := &testWorld{world: w, t: t, report: t}
	_, failed := w.shop.Push(ann, "attempts", githubsim.Commit{Message: "more attempts", Files: map[string]string{"auth/login.go": "package auth\n"}})
	tw.must(failed)
	pr, failed := w.shop.Open(ann, githubsim.PullRequestSpec{Title: "Attempts", Head: "attempts", Base: "main"})
	tw.must(failed)
	shows := func(prefix string) {
		t.Helper()
		for begun := time.Now(); !strings.HasPrefix(tw.check(pr), prefix); <-time.After(5 * time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatalf("the check says %q, want %q", tw.check(pr), prefix)
			}
		}
	}
	shows("in_progress: security-review")
	_, failed = w.shop.Push(ann, "attempts", githubsim.Commit{Message: "fewer attempts", Files: map[string]string{"auth/login.go": "package auth\n\nconst attempts = 3\n"}})
	tw.must(failed)
	shows("in_progress: security-review: 2 approvals")
	_, failed = pr.Comment(w.github.User("bob"), "/approve") // who may not
	tw.must(failed)
	_, failed = pr.Review(w.github.User("sam"), "APPROVE", "")
	tw.must(failed)
	_, failed = pr.Comment(w.github.User("sue"), "/approve")
	tw.must(failed)
	c.endsWell(tw, pr, again())
}

// startToDie starts the process, which is to die somewhere, and starts it again as
// soon as it has. died waits for that, and returns how long it may take until all is
// as if it had not.
func (c *cluster) startToDie(variables ...string) (died func() time.Duration) {
	t := c.t
	t.Helper()
	// What was told so far found nobody: it is there to be asked for again.
	if err := c.github.WaitForDeliveries(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := c.supervise(append(c.variables, variables...)...)
	c.replicas = []*replica{r}
	c.launched <- r
	if err != nil && len(variables) == 0 {
		t.Fatal(err)
	}
	c.balance()
	again := make(chan struct{})
	go func() {
		defer close(again)
		<-r.gone
		c.replicas[0], err = c.supervise(c.variables...)
		c.balance()
	}()
	return func() time.Duration {
		t.Helper()
		select {
		case <-again:
		case <-time.After(storyTimeout):
			t.Fatal("the process did not die where it should")
		}
		if err != nil {
			t.Fatal(err)
		}
		c.records = openRecords(t, c.database)
		if c.records.file == "" {
			return 60 * time.Second // a lease ends
		}
		return 30 * time.Second
	}
}

// supervise starts the process until it runs, as a supervisor does: on a busy machine
// the database may not answer in time, and a process that cannot reach it ends. It
// returns an error for one that was killed.
func (c *cluster) supervise(variables ...string) (r *replica, err error) {
	for deadline := time.Now().Add(storyTimeout); ; {
		r, err = launch(c.t, c.binary, c.config, c.log(), variables...)
		var ended *exec.ExitError
		if err == nil || !errors.As(r.ended, &ended) || !ended.Exited() || time.Now().After(deadline) {
			return r, err
		}
	}
}

// endsWell holds the end of the story.
func (c *cluster) endsWell(tw *testWorld, pr *githubsim.PullRequest, limit time.Duration) {
	t := c.t
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		undone, err := c.records.undone(t.Context())
		why := fmt.Sprintf("the check says %q; %d deliveries are not worked off (%v)", tw.check(pr), undone, err)
		if err == nil && undone == 0 && strings.HasPrefix(tw.check(pr), "success: security-review: approved by sam, sue") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not right after %s: %s", limit, why)
		}
		<-time.After(20 * time.Millisecond)
	}
	tw.wantMerge(pr, true)
	if runs := tw.shop.CheckRuns(pr.HeadSHA()); len(runs) != 1 {
		t.Errorf("the head has %d runs of the check", len(runs))
	}
	replies := 0
	for _, comment := range pr.Comments() {
		if comment.User == tw.hook.BotLogin() {
			replies++
		}
	}
	if replies != 1 {
		t.Errorf("bob was answered %d times", replies)
	}
	c.replicas[0].terminate()
	if _, err := c.records.chain(t.Context()); err != nil {
		t.Errorf("the audit chain: %v", err)
	}
}
