package githubsim_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Semantic 29: pages of 30, at most 100, with Link targets that are numbered and served.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	for i := range 101 {
		_, err := p.Comment(w.alice, fmt.Sprint(i))
		must(t, err)
	}
	auth := w.bearer(w.alice)
	path := fmt.Sprintf("/repos/acme/castle/issues/%d/comments", p.Number())
	resp, out := w.do("GET", path, auth, "")
	equal(t, "default", len(out.([]any)), 30)
	link := resp.Header.Get("Link")
	if !strings.Contains(link, fmt.Sprintf("/api/v3/repositories/%d/issues/1/comments?page=2>; rel=\"next\"", w.repo.ID())) || !strings.Contains(link, `page=4>; rel="last"`) || strings.Contains(link, "prev") {
		t.Fatalf("first Link is %s", link)
	}
	resp, out = w.do("GET", path+"?per_page=1000&page=2", auth, "")
	equal(t, "second page of 100", len(out.([]any)), 1)
	if link = resp.Header.Get("Link"); !strings.Contains(link, `rel="prev"`) || !strings.Contains(link, `rel="first"`) || strings.Contains(link, `rel="next"`) {
		t.Fatalf("last Link is %s", link)
	}
	_, out = w.do("GET", path+"?page=9", auth, "")
	equal(t, "beyond the end", len(out.([]any)), 0)
	resp, _ = w.do("GET", "/repos/acme/castle/labels", auth, "")
	equal(t, "one page", resp.Header.Get("Link"), "")

	total := 0
	options := &github.IssueListCommentsOptions{}
	for {
		list, resp, err := w.gh.Issues.ListComments(ctx, "acme", "castle", 1, options)
		must(t, err)
		total += len(list)
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	equal(t, "all pages", total, 101)
	_, out = w.do("GET", fmt.Sprintf("/repositories/%d/issues/1/comments?page=4", w.repo.ID()), auth, "")
	equal(t, "by number", len(out.([]any)), 11)
}

// The list of a pull request's files stops at 3,000, that of its commits at 250.
func TestLongPullRequest(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 3001 {
		files[fmt.Sprintf("f%04d", i)] = "x\n"
	}
	commits := []githubsim.Commit{{Files: files}}
	for i := range 250 {
		commits = append(commits, githubsim.Commit{Message: fmt.Sprint(i), Files: map[string]string{"n": fmt.Sprint(i)}})
	}
	_, err := w.repo.Push(w.alice, "long", commits...)
	must(t, err)
	_, err = w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Long", Head: "long"})
	must(t, err)
	p, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "changed_files", p.GetChangedFiles(), 3002)
	equal(t, "commits", p.GetCommits(), 251)
	list, resp, err := w.gh.PullRequests.ListFiles(ctx, "acme", "castle", 1, &github.ListOptions{PerPage: 100, Page: 30})
	must(t, err)
	equal(t, "page 30", len(list), 100)
	equal(t, "page 31", resp.NextPage, 0)
	some, resp, err := w.gh.PullRequests.ListCommits(ctx, "acme", "castle", 1, &github.ListOptions{PerPage: 100, Page: 3})
	must(t, err)
	equal(t, "commits on page 3", len(some), 50)
	equal(t, "page 4", resp.NextPage, 0)
}

// Semantic 30: weak ETags that differ per token; a 304 is not billed.
func TestConditionalRequests(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	path := "/repos/acme/castle/pulls/1"
	resp, _ := w.do("GET", path, w.bearer(w.alice), "")
	tag := resp.Header.Get("ETag")
	if !strings.HasPrefix(tag, `W/"`) {
		t.Fatalf("ETag %q is not weak", tag)
	}
	equal(t, "Cache-Control", resp.Header.Get("Cache-Control"), "private, max-age=60, s-maxage=60")
	equal(t, "Vary", resp.Header.Get("Vary"), "Accept, Authorization, Cookie, X-GitHub-OTP")
	used := resp.Header.Get("X-RateLimit-Used")
	resp, out := w.do("GET", path, w.bearer(w.alice), "", "If-None-Match", tag)
	equal(t, "same", resp.StatusCode, 304)
	equal(t, "body", out, nil)
	equal(t, "not billed", resp.Header.Get("X-RateLimit-Used"), used)
	resp, _ = w.do("GET", path, w.bearer(w.bob), "", "If-None-Match", tag)
	equal(t, "another token", resp.StatusCode, 200)
	must(t, p.SetTitle(w.alice, "Better"))
	resp, _ = w.do("GET", path, w.bearer(w.alice), "", "If-None-Match", tag)
	equal(t, "changed", resp.StatusCode, 200)
	log := w.sim.Requests()
	equal(t, "log", fmt.Sprint(log[1].Method, log[1].Path, log[1].Status, log[1].Billed, log[1].Login), "GET"+path+"304 falsealice")
	w.sim.ResetRequests()
	equal(t, "log after reset", len(w.sim.Requests()), 0)
}

// Semantic 31: an exhausted primary limit is a 403 with remaining 0 until reset.
func TestPrimaryLimit(t *testing.T) {
	w := newWorld(t)
	w.sim.SetRateLimit(w.install.ID(), 1, w.clock.Now().Add(20*time.Second))
	_, resp, err := w.gh.Repositories.Get(ctx, "acme", "castle")
	must(t, err)
	equal(t, "remaining", resp.Rate.Remaining, 0)
	resp2, out := w.do("GET", "/rate_limit", "", "")
	equal(t, "rate_limit is free", resp2.StatusCode, 200)
	equal(t, "anonymous limit", at(out, "rate", "limit"), any(60.0))
	_, _, err = w.gh.Issues.ListByRepo(ctx, "acme", "castle", nil)
	if _, ok := errors.AsType[*github.RateLimitError](err); !ok {
		t.Fatalf("got %v, want a rate limit error", err)
	}
	w.clock.advance(30 * time.Second)
	_, out = w.do("GET", "/repos/acme/castle", w.bearer(w.alice), "")
	equal(t, "others go on", at(out, "name"), any("castle"))
	again := w.client(w.app, w.install) // go-github remembers the reset by the real clock
	_, resp, err = again.Repositories.Get(ctx, "acme", "castle")
	must(t, err)
	equal(t, "limit after reset", resp.Rate.Remaining, 4999)
}

// Semantic 32: every failure, with and without its effect.
func TestFaults(t *testing.T) {
	comments := regexp.MustCompile(`^/repos/acme/castle/issues/1/comments$`)
	for _, status := range []int{0, 403, 404, 429, 500, 502, 503} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d after=%v", status, after), func(t *testing.T) {
				w := newWorld(t)
				p := w.pull("topic")
				w.sim.Inject(githubsim.Fault{Method: "POST", Path: comments, After: after, Status: status, Times: 1, Header: map[string]string{"Retry-After": "7"}})
				comment := func() error {
					_, _, err := w.as(w.alice).Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("hi")})
					return err
				}
				err := comment()
				if err == nil {
					t.Fatal("no failure")
				}
				if status != 0 {
					refused(t, err, status, "")
				}
				want := 0
				if after {
					want = 1
				}
				equal(t, "comments", len(p.Comments()), want)
				must(t, comment())
				equal(t, "comments after trying again", len(p.Comments()), want+1)
				equal(t, "status in the log", w.sim.Requests()[0].Status, status)
			})
		}
	}
}

// Faults are asked in order, can let some pass, cut GETs for good, and can be taken away.
func TestFaultOrder(t *testing.T) {
	w := newWorld(t)
	get := func() int {
		resp, _ := w.do("GET", "/repos/acme/castle", w.bearer(w.alice), "")
		return resp.StatusCode
	}
	first := w.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/api/v3/repos/`), Status: 500, Skip: 1})
	second := w.sim.Inject(githubsim.Fault{Status: 502, Times: 1, Body: `{"message":"mine"}`})
	equal(t, "skipped by the first", get(), 502)
	equal(t, "the first", get(), 500)
	equal(t, "the first again", get(), 500)
	first()
	first()
	equal(t, "removed", get(), 200)
	second()
	w.sim.Inject(githubsim.Fault{Method: "GET", Times: 1})
	client := w.as(w.alice)
	if _, _, err := client.Repositories.Get(ctx, "acme", "castle"); err == nil {
		t.Fatal("a cut went unnoticed")
	}
	_, _, err := client.Repositories.Get(ctx, "acme", "castle")
	must(t, err)
}

// Before makes a race: a label comes between the App's decision and its write.
func TestBefore(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	remove := w.sim.Before("POST", regexp.MustCompile(`/check-runs$`), func() {
		if err := p.AddLabel(w.bob, "killswitch"); err != nil {
			t.Error(err)
		}
	})
	w.check(w.gh, p.HeadSHA(), "gate", "success")
	equal(t, "label", strings.Join(p.Labels(), ","), "killswitch")
	must(t, p.RemoveLabel(w.bob, "killswitch"))
	remove()
	w.check(w.gh, p.HeadSHA(), "gate", "success")
	equal(t, "labels", len(p.Labels()), 0)
}

// Latency is kept, and Close does not wait for it.
func TestLatency(t *testing.T) {
	w := newWorld(t)
	w.sim.SetLatency(30 * time.Millisecond)
	start := time.Now()
	w.do("GET", "/meta", "", "")
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Fatalf("took %v", took)
	}
	w.sim.SetLatency(time.Hour)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = w.as(w.alice).Repositories.Get(ctx, "acme", "castle")
	}()
	w.sim.Close()
	<-done
}

// Every act has its own second, later than the one before.
func TestTimesIncrease(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	for range 5 {
		_, err := p.Comment(w.alice, "hi")
		must(t, err)
	}
	list := p.Comments()
	if !slices.IsSortedFunc(list, func(a, b githubsim.Comment) int {
		if a.CreatedAt.Before(b.CreatedAt) {
			return -1
		}
		return 1
	}) || list[0].CreatedAt.Nanosecond() != 0 {
		t.Fatalf("times are %v", list)
	}
}
