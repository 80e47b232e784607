package githubsim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// In a locked conversation only accounts with write speak, and nobody reacts.
func TestLock(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	first, err := p.Comment(w.eve, "first")
	must(t, err)
	own, _, err := w.gh.Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("hello")})
	must(t, err)

	_, err = w.gh.Issues.Lock(ctx, "acme", "castle", 1, &github.LockIssueOptions{LockReason: "too heated"})
	must(t, err)
	equal(t, "locked", p.Locked(), true)
	equal(t, "event", at(w.last("pull_request", "locked"), "pull_request", "active_lock_reason"), any("too heated"))
	got, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "shown", fmt.Sprint(got.GetActiveLockReason(), got.GetLocked()), "too heatedtrue")
	equal(t, "in GraphQL", at(w.askPull(w.bob.Token(), "locked"), "locked"), any(true))

	const sentence = "Unable to create comment because issue is locked."
	_, _, err = w.as(w.eve).Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("no")})
	refused(t, err, 403, sentence)
	_, _, err = w.gh.Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("no")})
	refused(t, err, 403, sentence)
	_, _, err = w.gh.Issues.EditComment(ctx, "acme", "castle", own.GetID(), &github.IssueComment{Body: new("no")})
	refused(t, err, 403, sentence)
	refused(t, p.DeleteComment(w.eve, first.ID), 403, sentence)
	for _, client := range []*github.Client{w.gh, w.as(w.bob), w.as(w.root)} {
		_, _, err = client.Reactions.CreateIssueCommentReaction(ctx, "acme", "castle", first.ID, "+1")
		refused(t, err, 403, "issue is locked")
	}
	_, err = p.Review(w.eve, "APPROVE", "")
	refused(t, err, 422, "lock prevents review")
	_, err = p.Review(w.bob, "APPROVE", "")
	must(t, err)
	_, err = p.Comment(w.bob, "yes")
	must(t, err)
	must(t, p.AddLabel(w.bob, "security")) // a lock is about words
	w.check(w.gh, p.HeadSHA(), "portcullis", "success")

	w.repo.SetRole(w.sim.User(w.app.BotLogin()), "write")
	_, _, err = w.gh.Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("as a collaborator")})
	must(t, err)
}

// Who may lock, with which reasons, and that doing it twice is doing it once.
func TestLocking(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	_, err := w.as(w.eve).Issues.Lock(ctx, "acme", "castle", 1, nil)
	refused(t, err, 403, "push access")
	refused(t, p.Lock(w.bob, "boring"), 422, "lock_reason")
	must(t, p.Lock(w.bob, ""))
	must(t, p.Lock(w.bob, ""))
	equal(t, "reason", at(w.last("pull_request", "locked"), "pull_request", "active_lock_reason"), nil)
	refused(t, p.Unlock(w.eve), 403, "push access")
	_, err = w.gh.Issues.Unlock(ctx, "acme", "castle", 1)
	must(t, err)
	must(t, p.Unlock(w.bob))
	equal(t, "unlocked", at(w.last("pull_request", "unlocked"), "pull_request", "locked"), any(false))
	_, err = p.Comment(w.eve, "thanks")
	must(t, err)
	equal(t, "events", count(w.events(), "pull_request.locked")+count(w.events(), "pull_request.unlocked"), 2)
	issue, err := w.repo.OpenIssue(w.bob, "Stop", "")
	must(t, err)
	must(t, issue.Lock(w.bob, "spam"))
	equal(t, "an issue's event", at(w.last("issues", "locked"), "issue", "active_lock_reason"), any("spam"))
	resp, _ := w.do(http.MethodPut, "/repos/acme/castle/issues/99/lock", w.bearer(w.bob), "")
	equal(t, "no such thread", resp.StatusCode, 404)
}

func count(list []string, wanted string) int {
	return len(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s != wanted }))
}

// Assignees come and go, over REST and by the people themselves, each with an event.
func TestAssignees(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	got, _, err := w.gh.Issues.AddAssignees(ctx, "acme", "castle", 1, []string{"bob", "ROOT", "eve", "nobody", "bob"})
	must(t, err)
	equal(t, "answer", fmt.Sprint(got.GetAssignee().GetLogin(), len(got.Assignees)), "bob2")
	equal(t, "assignees; eve has no part in this", strings.Join(p.Assignees(), " "), "bob root")
	payload := w.last("pull_request", "assigned")
	equal(t, "event", at(payload, "assignee", "login"), any("root"))
	equal(t, "all of them", at(payload, "pull_request", "assignees", 0, "login"), any("bob"))

	_, err = p.Comment(w.eve, "I would like to")
	must(t, err)
	must(t, p.Assign(w.bob, w.eve))
	equal(t, "who commented can be assigned", strings.Join(p.Assignees(), " "), "bob root eve")
	refused(t, p.Assign(w.eve, w.alice), 403, "permission")
	_, _, err = w.as(w.eve).Issues.RemoveAssignees(ctx, "acme", "castle", 1, []string{"bob"})
	must(t, err) // silently ignored, as documented
	equal(t, "assignees", strings.Join(p.Assignees(), " "), "bob root eve")
	_, _, err = w.gh.Issues.RemoveAssignees(ctx, "acme", "castle", 1, []string{"bob", "alice"})
	must(t, err)
	must(t, p.Unassign(w.bob, w.eve))
	payload = w.last("pull_request", "unassigned")
	equal(t, "event", at(payload, "assignee", "login"), any("eve"))
	read, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "left", fmt.Sprint(read.GetAssignee().GetLogin(), len(read.Assignees)), "root1")

	for i := range 12 {
		u := w.sim.CreateUser(fmt.Sprint("helper", i))
		w.repo.SetRole(u, "write")
		must(t, p.Assign(w.bob, u))
	}
	equal(t, "at most", len(p.Assignees()), 10)
}

// The events of a thread are listed oldest first, in pages, with what each is about.
func TestThreadEvents(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("next", map[string]string{"n": "n"})
	p := w.pull("topic")
	must(t, p.AddLabel(w.bob, "Security"))
	must(t, p.Assign(w.bob, w.root))
	must(t, p.Unassign(w.bob, w.root))
	must(t, p.RemoveLabel(w.root, "security"))
	must(t, p.Retarget(w.alice, "next"))
	must(t, p.Retarget(w.alice, "main"))
	head, err := w.repo.ForcePush(w.alice, "topic", w.repo.Head("main"), githubsim.Commit{Files: map[string]string{"x": "y"}})
	must(t, err)
	_, err = w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "z"}}) // not forced: no event
	must(t, err)
	must(t, p.Close(w.alice))
	must(t, p.Reopen(w.alice))
	_, _, err = w.gh.Issues.AddLabelsToIssue(ctx, "acme", "castle", 1, []string{"by app"})
	must(t, err)
	must(t, p.Merge(w.bob))

	var list []*github.IssueEvent
	options := &github.ListOptions{PerPage: 5}
	for {
		page, resp, err := w.gh.Issues.ListIssueEvents(ctx, "acme", "castle", 1, options)
		must(t, err)
		list = append(list, page...)
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	want := []string{
		"labeled bob Security", "assigned bob root", "unassigned bob root", "unlabeled root Security", "base_ref_changed alice ", "base_ref_changed alice ",
		"head_ref_force_pushed alice " + head, "closed alice ", "reopened alice ", "labeled portcullis[bot] by app",
		"merged bob " + w.repo.Head("main"), "closed bob ",
	}
	var got []string
	for i, e := range list {
		got = append(got, e.GetEvent()+" "+e.GetActor().GetLogin()+" "+e.GetLabel().GetName()+e.GetAssignee().GetLogin()+e.GetCommitID())
		if i > 0 && (e.GetID() <= list[i-1].GetID() || e.GetCreatedAt().Before(list[i-1].GetCreatedAt().Time)) {
			t.Errorf("event %d is not after the one before it", i)
		}
	}
	equal(t, "events", strings.Join(got, "\n"), strings.Join(want, "\n"))
	_, raw := w.do(http.MethodGet, "/repos/acme/castle/issues/1/events?per_page=100", w.bearer(w.bob), "")
	equal(t, "by the App", at(raw, 9, "performed_via_github_app", "slug"), any("portcullis"))
	equal(t, "by a person", at(raw, 0, "performed_via_github_app"), nil)
}

// State over REST, and what a branch that is deleted does to the pull requests from it and into it.
func TestBranchesThatGo(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("next", map[string]string{"n": "n"})
	from, into := w.pull("topic"), w.pull("other")
	must(t, into.Retarget(w.alice, "next"))
	tip := from.HeadSHA()

	must(t, w.repo.DeleteBranch(w.bob, "topic"))
	equal(t, "deleted", at(w.last("delete", ""), "ref"), any("topic"))
	equal(t, "head gone", from.State(), "closed")
	equal(t, "event", at(w.last("pull_request", "closed"), "number"), any(1.0))
	_, _, err := w.gh.PullRequests.Edit(ctx, "acme", "castle", 1, &github.PullRequest{State: new("open")})
	refused(t, err, 422, "state cannot be changed")
	got, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "still shown", got.GetHead().GetRef()+got.GetHead().GetSHA(), "topic"+tip)

	_, err = w.as(w.bob).Git.DeleteRef(ctx, "acme", "castle", "heads/next")
	must(t, err)
	equal(t, "base gone", into.State(), "closed")
	refused(t, into.Reopen(w.alice), 422, "base branch has been deleted")
	refused(t, into.Retarget(w.alice, "main"), 422, "closed pull request")

	_, err = w.repo.ForcePush(w.alice, "topic", tip)
	must(t, err)
	equal(t, "created", at(w.last("create", ""), "master_branch"), any("main"))
	_, _, err = w.gh.PullRequests.Edit(ctx, "acme", "castle", 1, &github.PullRequest{State: new("open")})
	must(t, err)
	equal(t, "reopened", at(w.last("pull_request", "reopened"), "pull_request", "state"), any("open"))
	_, _, err = w.gh.PullRequests.Edit(ctx, "acme", "castle", 1, &github.PullRequest{State: new("closed")})
	must(t, err)
	equal(t, "closed", from.State(), "closed")
	refused(t, w.repo.DeleteBranch(w.eve, "other"), 403, "write")
	refused(t, w.repo.DeleteBranch(w.bob, "main"), 422, "default branch")
	refused(t, w.repo.DeleteBranch(w.bob, "nothing"), 422, "does not exist")
}

// The fields of pull_request events that tell what changed.
func TestChangesInPayloads(t *testing.T) {
	w := newWorld(t)
	base := w.repo.Head("main")
	w.repo.SetFiles("next", map[string]string{"n": "n"})
	p := w.pull("topic")
	must(t, p.Retarget(w.alice, "next"))
	payload := w.last("pull_request", "edited")
	equal(t, "ref", at(payload, "changes", "base", "ref", "from"), any("main"))
	equal(t, "sha", at(payload, "changes", "base", "sha", "from"), any(base))
	equal(t, "now", at(payload, "pull_request", "base", "ref"), any("next"))
	must(t, p.SetTitle(w.alice, "New"))
	payload = w.last("pull_request", "edited")
	equal(t, "title", at(payload, "changes", "title", "from"), any("Change topic"))
	equal(t, "nothing else", len(payload["changes"].(map[string]any)), 1)
	must(t, p.AddLabel(w.bob, "Security"))
	equal(t, "labeled", at(w.last("pull_request", "labeled"), "label", "name"), any("Security"))
	must(t, p.RemoveLabel(w.bob, "Security"))
	equal(t, "unlabeled", at(w.last("pull_request", "unlabeled"), "label", "name"), any("Security"))
	must(t, p.SetDraft(w.alice, true))
	must(t, p.SetDraft(w.alice, false))
	equal(t, "ready", at(w.last("pull_request", "ready_for_review"), "pull_request", "draft"), any(false))
}
