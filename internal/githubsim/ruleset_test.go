package githubsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// must asks over REST as a person and expects a status.
func (w *world) must(status int, u *githubsim.User, method, path, body string) any {
	w.t.Helper()
	resp, out := w.do(method, path, w.bearer(u), body)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, resp.StatusCode, out, status)
	}
	return out
}

// What an update rule, a bypass and a limit of zero do to an entry that is green: eject, drain, pause.
func TestWhatRulesDoToAQueue(t *testing.T) {
	for _, c := range []struct {
		name         string
		lock, bypass bool
		most         int
		want, reason string
		lifted       string
	}{
		{"open", false, false, 5, "merged", "MERGE", "merged"},
		{"halt", true, false, 5, "dequeued", "BRANCH_PROTECTIONS", "dequeued"},
		{"drain", true, true, 5, "merged", "MERGE", "merged"},
		{"pause", false, false, 0, "queued", "", "merged"},
		{"pause and halt", true, false, 0, "queued", "", "merged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "gate"}}})
			queue := w.repo.CreateRuleset(githubsim.Ruleset{Name: "queue", Branches: []string{"~ALL"}, MergeQueue: githubsim.UsualMergeQueue()})
			p := w.locked("topic")
			w.check(w.gh, p.HeadSHA(), "gate", "success")
			refused(t, p.Merge(w.bob), http.StatusMethodNotAllowed, "merge queue")
			g, err := p.Enqueue(w.bob)
			must(t, err)
			w.org.AddOwner(w.root)
			must(t, w.repo.EditRuleset(w.root, queue, func(rs *githubsim.Ruleset) { rs.MergeQueue.MaxEntriesToMerge = c.most }))
			var lock int64
			if c.lock {
				rule := githubsim.Ruleset{Name: "lock", Branches: []string{"~DEFAULT_BRANCH"}, Update: true}
				if c.bypass {
					rule.BypassApps = []int64{githubsim.MergeQueueApp}
				}
				lock = w.org.CreateRuleset(rule)
				equal(t, "for people it is shut", p.Mergeability(w.bob).Allowed, false)
			}
			w.check(w.gh, g.HeadSHA(), "gate", "success")
			equal(t, "state", g.Try(), c.want)
			if c.reason != "" {
				equal(t, "reason", at(w.last("pull_request", "dequeued"), "reason"), any(c.reason))
				w.last("merge_group", "destroyed")
			}
			if c.lock {
				must(t, w.org.DeleteRuleset(w.root, lock))
			}
			must(t, w.repo.EditRuleset(w.root, queue, func(rs *githubsim.Ruleset) { rs.MergeQueue.MaxEntriesToMerge = 5 }))
			eventually(t, "lifted: "+c.lifted, func() bool { return g.State() == c.lifted })
		})
	}
}

// Where the base has a merge queue, auto-merge puts the pull request into it.
func TestAutoMergeIntoTheQueue(t *testing.T) {
	w := newWorld(t)
	w.repo.CreateRuleset(githubsim.Ruleset{Branches: []string{"main"}, MergeQueue: githubsim.UsualMergeQueue(), RequiredChecks: []githubsim.RequiredCheck{{Context: "gate"}}})
	p := w.locked("topic")
	must(t, p.EnableAutoMerge(w.alice))
	w.check(w.gh, p.HeadSHA(), "gate", "success")
	eventually(t, "queued", func() bool { return !p.AutoMerge() })
	equal(t, "told", at(w.last("pull_request", "enqueued"), "number"), any(float64(p.Number())))
	equal(t, "merged", p.Merged(), false)
}

// What rulesets say of themselves over REST is what they were given; what GitHub refuses is refused.
func TestRulesetShapes(t *testing.T) {
	w := newWorld(t)
	w.org.AddOwner(w.root)
	const queue = `{"type":"merge_queue","parameters":{"check_response_timeout_minutes":60,"grouping_strategy":"ALLGREEN","max_entries_to_build":5,
		"max_entries_to_merge":0,"merge_method":"MERGE","min_entries_to_merge":1,"min_entries_to_merge_wait_minutes":5}}`
	made := w.must(201, w.root, "POST", "/repos/acme/castle/rulesets", `{"name":"lock","enforcement":"active","conditions":{"ref_name":{"include":["~ALL"],"exclude":[]}},
		"bypass_actors":[{"actor_id":262318,"actor_type":"Integration","bypass_mode":"always"},{"actor_id":null,"actor_type":"OrganizationAdmin"}],"rules":[`+queue+`]}`)
	path := fmt.Sprintf("/repos/acme/castle/rulesets/%v", at(made, "id"))
	got := w.must(200, w.root, "GET", path, "")
	same(t, "bypass", at(got, "bypass_actors"), `[{"actor_id":262318,"actor_type":"Integration","bypass_mode":"always"},
		{"actor_id":null,"actor_type":"OrganizationAdmin","bypass_mode":"always"}]`)
	same(t, "queue", at(got, "rules", 0), queue)
	equal(t, "an owner bypasses", at(got, "current_user_can_bypass"), any("always"))
	reader := w.must(200, w.bob, "GET", path, "")
	equal(t, "readers are not told who bypasses", fmt.Sprint(at(reader, "bypass_actors"), at(reader, "current_user_can_bypass")), "<nil>never")
	w.must(200, w.root, "PUT", path, `{}`)
	w.must(200, w.root, "PUT", path, `{"name":"lock"}`)

	property := `{"ref_name":{"include":["~ALL"],"exclude":[]},"repository_property":{"include":[{"name":"frozen","property_values":["true"],"source":"custom"}],"exclude":[]}}`
	for i, conditions := range []string{
		`{"ref_name":{"include":["~ALL"],"exclude":[]},"repository_name":{"include":["~ALL"],"exclude":["k*"],"protected":true}}`,
		fmt.Sprintf(`{"ref_name":{"include":["~ALL"],"exclude":[]},"repository_id":{"repository_ids":[%d]}}`, w.repo.ID()), property,
	} {
		made := w.must(201, w.root, "POST", "/orgs/acme/rulesets", fmt.Sprintf(`{"name":"all %d","enforcement":"disabled","conditions":%s}`, i, conditions))
		got := w.must(200, w.root, "GET", fmt.Sprintf("/orgs/acme/rulesets/%v", at(made, "id")), "")
		same(t, "conditions", at(got, "conditions"), conditions)
	}
	for name, c := range map[string]struct{ path, body, says string }{
		"a name twice":                  {"/repos/acme/castle/rulesets", `{"name":"lock","enforcement":"active"}`, "Name must be unique"},
		"a name twice in organizations": {"/orgs/acme/rulesets", `{"name":"all 0","enforcement":"active","conditions":` + property + `}`, "Name must be unique"},
		"for no repositories":           {"/orgs/acme/rulesets", `{"name":"new","enforcement":"active","conditions":{"ref_name":{"include":[],"exclude":[]}}}`, "conditions"},
		"a queue in an organization's":  {"/orgs/acme/rulesets", `{"name":"new","enforcement":"active","conditions":` + property + `,"rules":[` + queue + `]}`, "merge_queue"},
		"half a queue":                  {"/repos/acme/castle/rulesets", `{"name":"new","enforcement":"active","rules":[{"type":"merge_queue","parameters":{"max_entries_to_merge":0}}]}`, "missing_field"},
		"a queue out of range":          {"/repos/acme/castle/rulesets", `{"name":"new","enforcement":"active","rules":[` + strings.Replace(queue, ":60", ":0", 1) + `]}`, "out of range"},
	} {
		if out := w.must(422, w.root, "POST", c.path, c.body); !strings.Contains(fmt.Sprint(out), c.says) {
			t.Errorf("%s: %v", name, out)
		}
	}
	w.must(422, w.root, "PUT", fmt.Sprintf("/orgs/acme/rulesets/%v", at(w.must(200, w.root, "GET", "/orgs/acme/rulesets", ""), 0, "id")), `{"name":"all 1"}`)
}

// A ruleset of the organization is in force where its condition says, from the moment that it says so.
func TestWhichRepositoriesARulesetIsFor(t *testing.T) {
	w := newWorld(t)
	w.org.AddOwner(w.root)
	keep := w.org.CreateRepository("keep", nil)
	w.org.CreateProperty(githubsim.PropertySpec{Name: "frozen", Type: "true_false", Default: "false"})
	id := w.org.CreateRuleset(githubsim.Ruleset{Branches: []string{"~ALL"}, Update: true, RepositoryIDs: []int64{}})
	locked := func() string {
		out := ""
		for _, r := range []*githubsim.Repository{w.repo, keep} {
			if _, err := r.Push(w.root, "main", githubsim.Commit{Files: map[string]string{"x": fmt.Sprint(len(w.events()))}}); err != nil {
				refused(t, err, 409, "Cannot update this protected ref.")
				out += r.Name() + " "
			}
		}
		return out
	}
	for _, c := range []struct {
		what, want string
		change     func(*githubsim.Ruleset)
	}{
		{"no id", "", func(*githubsim.Ruleset) {}},
		{"an id", "castle ", func(rs *githubsim.Ruleset) { rs.RepositoryIDs = []int64{w.repo.ID()} }},
		{"a name", "keep ", func(rs *githubsim.Ruleset) { rs.Repositories = []string{"k*"} }},
		{"all", "castle keep ", func(rs *githubsim.Ruleset) { rs.Repositories = []string{"~ALL"} }},
		{"a default", "castle keep ", func(rs *githubsim.Ruleset) { rs.Properties = map[string][]string{"frozen": {"false"}} }},
		{"a property", "", func(rs *githubsim.Ruleset) { rs.Properties = map[string][]string{"frozen": {"true"}} }},
	} {
		must(t, w.org.EditRuleset(w.root, id, c.change))
		equal(t, c.what, locked(), c.want)
	}
	must(t, w.repo.SetProperty(w.root, "frozen", "true"))
	equal(t, "at once", locked(), "castle ")
	equal(t, "not listed elsewhere", len(w.must(200, w.root, "GET", "/repos/acme/keep/rulesets", "").([]any)), 0)
	equal(t, "listed", len(w.must(200, w.root, "GET", "/repos/acme/castle/rulesets", "").([]any)), 1)
	must(t, w.repo.SetProperty(w.root, "frozen"))
	equal(t, "taken away", locked(), "")
	for conditions, want := range map[string]string{
		`"repository_name":{"include":["~ALL"],"exclude":["k*"]}`:                                                                                "castle ",
		`"repository_property":{"include":[],"exclude":[{"name":"visibility","property_values":["public"],"source":"system"}]}`:                  "keep ",
		`"repository_property":{"include":[{"name":"fork","property_values":["false"],"source":"system"}],"exclude":[]}`:                         "castle keep ",
		`"repository_property":{"include":[{"name":"frozen","property_values":["false"]},{"name":"none","property_values":["x"]}],"exclude":[]}`: "",
	} {
		keep.SetPrivate(strings.Contains(conditions, "visibility"))
		w.must(200, w.root, "PUT", fmt.Sprintf("/orgs/acme/rulesets/%d", id), `{"conditions":{"ref_name":{"include":["~ALL"],"exclude":[]},`+conditions+`}}`)
		equal(t, conditions, locked(), want)
	}
}

// Edits by people are told with who made them and what they changed.
func TestRulesetEdits(t *testing.T) {
	w := newWorld(t)
	w.org.AddOwner(w.root)
	for name, id := range map[string]int64{
		"repository":   w.repo.CreateRuleset(githubsim.Ruleset{Name: "lock", Branches: []string{"main"}, Update: true}),
		"organization": w.org.CreateRuleset(githubsim.Ruleset{Name: "lock", Branches: []string{"main"}, Update: true}),
	} {
		t.Run(name, func(t *testing.T) {
			edit, remove := w.repo.EditRuleset, w.repo.DeleteRuleset
			if name == "organization" {
				edit, remove = w.org.EditRuleset, w.org.DeleteRuleset
			}
			change := func(rs *githubsim.Ruleset) {
				rs.Branches, rs.Update, rs.RequiredApprovals, rs.Enforcement = []string{"next"}, false, 2, "evaluate"
			}
			refused(t, edit(w.bob, id, change), 403, "")
			must(t, edit(w.root, id, change))
			told := w.last("repository_ruleset", "edited")
			equal(t, "sender", at(told, "sender", "login"), any("root"))
			equal(t, "enforcement", at(told, "changes", "enforcement", "from"), any("active"))
			same(t, "branches", at(told, "changes", "conditions", "updated", 0, "changes"), `{"include":{"from":["main"]}}`)
			equal(t, "rules", fmt.Sprint(at(told, "changes", "rules", "deleted", 0, "type"), at(told, "changes", "rules", "added", 0, "type")), "updatepull_request")
			refused(t, remove(w.bob, id), 403, "")
			must(t, remove(w.root, id))
			equal(t, "deleted by", at(w.last("repository_ruleset", "deleted"), "sender", "login"), any("root"))
			refused(t, edit(w.root, id, change), 404, "")
		})
	}
}
