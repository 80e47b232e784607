package githubsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// token is a fresh token of an installation.
func (w *world) token(app *githubsim.App, install *githubsim.Installation) string {
	w.t.Helper()
	made, _, err := w.asApp(app).Apps.CreateInstallationToken(ctx, install.ID(), nil)
	must(w.t, err)
	return made.GetToken()
}

// post sends a body to GraphQL and decodes the answer.
func (w *world) post(method, token, body string, headers ...string) (*http.Response, any) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.sim.GraphQLURL(), strings.NewReader(body))
	must(w.t, err)
	if token != "" {
		req.Header.Set("Authorization", "bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: w.transport()}).Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(w.t, err)
	var out any
	_ = json.Unmarshal(raw, &out)
	return resp, out
}

// ask sends one query with its variables, given as names and values.
func (w *world) ask(token, query string, variables ...any) (*http.Response, any) {
	w.t.Helper()
	vars := map[string]any{}
	for i := 0; i < len(variables); i += 2 {
		vars[variables[i].(string)] = variables[i+1]
	}
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	must(w.t, err)
	return w.post(http.MethodPost, token, string(body))
}

// askPull asks for parts of pull request 1 and gives back what it got of them.
func (w *world) askPull(token, selection string) any {
	w.t.Helper()
	_, out := w.ask(token, `{ repository(owner: "acme", name: "castle") { pullRequest(number: 1) { `+selection+` } } }`)
	if errors := at(out, "errors"); errors != nil {
		w.t.Fatalf("%s: %v", selection, errors)
	}
	return at(out, "data", "repository", "pullRequest")
}

// same compares a decoded answer with JSON.
func same(t *testing.T, what string, got any, want string) {
	t.Helper()
	var wanted any
	must(t, json.Unmarshal([]byte(want), &wanted))
	one, _ := json.Marshal(got)
	other, _ := json.Marshal(wanted)
	if string(one) != string(other) {
		t.Fatalf("%s is\n%s, want\n%s", what, one, other)
	}
}

const wholePull = `
query Whole($owner: String!, $name: String!, $number: Int!, $page: Int = 50) {
  rateLimit { cost limit remaining used }
  repository(owner: $owner, name: $name, followRenames: false) {
    databaseId name nameWithOwner isPrivate isFork owner { __typename login }
    defaultBranchRef { ...branch }
    config: object(expression: "main:src/main.go") { __typename oid ... on Blob { byteSize isBinary isTruncated text } }
    pullRequest(number: $number) {
      number databaseId fullDatabaseId title body state isDraft closed merged locked
      author { ...who }
      headRefOid headRefName headRepository { databaseId nameWithOwner }
      baseRefName baseRefOid baseRef { ...branch }
      changedFiles additions deletions
      labels(first: 10) { totalCount nodes { name } }
      files(first: $page) { totalCount nodes { path changeType additions deletions } pageInfo { hasNextPage endCursor } }
      commits(first: $page) { totalCount nodes { commit {
        message parents(first: 5) { totalCount } authors(first: 5) { nodes { name user { login databaseId } } } author { user { login } } committer { user { login } }
      } } }
      reviews(first: $page) { totalCount nodes { databaseId fullDatabaseId state body author { ...who } commit { oid } } }
      comments(first: $page) { totalCount nodes { databaseId body author { ...who } editor { ...who } lastEditedAt } }
      assignees(first: 10) { totalCount nodes { login } }
    }
  }
}
fragment who on Actor { __typename login ... on User { databaseId } ... on Bot { databaseId } ... on Mannequin { databaseId } }
fragment branch on Ref { name prefix target { oid __typename ... on Commit { message tree { oid } } } refUpdateRule { pattern requiredStatusCheckContexts } }
`

// One query reads a pull request in all its parts.
func TestGraphQLReadsAPullRequestWhole(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("main", map[string]string{"old.txt": "a\nb\nc\nd\n", "gone.txt": "x\n"})
	w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "build"}}})
	coAuthored := fmt.Sprintf("One\n\nCo-authored-by: Bob <%d+bob@users.noreply.github.com>\nCo-authored-by: Who <who@example.com>\n", w.bob.ID())
	head, err := w.repo.Push(w.alice, "topic",
		githubsim.Commit{Message: coAuthored, Rename: map[string]string{"old.txt": "new.txt"}, Files: map[string]string{"new.txt": "a\nb\nc\ne\n"}},
		githubsim.Commit{Message: "Two", Delete: []string{"gone.txt"}, Files: map[string]string{"add.txt": "1\n", "README.md": "hello\nthere\n"}, UnmappedEmail: "who@example.com"},
	)
	must(t, err)
	p, err := w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Topic", Body: "text", Head: "topic"})
	must(t, err)
	must(t, p.AddLabel(w.bob, "ready"))
	review, err := p.Review(w.bob, "APPROVE", "")
	must(t, err)
	_, _, err = w.as(w.bob).PullRequests.CreateReview(ctx, "acme", "castle", 1, &github.PullRequestReviewRequest{}) // pending: for bob's eyes only
	must(t, err)
	comment, err := p.Comment(w.alice, "first")
	must(t, err)
	must(t, p.EditComment(w.bob, comment.ID, "second"))

	resp, out := w.ask(w.token(w.app, w.install), wholePull, "owner", "ACME", "name", "castle", "number", 1)
	log := w.sim.Requests()
	equal(t, "status", resp.StatusCode, 200)
	equal(t, "resource", resp.Header.Get("X-RateLimit-Resource")+" "+resp.Header.Get("X-RateLimit-Used"), "graphql 1")
	same(t, "errors", at(out, "errors"), `null`)
	same(t, "rate limit", at(out, "data", "rateLimit"), `{"cost": 1, "limit": 5000, "remaining": 4999, "used": 1}`)
	repository := at(out, "data", "repository").(map[string]any)
	pull := repository["pullRequest"].(map[string]any)
	delete(repository, "pullRequest")
	main, alice := w.repo.Head("main"), fmt.Sprintf(`{"__typename": "User", "login": "alice", "databaseId": %d}`, w.alice.ID())
	bob := fmt.Sprintf(`{"__typename": "User", "login": "bob", "databaseId": %d}`, w.bob.ID())
	tree := at(repository, "defaultBranchRef", "target", "tree", "oid")
	equal(t, "a tree has a name", len(tree.(string)), 40)
	branch := fmt.Sprintf(`{"name": "main", "prefix": "refs/heads/", "target": {"oid": %q, "__typename": "Commit", "message": "Set files", "tree": {"oid": %q}},
		"refUpdateRule": {"pattern": "main", "requiredStatusCheckContexts": ["build"]}}`, main, tree)
	same(t, "repository", repository, fmt.Sprintf(`{"databaseId": %d, "name": "castle", "nameWithOwner": "acme/castle", "isPrivate": false, "isFork": false,
		"owner": {"__typename": "Organization", "login": "acme"}, "defaultBranchRef": %s,
		"config": {"__typename": "Blob", "oid": "06ab7d0f9a35a7d1070711496d6ca1cb892a258f", "byteSize": 13, "isBinary": false, "isTruncated": false, "text": "package main\n"}}`,
		w.repo.ID(), branch))
	same(t, "who wrote it", at(pull, "commits", "nodes"), fmt.Sprintf(`[
		{"commit": {"message": %q, "parents": {"totalCount": 1}, "author": {"user": {"login": "alice"}}, "committer": {"user": {"login": "alice"}}, "authors": {"nodes": [
			{"name": "alice", "user": {"login": "alice", "databaseId": %d}}, {"name": "Bob", "user": {"login": "bob", "databaseId": %d}}, {"name": "Who", "user": null}]}}},
		{"commit": {"message": "Two", "parents": {"totalCount": 1}, "author": {"user": null}, "committer": {"user": null}, "authors": {"nodes": [{"name": "who", "user": null}]}}}]`,
		coAuthored, w.alice.ID(), w.bob.ID()))
	same(t, "files", at(pull, "files", "nodes"), `[
		{"path": "README.md", "changeType": "MODIFIED", "additions": 1, "deletions": 0}, {"path": "add.txt", "changeType": "ADDED", "additions": 1, "deletions": 0},
		{"path": "gone.txt", "changeType": "DELETED", "additions": 0, "deletions": 1}, {"path": "new.txt", "changeType": "RENAMED", "additions": 1, "deletions": 1}]`)
	same(t, "reviews", pull["reviews"], fmt.Sprintf(`{"totalCount": 1, "nodes": [
		{"databaseId": %d, "fullDatabaseId": "%d", "state": "APPROVED", "body": "", "author": %s, "commit": {"oid": %q}}]}`, review.ID, review.ID, bob, head))
	edited := at(pull, "comments", "nodes", 0, "lastEditedAt")
	same(t, "comments", pull["comments"], fmt.Sprintf(`{"totalCount": 1, "nodes": [
		{"databaseId": %d, "body": "second", "author": %s, "editor": %s, "lastEditedAt": %q}]}`, comment.ID, alice, bob, edited))
	for _, part := range []string{"commits", "files", "reviews", "comments"} {
		delete(pull, part)
	}
	rest, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	same(t, "pull request", pull, fmt.Sprintf(`{"number": 1, "databaseId": %d, "fullDatabaseId": "%d", "title": "Topic", "body": "text", "state": "OPEN",
		"isDraft": false, "closed": false, "merged": false, "locked": false, "author": %s,
		"headRefOid": %q, "headRefName": "topic", "headRepository": {"databaseId": %d, "nameWithOwner": "acme/castle"},
		"baseRefName": "main", "baseRefOid": %q, "baseRef": %s, "changedFiles": 4, "additions": 3, "deletions": 2,
		"labels": {"totalCount": 1, "nodes": [{"name": "ready"}]}, "assignees": {"totalCount": 0, "nodes": []}}`,
		rest.GetID(), rest.GetID(), alice, head, w.repo.ID(), main, branch))

	last := log[len(log)-1]
	equal(t, "log", fmt.Sprint(last.Method, last.Path, last.Status, last.Billed, last.Operation, last.Points, last.Login), "POST/graphql200 trueWhole1portcullis[bot]")
}

// Who a text is by: a person, a bot without its suffix, or nobody any more.
func TestGraphQLAuthors(t *testing.T) {
	w := newWorld(t)
	claude, mallory := w.sim.CreateBot("claude[bot]", 41898282), w.sim.CreateUser("mallory")
	w.repo.SetRole(claude, "write")
	_, err := w.repo.Push(claude, "topic", githubsim.Commit{Message: fmt.Sprintf("Change\n\nco-authored-by: M <%d+mallory@users.noreply.github.com>", mallory.ID()), Files: map[string]string{"a": "b"}})
	must(t, err)
	p, err := w.repo.Open(claude, githubsim.PullRequestSpec{Title: "By a bot", Head: "topic"})
	must(t, err)
	_, err = p.Review(mallory, "COMMENT", "hm")
	must(t, err)
	_, err = p.Comment(mallory, "bye")
	must(t, err)
	mallory.Delete()
	token := w.token(w.app, w.install)
	const who = `author { __typename login ... on User { databaseId } ... on Bot { databaseId } }`
	same(t, "all", w.askPull(token, who+` reviews(first: 1) { nodes { `+who+` } } comments(last: 1) { nodes { `+who+` } }
		commits(first: 1) { nodes { commit { author { name user { login } } authors(first: 9) { totalCount nodes { user { login } } } } } }`), `{
		"author": {"__typename": "Bot", "login": "claude", "databaseId": 41898282}, "reviews": {"nodes": [{"author": null}]}, "comments": {"nodes": [{"author": null}]},
		"commits": {"nodes": [{"commit": {"author": {"name": "claude[bot]", "user": null}, "authors": {"totalCount": 2, "nodes": [{"user": null}, {"user": null}]}}}]}}`)
	for author, want := range map[string]string{"claude": "0", "mallory": "0", "": "1"} {
		got := w.askPull(token, fmt.Sprintf(`reviews(first: 9, author: %q) { totalCount }`, author))
		equal(t, "reviews by "+author, fmt.Sprint(at(got, "reviews", "totalCount")), want)
	}
}

// What is gone is null: the base branch, the fork; what the client may not see too.
func TestGraphQLNulls(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("next", map[string]string{"a": "b"})
	fork := w.repo.Fork(w.eve)
	_, err := fork.Push(w.eve, "topic", githubsim.Commit{Message: "Change", Files: map[string]string{"e": "e"}})
	must(t, err)
	p, err := w.repo.Open(w.eve, githubsim.PullRequestSpec{Title: "From a fork", Head: "eve:topic", Base: "next"})
	must(t, err)
	token := w.token(w.app, w.install)
	const parts = `headRepository { nameWithOwner isFork owner { __typename login } } baseRef { refUpdateRule { pattern } } lastEditedAt editor { login }`
	same(t, "there", w.askPull(token, parts), `{"headRepository": {"nameWithOwner": "eve/castle", "isFork": true, "owner": {"__typename": "User", "login": "eve"}},
		"baseRef": {"refUpdateRule": null}, "lastEditedAt": null, "editor": null}`)
	fork.SetPrivate(true)
	same(t, "hidden", at(w.askPull(token, parts), "headRepository"), `null`)
	fork.SetPrivate(false)
	fork.Delete()
	_, err = w.as(w.root).Git.DeleteRef(ctx, "acme", "castle", "heads/next")
	must(t, err)
	must(t, p.SetBody(w.eve, "more"))
	got := w.askPull(token, parts)
	same(t, "fork", at(got, "headRepository"), `null`)
	same(t, "branch", at(got, "baseRef"), `null`)
	same(t, "editor", at(got, "editor"), `{"login": "eve"}`)
	rest, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "over REST", rest.GetHead().Repo, nil)
	_, out := w.ask(token, `{ repository(owner: "acme", name: "castle") { none: ref(qualifiedName: "refs/heads/none") { name } ref(qualifiedName: "main") { name }
		object(expression: "main:none") { oid } dir: object(expression: "HEAD:src") { __typename }
		at: object(expression: "main") { ... on Commit { none: file(path: "no") { name } dir: file(path: "src") { type mode object { __typename } } file(path: "src/main.go") { name path type mode object { ... on Blob { byteSize } } } } } } }`)
	same(t, "objects", out, `{"data": {"repository": {"none": null, "ref": {"name": "main"}, "object": null, "dir": {"__typename": "Tree"}, "at": {
		"none": null, "dir": {"type": "tree", "mode": 16384, "object": {"__typename": "Tree"}},
		"file": {"name": "main.go", "path": "src/main.go", "type": "blob", "mode": 33188, "object": {"byteSize": 13}}}}}}`)
}

// The text of a blob ends at 512,000 bytes, and a binary one has none.
func TestGraphQLBlobs(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("main", map[string]string{"long": strings.Repeat("x", 512_001), "binary": "a\x00b"})
	_, out := w.ask(w.alice.Token(), `{ repository(owner: "acme", name: "castle") {
		long: object(expression: "main:long") { ... on Blob { byteSize isTruncated text } } binary: object(expression: "main:binary") { ... on Blob { byteSize isBinary text } } } }`)
	equal(t, "long", fmt.Sprint(at(out, "data", "repository", "long", "byteSize"), at(out, "data", "repository", "long", "isTruncated"),
		len(at(out, "data", "repository", "long", "text").(string))), "512001 true 512000")
	same(t, "binary", at(out, "data", "repository", "binary"), `{"byteSize": 3, "isBinary": true, "text": null}`)
}

// The timeline remembers who did what.
func TestGraphQLTimeline(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("next", map[string]string{"n": "n"})
	p := w.pull("topic")
	first := p.HeadSHA()
	must(t, p.AddLabel(w.bob, "ready"))
	must(t, p.RemoveLabel(w.root, "ready"))
	second, err := w.repo.ForcePush(w.alice, "topic", w.repo.Head("main"), githubsim.Commit{Message: "Again", Files: map[string]string{"t": "t"}})
	must(t, err)
	_, err = w.repo.Push(w.alice, "topic", githubsim.Commit{Message: "On top", Files: map[string]string{"t": "u"}}) // no force: not in the timeline
	must(t, err)
	must(t, p.Retarget(w.bob, "next"))
	must(t, p.Close(w.root))
	must(t, p.Reopen(w.alice))
	must(t, p.Merge(w.bob))
	token := w.token(w.app, w.install)
	got := w.askPull(token, `state merged closed timelineItems(first: 100) { totalCount nodes { __typename
		... on LabeledEvent { actor { login } label { name } } ... on UnlabeledEvent { actor { login } label { name } }
		... on HeadRefForcePushedEvent { actor { login } beforeCommit { oid } afterCommit { oid } }
		... on BaseRefChangedEvent { actor { login } previousRefName currentRefName }
		... on ReopenedEvent { actor { login } } ... on ClosedEvent { actor { login } } } }`)
	same(t, "timeline", got, fmt.Sprintf(`{"state": "MERGED", "merged": true, "closed": true, "timelineItems": {"totalCount": 7, "nodes": [
		{"__typename": "LabeledEvent", "actor": {"login": "bob"}, "label": {"name": "ready"}},
		{"__typename": "UnlabeledEvent", "actor": {"login": "root"}, "label": {"name": "ready"}},
		{"__typename": "HeadRefForcePushedEvent", "actor": {"login": "alice"}, "beforeCommit": {"oid": %q}, "afterCommit": {"oid": %q}},
		{"__typename": "BaseRefChangedEvent", "actor": {"login": "bob"}, "previousRefName": "main", "currentRefName": "next"},
		{"__typename": "ClosedEvent", "actor": {"login": "root"}}, {"__typename": "ReopenedEvent", "actor": {"login": "alice"}},
		{"__typename": "ClosedEvent", "actor": {"login": "bob"}}]}}`, first, second))
	got = w.askPull(token, `timelineItems(last: 1, itemTypes: [UNLABELED_EVENT, REOPENED_EVENT]) { totalCount nodes { __typename ... on ReopenedEvent { createdAt } } pageInfo { hasPreviousPage hasNextPage } }`)
	equal(t, "count", at(got, "timelineItems", "totalCount"), any(2.0))
	equal(t, "type", at(got, "timelineItems", "nodes", 0, "__typename"), any("ReopenedEvent"))
	same(t, "pages", at(got, "timelineItems", "pageInfo"), `{"hasPreviousPage": true, "hasNextPage": false}`)
	if when, _ := at(got, "timelineItems", "nodes", 0, "createdAt").(string); !strings.HasSuffix(when, "Z") {
		t.Fatalf("time is %q", when)
	}
}
