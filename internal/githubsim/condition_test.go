package githubsim_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// A client that says when it last looked is told that nothing changed, for free.
func TestIfModifiedSince(t *testing.T) {
	for _, path := range []string{"/repos/acme/castle/pulls/1", "/repos/acme/castle/issues/1"} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t)
			p := w.pull("topic")
			resp, out := w.do(http.MethodGet, path, w.bearer(w.bob), "")
			since := resp.Header.Get("Last-Modified")
			at, err := http.ParseTime(since)
			must(t, err)
			equal(t, "Last-Modified", at.Format("2006-01-02T15:04:05Z"), out.(map[string]any)["updated_at"].(string))
			ask := func(u *githubsim.User, headers ...string) int {
				resp, _ := w.do(http.MethodGet, path, w.bearer(u), "", headers...)
				return resp.StatusCode
			}
			w.sim.ResetRequests()
			equal(t, "unchanged", ask(w.bob, "If-Modified-Since", since), 304)
			equal(t, "billed", w.sim.Requests()[0].Billed, false)
			equal(t, "whatever the token", ask(w.root, "If-Modified-Since", since), 304)
			equal(t, "a wrong tag goes first", ask(w.bob, "If-Modified-Since", since, "If-None-Match", `"x"`), 200)
			equal(t, "no date", ask(w.bob, "If-Modified-Since", "yesterday"), 200)
			must(t, p.AddLabel(w.bob, "security"))
			equal(t, "changed", ask(w.bob, "If-Modified-Since", since), 200)
		})
	}
}

// The SHA of a ref, asked for by media type, is its own tag, for any token; all other tags are their token's.
func TestSHAOfRef(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	const path = "/repos/acme/castle/commits/topic"
	ask := func(u *githubsim.User, tag string) *http.Response {
		resp, _ := w.do(http.MethodGet, path, w.bearer(u), "", "Accept", "application/vnd.github.sha", "If-None-Match", tag)
		return resp
	}
	sha, resp, err := w.gh.Repositories.GetCommitSHA1(ctx, "acme", "castle", "topic", "")
	must(t, err)
	equal(t, "SHA", sha, p.HeadSHA())
	equal(t, "tag", resp.Header.Get("ETag"), `"`+sha+`"`)
	equal(t, "type", resp.Header.Get("Content-Type"), "application/vnd.github.sha; charset=utf-8")
	_, _, err = w.gh.Repositories.GetCommitSHA1(ctx, "acme", "castle", "topic", sha)
	refused(t, err, 304, "")
	w.sim.ResetRequests()
	for _, u := range []*githubsim.User{w.bob, w.root} {
		equal(t, "known", ask(u, `"`+sha+`"`).StatusCode, 304)
		equal(t, "known, weakly", ask(u, `W/"`+sha+`"`).StatusCode, 304)
	}
	equal(t, "billed", w.sim.Requests()[3].Billed, false)
	_, err = w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "y"}})
	must(t, err)
	equal(t, "moved", ask(w.bob, `"`+sha+`"`).StatusCode, 200)

	whole, _ := w.do(http.MethodGet, path, w.bearer(w.bob), "")
	again, _ := w.do(http.MethodGet, path, w.bearer(w.bob), "", "If-None-Match", whole.Header.Get("ETag"))
	other, _ := w.do(http.MethodGet, path, w.bearer(w.root), "", "If-None-Match", whole.Header.Get("ETag"))
	equal(t, "other tags", fmt.Sprint(again.StatusCode, other.StatusCode), "304 200")
}

// Each mutation makes the simulator lie in its one way, and NoMutation ends it.
func TestMutations(t *testing.T) {
	mutate := func(t *testing.T, m githubsim.Mutation) (*world, *githubsim.PullRequest) {
		w := newWorld(t)
		p := w.pull("topic")
		w.sim.SetMutation(m)
		return w, p
	}
	t.Run("WrongAppOnRun", func(t *testing.T) {
		w, p := mutate(t, githubsim.WrongAppOnRun)
		w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"main"}, RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: w.app.ID()}}})
		run := w.check(w.gh, p.HeadSHA(), "portcullis", "success")
		if run.GetApp().GetID() == w.app.ID() || run.GetApp().GetSlug() == "" {
			t.Fatalf("the run is by %v", run.GetApp())
		}
		refused(t, p.Merge(w.bob), 405, "was not set by the expected GitHub App")
		_, _, err := w.gh.Checks.UpdateCheckRun(ctx, "acme", "castle", run.GetID(), github.UpdateCheckRunOptions{Name: "portcullis"})
		refused(t, err, 403, "Invalid app_id")
		w.sim.SetMutation(githubsim.NoMutation)
		equal(t, "mended", w.check(w.gh, p.HeadSHA(), "portcullis", "success").GetApp().GetID(), w.app.ID())
		must(t, p.Merge(w.bob))
	})
	t.Run("OldSHA", func(t *testing.T) {
		w, p := mutate(t, githubsim.OldSHA)
		was := p.HeadSHA()
		head, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "y"}})
		must(t, err)
		got, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
		must(t, err)
		equal(t, "read", got.GetHead().GetSHA(), was)
		list, _, err := w.gh.PullRequests.List(ctx, "acme", "castle", nil)
		must(t, err)
		equal(t, "listed", list[0].GetHead().GetSHA(), was)
		equal(t, "in GraphQL", at(w.askPull(w.bob.Token(), "headRefOid"), "headRefOid"), any(was))
		equal(t, "told", at(w.last("pull_request", "synchronize"), "pull_request", "head", "sha"), any(head))
		equal(t, "true", p.HeadSHA(), head)
		w.sim.SetMutation(githubsim.NoMutation)
		got, _, err = w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
		must(t, err)
		equal(t, "mended", got.GetHead().GetSHA(), head)
	})
	t.Run("NeutralForFailure", func(t *testing.T) {
		w, p := mutate(t, githubsim.NeutralForFailure)
		w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"main"}, RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis"}}})
		equal(t, "stored", w.check(w.gh, p.HeadSHA(), "portcullis", "failure").GetConclusion(), "neutral")
		equal(t, "lets in", p.Mergeability(w.bob).Allowed, true)
		run := w.check(w.gh, p.HeadSHA(), "portcullis", "in_progress")
		_, _, err := w.gh.Checks.UpdateCheckRun(ctx, "acme", "castle", run.GetID(), github.UpdateCheckRunOptions{Name: "portcullis", Conclusion: new("failure")})
		must(t, err)
		equal(t, "changed to", w.repo.CheckRuns(p.HeadSHA())[0].Conclusion, "neutral")
		equal(t, "others are kept", w.check(w.gh, p.HeadSHA(), "portcullis", "cancelled").GetConclusion(), "cancelled")
	})
	t.Run("DroppedSecondPage", func(t *testing.T) {
		w, p := mutate(t, githubsim.DroppedSecondPage)
		for i := range 31 {
			_, err := p.Comment(w.bob, fmt.Sprint(i))
			must(t, err)
		}
		for page, want := range map[int]int{1: 30, 2: 0} {
			list, resp, err := w.gh.Issues.ListComments(ctx, "acme", "castle", 1, &github.IssueListCommentsOptions{ListOptions: github.ListOptions{Page: page}})
			must(t, err)
			equal(t, fmt.Sprint("page ", page), len(list), want)
			equal(t, "next page", resp.NextPage, 0)
		}
		const comments = "comments(first: 30) { totalCount pageInfo { hasNextPage } }"
		equal(t, "next page in GraphQL", at(w.askPull(w.bob.Token(), comments), "comments", "pageInfo", "hasNextPage"), any(false))
		equal(t, "total", at(w.askPull(w.bob.Token(), comments), "comments", "totalCount"), any(31.0))
		w.sim.SetMutation(githubsim.NoMutation)
		equal(t, "mended in GraphQL", at(w.askPull(w.bob.Token(), comments), "comments", "pageInfo", "hasNextPage"), any(true))
		_, resp, err := w.gh.Issues.ListComments(ctx, "acme", "castle", 1, nil)
		must(t, err)
		equal(t, "mended", resp.NextPage, 2)
	})
	t.Run("unknown", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("an unknown mutation is taken")
			}
		}()
		newWorld(t).sim.SetMutation("lazy")
	})
}

// The tag is the formula's, and another formula can take its place; a 304 does not say what other pages there are.
func TestETagFormula(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	for i := range 3 {
		_, err := p.Comment(w.bob, fmt.Sprint(i))
		must(t, err)
	}
	const path = "/repos/acme/castle/issues/1/comments?per_page=2"
	ask := func(headers ...string) (*http.Response, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.sim.URL()+"/api/v3"+path, nil)
		must(t, err)
		request.Header.Set("User-Agent", "test")
		request.Header.Set("Accept", "application/json")
		request.Header.Set("Authorization", w.bearer(w.bob))
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		must(t, err)
		body, err := io.ReadAll(response.Body)
		must(t, err)
		must(t, response.Body.Close())
		return response, string(body)
	}
	defer http.DefaultClient.CloseIdleConnections()
	response, body := ask()
	tag := response.Header.Get("ETag")
	equal(t, "tag", tag, fmt.Sprintf(`W/"%x"`, sha256.Sum256([]byte("application/json:"+w.bearer(w.bob)+":"+body))))
	equal(t, "links", response.Header.Get("Link") != "", true)
	response, _ = ask("If-None-Match", tag)
	equal(t, "unchanged", fmt.Sprint(response.StatusCode, response.Header.Get("Link")), "304")
	w.sim.SetETag(func(_ http.Header, body []byte) string { return fmt.Sprint(len(body)) })
	response, body = ask("If-None-Match", tag)
	equal(t, "another formula", fmt.Sprint(response.StatusCode, response.Header.Get("ETag")), fmt.Sprintf(`200W/"%d"`, len(body)))
	w.sim.SetETag(nil)
	response, _ = ask("If-None-Match", tag)
	equal(t, "GitHub's again", response.StatusCode, 304)
}
