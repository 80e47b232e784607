package githubsim_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Semantic 24: what an App's JWT must be.
func TestJWT(t *testing.T) {
	w := newWorld(t)
	key := func(app *githubsim.App) any {
		block, _ := pem.Decode([]byte(app.PrivateKeyPEM()))
		parsed, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		must(t, err)
		return parsed
	}
	other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other"})
	sign := func(method jwt.SigningMethod, with any, iss any, iat, exp time.Duration) string {
		now := w.clock.Now()
		token, err := jwt.NewWithClaims(method, jwt.MapClaims{"iss": iss, "iat": now.Add(iat).Unix(), "exp": now.Add(exp).Unix()}).SignedString(with)
		must(t, err)
		return token
	}
	id := w.app.ID()
	tests := []struct {
		name   string
		token  string
		path   string
		status int
	}{
		{"good", sign(jwt.SigningMethodRS256, key(w.app), id, -30*time.Second, 2*time.Minute), "/app", 200},
		{"issuer as text", sign(jwt.SigningMethodRS256, key(w.app), fmt.Sprint(id), 0, 9*time.Minute), "/app", 200},
		{"clock a little ahead", sign(jwt.SigningMethodRS256, key(w.app), id, 50*time.Second, 9*time.Minute), "/app", 200},
		{"from the future", sign(jwt.SigningMethodRS256, key(w.app), id, 2*time.Minute, 9*time.Minute), "/app", 401},
		{"too long", sign(jwt.SigningMethodRS256, key(w.app), id, 0, 11*time.Minute), "/app", 401},
		{"expired", sign(jwt.SigningMethodRS256, key(w.app), id, -time.Hour, -time.Second), "/app", 401},
		{"another App's key", sign(jwt.SigningMethodRS256, key(other), id, 0, time.Minute), "/app", 401},
		{"unknown App", sign(jwt.SigningMethodRS256, key(w.app), 4, 0, time.Minute), "/app", 401},
		{"HS256", sign(jwt.SigningMethodHS256, []byte("x"), id, 0, time.Minute), "/app", 401},
		{"unsigned", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, id, 0, time.Minute), "/app", 401},
		{"not for a repository", sign(jwt.SigningMethodRS256, key(w.app), id, 0, time.Minute), "/repos/acme/castle", 401},
		{"a user's token is none", w.alice.Token(), "/app", 401},
	}
	for _, test := range tests {
		if resp, out := w.do("GET", test.path, "Bearer "+test.token, ""); resp.StatusCode != test.status {
			t.Errorf("%s: %d %v, want %d", test.name, resp.StatusCode, out, test.status)
		}
	}
}

// Semantic 25: installation tokens last an hour, can be narrowed, and die with a suspension.
func TestInstallationTokens(t *testing.T) {
	w := newWorld(t)
	second := w.org.CreateRepository("tower", nil)
	second.SetPrivate(true)
	apps := w.asApp(w.app)
	issue := func(o *github.InstallationTokenOptions) string {
		token, _, err := apps.Apps.CreateInstallationToken(ctx, w.install.ID(), o)
		must(t, err)
		return "token " + token.GetToken()
	}
	get := func(path, token string) int {
		resp, _ := w.do("GET", path, token, "")
		return resp.StatusCode
	}
	whole := issue(nil)
	if len(whole) < 500 || !strings.HasPrefix(whole, fmt.Sprintf("token ghs_%d_", w.app.ID())) {
		t.Fatalf("token %q has not the format of today", whole)
	}
	equal(t, "whole", get("/repos/acme/tower", whole), 200)
	narrow := issue(&github.InstallationTokenOptions{Repositories: []string{"castle"}, Permissions: &github.InstallationPermissions{Checks: new("read")}})
	equal(t, "other repository", get("/repos/acme/tower", narrow), 404)
	equal(t, "granted", get("/repos/acme/castle/commits/main/check-runs", narrow), 200)
	equal(t, "narrowed away", get("/repos/acme/castle/pulls", narrow), 403)
	_, _, err := apps.Apps.CreateInstallationToken(ctx, w.install.ID(), &github.InstallationTokenOptions{Permissions: &github.InstallationPermissions{Secrets: new("write")}})
	refused(t, err, 422, "not granted")
	_, _, err = apps.Apps.CreateInstallationToken(ctx, w.install.ID(), &github.InstallationTokenOptions{Repositories: []string{"nowhere"}})
	refused(t, err, 422, "does not exist or is not accessible")

	revoke := func(token string) int {
		resp, _ := w.do("DELETE", "/installation/token", token, "")
		return resp.StatusCode
	}
	equal(t, "revoked", revoke(narrow), 204)
	equal(t, "after that", get("/repos/acme/castle/commits/main/check-runs", narrow), 401)
	equal(t, "revoked again", revoke(narrow), 401)
	equal(t, "another one", get("/repos/acme/castle", whole), 200)
	equal(t, "a person's", revoke("token "+w.alice.Token()), 403)
	equal(t, "nobody's", revoke(""), 401)

	w.clock.advance(time.Hour)
	resp, out := w.do("GET", "/repos/acme/castle", whole, "")
	equal(t, "expired", resp.StatusCode, 401)
	equal(t, "message", at(out, "message"), any("Bad credentials"))
	w.clock.advance(-time.Hour)
	fresh := issue(nil)
	w.install.ExpireTokens()
	equal(t, "ended", get("/repos/acme/castle", fresh), 401)
	fresh = issue(nil)
	w.install.Suspend()
	equal(t, "suspended", get("/repos/acme/castle", fresh), 403)
	_, _, err = apps.Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	refused(t, err, 403, "suspended")
	w.install.Unsuspend()
	equal(t, "again", get("/repos/acme/castle", fresh), 200)
}

// Semantic 26: a missing permission is a 403 that names what is missing; what cannot be seen is a 404.
func TestPermissions(t *testing.T) {
	tests := []struct {
		permission, method, path string
		accepted                 string
	}{
		{"checks", "GET", "/repos/acme/castle/commits/main/check-runs", "checks=read"},
		{"checks", "POST", "/repos/acme/castle/check-runs", "checks=write"},
		{"contents", "GET", "/repos/acme/castle/contents/README.md", "contents=read"},
		{"contents", "PUT", "/repos/acme/castle/pulls/1/merge", "contents=write"},
		{"pull_requests", "GET", "/repos/acme/castle/pulls/1", "pull_requests=read"},
		{"members", "GET", "/orgs/acme/teams/leads/memberships/alice", "members=read"},
		{"administration", "PUT", "/repos/acme/castle/rulesets/1", "administration=write"},
		{"organization_administration", "PUT", "/orgs/acme/rulesets/1", "organization_administration=write"},
		{"statuses", "GET", "/repos/acme/castle/commits/main/status", "statuses=read"},
	}
	w := newWorld(t)
	w.pull("topic")
	w.org.CreateTeam("leads", w.alice)
	token, _, err := w.asApp(w.app).Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	must(t, err)
	for _, test := range tests {
		w.install.SetPermission(test.permission, "")
		resp, out := w.do(test.method, test.path, "Bearer "+token.GetToken(), "{}")
		w.install.SetPermission(test.permission, allPermissions[test.permission])
		if resp.StatusCode != http.StatusForbidden || at(out, "message") != "Resource not accessible by integration" {
			t.Errorf("%s %s without %s: %d %v", test.method, test.path, test.permission, resp.StatusCode, out)
		}
		equal(t, "accepted permissions", resp.Header.Get("X-Accepted-GitHub-Permissions"), test.accepted)
	}
	w.install.SetPermission("issues", "")
	if _, _, err := w.gh.Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("hi")}); err != nil {
		t.Fatalf("pull_requests=write should be enough to comment: %v", err)
	}
}

// People see public repositories and those they have a role in; the rest is 404, and acts beyond their role are 403.
func TestPeoplesRoles(t *testing.T) {
	w := newWorld(t)
	secret := w.org.CreateRepository("vault", nil)
	secret.SetPrivate(true)
	member := w.sim.CreateUser("mel")
	w.org.AddMember(member)
	tests := []struct {
		name, method, path, auth, body string
		status                         int
	}{
		{"public to everybody", "GET", "/repos/acme/castle", "", "", 200},
		{"private to nobody", "GET", "/repos/acme/vault", "", "", 404},
		{"private to a stranger", "GET", "/repos/acme/vault", w.bearer(w.eve), "", 404},
		{"private to a member", "GET", "/repos/acme/vault", w.bearer(member), "", 200},
		{"anonymous may not write", "POST", "/repos/acme/castle/issues", "", `{"title":"x"}`, 401},
		{"a stranger may open an issue", "POST", "/repos/acme/castle/issues", w.bearer(w.eve), `{"title":"x"}`, 201},
		{"a stranger may not label", "POST", "/repos/acme/castle/issues/1/labels", w.bearer(w.eve), `{"labels":["x"]}`, 403},
		{"a writer may not change rules", "POST", "/repos/acme/castle/rulesets", w.bearer(w.bob), `{"name":"x","enforcement":"active"}`, 403},
		{"an admin may", "POST", "/repos/acme/castle/rulesets", w.bearer(w.root), `{"name":"x","enforcement":"active"}`, 201},
		{"teams are for members", "GET", "/orgs/acme/teams", w.bearer(w.eve), "", 404},
		{"a member sees them", "GET", "/orgs/acme/teams", w.bearer(member), "", 200},
		{"unknown token", "GET", "/repos/acme/castle", "Bearer nothing", "", 401},
		{"who am I", "GET", "/user", w.bearer(w.eve), "", 200},
		{"nobody", "GET", "/user", "", "", 401},
	}
	for _, test := range tests {
		if resp, out := w.do(test.method, test.path, test.auth, test.body); resp.StatusCode != test.status {
			t.Errorf("%s: %d %v, want %d", test.name, resp.StatusCode, out, test.status)
		}
	}
}

// Semantics 27 and 28: headers, bodies and paths that GitHub refuses.
func TestStrictness(t *testing.T) {
	w := newWorld(t)
	auth := w.bearer(w.root)
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		message                  string
	}{
		{"no User-Agent", "GET", "/repos/acme/castle", "", []string{"User-Agent", ""}, 403, "User-Agent"},
		{"known version", "GET", "/repos/acme/castle", "", []string{"X-GitHub-Api-Version", "2026-03-10"}, 200, ""},
		{"unknown version", "GET", "/repos/acme/castle", "", []string{"X-GitHub-Api-Version", "2020-01-01"}, 400, "not a supported version"},
		{"old media type", "GET", "/repos/acme/castle", "", []string{"Accept", "application/vnd.github.antiope-preview+json"}, 200, ""},
		{"strange media type", "GET", "/repos/acme/castle", "", []string{"Accept", "image/png"}, 415, "Accept"},
		{"slash at the end", "GET", "/repos/acme/castle/", "", nil, 404, "Not Found"},
		{"unknown path", "GET", "/repos/acme/castle/nothing", "", nil, 404, "Not Found"},
		{"bad JSON", "POST", "/repos/acme/castle/issues", "{", nil, 400, "Problems parsing JSON"},
		{"wrong type", "POST", "/repos/acme/castle/issues", `{"title":7}`, nil, 422, "Invalid request"},
		{"missing field", "POST", "/repos/acme/castle/issues", `{}`, nil, 422, "Validation Failed"},
		{"GraphQL is not served", "POST", "/../graphql", `{}`, nil, 404, "Not Found"},
	}
	for _, test := range tests {
		resp, out := w.do(test.method, test.path, auth, test.body, test.headers...)
		message, _ := at(out, "message").(string)
		if resp.StatusCode != test.status || !strings.Contains(message, test.message) {
			t.Errorf("%s: %d %v, want %d %s", test.name, resp.StatusCode, out, test.status, test.message)
		}
		if test.status >= 400 && (at(out, "documentation_url") == nil || at(out, "status") != fmt.Sprint(test.status)) {
			t.Errorf("%s: body %v lacks documentation_url or status", test.name, out)
		}
	}
	_, out := w.do("POST", "/repos/acme/castle/issues", auth, `{}`)
	equal(t, "code", at(out, "errors", 0, "code"), any("missing_field"))
	resp, err := http.Get(w.sim.URL() + "/")
	must(t, err)
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	equal(t, "outside the API", resp.StatusCode, 404)
}

// The life of an installation as its App sees it: suspended, let go on, deleted.
func TestInstallationsThatEnd(t *testing.T) {
	w := newWorld(t)
	app := w.asApp(w.app)
	suspended := func() bool {
		list, _, err := app.Apps.ListInstallations(ctx, nil)
		must(t, err)
		return list[0].SuspendedAt != nil && list[0].GetSuspendedBy().GetLogin() != ""
	}
	equal(t, "at first", suspended(), false)
	w.install.Suspend()
	equal(t, "suspended", suspended(), true)
	w.last("installation", "suspend")
	_, _, err := app.Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	refused(t, err, 403, "This installation has been suspended")
	w.install.Unsuspend()
	equal(t, "let go on", suspended(), false)
	w.last("installation", "unsuspend")
	w.install.Delete()
	w.last("installation", "deleted")
	_, _, err = app.Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	refused(t, err, 404, "")
	_, _, err = app.Apps.GetInstallation(ctx, w.install.ID())
	refused(t, err, 404, "")
}
