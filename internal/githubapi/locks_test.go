package githubapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// bodies remembers what was written to GitHub.
type bodies struct {
	mu   sync.Mutex
	sent []string
}

func (b *bodies) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		b.mu.Lock()
		if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/access_tokens") {
			b.sent = append(b.sent, strings.TrimSpace(string(body)))
		}
		b.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// last is what was written last.
func (b *bodies) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sent) == 0 {
		return ""
	}
	return b.sent[len(b.sent)-1]
}

// calls lists what was asked of GitHub since, but for tokens.
func (f *fixture) calls() []string {
	var calls []string
	for _, r := range f.sim.Requests() {
		if !strings.HasSuffix(r.Path, "/access_tokens") {
			calls = append(calls, r.Method+" "+r.Path)
		}
	}
	f.sim.ResetRequests()
	return calls
}

// asked fails unless that is what was asked since.
func (f *fixture) asked(t *testing.T, doing string, want ...string) {
	t.Helper()
	if got := f.calls(); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", doing, got, want)
	}
}

// refusedWith fails unless the error is GitHub's answer with that status.
func refusedWith(t *testing.T, doing string, err error, status int) {
	t.Helper()
	if failed, ok := errors.AsType[*githubapi.Error](err); !ok || failed.Status != status {
		t.Errorf("%s: %v, want a %d", doing, err, status)
	}
}

// places are a repository and its organization, with the permission that a lock
// needs there.
func (f *fixture) places() map[string]policy.Repository {
	return map[string]policy.Repository{
		"administration":              f.at,
		"organization_administration": {Installation: f.at.Installation, Owner: f.at.Owner},
	}
}

func address(place policy.Repository) string {
	if place.Name == "" {
		return "/orgs/" + place.Owner + "/rulesets"
	}
	return "/repos/" + place.String() + "/rulesets"
}

// TestALockIsOneCall creates the lock, flips it and reads it back, with the number of
// calls that each takes, and asks the simulated GitHub what it does.
func TestALockIsOneCall(t *testing.T) {
	for permission := range newFixture(t).places() {
		t.Run(permission, func(t *testing.T) {
			f := newFixture(t)
			place := f.places()[permission]
			_, err := f.client.PutLock(t.Context(), githubapi.Lock{Place: place})
			refusedWith(t, "without the permission", err, http.StatusForbidden)
			f.installation.SetPermission(permission, "write")
			f.calls()

			id, err := f.client.PutLock(t.Context(), githubapi.Lock{Place: place})
			if err != nil || id == 0 {
				t.Fatalf("ruleset %d, %v", id, err)
			}
			f.asked(t, "create", "POST "+address(place))
			own := address(place) + "/" + strconv.FormatInt(id, 10)
			for _, on := range []bool{true, false, true} {
				again, err := f.client.PutLock(t.Context(), githubapi.Lock{Place: place, RulesetID: id, Enforced: on})
				if err != nil || again != id {
					t.Fatalf("flip: ruleset %d, %v", again, err)
				}
				f.asked(t, "flip", "PUT "+own)
				if locked, err := f.client.Locked(t.Context(), f.at, "main", id); err != nil || locked != on {
					t.Errorf("put as %t it is locked: %t, %v", on, locked, err)
				}
				f.asked(t, "read back", "GET /repos/acme/shop/rules/branches/main")
				lock, found, err := f.client.ReadLock(t.Context(), place, id)
				if err != nil || !found || lock.Enforced != on || lock.RulesetID != id || lock.Drain || !slices.Equal(lock.Branches, []string{"~DEFAULT_BRANCH"}) {
					t.Errorf("put as %t it reads %+v, %t, %v", on, lock, found, err)
				}
				f.asked(t, "read", "GET "+own)
			}
			f.person("ann", "write")
			if _, err := f.repo.Push(f.sim.User("ann"), "main", githubsim.Commit{Files: map[string]string{"x": "x\n"}}); err == nil {
				t.Error("the locked branch was pushed to")
			}
			for range 2 {
				if _, _, err := f.client.ReadLock(t.Context(), place, id); err != nil {
					t.Fatal(err)
				}
			}
			if n := billed(f.sim.Requests()); n != 0 {
				t.Errorf("%d readings of what is unchanged were billed", n)
			}
			if found, err := f.client.FindLock(t.Context(), place); err != nil || found != id {
				t.Errorf("by name it is %d, %v; want %d", found, err, id)
			}
			if locked, err := f.client.Locked(t.Context(), f.at, "main", id+1); err != nil || locked {
				t.Errorf("a ruleset of another id is taken for the lock: %v", err)
			}
		})
	}
}

// TestALockLetsTheMergeQueueGoOn has GitHub keep who may pass, and forget it again.
func TestALockLetsTheMergeQueueGoOn(t *testing.T) {
	f := newFixture(t)
	f.installation.SetPermission("administration", "write")
	lock := githubapi.Lock{Place: f.at, Enforced: true, Branches: []string{"~ALL"}}
	for _, lock.Drain = range []bool{true, false, true} {
		var err error
		if lock.RulesetID, err = f.client.PutLock(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		if got, found, err := f.client.ReadLock(t.Context(), f.at, lock.RulesetID); err != nil || !found || !reflect.DeepEqual(got, lock) {
			t.Errorf("put as %+v it reads %+v, %t, %v", lock, got, found, err)
		}
	}
}

// TestALockIsFoundAndMadeAnew puts it where it is and not known, and where somebody
// deleted it.
func TestALockIsFoundAndMadeAnew(t *testing.T) {
	f := newFixture(t)
	f.installation.SetPermission("administration", "write")
	own := address(f.at)
	put := func(id int64) (int64, error) {
		return f.client.PutLock(t.Context(), githubapi.Lock{Place: f.at, RulesetID: id, Enforced: true})
	}
	notUnique := githubsim.Fault{
		Method: http.MethodPost, Path: regexp.MustCompile(`/rulesets$`), Status: http.StatusUnprocessableEntity, Times: 1,
		Body: `{"message": "Validation Failed", "errors": ["Name must be unique"]}`,
	}
	if id, err := f.client.FindLock(t.Context(), f.at); err != nil || id != 0 {
		t.Errorf("before there is one: %d, %v", id, err)
	}
	first, err := put(0)
	if err != nil {
		t.Fatal(err)
	}
	f.repo.CreateRuleset(githubsim.Ruleset{Name: "somebody's", Branches: []string{"~ALL"}, Enforcement: "disabled"})
	f.calls()
	f.sim.Inject(notUnique)
	if id, err := put(0); err != nil || id != first {
		t.Errorf("what is there is ruleset %d, %v; want %d", id, err, first)
	}
	f.asked(t, "where it is", "POST "+own, "GET "+own, "PUT "+own+"/"+strconv.FormatInt(first, 10))

	if err := f.client.DeleteRuleset(t.Context(), f.at, first); err != nil {
		t.Fatal(err)
	}
	f.calls()
	second, err := put(first)
	if err != nil || second == first || second == 0 {
		t.Errorf("one that was deleted is ruleset %d, %v", second, err)
	}
	f.asked(t, "where it was", "PUT "+own+"/"+strconv.FormatInt(first, 10), "POST "+own)
	if _, found, err := f.client.ReadLock(t.Context(), f.at, second+1000); err != nil || found {
		t.Errorf("a ruleset that is not there is found: %t, %v", found, err)
	}

	// Refused for another reason, it is not taken for something that is there.
	fresh := newFixture(t)
	fresh.installation.SetPermission("administration", "write")
	fresh.sim.Inject(notUnique)
	_, err = fresh.client.PutLock(t.Context(), githubapi.Lock{Place: fresh.at})
	refusedWith(t, "422 for another reason", err, http.StatusUnprocessableEntity)
	for _, status := range []int{http.StatusForbidden, http.StatusBadGateway} {
		remove := f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rule`), Status: status})
		_, err = put(second)
		refusedWith(t, "put", err, status)
		_, err = f.client.Locked(t.Context(), f.at, "main", second)
		refusedWith(t, "locked", err, status)
		_, _, err = f.client.ReadLock(t.Context(), f.at, second)
		refusedWith(t, "read", err, status)
		_, err = f.client.FindLock(t.Context(), f.at)
		refusedWith(t, "find", err, status)
		remove()
	}
	f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rules/branches/`), Status: http.StatusNotFound})
	_, err = f.client.Locked(t.Context(), f.at, "main", second)
	refusedWith(t, "a repository that cannot be seen", err, http.StatusNotFound)
}

// TestALockIsWrittenWhole sends each field, above all the list of bypasses that is
// empty: what is left out, GitHub leaves as it was.
func TestALockIsWrittenWhole(t *testing.T) {
	sent := &bodies{}
	f := newFixtureOn(t, githubsim.Options{Wrap: sent.wrap})
	f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rulesets`), Status: http.StatusCreated, Body: `{"id": 7}`})
	const refs = `"ref_name":{"include":["~DEFAULT_BRANCH","refs/heads/release/1"],"exclude":[]}`
	for _, c := range []struct {
		place policy.Repository
		on    bool
		drain bool
		want  string
	}{
		{place: f.at, on: true, want: `"enforcement":"active","bypass_actors":[],"conditions":{` + refs + `}`},
		{place: f.at, want: `"enforcement":"disabled","bypass_actors":[],"conditions":{` + refs + `}`},
		{
			place: f.at, on: true, drain: true,
			want: `"enforcement":"active","bypass_actors":[{"actor_id":262318,"actor_type":"Integration","bypass_mode":"always"}],"conditions":{` + refs + `}`,
		},
		{
			place: policy.Repository{Installation: f.at.Installation, Owner: "acme"}, on: true,
			want: `"enforcement":"active","bypass_actors":[],"conditions":{` + refs + `,"repository_name":{"include":["~ALL"],"exclude":[],"protected":false}}`,
		},
	} {
		for _, id := range []int64{0, 7} {
			lock := githubapi.Lock{Place: c.place, RulesetID: id, Enforced: c.on, Drain: c.drain, Branches: []string{"~DEFAULT_BRANCH", "refs/heads/release/1"}}
			if got, err := f.client.PutLock(t.Context(), lock); err != nil || got != 7 {
				t.Fatal(got, err)
			}
			want := `{"name":"portcullis/kill-switch","target":"branch",` + c.want + `,"rules":[{"type":"update"}]}`
			if got := sent.last(); got != want {
				t.Errorf("sent %s\nwant %s", got, want)
			}
		}
	}
}

// TestALockThatWasTamperedWithIsNotEnforced reads rulesets that somebody changed so
// that they stop less.
func TestALockThatWasTamperedWithIsNotEnforced(t *testing.T) {
	const (
		names = `"repository_name": {"include": ["~ALL"], "exclude": []}`
		queue = `{"actor_id": 262318, "actor_type": "Integration", "bypass_mode": "always"}`
	)
	whole := map[string]string{
		"name": `"portcullis/kill-switch"`, "target": `"branch"`, "enforcement": `"active"`, "bypass_actors": `[]`,
		"conditions": `{"ref_name": {"include": ["~ALL"], "exclude": []}}`, "rules": `[{"type": "deletion"}, {"type": "update"}]`,
	}
	for _, c := range []struct {
		name, field, value string
		organization       bool
		want, drain        bool
	}{
		{name: "as it was put", want: true},
		{name: "by its parameters it is the same", field: "rules", value: `[{"type": "update", "parameters": {"update_allows_fetch_and_merge": false}}]`, want: true},
		{name: "the merge queue passes", field: "bypass_actors", value: `[` + queue + `]`, want: true, drain: true},
		{name: "organization", organization: true, field: "conditions", value: `{"ref_name": {"include": ["~ALL"]}, ` + names + `}`, want: true},
		{name: "renamed", field: "name", value: `"mine"`},
		{name: "disabled", field: "enforcement", value: `"disabled"`},
		{name: "evaluated only", field: "enforcement", value: `"evaluate"`},
		{name: "of tags", field: "target", value: `"tag"`},
		{name: "no rule", field: "rules", value: `[{"type": "deletion"}]`},
		{name: "forks may follow", field: "rules", value: `[{"type": "update", "parameters": {"update_allows_fetch_and_merge": true}}]`},
		{name: "somebody passes", field: "bypass_actors", value: `[{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]`},
		{name: "an administrator of the organization passes", field: "bypass_actors", value: `[{"actor_id": null, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}]`},
		{name: "the merge queue and somebody pass", field: "bypass_actors", value: `[` + queue + `, {"actor_id": 5, "actor_type": "Team", "bypass_mode": "pull_request"}]`},
		{name: "the merge queue passes unseen", field: "bypass_actors", value: strings.Replace(`[`+queue+`]`, "always", "exempt", 1)},
		{name: "who passes is not shown", field: "bypass_actors", value: ``},
		{name: "a branch is left out", field: "conditions", value: `{"ref_name": {"include": ["~ALL"], "exclude": ["refs/heads/x"]}}`},
		{name: "no conditions", organization: true, field: "conditions", value: `null`},
		{name: "a repository is left out", organization: true, field: "conditions", value: `{"ref_name": {"include": ["~ALL"]}, "repository_name": {"include": ["~ALL"], "exclude": ["shop"]}}`},
		{name: "some repositories", organization: true, field: "conditions", value: `{"ref_name": {"include": ["~ALL"]}, "repository_name": {"include": ["shop"], "exclude": []}}`},
		{name: "repositories by property", organization: true, field: "conditions", value: `{"ref_name": {"include": ["~ALL"]}, "repository_property": {"include": []}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			shown := map[string]json.RawMessage{"id": json.RawMessage("7")}
			for field, value := range whole {
				if field == c.field {
					value = c.value
				}
				if value != "" {
					shown[field] = json.RawMessage(value)
				}
			}
			body, err := json.Marshal(shown)
			if err != nil {
				t.Fatal(err)
			}
			f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rulesets/7$`), Status: http.StatusOK, Body: string(body)})
			place := f.at
			if c.organization {
				place = policy.Repository{Installation: f.at.Installation, Owner: "acme"}
			}
			lock, found, err := f.client.ReadLock(t.Context(), place, 7)
			if err != nil || !found || lock.Enforced != c.want || lock.Drain != c.drain {
				t.Errorf("it reads %+v, %t, %v", lock, found, err)
			}
		})
	}
}

func TestDefaultBranch(t *testing.T) {
	f := newFixture(t)
	f.calls()
	if branch, err := f.client.DefaultBranch(t.Context(), f.at); err != nil || branch != "main" {
		t.Errorf("it is %q, %v", branch, err)
	}
	f.asked(t, "the default branch", "GET /repos/acme/shop")
	f.repo.Delete()
	_, err := f.client.DefaultBranch(t.Context(), f.at)
	refusedWith(t, "a repository that is gone", err, http.StatusNotFound)
}
