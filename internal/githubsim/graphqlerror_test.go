package githubsim_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// problems are the errors of an answer, each as its type, path and message.
func problems(out any) string {
	var list []string
	errors, _ := at(out, "errors").([]any)
	for _, e := range errors {
		line := ""
		for _, part := range []string{"type", "path", "message"} {
			if v := at(e, part); v != nil {
				line += " " + fmt.Sprint(v)
			}
		}
		list = append(list, strings.TrimSpace(line))
	}
	return strings.Join(list, "\n")
}

// What is wrong with a query is said in a 200.
func TestGraphQLErrors(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	secret := w.org.CreateRepository("secret", nil)
	secret.SetPrivate(true)
	eve := w.eve.Token()
	many := strings.Repeat("x", 3)
	tests := []struct{ query, want, data string }{
		{`{ repository(owner: "acme", name: "none") { name } }`, "NOT_FOUND [repository] Could not resolve to a Repository with the name 'acme/none'.", `{"repository": null}`},
		{`{ mine: repository(owner: "acme", name: "secret") { name } rateLimit { cost } }`, "NOT_FOUND [mine] Could not resolve to a Repository with the name 'acme/secret'.", `{"mine": null, "rateLimit": {"cost": 1}}`},
		{castleOf(`name pullRequest(number: 9) { title }`), "NOT_FOUND [repository pullRequest] Could not resolve to a PullRequest with the number of 9.", `{"repository": {"name": "castle", "pullRequest": null}}`},
		{"{\n  repository(owner: \"acme\", name: \"castle\") {\n    pullRequest(number: 1) { ... on PullRequest { titel } }\n  }\n}", "[query repository pullRequest ... on PullRequest titel] Field 'titel' doesn't exist on type 'PullRequest'", `null`},
		{`query Q { repository(owner: "acme") { name } }`, "[query Q repository] Field 'repository' is missing required arguments: name", `null`},
		{castleOf(`pullRequest(number: 1, id: 2) { title }`), "Field 'pullRequest' doesn't accept argument 'id'", `null`},
		{`query($n: Int!) { rateLimit { cost } }`, "Variable $n is declared by the query but not used", `null`},
		{`query($n: Int!) { repository(owner: "acme", name: "castle") { pullRequest(number: $n) { title } } }`, "Variable $n of type Int! was provided invalid value", `null`},
		{castleOf(`pullRequest(number: $n) { title }`), "Variable $n is used by the query but not declared", `null`},
		{`{ repository(`, "Expected Name, found <EOF>", `null`},
		{``, "A query attribute must be specified and must be a string.", `null`},
		{`mutation { closePullRequest { clientMutationId } }`, "[mutation closePullRequest] Field 'closePullRequest' doesn't exist on type 'Mutation'", `null`},
		{`query A { rateLimit { cost } } query B { rateLimit { cost } }`, "An operation name is required", `null`},
		{`{ __schema { queryType { name } } }`, "INTERNAL [__schema] Query.__schema is not served by the simulator", `null`},
		{castleOf(`pullRequests { nodes { number } }`), "MISSING_PAGINATION_BOUNDARIES [repository pullRequests] You must provide a `first` or `last` value to properly paginate the `pullRequests` connection.", `{"repository": null}`},
		{castleOf(`pullRequests { totalCount }`), "", `{"repository": {"pullRequests": {"totalCount": 1}}}`},
		{castleOf(`pullRequests(first: 101) { totalCount }`), "EXCESSIVE_PAGINATION [repository pullRequests] Requesting 101 records on the `pullRequests` connection exceeds the `first` limit of 100 records.", `{"repository": null}`},
		{castleOf(`pullRequest(number: 1) { number labels(last: 0) { totalCount } }`), "EXCESSIVE_PAGINATION [repository pullRequest labels] Requesting 0 records on the `labels` connection exceeds the `last` limit of 100 records.", `{"repository": {"pullRequest": {"number": 1, "labels": null}}}`},
		{castleOf(`pullRequest(number: 1) { comments(first: 1, last: 1) { totalCount } }`), "UNPROCESSABLE [repository pullRequest comments] Passing both `first` and `last` to paginate the `comments` connection is not supported.", `{"repository": {"pullRequest": null}}`},
		{castleOf(`pullRequests(first: 1, after: "` + many + `") { totalCount }`), "INVALID_CURSOR_ARGUMENTS [repository pullRequests] `xxx` does not appear to be a valid cursor.", `{"repository": null}`},
		{castleOf(`pullRequests(first: 100) { nodes { commits(first: 100) { nodes { commit { parents(first: 100) { nodes { oid } } } } } } }`), "MAX_NODE_LIMIT_EXCEEDED This query requests up to 1010100 possible nodes which exceeds the maximum limit of 500000.", `null`},
	}
	for _, test := range tests {
		resp, out := w.ask(eve, test.query)
		equal(t, test.query+" status", resp.StatusCode, 200)
		if got := problems(out); got != test.want && !strings.HasSuffix(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: errors are %q, want %q", test.query, got, test.want)
		}
		same(t, test.query+": data", at(out, "data"), test.data)
	}
	_, out := w.ask(eve, tests[3].query)
	same(t, "place", at(out, "errors", 0, "locations"), `[{"line": 3, "column": 51}]`)
	same(t, "code", at(out, "errors", 0, "extensions"), `{"code": "undefinedField"}`)
	for _, n := range []any{"1", nil, 1.5, true} {
		_, out = w.ask(eve, tests[7].query, "n", n)
		if !strings.Contains(problems(out), tests[7].want) {
			t.Errorf("%v passes for an Int: %v", n, out)
		}
	}
	const byState = `query($s: [PullRequestState!]) { repository(owner: "acme", name: "castle") { pullRequests(first: 1, states: $s) { totalCount } } }`
	_, out = w.ask(eve, byState, "s", "OPEN")
	equal(t, "one value for a list", problems(out), "")
	_, out = w.ask(eve, byState, "s", []string{"OPEN", "closed"})
	equal(t, "an enum in the wrong case", problems(out), "Variable $s of type [PullRequestState!] was provided invalid value")
	_, out = w.post("POST", eve, `{"query": "query A { rateLimit { cost } } query B { rateLimit { limit } }", "operationName": "B"}`)
	same(t, "by name", out, `{"data": {"rateLimit": {"limit": 5000}}}`)
}

// What is wrong with the client is not a 200.
func TestGraphQLRefusesClients(t *testing.T) {
	w := newWorld(t)
	token, query := w.token(w.app, w.install), `{"query": "{ rateLimit { cost } }"}`
	status := func(method, token, body string, headers ...string) int {
		resp, _ := w.post(method, token, body, headers...)
		return resp.StatusCode
	}
	equal(t, "as it should be", status("POST", token, query), 200)
	equal(t, "GET", status("GET", token, ""), 404)
	equal(t, "no JSON", status("POST", token, `{`), 400)
	equal(t, "wrong variables", status("POST", token, `{"query": "{ rateLimit { cost } }", "variables": 1}`), 400)
	equal(t, "no token", status("POST", "", query), 401)
	equal(t, "wrong token", status("POST", "ghs_no", query), 401)
	equal(t, "no User-Agent", status("POST", token, query, "User-Agent", ""), 403)
	w.install.ExpireTokens()
	equal(t, "expired", status("POST", token, query), 401)
	token = w.token(w.app, w.install)
	w.install.Suspend()
	equal(t, "suspended", status("POST", token, query), 403)
}

// The permissions are those of REST; what is missing is null, the rest is answered.
func TestGraphQLPermissions(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	open := w.sim.CreateOrganization("open").CreateRepository("lib", nil)
	token := w.token(w.app, w.install)
	w.install.SetPermission("contents", "")
	_, out := w.ask(token, castleOf(`name defaultBranchRef { name } ref(qualifiedName: "main") { name } object(expression: "main") { oid }
		pullRequest(number: 1) { title baseRef { name } commits(first: 1) { nodes { commit { oid file(path: "README.md") { name } } } } }`))
	const no = "Resource not accessible by integration"
	equal(t, "contents", problems(out), strings.Join([]string{
		"FORBIDDEN [repository defaultBranchRef] " + no, "FORBIDDEN [repository ref] " + no, "FORBIDDEN [repository object] " + no,
		"FORBIDDEN [repository pullRequest baseRef] " + no, "FORBIDDEN [repository pullRequest commits nodes 0 commit file] " + no,
	}, "\n"))
	same(t, "the rest", at(out, "data", "repository"), fmt.Sprintf(`{"name": "castle", "defaultBranchRef": null, "ref": null, "object": null,
		"pullRequest": {"title": "Change topic", "baseRef": null, "commits": {"nodes": [{"commit": {"oid": %q, "file": null}}]}}}`, p.HeadSHA()))
	same(t, "as GitHub marks it", at(out, "errors", 0, "extensions"), `{"saml_failure": false}`)
	w.install.SetPermission("contents", "read")
	w.install.SetPermission("pull_requests", "")
	_, out = w.ask(token, castleOf(`defaultBranchRef { name } pullRequest(number: 1) { title } pullRequests(first: 1) { totalCount }`))
	equal(t, "pull requests", problems(out), "FORBIDDEN [repository pullRequest] "+no+"\nFORBIDDEN [repository pullRequests] "+no)
	same(t, "never null, so all of it is", at(out, "data"), `{"repository": null}`)
	_, out = w.ask(token, `{ repository(owner: "open", name: "lib") { pullRequests(first: 1) { totalCount } } }`)
	equal(t, "public, outside the installation", problems(out), "")
	open.SetPrivate(true)
	_, out = w.ask(token, `{ repository(owner: "open", name: "lib") { name } }`)
	equal(t, "private, outside", problems(out), "NOT_FOUND [repository] Could not resolve to a Repository with the name 'open/lib'.")
}

// A pending review is for its author alone.
func TestGraphQLPendingReviews(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	_, _ = w.do("POST", "/repos/acme/castle/pulls/1/reviews", w.bearer(w.bob), `{"body": "draft"}`)
	const parts = `reviews(first: 9, states: [PENDING, COMMENTED]) { nodes { state submittedAt createdAt } }`
	equal(t, "others", len(at(w.askPull(w.alice.Token(), parts), "reviews", "nodes").([]any)), 0)
	nodes := at(w.askPull(w.bob.Token(), parts), "reviews", "nodes")
	equal(t, "bob", fmt.Sprint(len(nodes.([]any)), at(nodes, 0, "state"), at(nodes, 0, "submittedAt"), at(nodes, 0, "createdAt") != nil), "1PENDING<nil> true")
	review, err := p.Review(w.bob, "COMMENT", "hm")
	must(t, err)
	must(t, p.EditReview(w.bob, review.ID, "well"))
	same(t, "edited", at(w.askPull(w.alice.Token(), `reviews(first: 9) { nodes { body editor { login } } }`), "reviews", "nodes"), `[{"body": "well", "editor": {"login": "bob"}}]`)
}

// Points are counted by the documented formula, in a bucket of their own.
func TestGraphQLCost(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	token := w.token(w.app, w.install)
	w.sim.ResetRequests()
	const deep = `pullRequests(first: 100) { nodes { reviews(first: 50) { nodes { id: databaseId commit { associatedPullRequests(last: 10) { totalCount } } } } labels(first: 60) { totalCount } } }`
	for query, want := range map[string]string{
		`{ rateLimit { cost nodeCount } }`: "1 0",
		`{ rateLimit { cost nodeCount } ` + castleOf("pullRequests(first: 100) { totalCount }")[1:]:                                                                                 "1 100",
		`{ rateLimit { cost nodeCount } ` + castleOf(deep)[1:]:                                                                                                                      "52 61100", // 1 + 100 + 5000 + 100 requests
		`{ rateLimit { cost nodeCount } ` + castleOf(`pullRequests(first: 100) { nodes { labels(first: 1) { totalCount } } } again: ` + deep)[1:]:                                   "53 61300",
		`{ rateLimit { cost nodeCount } ` + castleOf(`...a ...a } } fragment a on Repository { pullRequests(first: 100) { nodes { labels(first: 1) { totalCount } }`)[1:]:           "1 200",
		`{ rateLimit { cost nodeCount } ` + castleOf(`pullRequests(first: 100) { nodes { labels(first: 1) { totalCount } reviews(first: 1) @skip(if: true) { totalCount } } }`)[1:]: "1 200",
	} {
		_, out := w.ask(token, query)
		equal(t, query, problems(out), "")
		equal(t, query, fmt.Sprint(at(out, "data", "rateLimit", "cost"), " ", at(out, "data", "rateLimit", "nodeCount")), want)
	}
	points := 0
	for _, r := range w.sim.Requests() {
		points += r.Points
	}
	equal(t, "billed", points, 109)
	resp, out := w.do("GET", "/rate_limit", "Bearer "+token, "")
	equal(t, "resources", fmt.Sprint(at(out, "resources", "graphql", "used"), at(out, "resources", "core", "used")), "109 0")
	equal(t, "REST counts apart", resp.Header.Get("X-RateLimit-Resource"), "core")
}

// An empty bucket is a 200 with an error, until it fills again.
func TestGraphQLExhaustion(t *testing.T) {
	w := newWorld(t)
	token := w.token(w.app, w.install)
	reset := w.clock.Now().Add(10 * time.Minute)
	w.sim.SetGraphQLRateLimit(w.install.ID(), 1, reset)
	_, out := w.ask(token, `{ rateLimit { remaining } }`)
	same(t, "the last point", out, `{"data": {"rateLimit": {"remaining": 0}}}`)
	resp, out := w.ask(token, `{ rateLimit { remaining } }`)
	equal(t, "status", resp.StatusCode, 200)
	same(t, "exhausted", out, fmt.Sprintf(`{"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded for installation ID %d."}]}`, w.install.ID()))
	equal(t, "headers", strings.Join([]string{resp.Header.Get("X-RateLimit-Remaining"), resp.Header.Get("X-RateLimit-Resource"), resp.Header.Get("X-RateLimit-Reset")}, " "), fmt.Sprintf("0 graphql %d", reset.Unix()))
	_, _, err := w.gh.Repositories.Get(ctx, "acme", "castle")
	must(t, err) // REST has its own
	w.clock.advance(11 * time.Minute)
	_, out = w.ask(token, `{ rateLimit { remaining } }`)
	same(t, "filled again", out, `{"data": {"rateLimit": {"remaining": 4999}}}`)
}

// Faults, races and latency work as over REST; a fault can be GraphQL's own, of the whole query or of one field.
func TestGraphQLFaults(t *testing.T) {
	w := newWorld(t)
	p := w.pull("topic")
	token := w.token(w.app, w.install)
	path := regexp.MustCompile(`^/graphql$`)
	const query = `{ repository(owner: "acme", name: "castle") { pullRequest(number: 1) { title labels(first: 5) { nodes { name } } comments(first: 5) { nodes { body } } } } }`
	w.sim.Inject(githubsim.Fault{Method: "POST", Path: path, Status: 502, Times: 1})
	w.sim.Inject(githubsim.Fault{Times: 1, GraphQLError: &githubsim.GraphQLError{Message: "Something went wrong while executing your query."}})
	w.sim.Inject(githubsim.Fault{Times: 1, GraphQLError: &githubsim.GraphQLError{Type: "INTERNAL", Message: "no labels", Path: []any{"repository", "pullRequest", "labels"}}})
	w.sim.Inject(githubsim.Fault{Times: 1, GraphQLError: &githubsim.GraphQLError{Type: "INTERNAL", Message: "no comments", Path: []any{"repository", "pullRequest", "comments"}}})
	w.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`^/api/graphql$`), Times: 1, After: true, Status: 0})
	_, _, err := w.as(w.bob).Repositories.Get(ctx, "acme", "castle")
	must(t, err) // GraphQL's faults are not REST's
	resp, _ := w.ask(token, query)
	equal(t, "status", resp.StatusCode, 502)
	resp, out := w.ask(token, query)
	equal(t, "status", resp.StatusCode, 200)
	same(t, "no data", at(out, "data"), `null`)
	equal(t, "why", problems(out), "Something went wrong while executing your query.")
	_, out = w.ask(token, query)
	equal(t, "one field", problems(out), "INTERNAL [repository pullRequest labels] no labels")
	same(t, "the rest", at(out, "data"), `{"repository": {"pullRequest": {"title": "Change topic", "labels": null, "comments": {"nodes": []}}}}`)
	_, out = w.ask(token, query)
	equal(t, "a field that is never null", problems(out), "INTERNAL [repository pullRequest comments] no comments")
	same(t, "takes the pull request with it", at(out, "data"), `{"repository": {"pullRequest": null}}`)

	req, err := http.NewRequest(http.MethodPost, w.sim.GraphQLURL(), strings.NewReader(`{}`))
	must(t, err)
	req.Header.Set("Authorization", "bearer "+token)
	if resp, err := (&http.Client{Transport: w.transport()}).Do(req); err == nil {
		t.Fatalf("the connection is not cut: %v", resp.Status)
	}
	remove := w.sim.Before("POST", path, func() { must(t, p.AddLabel(w.bob, "late")) })
	_, out = w.ask(token, query)
	same(t, "a race", at(out, "data", "repository", "pullRequest", "labels", "nodes"), `[{"name": "late"}]`)
	remove()
	w.sim.SetLatency(30 * time.Millisecond)
	start := time.Now()
	_, _ = w.ask(token, query)
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Fatalf("the answer took %v", took)
	}
	log := w.sim.Requests()
	if i := slices.IndexFunc(log, func(r githubsim.Request) bool { return r.Path == "/graphql" && r.Status == 502 }); i < 0 || log[i].Billed {
		t.Fatalf("the log is %+v", log)
	}
}
