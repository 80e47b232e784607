package githubsim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Statuses over REST: the newest of each context, and all together.
func TestStatuses(t *testing.T) {
	w := newWorld(t)
	head := w.pull("topic").HeadSHA()
	for _, state := range []string{"pending", "success"} {
		_, _, err := w.gh.Repositories.CreateStatus(ctx, "acme", "castle", head, &github.RepoStatus{State: new(state), Context: new("ci")})
		must(t, err)
	}
	all, _, err := w.gh.Repositories.GetCombinedStatus(ctx, "acme", "castle", "topic", nil)
	must(t, err)
	equal(t, "combined", fmt.Sprint(all.GetState(), all.GetTotalCount()), "success1")
	list, _, err := w.gh.Repositories.ListStatuses(ctx, "acme", "castle", head, nil)
	must(t, err)
	equal(t, "history", fmt.Sprint(len(list), list[0].GetState()), "2success")
	_, _, err = w.as(w.eve).Repositories.CreateStatus(ctx, "acme", "castle", head, &github.RepoStatus{State: new("success")})
	refused(t, err, 403, "push access")
	_, _, err = w.as(w.bob).Repositories.CreateStatus(ctx, "acme", "castle", head, &github.RepoStatus{State: new("fine")})
	refused(t, err, 422, "state")
	must(t, w.repo.SetStatus(w.bob, head, "lint", "failure"))
	p, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "mergeable_state", p.GetMergeableState(), "unstable")
}

// mergeable_state says what GitHub's merge box is about.
func TestMergeableState(t *testing.T) {
	tests := []struct {
		want string
		act  func(w *world, p *githubsim.PullRequest)
	}{
		{"clean", func(*world, *githubsim.PullRequest) {}},
		{"dirty", func(w *world, _ *githubsim.PullRequest) {
			w.repo.SetFiles("main", map[string]string{"topic.txt": "other\n"})
		}},
		{"draft", func(w *world, p *githubsim.PullRequest) { must(w.t, p.SetDraft(w.alice, true)) }},
		{"blocked", func(w *world, _ *githubsim.PullRequest) {
			w.repo.Protect("main", githubsim.Protection{RequiredApprovals: 1})
		}},
		{"behind", func(w *world, _ *githubsim.PullRequest) {
			w.repo.Protect("main", githubsim.Protection{Strict: true})
			w.repo.SetFiles("main", map[string]string{"else": "x"})
		}},
		{"unstable", func(w *world, p *githubsim.PullRequest) { w.check(w.gh, p.HeadSHA(), "lint", "failure") }},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			w := newWorld(t)
			test.act(w, w.pull("topic"))
			p, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
			must(t, err)
			equal(t, "mergeable_state", p.GetMergeableState(), test.want)
			equal(t, "mergeable", p.GetMergeable(), test.want != "dirty")
		})
	}
}

// Reviews over REST: listed with upper-case states, edited by their author, dismissed by writers with a message.
func TestReviewsOverREST(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	old := p.HeadSHA()
	_, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "y"}})
	must(t, err)
	made, err := p.ReviewAt(w.bob, "APPROVE", "", old)
	must(t, err)
	equal(t, "commit", made.CommitID, old)
	reviews, _, err := w.gh.PullRequests.ListReviews(ctx, "acme", "castle", 1, nil)
	must(t, err)
	equal(t, "listed", fmt.Sprint(len(reviews), reviews[0].GetState(), reviews[0].GetCommitID() == old), "1APPROVEDtrue")
	_, _, err = w.as(w.root).PullRequests.UpdateReview(ctx, "acme", "castle", 1, made.ID, "mine")
	refused(t, err, 403, "")
	_, _, err = w.as(w.bob).PullRequests.UpdateReview(ctx, "acme", "castle", 1, made.ID, "/approve")
	must(t, err)
	_, _, err = w.as(w.eve).PullRequests.DismissReview(ctx, "acme", "castle", 1, made.ID, &github.PullRequestReviewDismissalRequest{Message: new("no")})
	refused(t, err, 403, "")
	_, _, err = w.gh.PullRequests.DismissReview(ctx, "acme", "castle", 1, made.ID, &github.PullRequestReviewDismissalRequest{})
	refused(t, err, 422, "message")
	dismissed, _, err := w.gh.PullRequests.DismissReview(ctx, "acme", "castle", 1, made.ID, &github.PullRequestReviewDismissalRequest{Message: new("old")})
	must(t, err)
	equal(t, "state", dismissed.GetState(), "DISMISSED")
	_, _, err = w.gh.PullRequests.DismissReview(ctx, "acme", "castle", 1, made.ID, &github.PullRequestReviewDismissalRequest{Message: new("old")})
	refused(t, err, 422, "Can not dismiss a dismissed")
}

// Opening is refused for what GitHub refuses.
func TestOpenRefusals(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	w.repo.SetFiles("same", nil)
	tests := []struct {
		who      *githubsim.User
		spec     githubsim.PullRequestSpec
		status   int
		sentence string
	}{
		{w.alice, githubsim.PullRequestSpec{Head: "topic"}, 422, "title"},
		{w.alice, githubsim.PullRequestSpec{Title: "x", Head: "topic"}, 422, "A pull request already exists for acme:topic."},
		{w.alice, githubsim.PullRequestSpec{Title: "x", Head: "none"}, 422, "head"},
		{w.alice, githubsim.PullRequestSpec{Title: "x", Head: "nobody:topic"}, 422, "head"},
		{w.alice, githubsim.PullRequestSpec{Title: "x", Head: "topic", Base: "none"}, 422, "base"},
		{w.alice, githubsim.PullRequestSpec{Title: "x", Head: "main", Base: "topic"}, 422, "No commits between topic and main"},
		{w.eve, githubsim.PullRequestSpec{Title: "x", Head: "same"}, 403, "push access"},
	}
	for _, test := range tests {
		_, err := w.repo.Open(test.who, test.spec)
		refused(t, err, test.status, test.sentence)
	}
	fork := w.repo.Fork(w.eve)
	_, err := fork.Push(w.eve, "mine", githubsim.Commit{Files: map[string]string{"x": "y"}})
	must(t, err)
	p, err := w.repo.Open(w.eve, githubsim.PullRequestSpec{Title: "x", Head: "eve:mine"})
	must(t, err)
	refused(t, p.AddLabel(w.eve, "security"), 403, "")
	refused(t, p.Merge(w.eve), 403, "")
	must(t, p.Merge(w.bob))
	refused(t, p.Reopen(w.bob), 422, "cannot be reopened")
}

// Single things, by their own paths.
func TestSmallReads(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	run := w.check(w.gh, p.HeadSHA(), "gate", "success")
	must(t, p.AddLabel(w.bob, "Security"))
	bot := w.sim.CreateBot("claude[bot]", 209825114)
	must(t, func() error { _, err := p.Comment(bot, "hi"); return err }())
	must(t, p.React(w.bob, p.Comments()[0].ID, "+1"))
	suite := fmt.Sprint(run.GetCheckSuite().GetID())
	tests := []struct {
		path string
		at   []any
		want any
	}{
		{"/repos/acme/castle", []any{"permissions", "push"}, true},
		{"/repos/acme/castle", []any{"default_branch"}, "main"},
		{"/repos/acme/castle/issues/1", []any{"labels", 0, "name"}, "Security"},
		{"/repos/acme/castle/issues/1/labels", []any{0, "name"}, "Security"},
		{"/repos/acme/castle/labels/security", []any{"name"}, "Security"},
		{"/repos/acme/castle/issues/1/comments", []any{0, "user", "id"}, 209825114.0},
		{"/repos/acme/castle/issues/1/comments", []any{0, "user", "type"}, "Bot"},
		{"/repos/acme/castle/branches", []any{0, "name"}, "main"},
		{"/repos/acme/castle/branches/main", []any{"protected"}, false},
		{"/repos/acme/castle/branches/main/protection", []any{"message"}, "Must have admin rights to Repository."},
		{"/repos/acme/castle/commits", []any{0, "sha"}, w.repo.Head("main")},
		{"/repos/acme/castle/commits/" + p.HeadSHA()[:8], []any{"sha"}, p.HeadSHA()},
		{"/repos/acme/castle/commits/topic", []any{"stats", "total"}, 1.0},
		{"/repos/acme/castle/commits/none", []any{"message"}, "No commit found for SHA: none"},
		{"/repos/acme/castle/check-runs/" + fmt.Sprint(run.GetID()), []any{"app", "slug"}, "portcullis"},
		{"/repos/acme/castle/check-runs/" + fmt.Sprint(run.GetID()), []any{"pull_requests", 0, "number"}, 1.0},
		{"/repos/acme/castle/check-suites/" + suite + "/check-runs", []any{"total_count"}, 1.0},
		{"/repos/acme/castle/pulls/1/merge", []any{"message"}, "Not Found"},
		{"/users/claude[bot]", []any{"type"}, "Bot"},
		{"/users/acme", []any{"type"}, "Organization"},
		{"/meta", []any{"installed_version"}, "3.17.0"},
		{"/orgs/acme", []any{"message"}, "Not Found"}, // bob is no member
	}
	for _, test := range tests {
		_, out := w.do("GET", test.path, w.bearer(w.bob), "")
		if got := at(out, test.at...); got != test.want {
			t.Errorf("%s: %v is %v, want %v", test.path, test.at, got, test.want)
		}
	}
	equal(t, "found again", w.sim.Repository("ACME/castle").FullName(), "acme/castle")
	equal(t, "bot", w.app.BotLogin(), "portcullis[bot]")
	_, err := w.gh.Checks.ReRequestCheckRun(ctx, "acme", "castle", run.GetID())
	must(t, err)
	w.org.AddMember(w.bob)
	_, out := w.do("GET", "/orgs/acme/members", w.bearer(w.bob), "")
	equal(t, "members", len(out.([]any)), 1)
}

// Deleting a branch closes what it heads; labels are made over REST; a token can be given back.
func TestSmallWrites(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	must(t, p.SetBody(w.alice, "text"))
	_, err := w.gh.Git.DeleteRef(ctx, "acme", "castle", "heads/topic")
	must(t, err)
	equal(t, "state", p.State(), "closed")
	refused(t, p.Reopen(w.alice), 422, "head branch has been deleted")
	_, err = w.as(w.root).Git.DeleteRef(ctx, "acme", "castle", "heads/main")
	refused(t, err, 422, "default branch")
	_, _, err = w.as(w.bob).Issues.CreateLabel(ctx, "acme", "castle", &github.Label{Name: new("New"), Color: new("ff0000")})
	must(t, err)
	_, _, err = w.as(w.bob).Issues.CreateLabel(ctx, "acme", "castle", &github.Label{Name: new("new")})
	refused(t, err, 422, "already_exists")
	_, err = w.gh.Apps.RevokeInstallationToken(ctx)
	must(t, err)
	_, _, err = w.gh.Repositories.Get(ctx, "acme", "castle")
	refused(t, err, 401, "Bad credentials")
	team := w.org.CreateTeam("leads")
	team.Add(w.bob)
	team.Add(w.bob)
	equal(t, "added once", strings.Count(strings.Join(w.events(), " "), "membership.added"), 1)
}

// GitHub keeps the newest 1,000 runs of a name.
func TestOldRunsAreDropped(t *testing.T) {
	w := newWorld(t)
	w.sim.SetRateLimit(w.install.ID(), 10000, w.clock.Now().Add(1e12))
	head := w.pull("topic").HeadSHA()
	first := w.check(w.gh, head, "gate", "success")
	for range 1000 {
		w.check(w.gh, head, "gate", "queued")
	}
	equal(t, "runs", len(w.repo.CheckRuns(head)), 1000)
	_, _, err := w.gh.Checks.GetCheckRun(ctx, "acme", "castle", first.GetID())
	refused(t, err, 404, "")
}
