package app

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/postgrestest"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
)

// The figures below are printed beside the goal, in the unit's name.

// onEachStore runs the benchmark with a database of each kind.
func onEachStore(b *testing.B, bench func(b *testing.B, databaseURL string)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, "sqlite:"+filepath.Join(b.TempDir(), "portcullis.db")) })
	b.Run("postgres", func(b *testing.B) { bench(b, postgrestest.Start(b).Database(b)) })
}

// BenchmarkAcknowledge is how fast webhooks of real size are kept, each on the
// disk before it is answered, with 64 senders on the same two cores.
func BenchmarkAcknowledge(b *testing.B) {
	payloads := samplePayloads(b, 50)
	onEachStore(b, func(b *testing.B, databaseURL string) {
		inbox, err := store.Open(b.Context(), databaseURL, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		defer inbox.Close()
		door, err := handlers.New(handlers.Config{Secret: demoSecret, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Inbox: inbox, Log: zerolog.Nop()})
		if err != nil {
			b.Fatal(err)
		}
		server := httptest.NewServer(door)
		defer server.Close()
		const senders = 64
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
		defer client.CloseIdleConnections()
		next, took := make(chan int), make([]time.Duration, b.N)
		var all sync.WaitGroup
		for range senders {
			all.Go(func() {
				for i := range next {
					began := time.Now()
					if status := post(b, client, server.URL, fmt.Sprint("d-", i), payloads[i%len(payloads)]); status != http.StatusAccepted {
						b.Errorf("answered %d", status)
					}
					took[i] = time.Since(began)
				}
			})
		}
		b.ResetTimer()
		for i := range b.N {
			next <- i
		}
		close(next)
		all.Wait()
		slices.Sort(took)
		goal := "acks/s(goal>2000)"
		if strings.HasPrefix(databaseURL, "postgres") {
			goal = "acks/s(goal>1500)"
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), goal)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99(goal<60)")
	})
}

// webhook is a webhook's payload with its signature.
type webhook struct {
	body      []byte
	signature string
}

// samplePayloads are webhooks about as many pull requests, as GitHub words them.
func samplePayloads(b *testing.B, n int) []webhook {
	b.Helper()
	w, _ := unjudgedProcessWorld(b, githubsim.Options{})
	pulls := smallPulls(b, w, w.shop, n)
	w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(githubsim.Delivery) bool { return true }})
	w.hook.SetWebhookURL("http://127.0.0.1:1")
	var payloads []webhook
	for _, pr := range pulls {
		if _, err := pr.Review(w.github.User("lee"), "APPROVE", ""); err != nil {
			b.Fatal(err)
		}
		deliveries := w.github.Deliveries()
		body := deliveries[len(deliveries)-1].Payload
		mac := hmac.New(sha256.New, []byte(demoSecret))
		mac.Write(body)
		payloads = append(payloads, webhook{body, "sha256=" + hex.EncodeToString(mac.Sum(nil))})
	}
	return payloads
}

func post(b *testing.B, client *http.Client, url, id string, payload webhook) int {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(payload.body))
	if err != nil {
		b.Error(err)
		return 0
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "pull_request_review", "X-GitHub-Delivery": id, "X-Hub-Signature-256": payload.signature,
	} {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		b.Error(err)
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// smallPulls opens pull requests of one file each, which nobody hears of.
func smallPulls(b *testing.B, w *world, repository *githubsim.Repository, n int) []*githubsim.PullRequest {
	b.Helper()
	ann := w.github.User("ann")
	list := make([]*githubsim.PullRequest, n)
	for i := range list {
		branch := fmt.Sprintf("small-%d", i)
		files := map[string]string{fmt.Sprintf("auth/%s.go", branch): "package auth\n"}
		if _, err := repository.Push(ann, branch, githubsim.Commit{Message: branch, Files: files}); err != nil {
			b.Fatal(err)
		}
		pr, err := repository.Open(ann, githubsim.PullRequestSpec{Title: branch, Head: branch, Base: "main"})
		if err != nil {
			b.Fatal(err)
		}
		list[i] = pr
	}
	return list
}

// BenchmarkIdle is what the App costs while nothing happens.
func BenchmarkIdle(b *testing.B) {
	onEachStore(b, func(b *testing.B, databaseURL string) {
		w, config := unjudgedProcessWorld(b, githubsim.Options{})
		b.Setenv("PORTCULLIS_DATABASE_URL", databaseURL)
		p := serveBinary(b, config)
		w.hook.SetWebhookURL(p.url)
		<-time.After(5 * time.Second) // the sweeps of the start
		for b.Loop() {
			began, used := time.Now(), p.processorTime()
			<-time.After(20 * time.Second)
			b.ReportMetric(100*float64(p.processorTime()-used)/float64(time.Since(began)), "%core(goal<5)")
			b.ReportMetric(float64(p.peakMemory())/(1<<20), "MB(goal<64)")
		}
	})
}

// BenchmarkLoad sends 100 events a second for a minute, each about another pull
// request, and then as many at once as come in 20 seconds. Each call to GitHub
// takes 50 ms.
func BenchmarkLoad(b *testing.B) {
	const rate, seconds, burst = 100, 60, 2000
	onEachStore(b, func(b *testing.B, databaseURL string) {
		for b.Loop() {
			w, config := unjudgedProcessWorld(b, githubsim.Options{})
			w.github.SetRateLimit(w.installation.ID(), 10_000_000, time.Now().Add(time.Hour))
			w.github.SetGraphQLRateLimit(w.installation.ID(), 10_000_000, time.Now().Add(time.Hour))
			w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 32})
			pulls := smallPulls(b, w, w.shop, rate*seconds+burst)
			b.Setenv("PORTCULLIS_DATABASE_URL", databaseURL)
			p := serveBinary(b, config)
			w.hook.SetWebhookURL(p.url)
			decided(b, w, "the first look at each is over", pulls, func(c githubsim.CheckRun) bool { return true })
			w.github.SetLatency(50 * time.Millisecond)
			w.github.ResetRequests()

			steady, rest := pulls[:rate*seconds], pulls[rate*seconds:]
			began := time.Now()
			for i, pr := range steady {
				<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / rate)))
				reject(b, w, pr)
			}
			sent := time.Now()
			decided(b, w, "each is decided", steady, rejected)
			b.ReportMetric(time.Since(sent).Seconds(), "s-behind(goal<1)")

			began = time.Now()
			for _, pr := range rest {
				reject(b, w, pr)
			}
			decided(b, w, "each of the burst is decided", rest, rejected)
			b.ReportMetric(burst/time.Since(began).Seconds(), "decisions/s-in-burst")
			b.ReportMetric(float64(refused(w)), "refused(goal=0)")
			b.ReportMetric(float64(p.peakMemory())/(1<<20), "MB(goal<300)")
			p.terminate()
		}
	})
}

func reject(b *testing.B, w *world, pr *githubsim.PullRequest) {
	b.Helper()
	if _, err := pr.Review(w.github.User("lee"), "REQUEST_CHANGES", "no"); err != nil {
		b.Fatal(err)
	}
}

func rejected(c githubsim.CheckRun) bool { return c.Conclusion == "failure" }

// decided waits until the newest check of each pull request is as it should be.
func decided(b *testing.B, w *world, what string, pulls []*githubsim.PullRequest, is func(githubsim.CheckRun) bool) {
	b.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for _, pr := range pulls {
		for {
			runs := w.shop.CheckRuns(pr.HeadSHA())
			if len(runs) > 0 && is(runs[len(runs)-1]) {
				break
			}
			if time.Now().After(deadline) {
				b.Fatalf("not so after five minutes: %s", what)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
}

// refused counts deliveries that were not answered with 202.
func refused(w *world) int {
	n := 0
	for _, d := range w.github.Deliveries() {
		if d.Attempts > 0 && d.StatusCode != http.StatusAccepted {
			n++
		}
	}
	return n
}

// BenchmarkResync finds 10,000 open pull requests in 500 repositories that no
// webhook told of.
func BenchmarkResync(b *testing.B) {
	const repositories, each = 500, 20
	for b.Loop() {
		w, config := unjudgedProcessWorld(b, githubsim.Options{})
		w.github.SetRateLimit(w.installation.ID(), 10_000_000, time.Now().Add(time.Hour))
		w.github.SetGraphQLRateLimit(w.installation.ID(), 10_000_000, time.Now().Add(time.Hour))
		pulls := map[*githubsim.Repository][]*githubsim.PullRequest{}
		for i := range repositories {
			repository := w.acme.CreateRepository(fmt.Sprintf("service-%d", i), map[string]string{"README.md": "# A service\n"})
			repository.SetRole(w.github.User("ann"), "write")
			pulls[repository] = smallPulls(b, w, repository, each)
		}
		began := time.Now()
		p := serveBinary(b, config)
		deadline := time.Now().Add(10 * time.Minute)
		for repository, list := range pulls {
			for _, pr := range list {
				for len(repository.CheckRuns(pr.HeadSHA())) == 0 {
					if time.Now().After(deadline) {
						b.Fatal("not every pull request has a check after ten minutes")
					}
					<-time.After(20 * time.Millisecond)
				}
			}
		}
		points, queries := 0, 0
		var over time.Time
		for _, r := range w.github.Requests() {
			if r.Operation == "OpenPullRequests" {
				points += r.Points
				queries++
				over = r.StartedAt
			}
		}
		b.ReportMetric(float64(points), "points(goal<=250)")
		b.ReportMetric(float64(queries), "queries")
		b.ReportMetric(over.Sub(began).Seconds(), "s-to-list")
		b.ReportMetric(time.Since(began).Seconds(), "s-to-evaluate-all")
		b.ReportMetric(float64(p.peakMemory())/(1<<20), "MB(goal<300)")
		p.terminate()
	}
}
