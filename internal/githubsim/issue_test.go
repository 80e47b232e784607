package githubsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Each thing that happens to an issue is told to Apps that read issues, with who did it, and to no others.
func TestIssueWebhooks(t *testing.T) {
	w := newWorld(t)
	deaf := w.sim.CreateApp(githubsim.AppSpec{Slug: "deaf", Permissions: map[string]string{"checks": "read"}, Events: allEvents})
	deaf.Install(w.org)
	i, err := w.repo.OpenIssue(w.alice, "Stop", "because", "halt")
	must(t, err)
	for _, c := range []struct {
		action, by string
		act        func() error
		where      []any
		want       any
	}{
		{"labeled", "bob", func() error { return i.AddLabel(w.bob, "now") }, []any{"label", "name"}, "now"},
		{"unlabeled", "root", func() error { return i.RemoveLabel(w.root, "now") }, []any{"label", "name"}, "now"},
		{"edited", "alice", func() error { return i.SetBody(w.alice, "really") }, []any{"changes", "body", "from"}, "because"},
		{"edited", "bob", func() error { return i.SetTitle(w.bob, "Halt") }, []any{"changes", "title", "from"}, "Stop"},
		{"closed", "bob", func() error { return i.Close(w.bob) }, []any{"issue", "state"}, "closed"},
		{"reopened", "alice", func() error { return i.Reopen(w.alice) }, []any{"issue", "state"}, "open"},
		{"deleted", "root", func() error { return i.Delete(w.root) }, []any{"issue", "title"}, "Halt"},
	} {
		must(t, c.act())
		told := w.last("issues", c.action)
		equal(t, c.action, at(told, c.where...), c.want)
		equal(t, c.action+" by", at(told, "sender", "login"), any(c.by))
	}
	for _, d := range w.sim.Deliveries() {
		if d.AppID == deaf.ID() && d.Event == "issues" {
			t.Errorf("an App without issues heard issues.%s", d.Action)
		}
	}
	before := len(w.events())
	other, err := w.repo.OpenIssue(w.alice, "Same", "text")
	must(t, err)
	must(t, other.SetBody(w.alice, "text"))
	equal(t, "an edit that changes nothing is not told", len(w.events()), before+1)
	refused(t, other.SetBody(w.eve, "mine"), 403, "permission")
	const edited = `{repository(owner: "acme", name: "castle") {issues(first: 1) {nodes {lastEditedAt editor {login}}}}}`
	_, out := w.ask(w.bob.Token(), edited)
	same(t, "never edited", at(out, "data", "repository", "issues", "nodes", 0), `{"lastEditedAt": null, "editor": null}`)
	must(t, other.SetBody(w.bob, "new"))
	_, out = w.ask(w.bob.Token(), edited)
	equal(t, "editor", at(out, "data", "repository", "issues", "nodes", 0, "editor", "login"), any("bob"))
}

// What becomes of the address of an issue that is deleted or transferred.
func TestIssuesThatLeave(t *testing.T) {
	w := newWorld(t)
	keep := w.org.CreateRepository("keep", nil)
	keep.SetRole(w.alice, "write")
	keep.CreateLabel("halt")
	gone, err := w.repo.OpenIssue(w.alice, "Gone", "")
	must(t, err)
	refused(t, gone.Delete(w.alice), 403, "admin")
	must(t, gone.Delete(w.root))
	w.must(410, w.bob, "GET", "/repos/acme/castle/issues/1", "")
	w.must(410, w.bob, "POST", "/repos/acme/castle/issues/1/labels", `{"labels":["x"]}`)

	i, err := w.repo.OpenIssue(w.alice, "Moves", "text", "halt", "local")
	must(t, err)
	comment, err := i.Comment(w.bob, "look")
	must(t, err)
	_, err = i.Transfer(w.bob, keep)
	refused(t, err, 403, "write access to both")
	_, err = i.Transfer(w.alice, w.repo.Fork(w.alice))
	refused(t, err, 422, "same account")
	moved, err := i.Transfer(w.alice, keep)
	must(t, err)
	equal(t, "labels", strings.Join(moved.Labels(), " "), "halt")
	told := w.last("issues", "transferred")
	equal(t, "old", at(told, "repository", "name"), any("castle"))
	equal(t, "new", fmt.Sprint(at(told, "changes", "new_repository", "name"), at(told, "changes", "new_issue", "number")), "keep1")
	opened := w.last("issues", "opened")
	equal(t, "opened", fmt.Sprint(at(opened, "repository", "name"), " ", at(opened, "changes", "old_issue", "number"), " ", at(opened, "sender", "login")), "keep 2 alice")
	resp, _ := w.do(http.MethodGet, "/repos/acme/keep/issues/1", w.bearer(w.bob), "")
	equal(t, "there", resp.StatusCode, 200)
	equal(t, "open issues", fmt.Sprint(at(w.must(200, w.bob, "GET", "/repos/acme/castle", ""), "open_issues_count"), at(w.must(200, w.bob, "GET", "/repos/acme/keep", ""), "open_issues_count")), "0 1")
	w.must(404, w.bob, "GET", fmt.Sprintf("/repos/acme/castle/issues/comments/%d", comment.ID), "")
	kept := w.must(200, w.bob, "GET", fmt.Sprintf("/repos/acme/keep/issues/comments/%d", comment.ID), "")
	equal(t, "its issue", strings.HasSuffix(at(kept, "issue_url").(string), "/repos/acme/keep/issues/1"), true)
	followed := w.must(200, w.bob, "GET", "/repos/acme/castle/issues/2", "") // the client follows the 301
	equal(t, "redirected", at(followed, "title"), any("Moves"))
	unfollowed := func() (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.sim.APIURL()+"repos/acme/castle/issues/2", nil)
		must(t, err)
		request.Header.Set("Authorization", w.bearer(w.bob))
		resp, err := w.transport().RoundTrip(request)
		must(t, err)
		must(t, resp.Body.Close())
		return resp.StatusCode, resp.Header.Get("Location")
	}
	status, where := unfollowed()
	equal(t, "where to", fmt.Sprint(status, " ", where), "301 "+w.sim.APIURL()+"repos/acme/keep/issues/1")
	keep.SetPrivate(true)
	status, _ = unfollowed()
	equal(t, "for who cannot read there", status, 404)
}

// The lists that tell which issues have labels, and who did what to them.
func TestIssueLists(t *testing.T) {
	w := newWorld(t)
	for n, labels := range [][]string{{"a"}, {"a", "b"}, {"b"}} {
		_, err := w.repo.OpenIssue(w.alice, fmt.Sprint("Number ", n+1), "", labels...)
		must(t, err)
	}
	i := w.repo.Issue(2)
	for query, want := range map[string]string{
		"labels=a": "2 1 ", "labels=A,b": "2 ", "labels=c": "", "labels=b&state=closed": "", "labels=b&state=all&direction=asc": "2 3 ",
	} {
		got := ""
		for _, one := range w.must(200, w.bob, "GET", "/repos/acme/castle/issues?"+query, "").([]any) {
			got += fmt.Sprint(at(one, "number"), " ")
		}
		equal(t, query, got, want)
	}
	must(t, i.RemoveLabel(w.bob, "a"))
	_, err := i.Comment(w.root, "why?")
	must(t, err)
	must(t, i.Close(w.bob))
	must(t, i.Reopen(w.alice))
	list := func(which string) string {
		got := ""
		for _, one := range w.must(200, w.bob, "GET", "/repos/acme/castle/issues/2/"+which, "").([]any) {
			got += fmt.Sprint(at(one, "event"), " ", at(one, "actor", "login"), "; ")
		}
		return got
	}
	equal(t, "events", list("events"), "labeled alice; labeled alice; unlabeled bob; closed bob; reopened alice; ")
	equal(t, "timeline", list("timeline"), "labeled alice; labeled alice; unlabeled bob; commented root; closed bob; reopened alice; ")
}

// Who renames and deletes a label is told.
func TestLabelsByPeople(t *testing.T) {
	w := newWorld(t)
	i, err := w.repo.OpenIssue(w.alice, "Stop", "", "halt")
	must(t, err)
	refused(t, w.repo.EditLabel(w.eve, "halt", "x"), 403, "")
	must(t, w.repo.EditLabel(w.bob, "halt", "stopped"))
	told := w.last("label", "edited")
	equal(t, "renamed", fmt.Sprint(at(told, "changes", "name", "from"), " ", at(told, "sender", "login")), "halt bob")
	refused(t, w.repo.RemoveLabel(w.eve, "stopped"), 403, "")
	must(t, w.repo.RemoveLabel(w.root, "stopped"))
	equal(t, "deleted by", at(w.last("label", "deleted"), "sender", "login"), any("root"))
	equal(t, "labels", len(i.Labels()), 0)
}
