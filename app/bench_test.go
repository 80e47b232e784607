package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// benchWorld is a world with pull requests that wait for a peer, and a GitHub
// that takes its time.
func benchWorld(b *testing.B, pulls int, latency time.Duration) (*world, []*githubsim.PullRequest) {
	b.Helper()
	w, err := newWorld(b.Context(), "sqlite:"+b.TempDir()+"/portcullis.db", Options{Log: zerolog.New(io.Discard).Level(zerolog.Disabled)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.stop(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	w.github.SetRateLimit(w.installation.ID(), 1_000_000, time.Now().Add(time.Hour))
	w.github.SetGraphQLRateLimit(w.installation.ID(), 1_000_000, time.Now().Add(time.Hour))
	list := make([]*githubsim.PullRequest, pulls)
	for i := range list {
		list[i] = benchPull(b, w, fmt.Sprintf("topic-%d", i))
	}
	if err := w.settle(b.Context()); err != nil {
		b.Fatal(err)
	}
	w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 16})
	w.github.SetLatency(latency)
	return w, list
}

// benchPull is the typical pull request: 5 files, 3 commits, 4 comments, a review.
func benchPull(b *testing.B, w *world, branch string) *githubsim.PullRequest {
	b.Helper()
	ann, bob := w.github.User("ann"), w.github.User("bob")
	for i := range 3 {
		files := map[string]string{fmt.Sprintf("catalogue/%s-%d.go", branch, i): "package catalogue\n"}
		if i < 2 {
			files[fmt.Sprintf("api/%s-%d.go", branch, i)] = "package api\n"
		}
		if _, err := w.shop.Push(ann, branch, githubsim.Commit{Message: "part", Files: files}); err != nil {
			b.Fatal(err)
		}
	}
	pr, err := w.shop.Open(ann, githubsim.PullRequestSpec{Title: branch, Head: branch, Base: "main"})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 4 {
		if _, err := pr.Comment(bob, fmt.Sprintf("thought %d", i)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := pr.Review(bob, "COMMENT", "looks fine"); err != nil {
		b.Fatal(err)
	}
	return pr
}

// green reports whether the head's check is.
func green(w *world, pr *githubsim.PullRequest) bool {
	runs := w.shop.CheckRuns(pr.HeadSHA())
	return len(runs) > 0 && runs[len(runs)-1].Conclusion == "success"
}

// BenchmarkWebhookToCheck is the time from an approving review to the green
// check, with 50 ms for each call to GitHub.
func BenchmarkWebhookToCheck(b *testing.B) {
	w, pulls := benchWorld(b, 20, 50*time.Millisecond)
	lee := w.github.User("lee")
	var took []time.Duration
	for b.Loop() {
		if len(took) == len(pulls) {
			b.StopTimer()
			more, err := w.more(b, 20)
			if err != nil {
				b.Fatal(err)
			}
			pulls = append(pulls, more...)
			b.StartTimer()
		}
		pr := pulls[len(took)]
		begin := time.Now()
		if _, err := pr.Review(lee, "APPROVE", ""); err != nil {
			b.Fatal(err)
		}
		if err := w.settle(b.Context()); err != nil || !green(w, pr) {
			b.Fatalf("%d is not green: %v", pr.Number(), err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/max")
}

func (w *world) more(b *testing.B, n int) ([]*githubsim.PullRequest, error) {
	w.github.SetLatency(0)
	var list []*githubsim.PullRequest
	for range n {
		list = append(list, benchPull(b, w, fmt.Sprintf("more-%d", time.Now().UnixNano())))
	}
	err := w.settle(b.Context())
	w.github.SetLatency(50 * time.Millisecond)
	return list, err
}

// BenchmarkDecisions approves many pull requests at once and counts how many are
// decided in a second, and what processor time each takes, the simulated GitHub's
// included. None is lost: it waits until each check is green.
func BenchmarkDecisions(b *testing.B) {
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		b.Run(latency.String(), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				const events = 500
				w, pulls := benchWorld(b, events, latency)
				lee := w.github.User("lee")
				w.github.ResetRequests()
				used := processorTime()
				b.StartTimer()
				begin := time.Now()
				for _, pr := range pulls {
					if _, err := pr.Review(lee, "APPROVE", ""); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.settle(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				took := time.Since(begin)
				for _, pr := range pulls {
					if !green(w, pr) {
						b.Fatalf("%d was lost", pr.Number())
					}
				}
				b.ReportMetric(events/took.Seconds(), "decisions/s")
				b.ReportMetric(float64((processorTime()-used).Microseconds())/1000/events, "cpu-ms/decision")
				calls := 0
				for _, r := range w.github.Requests() {
					if r.AppID == w.hook.ID() {
						calls++
					}
				}
				b.ReportMetric(float64(calls)/events, "calls/decision")
				b.StartTimer()
			}
		})
	}
}

// processorTime is what the process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
