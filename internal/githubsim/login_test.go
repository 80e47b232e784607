package githubsim_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// callback is where the helper's people are sent back to.
const callback = "https://helper.example/back"

// helper is an App that acts for people, and that nobody has authorized yet.
func (w *world) helper(permissions map[string]string) *githubsim.App {
	return w.sim.CreateApp(githubsim.AppSpec{
		Slug: "helper", Permissions: permissions, DeviceFlow: true, CallbackURLs: []string{callback, "https://helper.example/other"},
	})
}

// login sends a form to a login endpoint and decodes the answer.
func (w *world) login(path string, form url.Values) (int, map[string]any) {
	w.t.Helper()
	resp, raw := w.loginIn(path, "application/x-www-form-urlencoded", "application/json", form.Encode())
	out := map[string]any{}
	must(w.t, json.Unmarshal(raw, &out))
	return resp.StatusCode, out
}

func (w *world) loginIn(path, contentType, accept, body string) (*http.Response, []byte) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.sim.URL()+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Content-Type", contentType)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := (&http.Client{Transport: w.transport()}).Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp, raw
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// exchange asks for a token and says which error came, or "token".
func (w *world) exchange(pairs ...string) (string, map[string]any) {
	w.t.Helper()
	status, out := w.login("/login/oauth/access_token", values(pairs...))
	equal(w.t, "status", status, 200)
	if out["error"] == nil {
		return "token", out
	}
	if out["error_description"] == "" || !strings.HasPrefix(fmt.Sprint(out["error_uri"]), "https://docs.github.com/") {
		w.t.Errorf("the error %v says too little", out)
	}
	return fmt.Sprint(out["error"]), out
}

// link is what the App has people follow.
func (w *world) link(app *githubsim.App, pairs ...string) string {
	q := values(pairs...)
	q.Set("client_id", app.ClientID())
	return w.sim.URL() + "/login/oauth/authorize?" + q.Encode()
}

// A person follows the App's link and comes back with a code and the App's state; the code is good for one exchange.
func TestWebFlow(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	follow := func(query ...string) url.Values {
		t.Helper()
		back, err := w.eve.AuthorizeAt(w.link(app, query...))
		must(t, err)
		u, err := url.Parse(back)
		must(t, err)
		q := u.Query()
		q.Set("to", u.Scheme+"://"+u.Host+u.Path)
		return q
	}
	redeem := func(code string, more ...string) string {
		t.Helper()
		got, _ := w.exchange(append([]string{"client_id", app.ClientID(), "client_secret", app.ClientSecret(), "code", code}, more...)...)
		return got
	}
	back := follow("state", "a b&c")
	equal(t, "where to", back.Get("to"), callback)
	equal(t, "state", back.Get("state"), "a b&c")
	got, out := w.exchange("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "code", back.Get("code"), "redirect_uri", callback)
	equal(t, "redeemed", got, "token")
	_, me := w.do("GET", "/user", "Bearer "+fmt.Sprint(out["access_token"]), "")
	equal(t, "whose it is", at(me, "login"), any("eve"))
	equal(t, "redeemed twice", redeem(back.Get("code")), "bad_verification_code")
	equal(t, "no state", follow().Has("state"), false)
	equal(t, "another callback", follow("redirect_uri", "https://helper.example/other").Get("to"), "https://helper.example/other")

	back = follow("redirect_uri", "https://helper.example/back/below", "state", "s")
	equal(t, "an unknown callback", back.Get("to")+" "+back.Get("error")+" "+back.Get("state")+back.Get("code"), callback+" redirect_uri_mismatch s")
	equal(t, "half a challenge", follow("code_challenge_method", "S256").Get("error"), "invalid_request")
	denied, err := w.eve.DenyAt(w.link(app, "state", "s"))
	must(t, err)
	if !strings.Contains(denied, "error=access_denied") || !strings.Contains(denied, "state=s") || strings.Contains(denied, "code=") {
		t.Errorf("denied, the browser goes to %s", denied)
	}

	code := follow().Get("code")
	got, _ = w.exchange("client_id", app.ClientID(), "client_secret", "wrong", "code", code)
	equal(t, "a wrong secret", got, "incorrect_client_credentials")
	got, _ = w.exchange("client_id", app.ClientID(), "code", code)
	equal(t, "no secret", got, "incorrect_client_credentials")
	equal(t, "another address", redeem(code, "redirect_uri", "https://helper.example/other"), "redirect_uri_mismatch")
	equal(t, "after that", redeem(code), "bad_verification_code")
	code = follow().Get("code")
	w.clock.advance(10 * time.Minute)
	equal(t, "too late", redeem(code), "bad_verification_code")
	code = follow().Get("code")
	w.eve.RevokeApp(app)
	equal(t, "taken back", redeem(code), "bad_verification_code")

	other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other"})
	got, _ = w.exchange("client_id", other.ClientID(), "client_secret", other.ClientSecret(), "code", follow().Get("code"))
	equal(t, "another App's code", got, "bad_verification_code")
	_, err = w.eve.AuthorizeAt(w.link(other))
	refused(t, err, 404, "")
	_, err = w.eve.AuthorizeAt(w.sim.URL() + "/login")
	refused(t, err, 404, "")
}

// With PKCE a code is worth nothing to somebody who does not know the verifier.
func TestPKCE(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	verifier := strings.Repeat("verifier-", 6)
	sum := sha256.Sum256([]byte(verifier))
	for name, c := range map[string]struct{ challenge, method, verifier, want string }{
		"good":        {base64.RawURLEncoding.EncodeToString(sum[:]), "S256", verifier, "token"},
		"another":     {base64.RawURLEncoding.EncodeToString(sum[:]), "S256", verifier + "x", "bad_verification_code"},
		"none":        {base64.RawURLEncoding.EncodeToString(sum[:]), "S256", "", "bad_verification_code"},
		"not wanted":  {"", "", verifier, "token"},
		"plain":       {verifier[:43], "plain", verifier[:43], "invalid_request"},
		"a short one": {"short", "S256", verifier, "invalid_request"},
		"no method":   {base64.RawURLEncoding.EncodeToString(sum[:]), "", verifier, "invalid_request"},
	} {
		query := url.Values{}
		for key, value := range map[string]string{"code_challenge": c.challenge, "code_challenge_method": c.method} {
			if value != "" {
				query.Set(key, value)
			}
		}
		back, err := w.eve.AuthorizeAt(w.link(app) + "&" + query.Encode())
		must(t, err)
		u, err := url.Parse(back)
		must(t, err)
		got := u.Query().Get("error")
		if got == "" {
			got, _ = w.exchange("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "code", u.Query().Get("code"), "code_verifier", c.verifier)
		}
		equal(t, name, got, c.want)
	}
}

// A browser in which somebody is signed in is sent back to the App; another one has to sign in first.
func TestWebFlowInABrowser(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	visit := func(app *githubsim.App, cookie *http.Cookie) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, w.link(app, "state", "s"), nil)
		must(t, err)
		if cookie != nil {
			req.AddCookie(cookie)
		}
		resp, err := w.transport().RoundTrip(req)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	status, to := visit(app, w.alice.Session())
	if status != http.StatusFound || !strings.HasPrefix(to, callback+"?code=") || !strings.HasSuffix(to, "&state=s") {
		t.Errorf("signed in: %d to %s", status, to)
	}
	stale := w.alice.Session()
	stale.Value += "x"
	status, to = visit(app, stale)
	if status != http.StatusFound || !strings.HasPrefix(to, w.sim.URL()+"/login?return_to=") {
		t.Errorf("with a session of long ago: %d to %s", status, to)
	}
	status, _ = visit(app, nil)
	equal(t, "without, and without pages", status, 404)
	status, _ = visit(w.sim.CreateApp(githubsim.AppSpec{Slug: "without-callback"}), w.alice.Session())
	equal(t, "to an App that has no callback", status, 404)
	w.sim.ServePages(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) { rw.WriteHeader(http.StatusTeapot) }))
	status, _ = visit(app, nil)
	equal(t, "without: the pages answer", status, http.StatusTeapot)
	status, _ = visit(app, w.alice.Session())
	equal(t, "signed in: GitHub does", status, http.StatusFound)
	got, _ := w.exchange("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "code", "x")
	equal(t, "the App's requests: GitHub does", got, "bad_verification_code")
}

// What renews a token does so once, and ends the token that it renews.
func TestRefresh(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	first := app.CreateUserToken(w.eve)
	refresh := func(app *githubsim.App, token string) (string, map[string]any) {
		t.Helper()
		return w.exchange("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "grant_type", "refresh_token", "refresh_token", token)
	}
	me := func(token any) int {
		resp, _ := w.do("GET", "/user", fmt.Sprint("Bearer ", token), "")
		return resp.StatusCode
	}
	equal(t, "at first", me(first.AccessToken), 200)
	w.clock.advance(8 * time.Hour)
	equal(t, "after eight hours", me(first.AccessToken), 401)
	got, second := refresh(app, first.RefreshToken)
	equal(t, "renewed", got, "token")
	equal(t, "the new one", me(second["access_token"]), 200)
	got, _ = refresh(app, first.RefreshToken)
	equal(t, "renewed twice", got, "bad_refresh_token")
	equal(t, "the new one, after that", me(second["access_token"]), 200)
	got, third := refresh(app, fmt.Sprint(second["refresh_token"]))
	equal(t, "renewed before it expired", got, "token")
	equal(t, "the one that was good still", me(second["access_token"]), 401)

	secret := []string{"client_id", app.ClientID(), "grant_type", "refresh_token", "refresh_token", fmt.Sprint(third["refresh_token"])}
	got, _ = w.exchange(secret...)
	equal(t, "without the secret", got, "incorrect_client_credentials")
	got, _ = refresh(w.sim.CreateApp(githubsim.AppSpec{Slug: "other"}), fmt.Sprint(third["refresh_token"]))
	equal(t, "by another App", got, "bad_refresh_token")
	got, _ = refresh(app, "ghr_x")
	equal(t, "what never was one", got, "bad_refresh_token")
	w.clock.advance(184 * 24 * time.Hour)
	equal(t, "what the App has", len(app.UserTokens(w.eve)), 0)
	got, _ = refresh(app, fmt.Sprint(third["refresh_token"]))
	equal(t, "after half a year", got, "bad_refresh_token")

	code, userCode := w.newDevice(app)
	must(t, w.eve.Authorize(userCode))
	_, device := w.poll(app, code)
	got, _ = w.exchange("client_id", app.ClientID(), "grant_type", "refresh_token", "refresh_token", fmt.Sprint(device["refresh_token"]))
	equal(t, "a device's, without the secret", got, "token")
}

// An answer that is lost takes the tokens with it: what renewed them is used up.
func TestALostRefresh(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	first := app.CreateUserToken(w.eve)
	w.sim.Inject(githubsim.Fault{Method: "POST", Path: regexp.MustCompile(`^/login/oauth/access_token$`), After: true, Status: 502, Times: 1})
	form := values("client_id", app.ClientID(), "client_secret", app.ClientSecret(), "grant_type", "refresh_token", "refresh_token", first.RefreshToken)
	resp, _ := w.loginIn("/login/oauth/access_token", "application/x-www-form-urlencoded", "application/json", form.Encode())
	equal(t, "lost", resp.StatusCode, 502)
	status, out := w.login("/login/oauth/access_token", form)
	equal(t, "asked again", fmt.Sprint(status, " ", out["error"]), "200 bad_refresh_token")
	equal(t, "the log", w.sim.Requests()[0].Path, "/login/oauth/access_token")
}

// Requests are forms, queries or JSON; answers are forms unless JSON is asked for.
func TestLoginFormats(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	const path = "/login/device/code"
	for name, c := range map[string]struct{ path, contentType, body string }{
		"a form":  {path, "application/x-www-form-urlencoded", "client_id=" + app.ClientID()},
		"a query": {path + "?client_id=" + app.ClientID(), "", ""},
		"JSON":    {path, "application/json", `{"client_id":"` + app.ClientID() + `"}`},
	} {
		resp, raw := w.loginIn(c.path, c.contentType, "", c.body)
		equal(t, name, resp.StatusCode, 200)
		equal(t, "the answer's type", resp.Header.Get("Content-Type"), "application/x-www-form-urlencoded; charset=utf-8")
		out, err := url.ParseQuery(string(raw))
		must(t, err)
		equal(t, "in it", out.Get("interval"), "5")
		resp, raw = w.loginIn(c.path, c.contentType, "application/json", c.body)
		equal(t, "the answer's type", resp.Header.Get("Content-Type"), "application/json; charset=utf-8")
		equal(t, "in it", at(decoded(t, raw), "interval"), any(5.0))
	}
	resp, _ := w.loginIn(path, "application/json", "", "{")
	equal(t, "no JSON", resp.StatusCode, 400)
	resp, _ = w.loginIn(path, "application/x-www-form-urlencoded", "", "%")
	equal(t, "no form", resp.StatusCode, 400)
	req, err := http.NewRequest(http.MethodGet, w.sim.URL()+"/login/oauth/access_token", nil)
	must(t, err)
	resp, err = w.transport().RoundTrip(req)
	must(t, err)
	resp.Body.Close()
	equal(t, "a GET", resp.StatusCode, 404)
}
