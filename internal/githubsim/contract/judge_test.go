package contract_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim/contract"
)

func judge(t *testing.T) *contract.Judge {
	t.Helper()
	j, err := contract.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if j == nil {
		t.Skipf("NOT JUDGED: no test holds traffic to GitHub's OpenAPI description; %s does not say where it is (.ci/run fetches it)", contract.OpenAPIVariable)
	}
	return j
}

// exchange passes one request and its answer through a watch.
func exchange(t *testing.T, w func(http.Handler) *contract.Watch, method, path, body string, answer http.HandlerFunc) (*contract.Watch, *httptest.ResponseRecorder) {
	t.Helper()
	watch := w(answer)
	r := httptest.NewRequest(method, "https://github.example/api/v3"+path, strings.NewReader(body))
	recorded := httptest.NewRecorder()
	watch.ServeHTTP(recorded, r)
	return watch, recorded
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const (
	refusal = `{"message":"no","documentation_url":"https://docs.github.com/rest"}`
	runs    = "/repos/acme/shop/check-runs"
	labels  = "/repos/acme/shop/issues/1/labels"
	label   = `{"id":1,"node_id":"L_1","url":"https://github.example/l","name":"bug","color":"ffffff","description":null,"default":false}`
)

// annotations is so many of them.
func annotations(n int) string {
	one := `{"path":"a","start_line":1,"end_line":1,"annotation_level":"notice","message":"m"}`
	return `{"name":"gate","head_sha":"abc","output":{"title":"t","summary":"s","annotations":[` + strings.Repeat(one+",", n-1) + one + `]}}`
}

func TestRequests(t *testing.T) {
	j := judge(t)
	const action = `{"label":"again","description":"d","identifier":"i"}`
	for _, c := range []struct{ name, method, path, body, want string }{
		{"a check run", "POST", runs, `{"name":"gate","head_sha":"abc"}`, ""},
		{"a conclusion alone", "POST", runs, `{"name":"gate","head_sha":"abc","conclusion":"success"}`, ""},
		{"50 annotations", "POST", runs, annotations(50), ""},
		{"51 annotations", "POST", runs, annotations(51), "body /output/annotations"},
		{"no head", "POST", runs, `{"name":"gate"}`, "body /head_sha"},
		{"completed without a conclusion", "POST", runs, `{"name":"gate","head_sha":"abc","status":"completed"}`, "body /conclusion"},
		{"completed_at without a conclusion", "PATCH", runs + "/1", `{"completed_at":"2026-01-01T00:00:00Z"}`, "body /conclusion"},
		{"an unknown conclusion", "POST", runs, `{"name":"gate","head_sha":"abc","conclusion":"great"}`, "body /conclusion"},
		{"GitHub's own conclusion", "PATCH", runs + "/1", `{"conclusion":"stale"}`, "body /conclusion"},
		{"a status of GitHub Actions", "POST", runs, `{"name":"gate","head_sha":"abc","status":"waiting"}`, "body /status"},
		{"no summary", "POST", runs, `{"name":"gate","head_sha":"abc","output":{"title":"t"}}`, "body /output/summary"},
		{"no date", "POST", runs, `{"name":"gate","head_sha":"abc","started_at":"today"}`, "body /started_at"},
		{"4 actions", "POST", runs, `{"name":"gate","head_sha":"abc","actions":[` + strings.Repeat(action+",", 3) + action + `]}`, "body /actions"},
		{"a label of 21", "POST", runs, `{"name":"gate","head_sha":"abc","actions":[{"label":"` + strings.Repeat("x", 21) + `","description":"d","identifier":"i"}]}`, "body /actions/*/label"},
		{"an invented property", "POST", runs, `{"name":"gate","head_sha":"abc","colour":"red"}`, "body /colour"},
		{"an invented property deep inside", "POST", runs, `{"name":"gate","head_sha":"abc","output":{"title":"t","summary":"s","colour":"red"}}`, "body /output/colour"},
		{"no JSON", "POST", runs, `{"name":`, "body"},
		{"labels by themselves", "POST", labels, `["a"]`, ""},
		{"labels in an object", "PUT", labels, `{"labels":["a"]}`, ""},
		{"no labels", "PUT", labels, `{"labels":[]}`, ""},
		{"a label that is a number", "PUT", labels, `{"labels":[7]}`, "body /labels/*"},
		{"a token with the body null", "POST", "/app/installations/1/access_tokens", "null", ""},
		{"a body where none belongs", "GET", "/repos/acme/shop", `{"a":1}`, "body"},
		{"100 on a page", "GET", "/repos/acme/shop/pulls?per_page=100&page=2", "", ""},
		{"101 on a page", "GET", "/repos/acme/shop/pulls?per_page=101", "", "query per_page"},
		{"page 0", "GET", "/repos/acme/shop/pulls?page=0", "", "query page"},
		{"a page that is no number", "GET", "/repos/acme/shop/pulls?page=two", "", "query page"},
		{"a state that is none", "GET", "/repos/acme/shop/pulls?state=merged", "", "query state"},
		{"an invented parameter", "GET", "/repos/acme/shop/pulls?author=ann", "", "query author"},
		{"a number that is none", "GET", "/repos/acme/shop/pulls/first", "", "path pull_number"},
		{"a branch with slashes", "GET", "/repos/acme/shop/branches/a/b/c", "", ""},
		{"what is below a branch with slashes", "GET", "/repos/acme/shop/branches/a/b/c/protection", "", ""},
		{"the root directory", "GET", "/repos/acme/shop/contents/", "", ""},
		{"an escaped slash", "DELETE", "/repos/acme/shop/issues/1/labels/kill%2Fswitch", "", ""},
		{"a slash that should be escaped", "DELETE", "/repos/acme/shop/issues/1/labels/kill/switch", "", "path"},
		{"a repository by number", "GET", "/repositories/7/pulls?page=2", "", ""},
		{"a team by number", "GET", "/organizations/7/team/8/members", "", ""},
		{"an operation that does not exist", "GET", "/repos/acme/shop/gate", "", "path"},
		{"a method that does not exist", "POST", "/repos/acme/shop/pulls/1", "", "path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			watch, _ := exchange(t, j.Watch, c.method, c.path, c.body, answers(http.StatusUnprocessableEntity, refusal))
			holds(t, watch.Violations(), contract.Request, c.want)
		})
	}
}

// holds checks that the violations are by one side and at one place, or none.
func holds(t *testing.T, got []contract.Violation, by, where string) {
	t.Helper()
	if where == "" {
		if len(got) > 0 {
			t.Errorf("it was found fault with: %v", got)
		}
		return
	}
	if !slices.ContainsFunc(got, func(v contract.Violation) bool { return v.By == by && v.Where == where }) {
		t.Errorf("no fault of the %s was found at %s, but %v", by, where, got)
	}
}

func TestAnswers(t *testing.T) {
	j := judge(t)
	without := func(property string) string { return strings.Replace(label, `"`+property+`"`, `"x_`+property+`"`, 1) }
	const one = "/repos/acme/shop/labels/bug"
	for _, c := range []struct {
		name, method, path string
		status             int
		body, want         string
	}{
		{"a label", "GET", one, 200, label, ""},
		{"a label without a color", "GET", one, 200, without("color"), "body /color"},
		{"a label with an invention", "GET", one, 200, without("color"), "body /x_color"},
		{"a label with an id in words", "GET", one, 200, strings.Replace(label, `"id":1`, `"id":"one"`, 1), "body /id"},
		{"a label with an address that is none", "GET", one, 200, strings.Replace(label, "https://github.example/l", "l", 1), "body /url"},
		{"a list with one bad label", "GET", "/repos/acme/shop/labels", 200, "[" + label + "," + without("name") + "]", "body /*/name"},
		{"an object for a list", "GET", "/repos/acme/shop/labels", 200, label, "body"},
		{"a status that GitHub does not give", "GET", one, 201, label, "status"},
		{"nothing where nothing belongs", "DELETE", one, 204, "", ""},
		{"something where nothing belongs", "DELETE", one, 204, "{}", "body"},
		{"an error", "GET", one, 404, refusal, ""},
		{"an error that GitHub does not document there", "GET", one, 401, refusal, ""},
		{"an error without a message", "GET", one, 404, `{}`, "body /message"},
		{"an error in HTML", "GET", one, 403, `<html>`, "body"},
		{"a proxy's error in HTML", "GET", one, 502, `<html>`, ""},
		{"an invented code", "POST", "/repos/acme/shop/labels", 422, strings.Replace(refusal, "{", `{"errors":[{"code":"wrong"}],`, 1), "body /errors/*/code"},
		{"304 without a condition", "GET", one, 304, "", "status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := answers(c.status, c.body)
			if c.body == "" {
				answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) }
			}
			watch, recorded := exchange(t, j.Watch, c.method, c.path, "", answer)
			holds(t, watch.Violations(), contract.Answer, c.want)
			if recorded.Code != c.status || recorded.Body.String() != c.body && c.status != http.StatusNoContent {
				t.Errorf("the answer was changed to %d %q", recorded.Code, recorded.Body)
			}
		})
	}
}

// TestEveryOperationCompiles would find what GitHub's next description has that
// this package cannot read.
func TestEveryOperationCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles all of GitHub's operations")
	}
	n, err := judge(t).CompileAll()
	if err != nil {
		t.Fatal(err)
	}
	if n < 1000 {
		t.Errorf("there are %d operations, want all of GitHub's", n)
	}
}

func TestPages(t *testing.T) {
	j := judge(t)
	watch := j.Watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "" {
			w.Header().Set("Link", `<https://github.example/api/v3/repositories/7/labels?page=2>; rel="next", <https://github.example/api/v3/repositories/7/labels?page=2>; rel="last"`)
		}
		answers(http.StatusOK, "["+label+"]")(w, r)
	}))
	ask := func(path string) {
		watch.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v3"+path, nil))
	}
	ask("/repos/acme/shop/labels")
	want := contract.Page{Operation: "GET /repos/{owner}/{repo}/labels", Address: "/repos/acme/shop/labels?page=2"}
	if got := watch.Unread(); len(got) != 1 || got[0] != want {
		t.Errorf("unread are %v, want %v", got, want)
	}
	ask("/repos/acme/shop/labels?page=2")
	if got := watch.Unread(); len(got) != 0 {
		t.Errorf("unread are %v though it was read", got)
	}
	holds(t, watch.Violations(), "", "")

	stray, _ := exchange(t, j.Watch, http.MethodGet, "/repos/acme/shop/labels", "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", `<https://github.example/api/v3/repositories/7/milestones?page=2>; rel="next"`)
		answers(http.StatusOK, "[]")(w, r)
	})
	holds(t, stray.Violations(), contract.Answer, "header Link")
}

// TestWatchChangesNothing looks at what is not under the prefix, at bodies, and
// at a connection that is cut.
func TestWatchChangesNothing(t *testing.T) {
	j := judge(t)
	server := httptest.NewServer(j.Watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v3/cut" {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			_ = connection.Close()
			return
		}
		_, _ = io.Copy(w, r.Body)
	})))
	defer server.Close()
	for _, path := range []string{"/api/v3/markdown", "/api/graphql", "/acme/shop"} {
		response, err := http.Post(server.URL+path, "application/json", strings.NewReader(`{"text":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != `{"text":"a"}` {
			t.Errorf("%s answered %q, %v", path, body, err)
		}
		_ = response.Body.Close()
	}
	if response, err := http.Get(server.URL + "/api/v3/cut"); err == nil {
		t.Errorf("the cut connection answered %d", response.StatusCode)
	}
}
