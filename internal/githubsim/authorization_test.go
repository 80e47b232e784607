package githubsim_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// A user access token is good for what the user may do and the App may do, where the App is installed.
func TestWhatAUserTokenMayDo(t *testing.T) {
	w := newWorld(t)
	app := w.helper(map[string]string{"issues": "write", "contents": "read"})
	install := app.Install(w.org)
	hidden := w.org.CreateRepository("vault", nil)
	hidden.SetPrivate(true)
	hidden.SetRole(w.alice, "write")
	elsewhere := w.sim.CreateOrganization("elsewhere")
	open, closed := elsewhere.CreateRepository("open", nil), elsewhere.CreateRepository("closed", nil)
	closed.SetPrivate(true)
	open.SetRole(w.alice, "write")
	closed.SetRole(w.alice, "write")
	alice, eve := "Bearer "+app.CreateUserToken(w.alice).AccessToken, "Bearer "+app.CreateUserToken(w.eve).AccessToken
	const inaccessible = "403 Resource not accessible by integration"
	tests := []struct {
		name, method, path, bearer, body, want string
	}{
		{"both may read", "GET", "/repos/acme/castle/issues", alice, "", "200"},
		{"both may write", "POST", "/repos/acme/castle/issues", alice, `{"title":"x"}`, "201"},
		{"she may, the App may not", "GET", "/repos/acme/castle/pulls", alice, "", inaccessible},
		{"she may write, the App may read", "PUT", "/repos/acme/castle/contents/x", alice, `{"message":"x","content":"eA=="}`, inaccessible},
		{"the App may, she may not", "POST", "/repos/acme/castle/issues/1/labels", eve, `{"labels":["x"]}`, "403 You do not have permission to add labels."},
		{"both see what is private", "GET", "/repos/acme/vault", alice, "", "200"},
		{"the App does, she does not", "GET", "/repos/acme/vault", eve, "", "404 Not Found"},
		{"not installed: what everybody may read", "GET", "/repos/elsewhere/open/pulls", alice, "", "200"},
		{"not installed: nothing is written", "POST", "/repos/elsewhere/open/issues", alice, `{"title":"x"}`, inaccessible},
		{"not installed: what is private is not there", "GET", "/repos/elsewhere/closed", alice, "", "404 Not Found"},
		{"not installed: the same, writing", "POST", "/repos/elsewhere/closed/issues", alice, `{"title":"x"}`, "404 Not Found"},
		{"what only an installation may", "POST", "/repos/acme/castle/check-runs", alice, `{"name":"x","head_sha":"x"}`, inaccessible},
		{"an organization she is not in", "GET", "/orgs/acme/teams", eve, "", "404 Not Found"},
		{"who it is", "GET", "/user", eve, "", "200"},
		{"what is an installation's", "GET", "/installation/repositories", eve, "", "403 You must authenticate with an installation access token in order to list repositories for an installation."},
		{"what is the App's", "GET", "/app", eve, "", "401 A JSON web token could not be decoded"},
	}
	for _, c := range tests {
		if got := w.answer(c.method, c.path, c.bearer, c.body); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	install.SetPermission("checks", "write")
	equal(t, "permitted, and a person still", w.answer("POST", "/repos/acme/castle/check-runs", alice, `{"name":"x","head_sha":"x"}`), "403 You must authenticate via a GitHub App.")

	w.org.AddMember(w.alice)
	equal(t, "a member, without the permission", w.answer("GET", "/orgs/acme/teams", alice, ""), inaccessible)
	install.SetPermission("members", "read")
	equal(t, "with it", w.answer("GET", "/orgs/acme/teams", alice, ""), "200")
	elsewhere.AddMember(w.alice)
	equal(t, "a member where the App is not", w.answer("GET", "/orgs/elsewhere/teams", alice, ""), inaccessible)

	_, issue := w.do("GET", "/repos/acme/castle/issues/1", alice, "")
	equal(t, "who wrote it", fmt.Sprint(at(issue, "user", "login"), at(issue, "performed_via_github_app", "slug")), "alicehelper")
	log := w.sim.Requests()
	equal(t, "the log", fmt.Sprint(log[0].Login, log[0].AppID == app.ID()), "alicetrue")
	install.Suspend()
	equal(t, "suspended", w.answer("GET", "/repos/acme/vault", alice, ""), "404 Not Found")
	install.Unsuspend()
	equal(t, "let go on", w.answer("GET", "/repos/acme/vault", alice, ""), "200")
	hidden.SetRole(w.alice, "none")
	w.org.RemoveMember(w.alice)
	equal(t, "she lost it", w.answer("GET", "/repos/acme/vault", alice, ""), "404 Not Found")
	install.Delete()
	equal(t, "uninstalled", w.answer("POST", "/repos/acme/castle/issues", alice, `{"title":"x"}`), inaccessible)
}

// GraphQL holds a user access token to the same.
func TestAUserTokenInGraphQL(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	w.org.CreateTeam("leads", w.alice)
	app := w.helper(map[string]string{"contents": "read"})
	install := app.Install(w.org)
	token := app.CreateUserToken(w.alice).AccessToken
	ask := func(query string) string {
		t.Helper()
		_, out := w.ask(token, query)
		return fmt.Sprint(at(out, "errors", 0, "type"))
	}
	const pull = `{ repository(owner: "acme", name: "castle") { pullRequest(number: 1) { title } } }`
	const team = `{ organization(login: "acme") { team(slug: "leads") { slug } } }`
	equal(t, "a pull request", ask(pull), "FORBIDDEN")
	equal(t, "a team", ask(team), "FORBIDDEN")
	install.SetPermission("pull_requests", "read")
	install.SetPermission("members", "read")
	equal(t, "a pull request, permitted", ask(pull), "<nil>")
	equal(t, "a team, permitted", ask(team), "<nil>")
	w.repo.SetPrivate(true)
	equal(t, "what is private", ask(pull), "<nil>")
	w.org.RemoveMember(w.alice)
	equal(t, "no member", ask(team), "NOT_FOUND")
	install.Suspend()
	equal(t, "what is private, where the App is not", ask(pull), "NOT_FOUND")
	w.org.AddMember(w.alice)
	equal(t, "a member where the App is not", ask(team), "NOT_FOUND")
}

// Asked for one repository, a token is for no other; what the App or the user cannot reach is ignored.
func TestATokenForOneRepository(t *testing.T) {
	w := newWorld(t)
	tower := w.org.CreateRepository("tower", nil)
	app := w.helper(map[string]string{"issues": "read"})
	app.Install(w.org)
	for _, repo := range []*githubsim.Repository{w.repo, tower} {
		repo.SetPrivate(true)
		repo.SetRole(w.alice, "read")
	}
	token := func(id any) string {
		t.Helper()
		code, userCode := w.newDevice(app)
		must(t, w.alice.Authorize(userCode))
		got, out := w.exchange("client_id", app.ClientID(), "device_code", code, "grant_type", deviceGrant, "repository_id", fmt.Sprint(id))
		equal(t, "got", got, "token")
		return fmt.Sprint("Bearer ", out["access_token"])
	}
	one := token(tower.ID())
	equal(t, "that one", w.answer("GET", "/repos/acme/tower/issues", one, ""), "200")
	equal(t, "another", w.answer("GET", "/repos/acme/castle/issues", one, ""), "404 Not Found")
	hidden := w.org.CreateRepository("vault", nil)
	hidden.SetPrivate(true)
	for _, id := range []any{hidden.ID(), 4, "x"} {
		equal(t, "ignored", w.answer("GET", "/repos/acme/castle/issues", token(id), ""), "200")
	}
}

// Whoever takes an authorization back, person or App, ends the tokens of the two; the App has ten of a person at most.
func TestRevoking(t *testing.T) {
	w := newWorld(t)
	app, other := w.helper(nil), w.sim.CreateApp(githubsim.AppSpec{Slug: "other"})
	me := func(token githubsim.UserToken) int {
		t.Helper()
		resp, _ := w.do("GET", "/user", "Bearer "+token.AccessToken, "")
		return resp.StatusCode
	}
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	good := basic(app.ClientID(), app.ClientSecret())
	revoke := func(what, authorization, token string) string {
		t.Helper()
		return w.answer("DELETE", "/applications/"+app.ClientID()+"/"+what, authorization, fmt.Sprintf(`{"access_token":%q}`, token))
	}
	first, second, bobs, others := app.CreateUserToken(w.eve), app.CreateUserToken(w.eve), app.CreateUserToken(w.bob), other.CreateUserToken(w.eve)
	equal(t, "a token", revoke("token", good, first.AccessToken), "204")
	equal(t, "revoked", me(first), 401)
	got, _ := w.exchange("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "grant_type", "refresh_token", "refresh_token", first.RefreshToken)
	equal(t, "what renewed it", got, "bad_refresh_token")
	equal(t, "the other one", me(second), 200)
	const invalid = "422 Validation Failed"
	equal(t, "twice", revoke("token", good, first.AccessToken), invalid)
	equal(t, "another App's", revoke("token", good, others.AccessToken), invalid)
	equal(t, "a personal one", revoke("token", good, w.eve.Token()), invalid)
	equal(t, "none", revoke("grant", good, ""), invalid)
	equal(t, "without the secret", revoke("token", "", second.AccessToken), "401 Requires authentication")
	equal(t, "with a wrong one", revoke("token", basic(app.ClientID(), "x"), second.AccessToken), "401 Bad credentials")
	equal(t, "another App", revoke("token", basic(other.ClientID(), other.ClientSecret()), second.AccessToken), "404 Not Found")
	equal(t, "with the token itself", revoke("token", "Bearer "+second.AccessToken, second.AccessToken), "401 Bad credentials")
	equal(t, "the secret, where a token is wanted", w.answer("GET", "/user", good, ""), "401 Bad credentials")
	resp, _ := w.post(http.MethodPost, "", `{"query":"{rateLimit{cost}}"}`, "Authorization", good)
	equal(t, "the secret in GraphQL", resp.StatusCode, 401)

	third := app.CreateUserToken(w.eve)
	equal(t, "the grant", revoke("grant", good, second.AccessToken), "204")
	equal(t, "its tokens", fmt.Sprint(me(second), me(third)), "401 401")
	equal(t, "another person's and another App's", fmt.Sprint(me(bobs), me(others)), "200 200")

	w.bob.RevokeApp(app)
	equal(t, "the person's doing", me(bobs), 401)
	equal(t, "who is told", at(w.last("github_app_authorization", "revoked"), "sender", "login"), any("bob"))
	told := len(w.sim.Deliveries())
	w.bob.RevokeApp(app)
	equal(t, "told again", len(w.sim.Deliveries()), told)

	oldest := app.CreateUserToken(w.bob)
	for range 9 {
		app.CreateUserToken(w.bob)
	}
	equal(t, "ten", fmt.Sprint(len(app.UserTokens(w.bob)), me(oldest)), "10 200")
	newest := app.CreateUserToken(w.bob)
	equal(t, "eleven", fmt.Sprint(len(app.UserTokens(w.bob)), me(oldest), me(newest)), "10 401 200")
	app.ExpireUserTokens(w.bob)
	equal(t, "expired before its time", me(newest), 401)
	equal(t, "an expired one revokes nothing", revoke("grant", good, newest.AccessToken), invalid)
	got, _ = w.exchange("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "grant_type", "refresh_token", "refresh_token", newest.RefreshToken)
	equal(t, "renewed", got, "token")
	w.bob.Delete()
	equal(t, "an account that is gone", len(app.UserTokens(w.bob)), 0)
}

// Tokens of an App that has left out their expiry have none, and nothing that renews them.
func TestLastingTokens(t *testing.T) {
	w := newWorld(t)
	app := w.sim.CreateApp(githubsim.AppSpec{Slug: "lasting", DeviceFlow: true, LastingTokens: true})
	code, userCode := w.newDevice(app)
	must(t, w.eve.Authorize(userCode))
	_, out := w.poll(app, code)
	equal(t, "what it got", len(out), 3)
	w.clock.advance(10000 * time.Hour)
	resp, _ := w.do("GET", "/user", fmt.Sprint("Bearer ", out["access_token"]), "")
	equal(t, "a year later", resp.StatusCode, 200)
	equal(t, "what the App has", len(app.UserTokens(w.eve)), 1)
	equal(t, "what renews it", app.UserTokens(w.eve)[0].RefreshToken, "")
}
