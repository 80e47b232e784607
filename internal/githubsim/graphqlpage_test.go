package githubsim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// castleOf puts a selection into the repository.
func castleOf(selection string) string {
	return `{ repository(owner: "acme", name: "castle") { ` + selection + ` } }`
}

// Pages follow the elements and not their places.
func TestGraphQLPaging(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	var ids []int64
	for i := range 7 {
		c, err := p.Comment(w.alice, fmt.Sprint(i))
		must(t, err)
		ids = append(ids, c.ID)
	}
	token := w.token(w.app, w.install)
	const parts = `(%s) { totalCount nodes { body } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } }`
	read := func(arguments string) (string, any) {
		got := at(w.askPull(token, "comments"+fmt.Sprintf(parts, arguments)), "comments")
		var bodies []string
		for _, one := range at(got, "nodes").([]any) {
			bodies = append(bodies, at(one, "body").(string))
		}
		info := at(got, "pageInfo")
		return fmt.Sprintf("%s of %v, more after %v, before %v", strings.Join(bodies, ""), at(got, "totalCount"), at(info, "hasNextPage"), at(info, "hasPreviousPage")), info
	}
	got, first := read("first: 3")
	equal(t, "first", got, "012 of 7, more after true, before false")
	must(t, p.DeleteComment(w.alice, ids[0]))
	must(t, p.DeleteComment(w.alice, ids[2])) // the one that the cursor names
	after := fmt.Sprintf("after: %q", at(first, "endCursor"))
	got, second := read("first: 3, " + after)
	equal(t, "second", got, "345 of 5, more after true, before true")
	got, _ = read(fmt.Sprintf("first: 3, after: %q", at(second, "endCursor")))
	equal(t, "third", got, "6 of 5, more after false, before true")
	got, end := read("last: 2")
	equal(t, "last", got, "56 of 5, more after false, before true")
	got, _ = read(fmt.Sprintf("last: 2, before: %q", at(end, "startCursor")))
	equal(t, "before", got, "34 of 5, more after true, before true")
	got, none := read(fmt.Sprintf("first: 3, after: %q", at(end, "endCursor")))
	equal(t, "beyond", got, " of 5, more after false, before true")
	equal(t, "no cursor", at(none, "endCursor"), nil)
}

// The list of pull requests filters and sorts.
func TestGraphQLPullRequests(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("next", map[string]string{"n": "n"})
	one, two, three := w.pull("one"), w.pull("two"), w.pull("three")
	must(t, one.Close(w.alice))
	must(t, two.Merge(w.bob))
	must(t, three.Retarget(w.bob, "next"))
	w.pull("four")
	must(t, one.SetTitle(w.alice, "Newest"))
	token := w.token(w.app, w.install)
	for arguments, want := range map[string]string{
		"first: 9": "1 2 3 4", "first: 9, states: OPEN": "3 4", "first: 9, states: [MERGED, CLOSED]": "1 2", `first: 9, baseRefName: "next"`: "3", `first: 9, headRefName: "four"`: "4",
		"first: 2, orderBy: {field: CREATED_AT, direction: DESC}": "4 3", "last: 2, orderBy: {field: UPDATED_AT, direction: ASC}": "4 1",
	} {
		_, out := w.ask(token, castleOf("pullRequests("+arguments+") { nodes { number } }"))
		var numbers []string
		for _, node := range at(out, "data", "repository", "pullRequests", "nodes").([]any) {
			numbers = append(numbers, fmt.Sprint(at(node, "number")))
		}
		equal(t, arguments, strings.Join(numbers, " "), want)
	}
	_, out := w.ask(token, `query($s: [PullRequestState!], $o: IssueOrder) { repository(owner: "acme", name: "castle") { pullRequests(first: 1, states: $s, orderBy: $o) { totalCount nodes { number } } } }`,
		"s", []string{"OPEN", "CLOSED"}, "o", map[string]string{"field": "UPDATED_AT", "direction": "DESC"})
	same(t, "by variables", at(out, "data", "repository", "pullRequests"), `{"totalCount": 3, "nodes": [{"number": 1}]}`)
	_, out = w.ask(token, castleOf(`object(oid: "`+two.HeadSHA()+`") { ... on Commit { associatedPullRequests(first: 5) { nodes { number state headRefOid baseRefName } } } }`))
	same(t, "of a commit", at(out, "data", "repository", "object", "associatedPullRequests", "nodes"), fmt.Sprintf(`[{"number": 2, "state": "MERGED", "headRefOid": %q, "baseRefName": "main"}]`, two.HeadSHA()))
}

// GraphQL's lists stop where REST's do; the total says what is missing.
func TestGraphQLLongPullRequest(t *testing.T) {
	w := newWorld(t)
	var commits []githubsim.Commit
	for i := range 251 {
		commits = append(commits, githubsim.Commit{Message: fmt.Sprint(i), Files: map[string]string{"n": fmt.Sprint(i)}})
	}
	_, err := w.repo.Push(w.alice, "long", commits...)
	must(t, err)
	_, err = w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Long", Head: "long"})
	must(t, err)
	got := w.askPull(w.alice.Token(), `commits(last: 1) { totalCount nodes { commit { message } } pageInfo { hasNextPage } }`)
	same(t, "end", at(got, "commits"), `{"totalCount": 251, "nodes": [{"commit": {"message": "249"}}], "pageInfo": {"hasNextPage": false}}`)
}

// Teams and their members are for whoever may read members.
func TestGraphQLTeams(t *testing.T) {
	w := newWorld(t)
	gone := w.sim.CreateUser("gone")
	team := w.org.CreateTeam("leads", w.alice, w.bob, gone)
	gone.Delete()
	token := w.token(w.app, w.install)
	const query = `{ organization(login: "ACME") { login databaseId team(slug: "leads") { databaseId slug name
		members(first: 1) { totalCount nodes { login databaseId } pageInfo { hasNextPage } } named: members(first: 9, query: "BO") { nodes { login } } child: members(first: 9, membership: CHILD_TEAM) { totalCount } }
		none: team(slug: "none") { slug } } }`
	_, out := w.ask(token, query)
	id := at(out, "data", "organization", "team", "databaseId")
	same(t, "team", out, fmt.Sprintf(`{"data": {"organization": {"login": "acme", "databaseId": %d, "none": null, "team": {"databaseId": %v, "slug": "leads", "name": "leads",
		"members": {"totalCount": 2, "nodes": [{"login": "alice", "databaseId": %d}], "pageInfo": {"hasNextPage": true}}, "named": {"nodes": [{"login": "bob"}]}, "child": {"totalCount": 0}}}}}`,
		w.org.ID(), id, w.alice.ID()))
	team.Remove(w.bob)
	_, out = w.ask(token, query)
	equal(t, "state", at(out, "data", "organization", "team", "members", "totalCount"), any(1.0))
	w.install.SetPermission("members", "")
	_, out = w.ask(token, `{ organization(login: "acme") { login team(slug: "leads") { slug } } }`)
	equal(t, "errors", problems(out), "FORBIDDEN [organization team] Resource not accessible by integration")
	same(t, "the rest", at(out, "data"), `{"organization": {"login": "acme", "team": null}}`)
	w.sim.CreateOrganization("other")
	for _, token := range []string{token, w.eve.Token()} {
		_, out = w.ask(token, `{ organization(login: "other") { login } }`)
		equal(t, "outside", problems(out), "NOT_FOUND [organization] Could not resolve to an Organization with the login of 'other'.")
	}
}
