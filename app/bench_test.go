package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// benchWorld is the built binary and a GitHub that takes its time.
type benchWorld struct {
	*world
	app    *replica
	opened int
}

func newBenchWorld(b *testing.B) *benchWorld {
	b.Helper()
	w, config := unjudgedProcessWorld(b, githubsim.Options{})
	w.github.SetRateLimit(w.installation.ID(), 1_000_000, time.Now().Add(time.Hour))
	w.github.SetGraphQLRateLimit(w.installation.ID(), 1_000_000, time.Now().Add(time.Hour))
	w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 16})
	bw := &benchWorld{world: w, app: serveBinary(b, config)}
	w.hook.SetWebhookURL(bw.app.url)
	return bw
}

// open opens pull requests and waits until each waits for a peer, and nothing is
// left to do. From then on each call to GitHub takes the latency.
func (bw *benchWorld) open(b *testing.B, n int, latency time.Duration) []*githubsim.PullRequest {
	b.Helper()
	bw.github.SetLatency(0)
	list := make([]*githubsim.PullRequest, n)
	for i := range list {
		bw.opened++
		list[i] = benchPull(b, bw.world, fmt.Sprintf("topic-%d", bw.opened))
	}
	for _, pr := range list {
		eventually(b, "a pull request has its check", func() bool { return len(bw.shop.CheckRuns(pr.HeadSHA())) > 0 })
	}
	for used := time.Duration(-1); used != bw.app.processorTime(); {
		used = bw.app.processorTime()
		<-time.After(200 * time.Millisecond)
	}
	bw.github.SetLatency(latency)
	return list
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
	const latency = 50 * time.Millisecond
	bw := newBenchWorld(b)
	pulls := bw.open(b, 20, latency)
	lee := bw.github.User("lee")
	var took []time.Duration
	for b.Loop() {
		if len(took) == len(pulls) {
			b.StopTimer()
			pulls = append(pulls, bw.open(b, 20, latency)...)
			b.StartTimer()
		}
		pr := pulls[len(took)]
		begin := time.Now()
		if _, err := pr.Review(lee, "APPROVE", ""); err != nil {
			b.Fatal(err)
		}
		eventually(b, "the check is green", func() bool { return green(bw.world, pr) })
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/max")
}

// BenchmarkDecisions approves many pull requests at once and counts how many are
// decided in a second, and what processor time the App takes for each; the
// simulated GitHub and the sender take the rest of the machine. None is lost: it
// waits until each check is green.
func BenchmarkDecisions(b *testing.B) {
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		b.Run(latency.String(), func(b *testing.B) {
			const events = 500
			for b.Loop() {
				b.StopTimer()
				bw := newBenchWorld(b)
				lee := bw.github.User("lee")
				pulls := bw.open(b, events, latency)
				bw.github.ResetRequests()
				used := bw.app.processorTime()
				b.StartTimer()
				begin := time.Now()
				for _, pr := range pulls {
					if _, err := pr.Review(lee, "APPROVE", ""); err != nil {
						b.Fatal(err)
					}
				}
				for _, pr := range pulls {
					eventually(b, "the check is green", func() bool { return green(bw.world, pr) })
				}
				took := time.Since(begin)
				b.StopTimer()
				b.ReportMetric(events/took.Seconds(), "decisions/s")
				b.ReportMetric(float64((bw.app.processorTime()-used).Microseconds())/1000/events, "app-cpu-ms/decision")
				calls := 0
				for _, r := range bw.github.Requests() {
					if r.AppID == bw.hook.ID() {
						calls++
					}
				}
				b.ReportMetric(float64(calls)/events, "calls/decision")
				bw.app.kill()
				b.StartTimer()
			}
		})
	}
}
