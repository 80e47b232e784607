package githubsim_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// spaces is a world in which alice, a member, lets an App work in codespaces for her.
type spaces struct {
	*world
	app     *githubsim.App
	install *githubsim.Installation
	user    string // the bearer of alice's user access token
	robot   string // of the App's installation
}

var codespacePermissions = map[string]string{
	"codespaces": "write", "codespaces_lifecycle_admin": "write", "codespaces_metadata": "read", "organization_codespaces": "write",
}

func newSpaces(t *testing.T) *spaces {
	t.Helper()
	w := newWorld(t)
	w.org.AddMember(w.alice)
	app := w.helper(codespacePermissions)
	s := &spaces{world: w, app: app, install: app.Install(w.org)}
	s.user, s.robot = "Bearer "+app.CreateUserToken(w.alice).AccessToken, "Bearer "+w.token(app, s.install)
	return s
}

const castleSpaces = "/repos/acme/castle/codespaces"

// ask expects a status and gives back the answer.
func (s *spaces) ask(status int, method, path, bearer, body string) any {
	s.t.Helper()
	resp, out := s.do(method, path, bearer, body)
	if resp.StatusCode != status {
		s.t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, resp.StatusCode, out, status)
	}
	return out
}

// create makes one for alice and gives back its name.
func (s *spaces) create(body string) string {
	s.t.Helper()
	return fmt.Sprint(at(s.ask(201, "POST", castleSpaces, s.user, body), "name"))
}

// state is what the API says of it to alice herself, or the status if that is not 200: what an App has of her is over in eight hours.
func (s *spaces) state(name string) string {
	s.t.Helper()
	resp, out := s.do("GET", "/user/codespaces/"+name, s.bearer(s.alice), "")
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint(resp.StatusCode)
	}
	return fmt.Sprint(at(out, "state"))
}

// become expects the states of a codespace as time passes.
func (s *spaces) become(name string, steps ...any) {
	s.t.Helper()
	for i := 0; i < len(steps); i += 2 {
		s.clock.advance(steps[i].(time.Duration))
		equal(s.t, fmt.Sprintf("step %d, after %s, the state", i/2, steps[i]), s.state(name), steps[i+1].(string))
	}
}

// A codespace is queued, gets ready, is stopped and started, and deleted a while after that was asked.
func TestTheLifeOfACodespace(t *testing.T) {
	s := newSpaces(t)
	name := s.create(`{"ref":"main","machine":"premiumLinux","display_name":"box","idle_timeout_minutes":10,"retention_period_minutes":60,"geo":"EuropeWest"}`)
	one := s.ask(200, "GET", "/user/codespaces/"+name, s.user, "")
	equal(t, "what it is", fmt.Sprint(at(one, "display_name"), at(one, "machine", "name"), at(one, "git_status", "ref"), at(one, "location"),
		at(one, "idle_timeout_minutes"), at(one, "retention_period_minutes"), at(one, "idle_timeout_notice"), at(one, "pulls_url")),
		"boxpremiumLinuxmainWestEurope10 60 <nil> <nil>")
	made := s.sim.Codespaces()[0]
	equal(t, "what a test sees of it", made.Name()+made.DisplayName()+made.Owner().Login()+made.Payer()+made.State(), name+"boxaliceacmeQueued")
	equal(t, "whose it is", fmt.Sprint(at(one, "owner", "login"), at(one, "billable_owner", "login"), at(one, "repository", "full_name")), "aliceacmeacme/castle")
	const start, stop = "/start", "/stop"
	act := func(status int, what string) any {
		t.Helper()
		return s.ask(status, "POST", "/user/codespaces/"+name+what, s.user, "")
	}
	s.become(name, time.Duration(0), "Queued", 2*time.Second, "Provisioning", 6*time.Second, "Awaiting", 2*time.Second, "Available")
	act(409, start)
	equal(t, "stopped", at(act(200, stop), "state"), any("ShuttingDown"))
	s.become(name, 4*time.Second, "ShuttingDown", time.Second, "Shutdown")
	equal(t, "stopped twice", at(act(200, stop), "state"), any("Shutdown"))
	one = s.ask(200, "GET", "/user/codespaces/"+name, s.user, "")
	expires, err := time.Parse(time.RFC3339, fmt.Sprint(at(one, "retention_expires_at")))
	must(t, err)
	equal(t, "how long it is kept", expires.Sub(s.clock.Now()).Round(time.Second), time.Hour)
	s.become(name, 59*time.Minute, "Shutdown")
	equal(t, "started", at(act(200, start), "state"), any("Starting"))
	act(409, start)
	s.become(name, 5*time.Second, "Available")
	s.ask(202, "DELETE", "/user/codespaces/"+name, s.user, "")
	one = s.ask(200, "GET", "/user/codespaces/"+name, s.user, "")
	equal(t, "being deleted", fmt.Sprint(at(one, "pending_operation"), at(one, "pending_operation_disabled_reason")), "trueThis codespace is being deleted.")
	act(409, start)
	act(403, stop)
	s.clock.advance(4 * time.Second)
	s.ask(202, "DELETE", "/user/codespaces/"+name, s.user, "")
	list := s.ask(200, "GET", "/user/codespaces", s.user, "")
	equal(t, "listed still", at(list, "total_count"), any(1.0))
	s.become(name, time.Second, "404")
	s.ask(404, "DELETE", "/user/codespaces/"+name, s.user, "")
	act(404, start)
	equal(t, "what is left", len(s.sim.Codespaces()), 0)
}

// A codespace in which nothing happens stops; one in which something does stops after twelve hours; one that is stopped is kept for as
// long as was asked, and not at all if that is nothing.
func TestCodespacesEndByThemselves(t *testing.T) {
	s := newSpaces(t)
	s.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Create: time.Second, Stop: time.Second})
	idle, kept := s.create(`{"idle_timeout_minutes":5,"retention_period_minutes":0}`), s.create(`{"idle_timeout_minutes":5}`)
	used := s.create(`{"idle_timeout_minutes":240,"retention_period_minutes":43200}`)
	s.clock.advance(time.Second)
	list := s.sim.Codespaces()
	s.clock.advance(4 * time.Minute)
	list[1].Use()
	s.become(idle, 59*time.Second, "Available", time.Second, "ShuttingDown", time.Second, "404")
	equal(t, "the state of what is gone", fmt.Sprint(list[0].State(), list[0].Exists()), "Deletedfalse")
	s.become(kept, 4*time.Minute-2*time.Second, "Available", time.Second, "ShuttingDown", time.Second, "Shutdown")
	for range 5 {
		s.clock.advance(2 * time.Hour)
		list[2].Use()
	}
	s.become(used, 2*time.Hour-9*time.Minute-2*time.Second, "Available", time.Second, "ShuttingDown", time.Second, "Shutdown")
	s.become(kept, 29*24*time.Hour, "Shutdown", 24*time.Hour-time.Second, "404")
	s.become(used, time.Duration(0), "Shutdown", time.Second, "404")
}

// What GitHub does not do at the first go, not at all, or slowly; what it says it did not do and did; and what else it may refuse.
func TestCodespacesThatFail(t *testing.T) {
	s := newSpaces(t)
	s.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Create: time.Minute, Retry: true})
	name := fmt.Sprint(at(s.ask(202, "POST", castleSpaces, s.user, "{}"), "name"))
	s.become(name, time.Minute, "Queued", 59*time.Second, "Awaiting", time.Second, "Available")
	s.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Fail: true, Delete: 24 * time.Hour})
	broken := s.create("{}")
	s.become(broken, 10*time.Second, "Failed", time.Hour, "Failed")
	s.ask(202, "DELETE", "/user/codespaces/"+broken, s.user, "")
	s.become(broken, 23*time.Hour, "Failed", time.Hour, "404")

	s.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{})
	user := "Bearer " + s.app.CreateUserToken(s.alice).AccessToken
	for _, status := range []int{403, 404, 500, 503, 0} {
		for _, after := range []bool{false, true} {
			s.sim.Inject(githubsim.Fault{Method: "POST", Path: regexp.MustCompile(`/codespaces$`), Status: status, After: after, Times: 1})
			before := len(s.sim.Codespaces())
			body := fmt.Sprintf(`{"display_name":"%d %v"}`, status, after)
			if status == 0 {
				_, _, err := s.as(s.alice).Codespaces.CreateInRepo(ctx, "acme", "castle", &github.CreateCodespaceOptions{DisplayName: new("0 true")})
				equal(t, "cut off", err != nil, true)
			} else {
				s.ask(status, "POST", castleSpaces, user, body)
			}
			equal(t, "made in spite of "+body, len(s.sim.Codespaces()) > before, after)
		}
	}
	var found []string
	for _, one := range s.ask(200, "GET", "/user/codespaces?per_page=100", user, "").(map[string]any)["codespaces"].([]any) {
		if strings.HasSuffix(fmt.Sprint(at(one, "display_name")), " true") {
			found = append(found, fmt.Sprint(at(one, "display_name")))
		}
	}
	equal(t, "found by their display names", strings.Join(found, ", "), "403 true, 404 true, 500 true, 503 true, 0 true")
	for _, status := range []int{402, 403, 409, 500} {
		s.sim.Inject(githubsim.Fault{Method: "POST", Path: regexp.MustCompile(`/start$`), Status: status, Times: 1})
		s.ask(status, "POST", "/user/codespaces/"+name+"/start", user, "")
	}

	stuck := s.sim.Codespaces()[1]
	s.sim.SetCodespaceKnobs(githubsim.CodespaceKnobs{Delete: 24 * time.Hour})
	for _, state := range []string{"Unavailable", "Archived", "Moved", "Rebuilding", "Updating", "Exporting", "Unknown", "Created"} {
		stuck.SetState(state)
		s.become(stuck.Name(), time.Hour, state)
	}
	stuck.SetPending("The machine type is being changed.")
	s.ask(409, "POST", "/user/codespaces/"+stuck.Name()+"/start", s.bearer(s.alice), "")
	s.ask(202, "DELETE", "/user/codespaces/"+stuck.Name(), s.bearer(s.alice), "")
	s.become(stuck.Name(), 23*time.Hour, "Created", time.Hour, "404")
}
