package githubsim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Who may do what with codespaces, by the kind of token and by what the App is permitted. A route is given with what it answers to
// whom may ask it.
func TestWhoMayCodespaces(t *testing.T) {
	const inaccessible = "403 Resource not accessible by integration"
	type who struct{ user, robot bool } // may a user access token, may an installation's
	for _, c := range []struct {
		method, path string
		needs        string // with commas if it is several
		who          who
		status       string
	}{
		{"GET", "/repos/acme/castle/codespaces/machines", "codespaces_metadata=read", who{true, true}, "200"},
		{"POST", "/repos/acme/castle/codespaces", "codespaces=write", who{user: true}, "201"},
		{"POST", "/repos/acme/castle/pulls/1/codespaces", "codespaces=write", who{user: true}, "201"},
		{"GET", "/user/codespaces", "codespaces=read", who{user: true}, "200"},
		{"GET", "/user/codespaces/NAME", "codespaces=read", who{user: true}, "200"},
		{"POST", "/user/codespaces/NAME/stop", "codespaces_lifecycle_admin=write", who{user: true}, "200"},
		{"POST", "/user/codespaces/NAME/start", "codespaces_lifecycle_admin=write", who{user: true}, "409"},
		{"DELETE", "/user/codespaces/NAME", "codespaces=write", who{user: true}, "202"},
		{"GET", "/orgs/acme/codespaces", "organization_codespaces=read,codespaces=read", who{true, true}, "200"},
		{"GET", "/orgs/acme/members/alice/codespaces", "organization_codespaces=read,codespaces=read", who{true, true}, "200"},
		{"POST", "/orgs/acme/members/alice/codespaces/NAME/stop", "organization_codespaces=write,codespaces_lifecycle_admin=write", who{true, true}, "200"},
		{"DELETE", "/orgs/acme/members/alice/codespaces/NAME", "organization_codespaces=write,codespaces=write", who{true, true}, "202"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			s := newSpaces(t)
			s.pull("topic")
			s.org.AddOwner(s.alice)
			path, body := strings.Replace(c.path, "NAME", s.create("{}"), 1), ""
			if c.status == "201" {
				body = "{}"
			}
			answer := func(bearer string) string { return s.answer(c.method, path, bearer, body)[:3] }
			wanted := func(may bool) string {
				if may {
					return c.status
				}
				return "403"
			}
			for one := range strings.SplitSeq(c.needs, ",") {
				name, level, _ := strings.Cut(one, "=")
				lower := map[string]string{"read": "", "write": "read"}[level]
				s.install.SetPermission(name, lower)
				for kind, bearer := range map[string]string{"a user": s.user, "a robot": s.robot} {
					equal(t, kind+" without "+one, s.answer(c.method, path, bearer, body), inaccessible)
				}
				s.install.SetPermission(name, level)
			}
			equal(t, "a robot", answer(s.robot), wanted(c.who.robot))
			resp, _ := s.do(c.method, path, s.user, body)
			equal(t, "a user", fmt.Sprint(resp.StatusCode), wanted(c.who.user))
			equal(t, "what it takes", resp.Header.Get("X-Accepted-GitHub-Permissions"), c.needs)
			equal(t, "nobody", s.answer(c.method, path, "", body), "401 Requires authentication")
			equal(t, "she herself", answer(s.bearer(s.alice))[:1], c.status[:1])
			if strings.HasPrefix(c.path, "/orgs/") {
				s.org.AddMember(s.bob)
				equal(t, "a member", s.answer(c.method, path, s.bearer(s.bob), body), "403 Must be an owner of the organization.")
				bob := "Bearer " + s.app.CreateUserToken(s.bob).AccessToken
				equal(t, "a member through the App", s.answer(c.method, path, bob, body), "403 Must be an owner of the organization.")
				equal(t, "a stranger", s.answer(c.method, path, s.bearer(s.eve), body), "404 Not Found")
			}
			if strings.Contains(c.path, "/user/codespaces/NAME") {
				equal(t, "somebody else", s.answer(c.method, path, s.bearer(s.bob), body), "404 Not Found")
			}
			s.install.Suspend()
			if got := s.answer(c.method, path, s.user, body); got[:3] != "403" && got[:3] != "404" {
				t.Errorf("a user where the App is suspended: %s", got)
			}
		})
	}
}

// Of a list a user access token shows what the App may see.
func TestCodespacesThroughAnApp(t *testing.T) {
	s := newSpaces(t)
	elsewhere := s.sim.CreateOrganization("elsewhere")
	open := elsewhere.CreateRepository("open", nil)
	s.create("{}")
	s.ask(201, "POST", "/repos/elsewhere/open/codespaces", s.bearer(s.alice), "{}")
	equal(t, "where the App is not", s.answer("POST", "/repos/elsewhere/open/codespaces", s.user, "{}"), "403 Resource not accessible by integration")
	names := func(bearer, query string) string {
		t.Helper()
		var names []string
		for _, one := range s.ask(200, "GET", "/user/codespaces"+query, bearer, "").(map[string]any)["codespaces"].([]any) {
			names = append(names, fmt.Sprint(at(one, "repository", "full_name")))
		}
		return strings.Join(names, " ")
	}
	equal(t, "hers", names(s.bearer(s.alice), ""), "acme/castle elsewhere/open")
	equal(t, "a page", names(s.bearer(s.alice), "?per_page=1&page=2"), "elsewhere/open")
	equal(t, "of one repository", names(s.bearer(s.alice), fmt.Sprint("?repository_id=", open.ID())), "elsewhere/open")
	equal(t, "through the App", names(s.user, ""), "acme/castle")
	other := s.sim.Codespaces()[1]
	equal(t, "one that the App does not reach", s.answer("GET", "/user/codespaces/"+other.Name(), s.user, ""), "404 Not Found")
	equal(t, "who pays for it", other.Payer(), "alice")
	equal(t, "of another organization", s.answer("GET", "/orgs/elsewhere/codespaces", s.robot, ""), "404 Not Found")
	s.install.Delete()
	equal(t, "uninstalled", s.answer("GET", "/user/codespaces", s.user, ""), "403 Resource not accessible by integration")
}

// What no codespace may be is refused, and makes none.
func TestCodespacesRefused(t *testing.T) {
	s := newSpaces(t)
	s.repo.SetFiles("main", map[string]string{".devcontainer/devcontainer.json": "{}", "other/devcontainer.json": "{}"})
	long := strings.Repeat("ä", 48)
	for what, c := range map[string]struct{ body, want string }{
		"a long name":             {`{"display_name":"` + long + `x"}`, "400 Display name must be 48 characters or less"},
		"an unknown machine":      {`{"machine":"huge"}`, "400 The machine type huge is not available for this repository."},
		"an unknown branch":       {`{"ref":"nowhere"}`, "400 The ref nowhere does not exist."},
		"no devcontainer":         {`{"devcontainer_path":"x.json"}`, "400 There is no devcontainer.json at x.json."},
		"impatient":               {`{"idle_timeout_minutes":4}`, "400 The idle timeout must be between 5 and 240 minutes."},
		"too patient":             {`{"idle_timeout_minutes":241}`, "400 The idle timeout must be between 5 and 240 minutes."},
		"kept for less than none": {`{"retention_period_minutes":-1}`, "400 The retention period must be between 0 and 43200 minutes."},
		"kept for too long":       {`{"retention_period_minutes":43201}`, "400 The retention period must be between 0 and 43200 minutes."},
		"in no area":              {`{"geo":"Moon"}`, "422 Invalid request.\n\nFor 'properties/geo', \"Moon\" is not a possible value."},
		"a text for a number":     {`{"idle_timeout_minutes":"5"}`, "422 Invalid request.\n\nFor 'idle_timeout_minutes', string is not a valid value."},
		"no JSON":                 {`{`, "400 Problems parsing JSON"},
	} {
		equal(t, what, s.answer("POST", castleSpaces, s.user, c.body), c.want)
	}
	equal(t, "made", len(s.sim.Codespaces()), 0)
	one := s.ask(201, "POST", castleSpaces, s.user, `{"display_name":"`+long+`","ref":"`+s.repo.Head("main")+`"}`)
	equal(t, "as asked", fmt.Sprint(at(one, "display_name"), at(one, "git_status", "ref")), long+s.repo.Head("main"))
	equal(t, "what is usual", fmt.Sprint(at(one, "machine", "name"), at(one, "idle_timeout_minutes"), at(one, "retention_period_minutes"), " ", at(one, "devcontainer_path")),
		"basicLinux32gb30 43200 .devcontainer/devcontainer.json")
	one = s.ask(201, "POST", castleSpaces, s.user, `{"devcontainer_path":"other/devcontainer.json","location":"WestUs2","client_ip":"198.51.100.1","multi_repo_permissions_opt_out":true,"working_directory":"/x"}`)
	equal(t, "another devcontainer", at(one, "devcontainer_path"), any("other/devcontainer.json"))
	if name := fmt.Sprint(at(one, "display_name")); !strings.HasPrefix(fmt.Sprint(at(one, "name")), strings.ReplaceAll(name, " ", "-")+"-") {
		t.Errorf("called %q, its name is %v", name, at(one, "name"))
	}
	s.repo.SetPrivate(true)
	equal(t, "what a stranger does not see", s.answer("POST", castleSpaces, s.bearer(s.eve), "{}"), "404 Not Found")
	s.repo.Archive()
	equal(t, "what is read-only", s.answer("POST", castleSpaces, s.user, "{}"), "403 Repository was archived so is read-only.")
}

// An organization lowers what people ask for in codespaces that it pays for; for those of others it has no say and sees none.
func TestCodespacePolicies(t *testing.T) {
	s := newSpaces(t)
	s.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Create: time.Second, Start: time.Second, Stop: time.Second})
	machines := func(bearer string) string {
		t.Helper()
		var names []string
		for _, m := range s.ask(200, "GET", castleSpaces+"/machines?ref=main", bearer, "").(map[string]any)["machines"].([]any) {
			names = append(names, fmt.Sprint(at(m, "name"), at(m, "cpus")))
		}
		return strings.Join(names, " ")
	}
	const all = "basicLinux32gb2 standardLinux32gb4 premiumLinux8 largePremiumLinux16"
	equal(t, "machines", machines(s.user), all)
	equal(t, "machines at no ref", s.answer("GET", castleSpaces+"/machines?ref=nowhere", s.user, ""), "404 Not Found")
	early := s.create(`{"machine":"premiumLinux","idle_timeout_minutes":120}`)
	s.org.SetCodespacePolicy(githubsim.CodespacePolicy{Machines: []string{"standardLinux32gb"}, MostIdle: time.Hour, MostRetention: 24 * time.Hour})
	equal(t, "machines for her", machines(s.user), "standardLinux32gb4")
	equal(t, "machines for the App", machines(s.robot), "standardLinux32gb4")
	equal(t, "machines for a stranger", machines(s.bearer(s.eve)), all)
	one := s.ask(201, "POST", castleSpaces, s.user, `{"idle_timeout_minutes":120}`)
	equal(t, "lowered", fmt.Sprint(at(one, "machine", "name"), at(one, "idle_timeout_minutes"), at(one, "retention_period_minutes")), "standardLinux32gb60 1440")
	equal(t, "and said", at(one, "idle_timeout_notice"), any("Idle timeout for this codespace is set to 60 minutes in compliance with your organization’s policy."))
	equal(t, "not allowed", s.answer("POST", castleSpaces, s.user, `{"machine":"premiumLinux"}`), "400 The machine type premiumLinux is not available for this repository.")
	one = s.ask(200, "GET", "/user/codespaces/"+early, s.user, "")
	equal(t, "one that was there", fmt.Sprint(at(one, "idle_timeout_minutes"), at(one, "retention_period_minutes")), "120 43200")
	s.ask(200, "POST", "/user/codespaces/"+early+"/stop", s.user, "")
	s.clock.advance(time.Second)
	equal(t, "started again", s.answer("POST", "/user/codespaces/"+early+"/start", s.user, ""), "400 The machine type premiumLinux is no longer allowed for this organization.")
	s.org.SetCodespacePolicy(githubsim.CodespacePolicy{MostIdle: time.Hour})
	one = s.ask(200, "POST", "/user/codespaces/"+early+"/start", s.user, "")
	equal(t, "with the type allowed", fmt.Sprint(at(one, "idle_timeout_minutes"), at(one, "retention_period_minutes")), "60 43200")
	s.org.SetCodespacePolicy(githubsim.CodespacePolicy{Machines: []string{}})
	equal(t, "none allowed", s.answer("POST", castleSpaces, s.user, "{}"), "400 There are currently no machine types available for this repository.")

	s.org.SetCodespacePolicy(githubsim.CodespacePolicy{PaidByUsers: true, MostIdle: 5 * time.Minute})
	one = s.ask(201, "POST", castleSpaces, s.user, `{"idle_timeout_minutes":120}`)
	equal(t, "her own", fmt.Sprint(at(one, "billable_owner", "login"), at(one, "idle_timeout_minutes")), "alice120")
	s.org.SetCodespacePolicy(githubsim.CodespacePolicy{})
	collaborator := s.ask(201, "POST", castleSpaces, s.bearer(s.bob), "{}")
	stranger := s.ask(201, "POST", castleSpaces, s.bearer(s.eve), "{}")
	equal(t, "who pays", fmt.Sprint(at(collaborator, "billable_owner", "login"), at(stranger, "billable_owner", "login")), "acmeeve")
	list := s.ask(200, "GET", "/orgs/acme/codespaces", s.robot, "")
	equal(t, "what the organization sees", at(list, "total_count"), any(3.0))
	list = s.ask(200, "GET", "/orgs/acme/members/alice/codespaces", s.robot, "")
	equal(t, "of alice", at(list, "total_count"), any(2.0))
	equal(t, "of nobody", s.answer("GET", "/orgs/acme/members/nobody/codespaces", s.robot, ""), "404 Not Found")
	for _, path := range []string{"/orgs/acme/members/alice/codespaces/", "/orgs/acme/members/bob/codespaces/", "/orgs/acme/members/eve/codespaces/"} {
		equal(t, "hers, below "+path, s.answer("DELETE", path+fmt.Sprint(at(one, "name")), s.robot, ""), "404 Not Found")
	}
	s.ask(202, "DELETE", "/orgs/acme/members/alice/codespaces/"+early, s.robot, "")
	s.clock.advance(5 * time.Second)
	equal(t, "deleted by the App alone", s.state(early), "404")
}

// A codespace of a pull request is on its head, in the repository that this is in: in the fork, where the App needs to be as well.
func TestCodespacesOfPullRequests(t *testing.T) {
	s := newSpaces(t)
	s.pull("topic")
	one := s.ask(201, "POST", "/repos/acme/castle/pulls/1/codespaces", s.user, `{"display_name":"box"}`)
	equal(t, "its own branch", fmt.Sprint(at(one, "repository", "full_name"), at(one, "git_status", "ref")), "acme/castletopic")
	equal(t, "whose it is of", strings.HasSuffix(fmt.Sprint(at(one, "pulls_url")), "/repos/acme/castle/pulls/1"), true)
	equal(t, "none such", s.answer("POST", "/repos/acme/castle/pulls/7/codespaces", s.user, "{}"), "404 Not Found")

	fork := s.repo.Fork(s.bob)
	_, err := fork.Push(s.bob, "theirs", githubsim.Commit{Message: "x", Files: map[string]string{"x": "x"}})
	must(t, err)
	_, err = s.repo.Open(s.bob, githubsim.PullRequestSpec{Title: "theirs", Head: "bob:theirs"})
	must(t, err)
	const path = "/repos/acme/castle/pulls/2/codespaces"
	equal(t, "through an App that is not in the fork", s.answer("POST", path, s.user, "{}"), "403 Resource not accessible by integration")
	one = s.ask(201, "POST", path, s.bearer(s.alice), "{}")
	equal(t, "herself", fmt.Sprint(at(one, "repository", "full_name"), at(one, "git_status", "ref"), at(one, "billable_owner", "login")), "bob/castletheirsacme")
	fork.SetPrivate(true)
	equal(t, "a fork that she cannot read", s.answer("POST", path, s.bearer(s.alice), "{}"), "404 Not Found")
	fork.Delete()
	equal(t, "a fork that is gone", s.answer("POST", path, s.bearer(s.alice), "{}"), "400 The head of the pull request is not there any more.")
	s.alice.Delete()
	equal(t, "an account that is gone", len(s.sim.Codespaces()), 0)
}
