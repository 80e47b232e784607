package githubsim_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Where secrets are. A slash in an environment's name is written %2F, as documented.
const (
	ofRepository  = "/repos/acme/castle/actions/secrets"
	ofEnvironment = "/repos/acme/castle/environments/prod%2Feu/secrets"
)

// sealing is the key that secrets somewhere are sealed with.
type sealing struct {
	id  string
	key *[32]byte
}

func (w *world) sealing(bearer, where string) sealing {
	w.t.Helper()
	resp, out := w.do("GET", where+"/public-key", bearer, "")
	equal(w.t, "the key of "+where, resp.StatusCode, 200)
	key, err := base64.StdEncoding.DecodeString(fmt.Sprint(at(out, "key")))
	must(w.t, err)
	return sealing{fmt.Sprint(at(out, "key_id")), (*[32]byte)(key)}
}

// body is that of a PUT of the value.
func (s sealing) body(value string) string {
	sealed, err := box.SealAnonymous(nil, []byte(value), s.key, rand.Reader)
	if err != nil {
		panic(err)
	}
	return putBody(s.id, base64.StdEncoding.EncodeToString(sealed))
}

func putBody(keyID, sealed string) string {
	return fmt.Sprintf(`{"key_id":%q,"encrypted_value":%q}`, keyID, sealed)
}

// answer is the status and, of a refusal, the sentence.
func (w *world) answer(method, path, bearer, body string) string {
	w.t.Helper()
	resp, out := w.do(method, path, bearer, body)
	if resp.StatusCode < http.StatusBadRequest {
		return fmt.Sprint(resp.StatusCode)
	}
	return fmt.Sprint(resp.StatusCode, " ", at(out, "message"))
}

// keeper is the bearer of an App that may write secrets of both kinds, and the environment prod/eu.
func (w *world) keeper() (string, *githubsim.Environment) {
	w.t.Helper()
	w.install.SetPermission("secrets", "write")
	w.install.SetPermission("environments", "write")
	return "Bearer " + w.token(w.app, w.install), w.repo.CreateEnvironment("prod/eu")
}

// A secret is written, replaced, listed and deleted under its name in any case, and its value is told to nobody.
func TestSecrets(t *testing.T) {
	w := newWorld(t)
	token, env := w.keeper()
	for where, values := range map[string]func() map[string]string{ofRepository: w.repo.Secrets, ofEnvironment: env.Secrets} {
		seal := w.sealing(token, where)
		equal(t, "new", w.answer("PUT", where+"/Deploy_key", token, seal.body("one")), "201")
		_, first := w.do("GET", where+"/deploy_key", token, "")
		equal(t, "again", w.answer("PUT", where+"/DEPLOY_KEY", token, seal.body("two")), "204")
		_, second := w.do("GET", where+"/DEPLOY_KEY", token, "")
		equal(t, "its name", at(second, "name"), any("DEPLOY_KEY"))
		equal(t, "its creation", at(second, "created_at"), at(first, "created_at"))
		if at(second, "updated_at") == at(first, "updated_at") || len(second.(map[string]any)) != 3 {
			t.Errorf("replaced, it is %v", second)
		}
		equal(t, "its value", fmt.Sprint(values()), "map[DEPLOY_KEY:two]")
		equal(t, "an empty one", w.answer("PUT", where+"/_EMPTY", token, seal.body("")), "201")
		_, list := w.do("GET", where+"?per_page=1", token, "")
		equal(t, "listed", fmt.Sprint(at(list, "total_count"), " ", at(list, "secrets", 0, "name"), " ", at(list, "secrets", 1)), "2 DEPLOY_KEY <nil>")
		resp, list := w.do("GET", where+"?per_page=1&page=2", token, "")
		equal(t, "the second page", at(list, "secrets", 0, "name"), any("_EMPTY"))
		equal(t, "after it there is none", strings.Contains(resp.Header.Get("Link"), `"next"`), false)
		equal(t, "deleted", w.answer("DELETE", where+"/deploy_KEY", token, ""), "204")
		equal(t, "deleted twice", w.answer("DELETE", where+"/DEPLOY_KEY", token, ""), "404 Not Found")
		equal(t, "read after that", w.answer("GET", where+"/DEPLOY_KEY", token, ""), "404 Not Found")
		equal(t, "made anew", w.answer("PUT", where+"/DEPLOY_KEY", token, seal.body("three")), "201")
	}
	equal(t, "no such environment", w.answer("GET", strings.Replace(ofEnvironment, "eu", "us", 1), token, ""), "404 Not Found")
	equal(t, "its key", w.answer("GET", strings.Replace(ofEnvironment, "eu", "us", 1)+"/public-key", token, ""), "404 Not Found")
	equal(t, "the environment in another case", w.answer("GET", strings.Replace(ofEnvironment, "prod", "PROD", 1), token, ""), "200")
}

// What GitHub takes for no secret is refused, and changes nothing.
func TestSecretsRefused(t *testing.T) {
	w := newWorld(t)
	token, _ := w.keeper()
	seal, other := w.sealing(token, ofRepository), w.sealing(token, ofEnvironment)
	if seal.id == other.id || *seal.key == *other.key {
		t.Error("the environment has the repository's key")
	}
	const (
		letters    = "Secret names can only contain alphanumeric characters"
		improperly = "Bad request - improperly encrypted secret"
	)
	good := seal.body("x")
	noise := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 60)))
	for what, c := range map[string]struct{ name, body, why string }{
		"a digit first":          {"1ST", good, letters},
		"a hyphen":               {"A-B", good, letters},
		"a space":                {"A%20B", good, letters},
		"another alphabet":       {"SCHL%C3%9CSSEL", good, letters},
		"a new line at the end":  {"AB%0A", good, letters},
		"GitHub's own":           {"GITHUB_TOKEN", good, "Secret names must not start with GITHUB_."},
		"in another case":        {"github_x", good, "Secret names must not start with GITHUB_."},
		"no key":                 {"X", `{"encrypted_value":"` + noise + `"}`, `"key_id" wasn't supplied`},
		"no value":               {"X", `{"key_id":"` + seal.id + `"}`, `"encrypted_value" wasn't supplied`},
		"no body":                {"X", "", `"encrypted_value" wasn't supplied`},
		"a number":               {"X", `{"key_id":1,"encrypted_value":"` + noise + `"}`, "For 'key_id', number is not a valid value"},
		"plain text":             {"X", putBody(seal.id, "hunter2!"), improperly},
		"no box":                 {"X", putBody(seal.id, noise), improperly},
		"a short box":            {"X", putBody(seal.id, "eA=="), improperly},
		"sealed for another key": {"X", sealing{seal.id, other.key}.body("x"), improperly},
		"another key's id":       {"X", sealing{other.id, seal.key}.body("x"), improperly},
		"more than 48 KB":        {"X", seal.body(strings.Repeat("x", 48<<10+1)), "too large"},
	} {
		if got := w.answer("PUT", ofRepository+"/"+c.name, token, c.body); !strings.HasPrefix(got, "422 ") || !strings.Contains(got, c.why) {
			t.Errorf("%s: %s, want 422 with %q", what, got, c.why)
		}
	}
	equal(t, "no JSON", w.answer("PUT", ofRepository+"/X", token, "{"), "400 Problems parsing JSON")
	equal(t, "secrets", len(w.repo.Secrets()), 0)
	equal(t, "48 KB", w.answer("PUT", ofRepository+"/X", token, seal.body(strings.Repeat("x", 48<<10))), "201")
	for i := range 99 {
		w.repo.SetSecret(fmt.Sprintf("N%d", i), "x")
	}
	full := w.answer("PUT", ofRepository+"/ONE_MORE", token, good)
	equal(t, "the 101st", full[:3], "422")
	equal(t, "one of the hundred", w.answer("PUT", ofRepository+"/X", token, good), "204")
	equal(t, "the environment has its own", w.answer("PUT", ofEnvironment+"/X", token, other.body("x")), "201")
	_, list := w.do("GET", ofRepository+"?per_page=200", token, "")
	equal(t, "on a page", len(at(list, "secrets").([]any)), 100)
}

// Another key opens nothing that was sealed for the one before.
func TestSecretKeysRotate(t *testing.T) {
	w := newWorld(t)
	token, env := w.keeper()
	for where, rotate := range map[string]func(){ofRepository: w.repo.RotateKey, ofEnvironment: env.RotateKey} {
		old := w.sealing(token, where)
		equal(t, "before", w.answer("PUT", where+"/X", token, old.body("kept")), "201")
		rotate()
		fresh := w.sealing(token, where)
		if fresh.id == old.id || *fresh.key == *old.key {
			t.Errorf("%s has the same key", where)
		}
		for what, stale := range map[string]sealing{"the old key": old, "the old id": {old.id, fresh.key}, "the new id": {fresh.id, old.key}} {
			equal(t, what, w.answer("PUT", where+"/X", token, stale.body("x")), "422 Bad request - improperly encrypted secret")
		}
		equal(t, "after", w.answer("PUT", where+"/X", token, fresh.body("new")), "204")
	}
	equal(t, "values", fmt.Sprint(w.repo.Secrets(), env.Secrets()), "map[X:new] map[X:new]")
}

// Secrets of a repository need the permission secrets, those of an environment environments. Nobody else sees their names: not where
// everybody may read, and what somebody may not see is not there.
func TestWhoMaySecrets(t *testing.T) {
	w := newWorld(t)
	w.repo.CreateEnvironment("prod/eu")
	w.repo.SetSecret("X", "x")
	hidden := w.org.CreateRepository("vault", nil)
	hidden.SetPrivate(true)
	both := []string{ofRepository, ofEnvironment}
	stranger := w.sim.CreateApp(githubsim.AppSpec{Slug: "stranger", Permissions: map[string]string{"secrets": "write", "environments": "write"}})
	elsewhere := "Bearer " + w.token(stranger, stranger.Install(w.sim.CreateOrganization("other")))
	for name, c := range map[string]struct {
		bearer      string
		permissions map[string]string
		read, write []string // those of both for which it may
		refusal     string
	}{
		"nothing":             {"", nil, nil, nil, "403 Resource not accessible by integration"},
		"secrets: read":       {"", map[string]string{"secrets": "read"}, both[:1], nil, "403 Resource not accessible by integration"},
		"secrets: write":      {"", map[string]string{"secrets": "write"}, both[:1], both[:1], "403 Resource not accessible by integration"},
		"environments: read":  {"", map[string]string{"environments": "read"}, both[1:], nil, "403 Resource not accessible by integration"},
		"environments: write": {"", map[string]string{"environments": "write"}, both[1:], both[1:], "403 Resource not accessible by integration"},
		"an App of another":   {elsewhere, nil, nil, nil, "403 Resource not accessible by integration"},
		"somebody with write": {w.bearer(w.alice), nil, both, both, ""},
		"somebody who reads":  {w.bearer(w.eve), nil, nil, nil, "403 Must have write rights to Repository."},
		"nobody":              {"none", nil, nil, nil, "401 Requires authentication"},
		"a token of long ago": {"Bearer ghs_gone", nil, nil, nil, "401 Bad credentials"},
		"an administrator":    {w.bearer(w.root), nil, both, both, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bearer := c.bearer
			switch bearer {
			case "none":
				bearer = ""
			case "":
				for _, p := range []string{"secrets", "environments"} {
					w.install.SetPermission(p, c.permissions[p])
				}
				bearer = "Bearer " + w.token(w.app, w.install)
			}
			for _, where := range both {
				want := func(may []string, status string) string {
					if slices.Contains(may, where) {
						return status
					}
					return c.refusal
				}
				equal(t, "list "+where, w.answer("GET", where, bearer, ""), want(c.read, "200"))
				equal(t, "key of "+where, w.answer("GET", where+"/public-key", bearer, ""), want(c.read, "200"))
				equal(t, "one of "+where, w.answer("GET", where+"/NONE", bearer, ""), want(c.read, "404 Not Found"))
				equal(t, "delete in "+where, w.answer("DELETE", where+"/NONE", bearer, ""), want(c.write, "404 Not Found"))
				equal(t, "put in "+where, w.answer("PUT", where+"/github_x", bearer, "{}"), want(c.write, "422 Secret names must not start with GITHUB_."))
			}
		})
	}
	for name, bearer := range map[string]string{"an App of another": elsewhere, "somebody": w.bearer(w.eve)} {
		equal(t, name+", in private", w.answer("GET", "/repos/acme/vault/actions/secrets", bearer, ""), "404 Not Found")
		equal(t, name+", writing in private", w.answer("PUT", "/repos/acme/vault/actions/secrets/X", bearer, "{}"), "404 Not Found")
	}
	resp, _ := w.do("GET", ofRepository, "Bearer "+w.token(w.app, w.install), "")
	equal(t, "what it takes to read", resp.Header.Get("X-Accepted-GitHub-Permissions"), "secrets=read")
	resp, _ = w.do("PUT", ofEnvironment+"/X", "Bearer "+w.token(w.app, w.install), "{}")
	equal(t, "what it takes to write", resp.Header.Get("X-Accepted-GitHub-Permissions"), "environments=write")
}
