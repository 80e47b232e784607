package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// stopLatency is what each call to GitHub takes in these benchmarks.
const stopLatency = 50 * time.Millisecond

// locked waits until GitHub refuses to merge because of the lock, and returns how
// long that took.
func locked(b *testing.B, w *world, pr *githubsim.PullRequest, began time.Time) time.Duration {
	b.Helper()
	for !slices.Contains(pr.Mergeability(w.github.User("ann")).Reasons, "Cannot update this protected ref.") {
		if time.Since(began) > time.Minute {
			b.Fatal("GitHub merges after a minute")
		}
		<-time.After(time.Millisecond)
	}
	return time.Since(began)
}

// BenchmarkStop is the time from the webhook of a label on an issue of the organization
// to the moment from which GitHub merges nothing in it, with one and with 10,000 open
// pull requests, and with more than 1,000 other events that wait. GitHub
// takes its own time from the label to the webhook; the simulated one takes it from the
// same processors.
func BenchmarkStop(b *testing.B) {
	for _, c := range []struct{ repositories, each, waiting int }{{1, 1, 0}, {1, 1, 1300}, {500, 20, 0}} {
		b.Run(fmt.Sprintf("open=%d/waiting=%d", c.repositories*c.each, c.waiting), func(b *testing.B) {
			for b.Loop() {
				w, config := unjudgedProcessWorld(b, githubsim.Options{})
				w.github.SetRateLimit(w.installation.ID(), 10_000_000, time.Now().Add(time.Hour))
				w.github.SetGraphQLRateLimit(w.installation.ID(), 10_000_000, time.Now().Add(time.Hour))
				w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 32})
				floor := w.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
				floor.SetRole(w.github.User("ann"), "triage")
				var pulls []*githubsim.PullRequest
				for i := range c.repositories {
					repository := w.acme.CreateRepository(fmt.Sprintf("service-%d", i), map[string]string{"README.md": "# A service\n"})
					repository.SetRole(w.github.User("ann"), "write")
					pulls = append(pulls, smallPulls(b, w, repository, c.each)...)
				}
				queued := smallPulls(b, w, w.shop, c.waiting)
				p := serveBinary(b, config)
				w.hook.SetWebhookURL(p.url)
				for _, pr := range append(pulls, queued...) {
					eventually(b, "it has its check", func() bool { return len(pr.Repository().CheckRuns(pr.HeadSHA())) > 0 })
				}
				w.github.SetLatency(stopLatency)
				for _, pr := range queued {
					reject(b, w, pr)
				}
				eventually(b, "all webhooks are kept", func() bool {
					return !slices.ContainsFunc(w.github.Deliveries(), func(d githubsim.Delivery) bool { return d.Event == "pull_request_review" && d.StatusCode == 0 })
				})
				b.ReportMetric(float64(waiting(queued)), "waiting")
				w.github.ResetRequests()
				began := time.Now()
				if _, err := floor.OpenIssue(w.github.User("ann"), "Stop", "", switchLabel); err != nil {
					b.Fatal(err)
				}
				took := locked(b, w, pulls[0], began)
				eventually(b, "the webhook is answered", func() bool { return !sent(w).IsZero() })
				if firstLockCall(w).Before(sent(w)) {
					b.Fatal("a sweep happened to find the label before GitHub told of it: that is not what is measured here, run it again")
				}
				b.ReportMetric(float64((took - sent(w).Sub(began)).Milliseconds()), "ms-to-locked(goal<150)")
				b.ReportMetric(float64(took.Milliseconds()), "ms-from-label")
				eventually(b, "the lock is read back", func() bool { return lockCalls(w) >= 2 })
				b.ReportMetric(float64(lockCalls(w)), "calls(goal<=2)")
				p.terminate()
			}
		})
	}
}

// sent is when GitHub began to send the first webhook about an issue.
func sent(w *world) (at time.Time) {
	for _, d := range w.github.Deliveries() {
		if d.Event == "issues" && (at.IsZero() || d.DeliveredAt.Before(at)) {
			at = d.DeliveredAt
		}
	}
	return at
}

// waiting counts the pull requests whose check does not show yet that they are rejected.
func waiting(queued []*githubsim.PullRequest) (n int) {
	for _, pr := range queued {
		if runs := pr.Repository().CheckRuns(pr.HeadSHA()); !rejected(runs[len(runs)-1]) {
			n++
		}
	}
	return n
}

// lockCalls counts the calls that flip the lock and read it back.
func lockCalls(w *world) (calls int) {
	for _, r := range w.github.Requests() {
		if isLockCall(r) {
			calls++
		}
	}
	return calls
}

// firstLockCall is when the first of them began.
func firstLockCall(w *world) (at time.Time) {
	for _, r := range w.github.Requests() {
		if isLockCall(r) && (at.IsZero() || r.StartedAt.Before(at)) {
			at = r.StartedAt
		}
	}
	return at
}

func isLockCall(r githubsim.Request) bool {
	return strings.Contains(r.Path, "/rules/branches/") || strings.Contains(r.Path, "/rulesets") && r.Method != http.MethodGet
}

// BenchmarkBreakGlass is the time from the command on the command line to the moment
// from which GitHub merges nothing in the repository, with a database that knows it.
func BenchmarkBreakGlass(b *testing.B) {
	for b.Loop() {
		w, config := unjudgedProcessWorld(b, githubsim.Options{})
		pulls := smallPulls(b, w, w.shop, 1)
		p := serveBinary(b, config)
		w.hook.SetWebhookURL(p.url)
		eventually(b, "it has its check", func() bool { return len(w.shop.CheckRuns(pulls[0].HeadSHA())) > 0 })
		p.terminate()
		w.github.SetLatency(stopLatency)
		w.github.ResetRequests()
		began, told := time.Now(), make(chan int, 1)
		go func() {
			told <- Main(b.Context(), []string{"killswitch", "on", "--config", config, "--scope", "acme/shop", "--reason", "a token leaked"}, Stdio{Out: io.Discard, Err: os.Stderr})
		}()
		took := locked(b, w, pulls[0], began)
		if code := <-told; code != exitOK {
			b.Fatalf("exit %d", code)
		}
		b.ReportMetric(float64(took.Milliseconds()), "ms-to-locked(goal<150)")
		// The label is looked for beside it.
		inTheWay := lockCalls(w) - 1 // the last reads it back
		for _, r := range w.github.Requests() {
			if strings.HasSuffix(r.Path, "/access_tokens") {
				inTheWay++
			}
		}
		b.ReportMetric(float64(inTheWay), "calls-until-locked(goal<=2)")
	}
}

// fastClock runs faster than the machine's.
type fastClock struct {
	began time.Time
	times int64
}

func (c fastClock) now() time.Time {
	return c.began.Add(time.Duration(c.times) * time.Since(c.began))
}

// BenchmarkSoftLock makes the checks of 10,000 open pull requests red under the limits
// that GitHub documents, by a clock that runs five times as fast, with the server
// stopped in the middle and started again three times.
func BenchmarkSoftLock(b *testing.B) {
	const repositories, each, greens, fast = 500, 20, 100, 5
	for b.Loop() {
		c := fastClock{time.Now(), fast}
		w, err := newWorld(b.Context(), "sqlite:"+b.TempDir()+"/p.db", Options{quiet: true, Now: c.now, tokenNow: time.Now, Log: zerolog.Nop()})
		if err != nil {
			b.Fatal(err)
		}
		far := c.now().Add(24 * time.Hour)
		w.github.SetRateLimit(w.installation.ID(), 10_000_000, far)
		w.github.SetGraphQLRateLimit(w.installation.ID(), 10_000_000, far)
		w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 32})
		floor := w.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
		floor.SetRole(w.github.User("ann"), "triage")
		var pulls, green []*githubsim.PullRequest
		for i := range repositories {
			repository := w.acme.CreateRepository(fmt.Sprintf("service-%d", i), map[string]string{"README.md": "# A service\n"})
			repository.SetRole(w.github.User("ann"), "write")
			n := each
			if i < greens {
				n--
				green = append(green, typo(b, w, repository))
			}
			pulls = append(pulls, smallPulls(b, w, repository, n)...)
		}
		pulls = append(pulls, green...)
		for _, pr := range pulls {
			for len(pr.Repository().CheckRuns(pr.HeadSHA())) == 0 {
				<-time.After(5 * time.Millisecond)
			}
		}
		if err := w.settle(b.Context()); err != nil {
			b.Fatal(err)
		}
		limits := githubsim.DocumentedLimits()
		limits.Content, limits.ContentAnHour = 0, 0 // what is written are checks that are there
		w.github.SetSecondaryLimits(limits)
		w.github.ResetRequests()
		began := c.now()
		if _, err := floor.OpenIssue(w.github.User("ann"), "Stop", "", switchLabel); err != nil {
			b.Fatal(err)
		}
		red := func(list []*githubsim.PullRequest) (n int) {
			for _, pr := range list {
				if runs := pr.Repository().CheckRuns(pr.HeadSHA()); strings.HasPrefix(runs[len(runs)-1].Title, "stopped") {
					n++
				}
			}
			return n
		}
		greenAfter, kills := time.Duration(0), 0
		for n := 0; n < len(pulls); n = red(pulls) {
			if greenAfter == 0 && red(green) == len(green) {
				greenAfter = c.now().Sub(began)
			}
			if kills < 3 && n > len(pulls)*(kills+1)/4 {
				kills++
				over, cancel := context.WithCancel(context.Background())
				cancel()
				_ = w.server.Stop(over) // what was under way is broken off
				if err := w.serve(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if c.now().Sub(began) > 3*time.Hour {
				b.Fatalf("%d of %d are red after three hours", n, len(pulls))
			}
			<-time.After(50 * time.Millisecond)
		}
		took := c.now().Sub(began)
		writes, refused := 0, 0
		for _, r := range w.github.Requests() {
			if r.Method == http.MethodPatch && strings.Contains(r.Path, "/check-runs/") {
				writes++
			}
			if r.Status == http.StatusForbidden || r.Status == http.StatusTooManyRequests {
				refused++
			}
		}
		b.ReportMetric(float64(refused), "refused(goal=0)")
		b.ReportMetric(100*float64(len(pulls))/(180*took.Minutes()), "%of-pace(goal>=90)")
		b.ReportMetric(float64(writes-len(pulls)), "writes-too-many")
		b.ReportMetric(greenAfter.Seconds(), "s-until-no-green")
		b.ReportMetric(took.Minutes(), "min-until-all")
		if err := w.stop(b.Context()); err != nil {
			b.Error(err)
		}
	}
}

// typo opens a pull request that nobody has to approve.
func typo(b *testing.B, w *world, repository *githubsim.Repository) *githubsim.PullRequest {
	b.Helper()
	ann := w.github.User("ann")
	if _, err := repository.Push(ann, "typo", githubsim.Commit{Message: "typo", Files: map[string]string{"README.md": "# The service\n"}}); err != nil {
		b.Fatal(err)
	}
	pr, err := repository.Open(ann, githubsim.PullRequestSpec{Title: "Typo", Head: "typo"})
	if err != nil {
		b.Fatal(err)
	}
	return pr
}
