package githubapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// withIssues is a repository in which the App may open issues, and bob may write.
func withIssues(t *testing.T, options githubsim.Options) *fixture {
	t.Helper()
	f := newFixtureOn(t, options)
	f.installation.SetPermission("issues", "write")
	f.person("bob", "write")
	f.calls()
	return f
}

// issue reads the issue, which must be there.
func (f *fixture) issue(t *testing.T, number int) githubapi.Issue {
	t.Helper()
	issue, found, err := f.client.Issue(t.Context(), f.at, number)
	if err != nil || !found {
		t.Fatalf("issue %d is found: %t, %v", number, found, err)
	}
	return issue
}

const ours = "<!-- portcullis kill switch -->\nstopped\n<!-- /portcullis kill switch -->"

// TestAnIssueCarriesTheSwitch opens one and finds it by its label, each in one call.
func TestAnIssueCarriesTheSwitch(t *testing.T) {
	const at = "/repos/acme/shop/issues"
	f := withIssues(t, githubsim.Options{})
	number, err := f.client.OpenIssue(t.Context(), f.at, "Stopped", "stopped", "kill switch")
	if err != nil || number != 1 {
		t.Fatalf("issue %d, %v", number, err)
	}
	f.asked(t, "open", "POST "+at)
	issue := f.issue(t, number)
	if issue.Title != "Stopped" || issue.Body != ours || !issue.Open || issue.PullRequest || !slices.Equal(issue.Labels, []string{"kill switch"}) ||
		issue.Author.Login != "portcullis[bot]" || issue.Author.Kind != policy.KindBot || issue.CreatedAt.IsZero() || issue.UpdatedAt.Before(issue.CreatedAt) {
		t.Errorf("it reads %+v", issue)
	}
	f.asked(t, "read", "GET "+at+"/1")
	pr := f.open(t)
	other, err := f.repo.OpenIssue(f.sim.User("bob"), "other", "", "bug", "Kill Switch")
	if err != nil {
		t.Fatal(err)
	}
	for _, add := range []error{pr.AddLabel(f.sim.User("bob"), "kill switch"), other.AddLabel(f.sim.User("bob"), "bug")} {
		if add != nil {
			t.Fatal(add)
		}
	}
	f.calls()
	for i := range 2 {
		found, err := f.client.FindIssues(t.Context(), f.at, "kill switch")
		if err != nil || len(found) != 2 || found[0].Number != 1 || found[1].Number != other.Number() {
			t.Errorf("found %+v, %v", found, err)
		}
		if n := billed(f.sim.Requests()); n != 1-i {
			t.Errorf("finding them was billed %d times", n)
		}
		f.asked(t, "find", "GET "+at)
	}
	for _, label := range []string{"none", "bug,kill switch"} {
		if found, err := f.client.FindIssues(t.Context(), f.at, label); err != nil || len(found) != 0 {
			t.Errorf("with the label %s there are %+v, %v", label, found, err)
		}
	}
	if !f.issue(t, pr.Number()).PullRequest {
		t.Error("a pull request is taken for an issue")
	}
}

// TestALabelIsTakenOffAndPutOn and the issue closed and opened, each in one call,
// whether or not there is anything to do.
func TestALabelIsTakenOffAndPutOn(t *testing.T) {
	const at = "/repos/acme/shop/issues"
	f := withIssues(t, githubsim.Options{})
	if _, err := f.repo.OpenIssue(f.sim.User("bob"), "x", "", "kill switch"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.client.RemoveLabel(t.Context(), f.at, 1, "kill switch"); err != nil {
			t.Fatal(err)
		}
		f.asked(t, "take off", "DELETE "+at+"/1/labels/kill switch")
	}
	if err := f.client.RemoveLabel(t.Context(), f.at, 1000, "kill switch"); err != nil {
		t.Errorf("off what is not there: %v", err)
	}
	if len(f.issue(t, 1).Labels) != 0 {
		t.Error("the label is still on it")
	}
	f.calls()
	for range 2 {
		if err := f.client.AddLabel(t.Context(), f.at, 1, "a/b c?"); err != nil {
			t.Fatal(err)
		}
		f.asked(t, "put on", "POST "+at+"/1/labels")
	}
	if err := f.client.RemoveLabel(t.Context(), f.at, 1, "a/b c?"); err != nil || len(f.issue(t, 1).Labels) != 0 {
		t.Errorf("a label whose name is no address: %v", err)
	}
	f.calls()
	for _, open := range []bool{false, true} {
		if err := f.client.SetIssueState(t.Context(), f.at, 1, open); err != nil {
			t.Fatal(err)
		}
		f.asked(t, "close and open", "PATCH "+at+"/1")
		if f.issue(t, 1).Open != open {
			t.Errorf("it is not open: %t", open)
		}
		f.calls()
	}
}

// TestAnIssueThatIsGone is told apart from one that cannot be read.
func TestAnIssueThatIsGone(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	if _, err := f.repo.OpenIssue(f.sim.User("bob"), "x", ""); err != nil {
		t.Fatal(err)
	}
	elsewhere := f.acme.CreateRepository("elsewhere", nil)
	moved, err := elsewhere.OpenIssue(f.sim.User("bob"), "moved", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := f.client.Issue(t.Context(), f.at, 1000); found || err != nil {
		t.Errorf("one that is not there: %t, %v", found, err)
	}
	at := regexp.MustCompile(`^/repos/acme/shop/issues/1(/.*)?$`)
	leads := func(repository int64, number int) func() {
		return f.sim.Inject(githubsim.Fault{Path: at, Status: http.StatusMovedPermanently, Header: map[string]string{
			"Location": fmt.Sprintf("%s/api/v3/repositories/%d/issues/%d", f.sim.URL(), repository, number),
		}})
	}
	remove := leads(elsewhere.ID(), moved.Number())
	if issue, found, err := f.client.Issue(t.Context(), f.at, 1); found || err != nil {
		t.Errorf("one that was moved away: %+v, %t, %v", issue, found, err)
	}
	for doing, err := range map[string]error{
		"label": f.client.AddLabel(t.Context(), f.at, 1, "x"),
		"close": f.client.SetIssueState(t.Context(), f.at, 1, false),
	} {
		refusedWith(t, doing, err, http.StatusMovedPermanently)
	}
	if moved.State() != "open" || len(moved.Labels()) != 0 {
		t.Error("it was done where it was moved")
	}
	refusedWith(t, "put the section", f.client.PutIssueSection(t.Context(), f.at, 1, "x"), http.StatusGone)
	remove()
	renamed := f.at
	renamed.Name = "market"
	f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`^/repos/acme/market/issues/1$`), Status: http.StatusMovedPermanently, Header: map[string]string{
		"Location": fmt.Sprintf("%s/api/v3/repositories/%d/issues/1", f.sim.URL(), f.repo.ID()),
	}})
	if _, found, err := f.client.Issue(t.Context(), renamed, 1); !found || err != nil {
		t.Errorf("in a repository that has another name now: %t, %v", found, err)
	}
	for status, gone := range map[int]bool{http.StatusNotFound: true, http.StatusGone: true, http.StatusForbidden: false, http.StatusBadGateway: false} {
		remove := f.sim.Inject(githubsim.Fault{Path: at, Status: status})
		if _, found, err := f.client.Issue(t.Context(), f.at, 1); found || (err == nil) != gone {
			t.Errorf("answered %d: %t, %v", status, found, err)
		}
		if events, err := f.client.IssueEvents(t.Context(), f.at, 1, time.Time{}); len(events) != 0 || (err == nil) != gone {
			t.Errorf("answered %d: %v, %v", status, events, err)
		}
		if err := f.client.RemoveLabel(t.Context(), f.at, 1, "x"); (err == nil) != gone {
			t.Errorf("answered %d: %v", status, err)
		}
		refusedWith(t, "label", f.client.AddLabel(t.Context(), f.at, 1, "x"), status)
		refusedWith(t, "close", f.client.SetIssueState(t.Context(), f.at, 1, false), status)
		remove()
	}
}

// TestIssuesNeedAPermission is refused everything that it has no permission for.
func TestIssuesNeedAPermission(t *testing.T) {
	f := newFixture(t)
	f.installation.SetPermission("pull_requests", "")
	_, err := f.client.OpenIssue(t.Context(), f.at, "x", "x", "x")
	refusedWith(t, "open", err, http.StatusForbidden)
	if failed, ok := errors.AsType[*githubapi.Error](err); !ok || !failed.Refused() || failed.Gone() {
		t.Error("it is not told as refused")
	}
	_, err = f.client.FindIssues(t.Context(), f.at, "x")
	refusedWith(t, "find", err, http.StatusForbidden)
	_, _, err = f.client.Issue(t.Context(), f.at, 1)
	refusedWith(t, "read", err, http.StatusForbidden)
	refusedWith(t, "put the section", f.client.PutIssueSection(t.Context(), f.at, 1, "x"), http.StatusForbidden)
	refusedWith(t, "label", f.client.AddLabel(t.Context(), f.at, 1, "x"), http.StatusForbidden)
	refusedWith(t, "take off", f.client.RemoveLabel(t.Context(), f.at, 1, "x"), http.StatusForbidden)
	refusedWith(t, "close", f.client.SetIssueState(t.Context(), f.at, 1, false), http.StatusForbidden)
	_, err = f.client.IssueEvents(t.Context(), f.at, 1, time.Time{})
	refusedWith(t, "events", err, http.StatusForbidden)
}

// TestALabelThatIsNotMadeByItself is dropped, or refused, until it was made.
func TestALabelThatIsNotMadeByItself(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	const at = "/repos/acme/shop"
	f.sim.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(at + `/labels$`), Status: http.StatusUnprocessableEntity}) // already_exists
	dropped := f.sim.Inject(githubsim.Fault{
		Method: http.MethodPost, Path: regexp.MustCompile(at + `/issues$`), Status: http.StatusCreated, Body: `{"number": 1, "labels": []}`, After: true,
	})
	if number, err := f.client.OpenIssue(t.Context(), f.at, "x", "x", "stop"); err != nil || number != 1 {
		t.Errorf("issue %d, %v", number, err)
	}
	f.asked(t, "dropped", "POST "+at+"/issues", "POST "+at+"/labels", "POST "+at+"/issues/1/labels")
	dropped()
	f.sim.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(at + `/issues$`), Status: http.StatusUnprocessableEntity, Times: 1})
	if number, err := f.client.OpenIssue(t.Context(), f.at, "x", "x", "stop"); err != nil || number != 2 {
		t.Errorf("issue %d, %v", number, err)
	}
	f.asked(t, "refused", "POST "+at+"/issues", "POST "+at+"/labels", "POST "+at+"/issues")
}

// TestTheSectionOfAnIssue changes our part of the text and leaves people's.
func TestTheSectionOfAnIssue(t *testing.T) {
	const again = "<!-- portcullis kill switch -->\nagain\n<!-- /portcullis kill switch -->"
	const begins, ends = "<!-- portcullis kill switch -->", "<!-- /portcullis kill switch -->"
	for _, c := range []struct{ name, body, section, want string }{
		{"unchanged", "before\n\n" + ours + "\nafter", "stopped", "before\n\n" + ours + "\nafter"},
		{"unchanged but for the ends of lines", "before\r\n" + strings.ReplaceAll(ours, "\n", "\r\n") + "\r\nafter", "\nstopped\n", ""},
		{"changed", "before\n\n" + ours + "\nafter", "again", "before\n\n" + again + "\nafter"},
		{"no section", "before\r\n\r\n", "again", "before\n\n" + again},
		{"no text", " \n", "again", again},
		{"the end is gone", "before " + begins + " after", "again", "before " + begins + " after\n\n" + again},
		{"the begin is gone", "before " + ends + " after", "again", "before " + ends + " after\n\n" + again},
		{"a begin too many", begins + " text " + ours, "again", begins + " text " + again},
		{"an end too many", ends + " text " + ours + " " + ends, "again", ends + " text " + again + " " + ends},
		{"marks within", "", "ag" + ends + "ain" + begins, again},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := withIssues(t, githubsim.Options{})
			if _, err := f.repo.OpenIssue(f.sim.User("bob"), "x", c.body); err != nil {
				t.Fatal(err)
			}
			want, calls := c.want, []string{"GET /repos/acme/shop/issues/1", "PATCH /repos/acme/shop/issues/1"}
			if want == "" || want == c.body {
				want, calls = c.body, calls[:1]
			}
			for range 2 { // the second time it says so already
				if err := f.client.PutIssueSection(t.Context(), f.at, 1, c.section); err != nil {
					t.Fatal(err)
				}
				f.asked(t, "put", calls...)
				calls = calls[:1]
				if got := f.issue(t, 1).Body; got != want {
					t.Errorf("it says %q, want %q", got, want)
				}
				f.calls()
			}
			for range 2 {
				if err := f.client.PutIssueSection(t.Context(), f.at, 1, c.section); err != nil || billed(f.sim.Requests()) != 0 {
					t.Errorf("as it is: %v, billed %d times", err, billed(f.sim.Requests()))
				}
			}
		})
	}
}

// TestWhoTookTheLabelOff reads an issue's history.
func TestWhoTookTheLabelOff(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	bob := f.sim.User("bob")
	thread, err := f.repo.OpenIssue(bob, "x", "")
	if err != nil {
		t.Fatal(err)
	}
	number := thread.Number()
	if err := f.client.AddLabel(t.Context(), f.at, number, "stop"); err != nil {
		t.Fatal(err)
	}
	for _, act := range []error{thread.RemoveLabel(bob, "stop"), thread.Close(bob), thread.Reopen(bob)} {
		if act != nil {
			t.Fatal(act)
		}
	}
	f.calls()
	all, err := f.client.IssueEvents(t.Context(), f.at, number, time.Time{})
	f.asked(t, "events", "GET /repos/acme/shop/issues/1/events")
	var kinds []string
	for _, e := range all {
		kinds = append(kinds, e.Kind+" "+e.Label+" "+e.By.Login)
	}
	if want := []string{"labeled stop portcullis[bot]", "unlabeled stop bob", "closed  bob", "reopened  bob"}; err != nil || !slices.Equal(kinds, want) {
		t.Errorf("got %q, %v; want %q", kinds, err, want)
	}
	if since, err := f.client.IssueEvents(t.Context(), f.at, number, all[1].At); err != nil || !slices.Equal(since, all[2:]) {
		t.Errorf("since then: %+v, %v", since, err)
	}
}

// TestALongHistoryIsReadFromItsEnd reads the page on which the end was, and what is
// new enough.
func TestALongHistoryIsReadFromItsEnd(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	bob := f.sim.User("bob")
	issue, err := f.repo.OpenIssue(bob, "x", "")
	if err != nil {
		t.Fatal(err)
	}
	flip := func(n int) {
		for range n {
			if err := issue.Close(bob); err != nil {
				t.Fatal(err)
			}
			if err := issue.Reopen(bob); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(since time.Time, want int, calls int) []githubapi.IssueEvent {
		t.Helper()
		events, err := f.client.IssueEvents(t.Context(), f.at, 1, since)
		if got := f.calls(); err != nil || len(events) != want || len(got) != calls {
			t.Fatalf("%d events by %q, %v; want %d by %d calls", len(events), got, err, want, calls)
		}
		for i := range events[1:] {
			if !events[i].At.Before(events[i+1].At) {
				t.Fatalf("%+v comes before %+v", events[i], events[i+1])
			}
		}
		return events
	}
	flip(50)
	f.calls()
	read(time.Time{}, 100, 2)
	flip(120) // the first page, which was kept, knows of no other
	f.calls()
	all := read(time.Time{}, 340, 4)
	for i, e := range all {
		if want := []string{"closed", "reopened"}[i%2]; e.Kind != want {
			t.Fatalf("entry %d is %s", i, e.Kind)
		}
	}
	fresh := f.replica(t, time.Now, nil)
	f.client = fresh
	read(all[309].At, 30, 2)
	read(all[249].At, 90, 3)
	read(time.Time{}, 340, 4)
}

// TestReplyOnAnIssue comments once for each key, whatever others write that looks alike.
func TestReplyOnAnIssue(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	number, err := f.client.OpenIssue(t.Context(), f.at, "x", "x", "stop")
	if err != nil {
		t.Fatal(err)
	}
	about := policy.PullRequestRef{Repository: f.at, Number: number}
	f.calls()
	const list, post, self = "GET /repos/acme/shop/issues/1/comments", "POST /repos/acme/shop/issues/1/comments", "GET /app"
	for i, calls := range [][]string{{list, post}, {list, self}, {list, post}} {
		if err := f.client.Reply(t.Context(), about, []string{"a", "a", "b"}[i], time.Time{}, "hello: <!-- portcullis reply c --> is what it wrote"); err != nil {
			t.Fatal(err)
		}
		f.asked(t, "reply", calls...)
	}
	for _, other := range []*githubsim.User{f.sim.CreateBot("renovate[bot]", 29139614), f.sim.User("bob")} {
		f.repo.SetRole(other, "write")
		if _, err := f.repo.Issue(number).Comment(other, "mine\n\n<!-- portcullis reply c -->"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.client.Reply(t.Context(), about, "c", time.Time{}, "hello"); err != nil {
		t.Fatal(err)
	}
	if comments, err := f.client.Comments(t.Context(), f.at, number); err != nil || len(comments) != 5 {
		t.Errorf("there are %d comments, %v", len(comments), err)
	}
}
