package githubapi_test

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// withLabels is a client that knows what policies call the label, by repository.
func (f *fixture) withLabels(t *testing.T, labels func(policy.Repository) []string) {
	t.Helper()
	client, err := githubapi.New(f.config, githubapi.Options{
		UserAgent: "test", PolicyPath: ".github/portcullis.yml", OrganizationRepository: ".github", CheckName: "portcullis",
		SwitchLabels: labels, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.client = client
}

// repositories makes more of them, bob's to write in.
func (f *fixture) repositories(n int) ([]*githubsim.Repository, []policy.Repository) {
	made, at := make([]*githubsim.Repository, n), make([]policy.Repository, n)
	for i := range n {
		made[i] = f.acme.CreateRepository("r"+strconv.Itoa(i), map[string]string{"a": "a\n"})
		made[i].SetRole(f.sim.User("bob"), "write")
		at[i] = policy.Repository{Installation: f.at.Installation, ID: made[i].ID(), Owner: "acme", Name: made[i].Name()}
	}
	return made, at
}

func flag(t *testing.T, repo *githubsim.Repository, by *githubsim.User, title string, labels ...string) int {
	t.Helper()
	issue, err := repo.OpenIssue(by, title, "", labels...)
	if err != nil {
		t.Fatal(err)
	}
	return issue.Number()
}

// numbers are the flags of one repository, in words.
func numbers(flags []policy.Flag) []string {
	words := []string{}
	for _, f := range flags {
		words = append(words, fmt.Sprintf("%s %d %t", f.Label, f.Number, f.PullRequest))
	}
	slices.Sort(words)
	return words
}

// TestASweepIsAPointForTwentyFiveRepositories finds what carries a label that is the
// switch there, issues and pull requests.
func TestASweepIsAPointForTwentyFiveRepositories(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	bob := f.sim.User("bob")
	made, at := f.repositories(40)
	f.withLabels(t, func(r policy.Repository) []string {
		if r.Name == "r1" {
			return []string{"stop", "halt", "STOP"}
		}
		return []string{"stop"}
	})
	want := map[int64][]string{}
	for _, r := range at {
		want[r.ID] = []string{}
	}
	open := flag(t, made[0], bob, "o", "stop", "bug")
	closed, err := made[0].OpenIssue(bob, "c", "", "stop")
	if err != nil || closed.Close(bob) != nil {
		t.Fatal(err)
	}
	flag(t, made[0], bob, "x", "halt")
	want[at[0].ID] = []string{fmt.Sprintf("stop %d false", open)}
	both := flag(t, made[1], bob, "b", "stop", "halt")
	want[at[1].ID] = []string{fmt.Sprintf("halt %d false", both), fmt.Sprintf("stop %d false", both)}
	if _, err := made[39].Push(bob, "topic", githubsim.Commit{Files: map[string]string{"x": "x\n"}}); err != nil {
		t.Fatal(err)
	}
	pr, err := made[39].Open(bob, githubsim.PullRequestSpec{Title: "p", Head: "topic"})
	if err != nil {
		t.Fatal(err)
	}
	if err := pr.AddLabel(bob, "stop"); err != nil {
		t.Fatal(err)
	}
	want[at[39].ID] = []string{fmt.Sprintf("stop %d true", pr.Number())}
	// One that is gone, and one that has the name of one that is gone.
	made[20].Delete()
	delete(want, at[20].ID)
	delete(want, at[30].ID)
	at[30].ID += 100000
	f.calls()
	found, err := f.client.Flagged(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64][]string{}
	for id, flags := range found {
		got[id] = numbers(flags)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if f := found[at[0].ID][0]; f.Title != "o" || f.Repository != at[0] || f.Organization {
		t.Errorf("it is shown as %+v", f)
	}
	points := 0
	for _, r := range f.sim.Requests() {
		points += r.Points
	}
	if points > 2+1 { // one for the token
		t.Errorf("it was %d points", points)
	}
	f.asked(t, "forty repositories", "POST /graphql", "POST /graphql")
}

// TestManyLabelsMakeSmallerQueries asks for a hundred lists at once and no more.
func TestManyLabelsMakeSmallerQueries(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	_, at := f.repositories(13)
	labels := []string{"a", "b", "c", "d"}
	f.withLabels(t, func(policy.Repository) []string { return labels })
	f.calls()
	for calls, n := range map[int]int{2: 4, 13: 51} {
		for i := len(labels); i < n; i++ {
			labels = append(labels, "l"+strconv.Itoa(i))
		}
		labels = labels[:n]
		if found, err := f.client.Flagged(t.Context(), at); err != nil || len(found) != 13 {
			t.Errorf("found %v, %v", found, err)
		}
		if got := f.calls(); len(got) != calls {
			t.Errorf("with %d labels it is %d calls, want %d", n, len(got), calls)
		}
	}
	f.withLabels(t, nil)
	if found, err := f.client.Flagged(t.Context(), nil); err != nil || len(found) != 0 {
		t.Errorf("of no repositories: %v, %v", found, err)
	}
}

// TestASweepIsWholeOrSaysThatItIsNot reads on where a page is full, and never takes
// what it could not read for nothing.
func TestASweepIsWholeOrSaysThatItIsNot(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	made, at := f.repositories(3)
	f.withLabels(t, func(policy.Repository) []string { return []string{"stop"} })
	for range 21 {
		flag(t, made[1], f.sim.User("bob"), "x", "stop")
	}
	f.calls()
	found, err := f.client.Flagged(t.Context(), at)
	if err != nil || len(found) != 3 || len(found[at[1].ID]) != 21 {
		t.Errorf("%d repositories, %d issues, %v", len(found), len(found[at[1].ID]), err)
	}
	f.asked(t, "more than a page", "POST /graphql", "GET /repos/acme/r1/issues")
	remove := f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/issues$`), Status: http.StatusBadGateway})
	_, err = f.client.Flagged(t.Context(), at)
	refusedWith(t, "the rest cannot be read", err, http.StatusBadGateway)
	remove()

	refused := func(paths ...string) (remove func()) {
		var all []func()
		for _, path := range paths {
			all = append(all, f.sim.Inject(githubsim.Fault{GraphQLError: &githubsim.GraphQLError{
				Type: "FORBIDDEN", Message: "Resource not accessible by integration", Path: []any{path, "issues0"},
			}}))
		}
		return func() {
			for _, remove := range all {
				remove()
			}
		}
	}
	remove = refused("r1")
	found, err = f.client.Flagged(t.Context(), at)
	if _, read := found[at[1].ID]; err != nil || read || len(found) != 2 {
		t.Errorf("one that cannot be read: %v, %v", found, err)
	}
	// Nothing could be read at all.
	if found, err = f.client.Flagged(t.Context(), at[:1]); err != nil || len(found) != 1 {
		t.Errorf("another one: %v, %v", found, err)
	}
	remove()
	remove = refused("r0")
	if found, err = f.client.Flagged(t.Context(), at[:1]); err == nil {
		t.Errorf("the only one that there is cannot be read: %v", found)
	}
	remove()
	f.installation.SetPermission("issues", "")
	if found, err = f.client.Flagged(t.Context(), at); err == nil {
		t.Errorf("without the permission: %v", found)
	}
	f.installation.SetPermission("issues", "read")
	for _, fault := range []githubsim.Fault{
		{GraphQLError: &githubsim.GraphQLError{Message: "Something went wrong while executing your query."}},
		{Path: regexp.MustCompile(`/graphql$`), Status: http.StatusBadGateway},
	} {
		remove := f.sim.Inject(fault)
		if found, err := f.client.Flagged(t.Context(), at); err == nil {
			t.Errorf("a query that failed: %v", found)
		}
		remove()
	}
}

// TestASnapshotShowsSwitches by a query and by REST alike: issues with the label,
// there and in the organization's repository, and whether GitHub merges by itself.
func TestASnapshotShowsSwitches(t *testing.T) {
	f := withIssues(t, githubsim.Options{})
	bob := f.sim.User("bob")
	f.withLabels(t, func(policy.Repository) []string { return []string{"stop", "stop-agents"} })
	own := f.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
	own.SetRole(bob, "write")
	pr := f.open(t)
	if err := pr.AddLabel(bob, "stop"); err != nil {
		t.Fatal(err)
	}
	ref := policy.PullRequestRef{Repository: f.at, Number: pr.Number()}
	read := func() (flags []string, autoMerge bool) {
		t.Helper()
		var first []policy.Flag
		for _, byREST := range []bool{false, true} {
			remove := func() {}
			if byREST {
				remove = f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/graphql$`), Status: http.StatusBadGateway})
			}
			s, _, err := f.client.Snapshot(t.Context(), ref, policy.Questions{})
			remove()
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(s.Flags, func(a, b policy.Flag) int { return a.Number - b.Number })
			if byREST && (s.PullRequest.AutoMerge != autoMerge || !slices.Equal(s.Flags, first)) {
				t.Errorf("by REST it is %t, %+v; by a query %t, %+v", s.PullRequest.AutoMerge, s.Flags, autoMerge, first)
			}
			first, autoMerge = s.Flags, s.PullRequest.AutoMerge
		}
		for _, flag := range first {
			flags = append(flags, fmt.Sprintf("%s %s %t", flag.Repository, flag.Label, flag.Organization))
		}
		return flags, autoMerge
	}
	if flags, autoMerge := read(); len(flags) != 0 || autoMerge {
		t.Errorf("it shows %q, %t", flags, autoMerge)
	}
	for range 10 { // so that numbers differ
		flag(t, own, bob, "x")
	}
	flag(t, f.repo, bob, "s", "stop-agents")
	flag(t, own, bob, "o", "stop")
	f.repo.Protect("main", githubsim.Protection{RequiredApprovals: 1})
	if err := pr.EnableAutoMerge(bob); err != nil {
		t.Fatal(err)
	}
	flags, autoMerge := read()
	if want := []string{"acme/shop stop-agents false", "acme/.github stop true"}; !slices.Equal(flags, want) || !autoMerge {
		t.Errorf("it shows %q, %t; want %q", flags, autoMerge, want)
	}
}
