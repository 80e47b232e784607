package githubsim_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// eventually waits for what GitHub does by itself, a moment later.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !is(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it never is", what)
		}
	}
}

func TestAutoMerge(t *testing.T) {
	w := newWorld(t)
	w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "gate"}}})
	p := w.pull("topic")
	refused(t, p.EnableAutoMerge(w.eve), http.StatusForbidden, "write access")
	must(t, p.EnableAutoMerge(w.alice))
	equal(t, "armed", p.AutoMerge(), true)
	equal(t, "event", w.last("pull_request", "auto_merge_enabled") != nil, true)

	lock := w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true})
	w.check(w.gh, p.HeadSHA(), "gate", "success")
	w.wait()
	equal(t, "merged though locked", p.Merged(), false)
	w.repo.SetRulesetEnforcement(lock, "disabled")
	eventually(t, "merged once unlocked", p.Merged)
	equal(t, "road", p.MergeRoad(), "auto-merge")
	equal(t, "armed", p.AutoMerge(), false)

	clean := w.pull("clean")
	w.check(w.gh, clean.HeadSHA(), "gate", "success")
	refused(t, clean.EnableAutoMerge(w.alice), http.StatusUnprocessableEntity, "clean status")
}

// Auto-merge by GraphQL, as gh does it, and all that shows of it.
func TestAutoMergeByMutation(t *testing.T) {
	w := newWorld(t)
	w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "gate"}}})
	p := w.pull("topic")
	token := w.token(w.app, w.install)
	node := at(w.askPull(token, "id"), "id")
	_, rest := w.do(http.MethodGet, "/repos/acme/castle/pulls/1", w.bearer(w.bob), "")
	equal(t, "node id", at(rest, "node_id"), node)
	equal(t, "not armed", at(rest, "auto_merge"), nil)
	const enable = `mutation($id: ID!, $method: PullRequestMergeMethod, $head: GitObjectID) {
		enablePullRequestAutoMerge(input: {pullRequestId: $id, mergeMethod: $method, commitHeadline: "Title", expectedHeadOid: $head, clientMutationId: "one"}) {
			clientMutationId actor {login} pullRequest {number autoMergeRequest {mergeMethod commitHeadline enabledBy {login} pullRequest {number}}}}}`
	const disable = `mutation($id: ID!) {disablePullRequestAutoMerge(input: {pullRequestId: $id}) {pullRequest {autoMergeRequest {enabledAt}}}}`
	for _, c := range []struct {
		what, kind string
		prepare    func() (token string, variables []any)
	}{
		{"no such node", "NOT_FOUND", func() (string, []any) { return token, []any{"id", "PR_x"} }},
		{"another head", "UNPROCESSABLE", func() (string, []any) { return token, []any{"id", node, "head", w.repo.Head("main")} }},
		{"rebase", "UNPROCESSABLE", func() (string, []any) { return token, []any{"id", node, "method", "REBASE"} }},
		{"no write", "FORBIDDEN", func() (string, []any) { return w.eve.Token(), []any{"id", node} }},
		{"not allowed", "UNPROCESSABLE", func() (string, []any) { w.repo.SetAllowAutoMerge(false); return token, []any{"id", node} }},
		{"no permission", "FORBIDDEN", func() (string, []any) {
			w.repo.SetAllowAutoMerge(true)
			w.install.SetPermission("contents", "read")
			return token, []any{"id", node}
		}},
	} {
		by, variables := c.prepare()
		_, out := w.ask(by, enable, variables...)
		if at(out, "errors", 0, "type") != c.kind || p.AutoMerge() {
			t.Errorf("%s: %v", c.what, out)
		}
	}
	w.install.SetPermission("contents", "write")
	_, out := w.ask(token, enable, "id", node, "method", "SQUASH", "head", p.HeadSHA())
	same(t, "armed", at(out, "data", "enablePullRequestAutoMerge"), `{"clientMutationId": "one", "actor": {"login": "portcullis"}, "pullRequest": {"number": 1,
		"autoMergeRequest": {"mergeMethod": "SQUASH", "commitHeadline": "Title", "enabledBy": {"login": "portcullis"}, "pullRequest": {"number": 1}}}}`)
	_, rest = w.do(http.MethodGet, "/repos/acme/castle/pulls/1", w.bearer(w.bob), "")
	equal(t, "over REST", fmt.Sprint(at(rest, "auto_merge", "merge_method"), " ", at(rest, "auto_merge", "enabled_by", "login")), "squash portcullis[bot]")
	_, out = w.ask(w.bob.Token(), disable, "id", node)
	equal(t, "disarmed", fmt.Sprint(at(out, "errors"), p.AutoMerge()), "<nil> false")
	equal(t, "told", at(w.last("pull_request", "auto_merge_disabled"), "sender", "login"), any("bob"))
	_, out = w.ask(w.bob.Token(), disable, "id", node)
	equal(t, "nothing to disarm", at(out, "errors", 0, "type"), any("UNPROCESSABLE"))

	w.ask(token, enable, "id", node, "method", "SQUASH", "head", p.HeadSHA())
	_, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"more": "1"}})
	must(t, err)
	equal(t, "armed after a push with write", p.AutoMerge(), true)
	w.check(w.gh, p.HeadSHA(), "gate", "success")
	eventually(t, "green", p.Merged)
	equal(t, "by", p.MergedBy().Login()+" "+p.MergeRoad(), "portcullis[bot] auto-merge")
	_, rest = w.do(http.MethodGet, "/repos/acme/castle/commits/main", w.bearer(w.bob), "")
	equal(t, "message", at(rest, "commit", "message"), any("Title"))
}

// Whatever may open the gate lets an armed pull request through: it is judged as the person who armed it.
func TestWhatLetsAutoMergeGoOn(t *testing.T) {
	gate := []githubsim.RequiredCheck{{Context: "gate"}}
	for name, c := range map[string]struct {
		shut, open func(w *world, p *githubsim.PullRequest)
	}{
		"a review": {
			func(w *world, _ *githubsim.PullRequest) {
				w.repo.Protect("main", githubsim.Protection{RequiredApprovals: 1})
			},
			func(w *world, p *githubsim.PullRequest) { _, _ = p.Review(w.bob, "APPROVE", "") },
		},
		"a protection": {
			func(w *world, _ *githubsim.PullRequest) {
				w.repo.Protect("main", githubsim.Protection{RequiredChecks: gate})
			},
			func(w *world, _ *githubsim.PullRequest) { w.repo.Protect("main", githubsim.Protection{}) },
		},
		"an organization's ruleset": {
			func(w *world, _ *githubsim.PullRequest) {
				w.org.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true})
			},
			func(w *world, _ *githubsim.PullRequest) {
				w.org.AddOwner(w.root)
				_, list := w.do(http.MethodGet, "/orgs/acme/rulesets", w.bearer(w.root), "")
				w.do(http.MethodDelete, fmt.Sprintf("/orgs/acme/rulesets/%v", at(list, 0, "id")), w.bearer(w.root), "")
			},
		},
		"being admin": {
			func(w *world, _ *githubsim.PullRequest) {
				w.repo.Protect("main", githubsim.Protection{RequiredChecks: gate})
			},
			func(w *world, _ *githubsim.PullRequest) { w.repo.SetRole(w.alice, "admin") },
		},
		"no draft any more": {
			func(w *world, p *githubsim.PullRequest) { _ = p.SetDraft(w.alice, true) },
			func(w *world, p *githubsim.PullRequest) { _ = p.SetDraft(w.alice, false) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.pull("topic")
			c.shut(w, p)
			must(t, p.EnableAutoMerge(w.alice))
			must(t, p.AddLabel(w.bob, "a change that opens nothing"))
			w.wait()
			equal(t, "merged too early", p.Merged(), false)
			c.open(w, p)
			eventually(t, "open", p.Merged)
			equal(t, "by", p.MergedBy().Login()+" "+p.MergeRoad(), "alice auto-merge")
		})
	}
}

// Auto-merge ends with the write access of the person, and when somebody without it pushes.
func TestWhatEndsAutoMerge(t *testing.T) {
	w := newWorld(t)
	w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "gate"}}})
	p := w.pull("topic")
	must(t, p.EnableAutoMerge(w.alice))
	w.repo.SetRole(w.alice, "read")
	eventually(t, "disarmed", func() bool { return !p.AutoMerge() })
	w.check(w.gh, p.HeadSHA(), "gate", "success")
	w.wait()
	equal(t, "merged", p.Merged(), false)

	fork := w.repo.Fork(w.eve)
	_, err := fork.Push(w.eve, "far", githubsim.Commit{Files: map[string]string{"far": "1"}})
	must(t, err)
	far, err := w.repo.Open(w.eve, githubsim.PullRequestSpec{Title: "Far", Head: "eve:far"})
	must(t, err)
	must(t, far.EnableAutoMerge(w.bob))
	_, err = fork.Push(w.eve, "far", githubsim.Commit{Files: map[string]string{"far": "2"}})
	must(t, err)
	equal(t, "armed after a push without write", far.AutoMerge(), false)
}

// MergeRoad tells the roads apart; a merge that was refused leaves no trace.
func TestMergeRoads(t *testing.T) {
	w := newWorld(t)
	lock := w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true})
	button := w.locked("button")
	refused(t, button.Merge(w.bob), http.StatusMethodNotAllowed, "Cannot update this protected ref.")
	equal(t, "refused", button.MergeRoad(), "")
	w.repo.SetRulesetEnforcement(lock, "disabled")
	byAPI, queued := w.locked("api"), w.locked("queue")
	_, err := w.repo.Push(w.bob, "main", githubsim.Commit{MergeOf: button.HeadSHA()})
	must(t, err)
	w.do(http.MethodPut, fmt.Sprintf("/repos/acme/castle/pulls/%d/merge", byAPI.Number()), w.bearer(w.bob), "{}")
	group, err := queued.Enqueue(w.alice)
	must(t, err)
	group.Try()
	equal(t, "roads", button.MergeRoad()+" "+byAPI.MergeRoad()+" "+queued.MergeRoad(), "push api queue")
	equal(t, "by", button.MergedBy().Login()+" "+byAPI.MergedBy().Login()+" "+queued.MergedBy().Login(), "bob bob alice")
}

// locked opens a pull request from a branch that is made past all rules, as by agreement.
func (w *world) locked(branch string) *githubsim.PullRequest {
	w.t.Helper()
	w.repo.SetFiles(branch, map[string]string{branch: "new\n"})
	p, err := w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Change " + branch, Head: branch})
	must(w.t, err)
	return p
}

func TestTheMergeQueuesOwnApp(t *testing.T) {
	w := newWorld(t)
	enqueue := func(branch string) *githubsim.MergeGroup {
		p := w.pull(branch)
		g, err := p.Enqueue(w.alice)
		must(t, err)
		return g
	}
	put := func(id int64, body string) {
		t.Helper()
		response, _ := w.do(http.MethodPut, fmt.Sprintf("/repos/acme/castle/rulesets/%d", id), w.bearer(w.root), body)
		equal(t, "status", response.StatusCode, http.StatusOK)
	}
	drained := enqueue("drained")
	lock := w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true})
	put(lock, `{"bypass_actors":[{"actor_id":262318,"actor_type":"Integration","bypass_mode":"always"}]}`)
	equal(t, "a queue that is drained", drained.Try(), "merged")
	w.repo.SetRulesetEnforcement(lock, "disabled")

	paused := enqueue("paused")
	queue := w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}})
	put(queue, mergeQueue(0))
	equal(t, "a queue that is paused", paused.Try(), "queued")
	put(queue, mergeQueue(5))
	equal(t, "a queue that goes on", paused.Try(), "merged")
}

func TestIssuesByLabel(t *testing.T) {
	w := newWorld(t)
	open, err := w.repo.OpenIssue(w.alice, "stop", "", "halt")
	must(t, err)
	closed, err := w.repo.OpenIssue(w.alice, "old", "", "halt")
	must(t, err)
	must(t, closed.Close(w.alice))
	_, err = w.repo.OpenIssue(w.alice, "other", "", "bug")
	must(t, err)
	p := w.pull("topic")
	must(t, p.AddLabel(w.alice, "HALT"))
	_, answer := w.ask(w.token(w.app, w.install), `{repository(owner: "acme", name: "castle") {
		a: issues(labels: ["halt"], states: OPEN, first: 5) {totalCount nodes {number title}}
		b: pullRequests(labels: ["halt"], states: OPEN, first: 5) {nodes {number}}}}`)
	equal(t, "issues", fmt.Sprint(at(answer, "data", "repository", "a", "nodes")), fmt.Sprintf("[map[number:%d title:stop]]", open.Number()))
	equal(t, "pull requests", fmt.Sprint(at(answer, "data", "repository", "b", "nodes")), fmt.Sprintf("[map[number:%d]]", p.Number()))
	_, answer = w.ask(w.token(w.app, w.install), `{repository(owner: "acme", name: "castle") {
		made: issues(first: 5, orderBy: {field: CREATED_AT, direction: DESC}) {nodes {title}}
		touched: issues(first: 1, states: [OPEN], orderBy: {field: UPDATED_AT, direction: DESC}) {nodes {
			title number databaseId url state body createdAt updatedAt author {__typename login ... on User {databaseId}} labels(first: 5) {nodes {name}}}}}}`)
	equal(t, "newest first", fmt.Sprint(at(answer, "data", "repository", "made", "nodes")), "[map[title:other] map[title:old] map[title:stop]]")
	found := at(answer, "data", "repository", "touched", "nodes", 0)
	_, rest := w.do(http.MethodGet, fmt.Sprintf("/repos/acme/castle/issues/%v", at(found, "number")), w.bearer(w.bob), "")
	for graph, name := range map[string]string{"databaseId": "id", "url": "html_url", "title": "title", "createdAt": "created_at", "updatedAt": "updated_at"} {
		equal(t, name, at(found, graph), at(rest, name))
	}
	same(t, "author", at(found, "author"), fmt.Sprintf(`{"__typename": "User", "login": "alice", "databaseId": %d}`, w.alice.ID()))
	same(t, "labels", at(found, "labels", "nodes"), `[{"name": "bug"}]`)
	_, two := w.ask(w.token(w.app, w.install), `{repository(owner: "acme", name: "castle") {issues(labels: ["a", "b"], first: 5) {totalCount}}}`)
	if at(two, "errors") == nil {
		t.Error("what is not documented is answered")
	}
}

// mergeQueue is a rule for a queue of which so many entries are merged at once.
func mergeQueue(most int) string {
	return fmt.Sprintf(`{"rules":[{"type":"merge_queue","parameters":{"check_response_timeout_minutes":60,"grouping_strategy":"ALLGREEN",
		"max_entries_to_build":5,"max_entries_to_merge":%d,"merge_method":"MERGE","min_entries_to_merge":1,"min_entries_to_merge_wait_minutes":5}}]}`, most)
}
