package githubsim_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Semantics 9, 10 and 11 of the merge gate: which check opens it.
func TestRequiredCheckDecidesMerge(t *testing.T) {
	const name = "portcullis"
	tests := []struct {
		name   string
		pinned bool
		act    func(w *world, p *githubsim.PullRequest, other *github.Client)
		reason string // "" is allowed
	}{
		{"missing blocks", true, func(*world, *githubsim.PullRequest, *github.Client) {}, "is expected"},
		{"success passes", true, checked("success"), ""},
		{"neutral passes", true, checked("neutral"), ""},
		{"skipped passes", true, checked("skipped"), ""},
		{"failure blocks", true, checked("failure"), "is failing"},
		{"cancelled blocks", true, checked("cancelled"), "is failing"},
		{"timed_out blocks", true, checked("timed_out"), "is failing"},
		{"action_required blocks", true, checked("action_required"), "is failing"},
		{"in_progress blocks", true, checked("in_progress"), "is in progress"},
		{"queued blocks", true, checked("queued"), "is queued"},
		{"newest run counts, green then red", true, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			w.check(w.gh, p.HeadSHA(), name, "success")
			w.check(w.gh, p.HeadSHA(), name, "failure")
		}, "is failing"},
		{"newest run counts, red then green", true, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			w.check(w.gh, p.HeadSHA(), name, "failure")
			w.check(w.gh, p.HeadSHA(), name, "success")
		}, ""},
		{"another name does not count", true, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			w.check(w.gh, p.HeadSHA(), "build", "success")
		}, "is expected"},
		{"another App does not count", true, func(w *world, p *githubsim.PullRequest, other *github.Client) {
			w.check(other, p.HeadSHA(), name, "success")
		}, "was not set by the expected GitHub App"},
		{"another App's red does not close", true, func(w *world, p *githubsim.PullRequest, other *github.Client) {
			w.check(w.gh, p.HeadSHA(), name, "success")
			w.check(other, p.HeadSHA(), name, "failure")
		}, ""},
		{"a status does not satisfy a pinned check", true, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			must(w.t, w.repo.SetStatus(w.alice, p.HeadSHA(), name, "success"))
		}, "was not set by the expected GitHub App"},
		{"any App satisfies an unpinned check", false, func(w *world, p *githubsim.PullRequest, other *github.Client) {
			w.check(other, p.HeadSHA(), name, "success")
		}, ""},
		{"a status satisfies an unpinned check", false, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			must(w.t, w.repo.SetStatus(w.alice, p.HeadSHA(), name, "success"))
		}, ""},
		{"check and status of one name must both pass", false, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			w.check(w.gh, p.HeadSHA(), name, "success")
			must(w.t, w.repo.SetStatus(w.alice, p.HeadSHA(), name, "failure"))
		}, "is failing"},
		{"only the latest head counts", true, func(w *world, p *githubsim.PullRequest, _ *github.Client) {
			w.check(w.gh, p.HeadSHA(), name, "success")
			_, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"more.txt": "x\n"}})
			must(w.t, err)
		}, "is expected"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other", Permissions: allPermissions})
			required := githubsim.RequiredCheck{Context: name}
			if test.pinned {
				required.AppID = w.app.ID()
			}
			w.repo.CreateRuleset(githubsim.Ruleset{Name: "gate", Branches: []string{"~DEFAULT_BRANCH"}, RequiredChecks: []githubsim.RequiredCheck{required}})
			p := w.pull("topic")
			test.act(w, p, w.client(other, other.Install(w.org)))

			box := p.Mergeability(w.bob)
			equal(t, "allowed", box.Allowed, test.reason == "")
			err := p.Merge(w.bob)
			if test.reason == "" {
				must(t, err)
				equal(t, "merged", p.Merged(), true)
				return
			}
			refused(t, err, 405, test.reason)
			if !strings.Contains(strings.Join(box.Reasons, " "), test.reason) {
				t.Fatalf("reasons %q lack %q", box.Reasons, test.reason)
			}
			equal(t, "merged", p.Merged(), false)
		})
	}
}

func checked(conclusion string) func(*world, *githubsim.PullRequest, *github.Client) {
	return func(w *world, p *githubsim.PullRequest, _ *github.Client) {
		w.check(w.gh, p.HeadSHA(), "portcullis", conclusion)
	}
}

// Semantic 12: branch protection and rulesets apply together; admins bypass the former unless enforced, the latter never.
func TestRulesAndPeople(t *testing.T) {
	gate := []githubsim.RequiredCheck{{Context: "gate"}}
	tests := []struct {
		name   string
		setup  func(w *world, p *githubsim.PullRequest)
		who    func(w *world) *githubsim.User
		status int // 0: allowed
		reason string
	}{
		{"no rules", nil, bob, 0, ""},
		{"reader may not merge", nil, eve, 403, "write access"},
		{"draft", func(w *world, p *githubsim.PullRequest) { must(w.t, p.SetDraft(w.alice, true)) }, bob, 405, "draft"},
		{"closed", func(w *world, p *githubsim.PullRequest) { must(w.t, p.Close(w.alice)) }, bob, 405, "closed"},
		{"merged", func(w *world, p *githubsim.PullRequest) { must(w.t, p.Merge(w.bob)) }, bob, 405, "already merged"},
		{"conflict", func(w *world, _ *githubsim.PullRequest) {
			w.repo.SetFiles("main", map[string]string{"topic.txt": "other\n"})
		}, bob, 405, "conflicts"},
		{"admin bypasses protection", func(w *world, _ *githubsim.PullRequest) {
			w.repo.Protect("main", githubsim.Protection{RequiredChecks: gate, RequiredApprovals: 1})
		}, root, 0, ""},
		{"admin is held when enforced", func(w *world, _ *githubsim.PullRequest) {
			w.repo.Protect("main", githubsim.Protection{RequiredChecks: gate, EnforceAdmins: true})
		}, root, 405, "is expected"},
		{"admin is held by a ruleset", func(w *world, _ *githubsim.PullRequest) {
			w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"refs/heads/main"}, RequiredChecks: gate})
		}, root, 405, "is expected"},
		{"a ruleset of the organization counts", func(w *world, _ *githubsim.PullRequest) {
			w.org.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true})
		}, root, 405, "Cannot update this protected ref."},
		{"a disabled ruleset does not count", func(w *world, _ *githubsim.PullRequest) {
			w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true, Enforcement: "disabled"})
		}, bob, 0, ""},
		{"an evaluated ruleset does not count", func(w *world, _ *githubsim.PullRequest) {
			w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true, Enforcement: "evaluate"})
		}, bob, 0, ""},
		{"a ruleset of another branch does not count", func(w *world, _ *githubsim.PullRequest) {
			w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"refs/heads/release/*"}, Update: true})
		}, bob, 0, ""},
		{"both apply", func(w *world, _ *githubsim.PullRequest) {
			w.repo.Protect("main", githubsim.Protection{RequiredApprovals: 1})
			w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"m*n"}, RequiredChecks: gate})
		}, bob, 405, `Required status check "gate" is expected. At least 1 approving review is required`},
		{"strict wants the base in the head", func(w *world, _ *githubsim.PullRequest) {
			w.repo.Protect("main", githubsim.Protection{Strict: true})
			w.repo.SetFiles("main", map[string]string{"else.txt": "x\n"})
		}, bob, 405, "not up to date"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.pull("topic")
			if test.setup != nil {
				test.setup(w, p)
			}
			u := test.who(w)
			equal(t, "allowed", p.Mergeability(u).Allowed, test.status == 0)
			_, _, err := w.as(u).PullRequests.Merge(context.Background(), "acme", "castle", p.Number(), "", nil)
			if test.status == 0 {
				must(t, err)
				return
			}
			refused(t, err, test.status, test.reason)
		})
	}
}

func bob(w *world) *githubsim.User  { return w.bob }
func eve(w *world) *githubsim.User  { return w.eve }
func root(w *world) *githubsim.User { return w.root }

// Required approvals count each writer's latest opinion; the author cannot approve (semantics 13, 17, 18 and 19).
func TestApprovals(t *testing.T) {
	tests := []struct {
		name    string
		act     func(w *world, p *githubsim.PullRequest)
		allowed bool
	}{
		{"none", func(*world, *githubsim.PullRequest) {}, false},
		{"a writer's", says(bob, "APPROVE"), true},
		{"a reader's does not count", says(eve, "APPROVE"), false},
		{"a comment after it changes nothing", says(bob, "APPROVE", "COMMENT"), true},
		{"changes requested after it", says(bob, "APPROVE", "REQUEST_CHANGES"), false},
		{"approved after changes requested", says(bob, "REQUEST_CHANGES", "APPROVE"), true},
		{"somebody else's objection blocks", func(w *world, p *githubsim.PullRequest) {
			says(bob, "APPROVE")(w, p)
			says(root, "REQUEST_CHANGES")(w, p)
		}, false},
		{"a dismissal clears", func(w *world, p *githubsim.PullRequest) {
			says(bob, "APPROVE")(w, p)
			must(w.t, p.DismissReview(w.root, p.Reviews()[0].ID, "no longer"))
		}, false},
		{"a push leaves it", func(w *world, p *githubsim.PullRequest) {
			says(bob, "APPROVE")(w, p)
			_, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "y"}})
			must(w.t, err)
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, RequiredApprovals: 1, Enforcement: "disabled"})
			w.repo.Protect("main", githubsim.Protection{RequiredApprovals: 1})
			p := w.pull("topic")
			test.act(w, p)
			equal(t, "allowed", p.Mergeability(w.bob).Allowed, test.allowed)
		})
	}
	w := newWorld(t)
	p := w.pull("own")
	_, err := p.Review(w.alice, "APPROVE", "")
	refused(t, err, 422, "Can not approve your own pull request")
	_, err = p.Review(w.bob, "REQUEST_CHANGES", "")
	refused(t, err, 422, "Body can't be blank")
}

func says(who func(*world) *githubsim.User, states ...string) func(*world, *githubsim.PullRequest) {
	return func(w *world, p *githubsim.PullRequest) {
		for _, state := range states {
			_, err := p.Review(who(w), state, "because")
			must(w.t, err)
		}
	}
}

// A merge makes a merge commit, closes the pull request, and leaves the others alone; a stale sha is a 409.
func TestMergeEffects(t *testing.T) {
	w := newWorld(t)
	p, other := w.pull("one"), w.pull("two")
	head := other.HeadSHA()
	_, _, err := w.as(w.bob).PullRequests.Merge(context.Background(), "acme", "castle", p.Number(), "", &github.PullRequestOptions{SHA: head})
	refused(t, err, 409, "Head branch was modified")
	result, _, err := w.gh.PullRequests.Merge(context.Background(), "acme", "castle", p.Number(), "", &github.PullRequestOptions{SHA: p.HeadSHA()})
	must(t, err)
	equal(t, "base head", w.repo.Head("main"), result.GetSHA())
	c, _, err := w.gh.Repositories.GetCommit(context.Background(), "acme", "castle", result.GetSHA(), nil)
	must(t, err)
	equal(t, "parents", len(c.Parents), 2)
	got, _, err := w.gh.PullRequests.Get(context.Background(), "acme", "castle", p.Number())
	must(t, err)
	equal(t, "state", got.GetState(), "closed")
	equal(t, "merged", got.GetMerged(), true)
	equal(t, "merge_commit_sha", got.GetMergeCommitSHA(), result.GetSHA())
	equal(t, "changed files of a merged one", got.GetChangedFiles(), 1)
	equal(t, "the other's head", other.HeadSHA(), head)
	equal(t, "closed.merged", at(w.last("pull_request", "closed"), "pull_request", "merged"), any(true))
	equal(t, "push ref", at(w.last("push", ""), "ref"), any("refs/heads/main"))
	_, _, err = w.as(w.bob).PullRequests.Merge(context.Background(), "acme", "castle", other.Number(), "squashed", &github.PullRequestOptions{MergeMethod: "squash"})
	must(t, err)
	if text, ok := w.repo.File("main", "two.txt"); !ok || text != "new\n" {
		t.Fatalf("main lacks the second change: %q", text)
	}
}

// No road to a protected branch goes around the rules: pushing, PUT contents and a new ref are held to them.
func TestPushIsHeldToTheRules(t *testing.T) {
	w := newWorld(t)
	id := w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~DEFAULT_BRANCH", "refs/heads/release/**"}, Update: true})
	change := githubsim.Commit{Files: map[string]string{"x": "y"}}
	_, err := w.repo.Push(w.root, "main", change)
	refused(t, err, 409, "Cannot update this protected ref.")
	_, _, err = w.as(w.root).Repositories.CreateFile(context.Background(), "acme", "castle", "x", &github.RepositoryContentFileOptions{
		Message: new("x"), Content: []byte("x"),
	})
	refused(t, err, 409, "Cannot update this protected ref.")
	_, err = w.repo.ForcePush(w.root, "main", w.repo.Head("main"), change)
	refused(t, err, 409, "")
	w.repo.SetRulesetEnforcement(id, "disabled")
	_, err = w.repo.Push(w.root, "main", change)
	must(t, err)

	w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "gate"}}})
	_, err = w.repo.Push(w.bob, "main", change)
	refused(t, err, 409, "is expected")
	_, err = w.repo.Push(w.eve, "topic", change)
	refused(t, err, 403, "denied to eve")
}

// Pushing a pull request's commits to its base by hand merges it, as GitHub notices.
func TestPushToBaseMerges(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	_, err := w.repo.Push(w.bob, "main", githubsim.Commit{Message: "By hand", MergeOf: p.HeadSHA()})
	must(t, err)
	equal(t, "merged", p.Merged(), true)
}

// Semantic 15: the queue decides on the group's head.
func TestMergeQueue(t *testing.T) {
	setup := func(t *testing.T) (*world, *githubsim.PullRequest, *githubsim.MergeGroup) {
		w := newWorld(t)
		w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~DEFAULT_BRANCH"}, RequiredChecks: []githubsim.RequiredCheck{{Context: "gate", AppID: w.app.ID()}}})
		p := w.pull("topic")
		_, err := p.Enqueue(w.bob)
		refused(t, err, 405, "is expected")
		w.check(w.gh, p.HeadSHA(), "gate", "success")
		g, err := p.Enqueue(w.bob)
		must(t, err)
		return w, p, g
	}
	t.Run("merges when green", func(t *testing.T) {
		w, p, g := setup(t)
		equal(t, "ref", g.HeadRef(), "refs/heads/gh-readonly-queue/main/pr-1-"+w.repo.Head("main"))
		equal(t, "payload sha", at(w.last("merge_group", "checks_requested"), "merge_group", "head_sha"), any(g.HeadSHA()))
		equal(t, "without a report", g.Try(), "queued")
		w.check(w.gh, g.HeadSHA(), "gate", "success")
		equal(t, "green", g.Try(), "merged")
		equal(t, "merged", p.Merged(), true)
		equal(t, "base", w.repo.Head("main"), g.HeadSHA())
		equal(t, "reason", at(w.last("merge_group", "destroyed"), "reason"), any("merged"))
	})
	t.Run("dequeues when red", func(t *testing.T) {
		w, p, g := setup(t)
		w.check(w.gh, g.HeadSHA(), "gate", "failure")
		equal(t, "red", g.Try(), "dequeued")
		equal(t, "merged", p.Merged(), false)
		equal(t, "reason", at(w.last("pull_request", "dequeued"), "reason"), any("CI_FAILURE"))
		equal(t, "branch", w.repo.Head(strings.TrimPrefix(g.HeadRef(), "refs/heads/")), "")
	})
	t.Run("a push leaves the queue", func(t *testing.T) {
		w, _, g := setup(t)
		_, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "y"}})
		must(t, err)
		equal(t, "state", g.State(), "dequeued")
	})
	t.Run("a moved base builds anew", func(t *testing.T) {
		w, _, g := setup(t)
		was := g.HeadSHA()
		w.repo.SetFiles("main", map[string]string{"else.txt": "x\n"})
		if g.HeadSHA() == was || g.State() != "queued" {
			t.Fatalf("group %s is %s", g.HeadSHA(), g.State())
		}
		equal(t, "reason", at(w.last("merge_group", "destroyed"), "reason"), any("invalidated"))
	})
	t.Run("the update rule empties the queue", func(t *testing.T) {
		w, p, g := setup(t)
		id := w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true})
		equal(t, "not green yet", g.Try(), "queued")
		w.check(w.gh, g.HeadSHA(), "gate", "success")
		equal(t, "locked", g.Try(), "dequeued")
		equal(t, "reason", at(w.last("pull_request", "dequeued"), "reason"), any("BRANCH_PROTECTIONS"))
		equal(t, "merged", p.Merged(), false)
		w.repo.SetRulesetEnforcement(id, "disabled")
		equal(t, "unlocked", g.Try(), "dequeued")
		if !slices.Contains(w.events(), "repository_ruleset.edited") {
			t.Fatal("no repository_ruleset.edited")
		}
	})
}
