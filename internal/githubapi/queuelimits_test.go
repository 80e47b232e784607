package githubapi_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// queueRuleset has a merge queue, and what is not known here.
const queueRuleset = `{"id": 7, "node_id": "x", "name": "main", "target": "branch", "source_type": "Repository", "source": "acme/shop", "enforcement": "active",
	"bypass_actors": [{"actor_id": null, "actor_type": "OrganizationAdmin", "bypass_mode": "pull_request"}], "current_user_can_bypass": "never",
	"conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}, "weather": {"include": ["<sunny>"]}},
	"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "_links": {"self": {"href": "x"}}, "invented": 9007199254740993,
	"rules": [{"type": "deletion"}, {"type": "merge_queue", "parameters": {"check_response_timeout_minutes": 60, "max_entries_to_build": 5,
	"max_entries_to_merge": 3, "grouping_strategy": "ALLGREEN", "invented": {"a": [1.50]}}, "invented": 1}, {"type": "invented", "parameters": {"x": null}}]}`

// TestAQueueIsPausedAndNothingElse changes one number, and sends back all that
// GitHub showed, known here or not.
func TestAQueueIsPausedAndNothingElse(t *testing.T) {
	sent := &bodies{}
	f := newFixtureOn(t, githubsim.Options{Wrap: sent.wrap})
	f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rulesets/7$`), Status: http.StatusOK, Body: queueRuleset})
	f.calls()
	previous, err := f.client.SetQueueLimit(t.Context(), f.at, 7, 0)
	if err != nil || previous != 3 {
		t.Errorf("it was %d, %v", previous, err)
	}
	f.asked(t, "pause", "GET /repos/acme/shop/rulesets/7", "PUT /repos/acme/shop/rulesets/7")
	var before, after map[string]any
	if err := errors.Join(json.Unmarshal([]byte(queueRuleset), &before), json.Unmarshal([]byte(sent.last()), &after)); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"id", "node_id", "source", "source_type", "created_at", "updated_at", "_links", "current_user_can_bypass"} {
		delete(before, field)
	}
	before["rules"].([]any)[1].(map[string]any)["parameters"].(map[string]any)["max_entries_to_merge"] = 0.0
	if !reflect.DeepEqual(before, after) {
		t.Errorf("sent %v\nwant %v", after, before)
	}
	if !strings.Contains(sent.last(), "9007199254740993") || !strings.Contains(sent.last(), "1.50") {
		t.Errorf("a number was read and written: %s", sent.last())
	}
	if previous, err := f.client.SetQueueLimit(t.Context(), f.at, 7, 3); err != nil || previous != 3 {
		t.Errorf("as it is: %d, %v", previous, err)
	}
	f.asked(t, "as it is", "GET /repos/acme/shop/rulesets/7")
}

// TestQueueLimits lists the queues that are in force, and pauses one at the
// simulated GitHub.
func TestQueueLimits(t *testing.T) {
	f := newFixture(t)
	f.installation.SetPermission("administration", "write")
	plain := f.repo.CreateRuleset(githubsim.Ruleset{Name: "plain", Branches: []string{"~ALL"}, RequiredApprovals: 1})
	f.repo.CreateRuleset(githubsim.Ruleset{Name: "off", Branches: []string{"~ALL"}, Enforcement: "disabled"})
	f.acme.CreateRuleset(githubsim.Ruleset{Name: "everywhere", Branches: []string{"~ALL"}})
	if _, err := f.client.PutLock(t.Context(), githubapi.Lock{Place: f.at, Enforced: true}); err != nil {
		t.Fatal(err)
	}
	f.sim.Inject(githubsim.Fault{Path: regexp.MustCompile(`/rulesets/7$`), Status: http.StatusOK, Body: queueRuleset})
	remove := f.sim.Inject(githubsim.Fault{
		Path: regexp.MustCompile(`/rulesets$`), Status: http.StatusOK,
		Body: `[{"id": 7, "name": "main", "target": "branch", "enforcement": "active"}, {"id": 8, "name": "gone", "target": "branch", "enforcement": "active"},
			{"id": 9, "name": "tags", "target": "tag", "enforcement": "active"}]`,
	})
	f.calls()
	limits, err := f.client.QueueLimits(t.Context(), f.at)
	if want := []githubapi.QueueLimit{{RulesetID: 7, MaxEntries: 3}}; err != nil || !slices.Equal(limits, want) {
		t.Errorf("got %+v, %v; want %+v", limits, err, want)
	}
	f.asked(t, "list", "GET /repos/acme/shop/rulesets", "GET /repos/acme/shop/rulesets/7", "GET /repos/acme/shop/rulesets/8")
	remove()
	if limits, err := f.client.QueueLimits(t.Context(), f.at); err != nil || len(limits) != 0 {
		t.Errorf("without a queue: %+v, %v", limits, err)
	}
	f.asked(t, "without a queue", "GET /repos/acme/shop/rulesets", "GET /repos/acme/shop/rulesets/"+strconv.FormatInt(plain, 10))
	_, err = f.client.SetQueueLimit(t.Context(), f.at, plain, 0)
	refusedWith(t, "a ruleset without a queue", err, http.StatusOK)
	f.installation.SetPermission("administration", "read")
	f.sim.Inject(githubsim.Fault{Method: http.MethodPut, Status: http.StatusForbidden})
	_, err = f.client.SetQueueLimit(t.Context(), f.at, plain+1000, 0)
	refusedWith(t, "a ruleset that is not there", err, http.StatusNotFound)
}

// TestSetProperty changes thirty repositories with a call, and goes on after one
// that fails.
func TestSetProperty(t *testing.T) {
	sent := &bodies{}
	f := newFixtureOn(t, githubsim.Options{Wrap: sent.wrap})
	names := make([]string, 61)
	for i := range names {
		names[i] = "r" + strconv.Itoa(i)
	}
	owner := policy.Repository{Installation: f.at.Installation, Owner: "acme"}
	set := func(value string, names ...string) error {
		return f.client.SetProperty(t.Context(), owner, names, "frozen", value)
	}
	at := regexp.MustCompile(`^/orgs/acme/properties/values$`)
	refuse := f.sim.Inject(githubsim.Fault{Path: at, Status: http.StatusForbidden, Times: 1})
	f.sim.Inject(githubsim.Fault{Path: at, Status: http.StatusNoContent})
	f.calls()
	refusedWith(t, "without the permission", set("true", names...), http.StatusForbidden)
	const patch = "PATCH /orgs/acme/properties/values"
	f.asked(t, "sixty-one repositories", patch, patch, patch)
	if want := `{"repository_names":["r60"],"properties":[{"property_name":"frozen","value":"true"}]}`; sent.last() != want {
		t.Errorf("sent %s, want %s", sent.last(), want)
	}
	refuse()
	if err := set("", "shop"); err != nil || !strings.Contains(sent.last(), `"value":null`) {
		t.Errorf("taken away by %s, %v", sent.last(), err)
	}
	f.asked(t, "one repository", patch)
	if err := set("true"); err != nil {
		t.Errorf("of no repositories: %v", err)
	}
	f.asked(t, "no repositories")
}

// TestInstallations tells what the App may do, and where.
func TestInstallations(t *testing.T) {
	f := newFixture(t)
	f.calls()
	want := map[string]string{"metadata": "read", "contents": "read", "pull_requests": "read", "checks": "write", "members": "read"}
	read := func(suspended bool) {
		t.Helper()
		permissions, is, err := f.client.InstallationPermissions(t.Context(), f.installation.ID())
		if err != nil || is != suspended || !maps.Equal(permissions, want) {
			t.Errorf("got %v, %t, %v; want %v", permissions, is, err, want)
		}
	}
	own := "GET /app/installations/" + strconv.FormatInt(f.installation.ID(), 10)
	read(false)
	f.asked(t, "permissions", own)
	f.installation.SetPermission("administration", "write")
	f.installation.SetPermission("organization_custom_properties", "admin")
	want["administration"], want["organization_custom_properties"] = "write", "admin"
	read(false)
	f.installation.Suspend()
	read(true)
	f.calls()
	_, _, err := f.client.InstallationPermissions(t.Context(), f.installation.ID()+1)
	refusedWith(t, "somebody else's installation", err, http.StatusNotFound)
	f.calls()

	place, organization, err := f.client.FindInstallation(t.Context(), "ACME")
	if at := (policy.Repository{Installation: f.installation.ID(), Owner: "acme"}); err != nil || !organization || place != at {
		t.Errorf("got %+v, %t, %v; want %+v", place, organization, err, at)
	}
	f.asked(t, "an organization", "GET /orgs/ACME/installation")
	_, _, err = f.client.FindInstallation(t.Context(), "ann")
	refusedWith(t, "where it is not installed", err, http.StatusNotFound)
	f.asked(t, "where it is not installed", "GET /orgs/ann/installation", "GET /users/ann/installation")
	f.sim.Inject(githubsim.Fault{
		Path: regexp.MustCompile(`^/users/ann/installation$`), Status: http.StatusOK, Body: `{"id": 9, "target_type": "User", "account": {"login": "ann"}}`,
	})
	place, organization, err = f.client.FindInstallation(t.Context(), "ann")
	if at := (policy.Repository{Installation: 9, Owner: "ann"}); err != nil || organization || place != at {
		t.Errorf("got %+v, %t, %v; want %+v", place, organization, err, at)
	}
}
