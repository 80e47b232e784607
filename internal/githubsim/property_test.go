package githubsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Custom properties over REST, by an App with only the permission for them and by people.
func TestCustomProperties(t *testing.T) {
	w := newWorld(t)
	w.org.AddOwner(w.root)
	w.org.CreateRepository("keep", nil)
	w.org.CreateProperty(githubsim.PropertySpec{Name: "frozen", Type: "single_select", Allowed: []string{"yes", "no"}, Default: "no"})
	w.org.CreateProperty(githubsim.PropertySpec{Name: "tags", Type: "multi_select", Allowed: []string{"a", "b"}, EditableByAll: true})
	app := w.sim.CreateApp(githubsim.AppSpec{
		Slug: "freezer", Permissions: map[string]string{"organization_custom_properties": "write", "repository_custom_properties": "write"},
		Events: []string{"custom_property_values"},
	})
	install := app.Install(w.org)
	bearer := "Bearer " + w.token(app, install)
	const org, castle = "/orgs/acme/properties/values", "/repos/acme/castle/properties/values"
	schema, _ := w.do(http.MethodGet, "/orgs/acme/properties/schema", bearer, "")
	equal(t, "schema", schema.StatusCode, 200)

	lock := w.org.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true, Properties: map[string][]string{"frozen": {"yes"}}})
	p := w.pull("topic")
	equal(t, "open", p.Mergeability(w.bob).Allowed, true)
	many := strings.TrimSuffix(strings.Repeat(`"castle",`, 31), ",")
	for _, c := range []struct {
		who, method, path, body string
		want                    int
	}{
		{bearer, "PATCH", org, `{"repository_names":["castle","keep"],"properties":[{"property_name":"frozen","value":"yes"}]}`, 204},
		{bearer, "PATCH", org, `{"repository_names":[` + many + `],"properties":[]}`, 422},
		{bearer, "PATCH", org, `{"repository_names":["castle","nowhere"],"properties":[{"property_name":"frozen","value":"no"}]}`, 404},
		{bearer, "PATCH", org, `{"repository_names":["castle"],"properties":[{"property_name":"frozen","value":"perhaps"}]}`, 422},
		{bearer, "PATCH", org, `{"repository_names":["castle"],"properties":[{"property_name":"colour","value":"red"}]}`, 422},
		{bearer, "PATCH", castle, `{"properties":[{"property_name":"tags","value":["a","b"]}]}`, 204},
		{bearer, "PATCH", castle, `{"properties":[{"property_name":"frozen","value":"no"}]}`, 403}, // org_actors only
		{w.bearer(w.bob), "PATCH", castle, `{"properties":[{"property_name":"tags","value":null}]}`, 403},
		{w.bearer(w.alice), "GET", castle, "", 200},
		{"Bearer " + w.token(w.app, w.install), "PATCH", org, `{"repository_names":["castle"],"properties":[]}`, 403},
	} {
		resp, out := w.do(c.method, c.path, c.who, c.body)
		if resp.StatusCode != c.want {
			t.Errorf("%s %s %s is %d %v, want %d", c.method, c.path, c.body, resp.StatusCode, out, c.want)
		}
	}
	narrow, _, err := w.asApp(app).Apps.CreateInstallationToken(ctx, install.ID(), &github.InstallationTokenOptions{Repositories: []string{"castle"}})
	must(t, err)
	resp, _ := w.do(http.MethodPatch, org, "Bearer "+narrow.GetToken(), `{"repository_names":["keep"],"properties":[{"property_name":"frozen","value":"no"}]}`)
	equal(t, "beyond the token", resp.StatusCode, 404)
	equal(t, "shut at once", p.Mergeability(w.bob).Allowed, false)
	told := w.last("custom_property_values", "updated")
	same(t, "event", at(told, "new_property_values"), `[{"property_name":"tags","value":["a","b"]}]`)
	same(t, "where", at(told, "repository", "custom_properties"), `{"frozen":"yes","tags":["a","b"]}`)
	_, all := w.do(http.MethodGet, org, bearer, "")
	same(t, "all values", at(all, 1, "properties"), `[{"property_name":"frozen","value":"yes"}]`)
	equal(t, "as tests see it", fmt.Sprint(w.repo.Property("frozen"), w.repo.Property("tags")), "[yes] [a b]")
	refused(t, w.repo.SetProperty(w.bob, "frozen", "no"), 403, "")
	must(t, w.repo.SetProperty(w.root, "frozen", "no"))
	equal(t, "by", at(w.last("custom_property_values", "updated"), "sender", "login"), any("root"))
	must(t, p.Merge(w.bob))
	must(t, w.org.DeleteRuleset(w.root, lock))
}
