package githubapi_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// TestPlaces finds a repository by the installation of its owner, the files that
// govern it, and the App's own account.
func TestPlaces(t *testing.T) {
	f := newFixture(t)
	f.acme.CreateRepository(".github", map[string]string{".github/portcullis.yml": "version: 1\n"})
	owner := policy.Repository{Installation: f.at.Installation, Owner: "acme"}
	f.calls()
	found, branch, err := f.client.OwnRepository(t.Context(), owner, "SHOP")
	if err != nil || found != f.at || branch != "main" {
		t.Errorf("got %+v, %s, %v", found, branch, err)
	}
	f.asked(t, "a repository", "GET /repos/acme/SHOP")
	_, _, err = f.client.OwnRepository(t.Context(), owner, "none")
	refusedWith(t, "one that is not there", err, http.StatusNotFound)

	f.person("bob", "write")
	if _, err := f.repo.Push(f.sim.User("bob"), "release", githubsim.Commit{Files: map[string]string{"x": "x\n"}}); err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string][]string{
		"": {"acme/.github main", "acme/shop main"}, "main": {"acme/.github main", "acme/shop main"},
		"release": {"acme/.github main", "acme/shop main", "acme/shop release"},
	} {
		texts, err := f.client.Policies(t.Context(), f.at, base)
		var places []string
		for _, text := range texts {
			places = append(places, text.Repository+" "+text.Branch)
		}
		if err != nil || !slices.Equal(places, want) || texts[0].Content == nil || texts[1].Content != nil {
			t.Errorf("%q is governed by %q, %v; want %q", base, places, err, want)
		}
	}
	f.calls()
	for range 2 {
		if login, err := f.client.Self(t.Context()); err != nil || login != "portcullis[bot]" {
			t.Errorf("it is %q, %v", login, err)
		}
	}
	f.asked(t, "the App, twice", "GET /app")
}
