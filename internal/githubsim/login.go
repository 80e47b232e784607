package githubsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Where people authorize Apps. It is beside the API: GitHub's description of that does not know it.
const (
	authorizePath = "/login/oauth/authorize"
	exchangePath  = "/login/oauth/access_token"
	devicePath    = "/login/device/code"
)

// deviceGrant is the grant_type of a device.
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// asksLogin reports whether the request is an App's that wants a user access token, or brings somebody who is signed in to authorize
// one. Who is not signed in is the pages' to welcome.
func asksLogin(req *http.Request) bool {
	switch req.URL.Path {
	case exchangePath, devicePath:
		return true
	case authorizePath:
		_, err := req.Cookie(sessionCookie)
		return err == nil
	}
	return false
}

// loginError is how these endpoints say no: with status 200, most of the time.
type loginError struct {
	code, sentence, page string
	interval             time.Duration // of slow_down
}

func exchangeError(code, sentence string) *loginError {
	return &loginError{
		code: code, sentence: sentence,
		page: "/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#" + strings.ReplaceAll(code, "_", "-"),
	}
}

var wrongClient = exchangeError("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")

func (e *loginError) json() obj {
	out := obj{"error": e.code, "error_description": e.sentence, "error_uri": "https://docs.github.com" + e.page}
	if e.interval > 0 {
		out["interval"] = int(e.interval.Seconds())
	}
	return out
}

// serveLogin answers Apps. It asks nobody who they are and counts against no limit.
func serveLogin(c *call) error {
	if c.req.URL.Path == authorizePath {
		return serveAuthorize(c)
	}
	params, err := c.loginParams()
	if err != nil {
		return err
	}
	app := c.sim.appOfClient(params.Get("client_id"))
	switch {
	case c.req.Method != http.MethodPost || app == nil && c.req.URL.Path == devicePath:
		return c.answerLogin(http.StatusNotFound, obj{"error": "Not Found"})
	case c.req.URL.Path == exchangePath:
		t, no := c.sim.exchange(app, params)
		if no != nil {
			return c.answerLogin(http.StatusOK, no.json())
		}
		return c.answerLogin(http.StatusOK, t.pair())
	case !app.deviceFlow:
		return c.answerLogin(http.StatusBadRequest, deviceFlowDisabled.json())
	}
	return c.answerLogin(http.StatusOK, c.sim.newDevice(app).json())
}

// loginParams are what the request says in its address, in a form, or in JSON.
func (c *call) loginParams() (url.Values, error) {
	params := c.query
	if strings.HasPrefix(c.req.Header.Get("Content-Type"), "application/json") {
		var body map[string]any
		decoder := json.NewDecoder(bytes.NewReader(c.body))
		decoder.UseNumber()
		if err := decoder.Decode(&body); err != nil {
			return nil, refuse(http.StatusBadRequest, "Problems parsing JSON")
		}
		for name, value := range body {
			params.Set(name, fmt.Sprint(value))
		}
		return params, nil
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Problems parsing the form")
	}
	maps.Copy(params, form)
	return params, nil
}

// answerLogin answers in JSON if that is asked for, else in the form of a query.
func (c *call) answerLogin(status int, out obj) error {
	if strings.Contains(c.req.Header.Get("Accept"), "application/json") {
		return c.reply(status, out)
	}
	form := url.Values{}
	for name, value := range out {
		form.Set(name, fmt.Sprint(value))
	}
	c.raw = []byte(form.Encode())
	c.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return c.reply(status, nil)
}

// pair is a user access token as its App gets it.
func (t *token) pair() obj {
	out := obj{"access_token": t.value, "token_type": "bearer", "scope": ""}
	if t.refresh != "" {
		out["expires_in"], out["refresh_token"], out["refresh_token_expires_in"] = int(userTokenLife.Seconds()), t.refresh, int(refreshLife.Seconds())
	}
	return out
}

// exchange gives a user access token for a device's code, for the code of the web flow, or for what renews one. The client secret must
// be right if it is there; only what a device got is had without.
func (s *Sim) exchange(app *App, params url.Values) (*token, *loginError) {
	secret := params.Get("client_secret")
	if app == nil || secret != "" && secret != app.secret {
		return nil, wrongClient
	}
	switch grant := params.Get("grant_type"); {
	case grant == deviceGrant:
		return s.poll(app, params)
	case grant == "refresh_token":
		known := s.renewals[params.Get("refresh_token")]
		if secret == "" && (known == nil || !known.fromDevice) {
			return nil, wrongClient
		}
		if t := s.renew(app, params.Get("refresh_token")); t != nil {
			return t, nil
		}
		return nil, exchangeError("bad_refresh_token", "The refresh token passed is incorrect or expired.")
	case !slices.Contains([]string{"", "authorization_code"}, grant) || params.Has("device_code"):
		return nil, exchangeError("unsupported_grant_type", "The grant type is not supported.")
	case secret == "":
		return nil, wrongClient
	}
	return s.redeem(app, params)
}

// consent is a code that a person's browser brings to the App.
type consent struct {
	granted   *authorization
	redirect  string
	challenge string // of PKCE, or empty
	expires   time.Time
}

const consentLife = 10 * time.Minute

// redeem takes a code, once.
func (s *Sim) redeem(app *App, params url.Values) (*token, *loginError) {
	badCode := exchangeError("bad_verification_code", "The code passed is incorrect or expired.")
	code := s.consents[params.Get("code")]
	if code == nil || code.granted.app != app {
		return nil, badCode
	}
	delete(s.consents, params.Get("code"))
	proof := sha256.Sum256([]byte(params.Get("code_verifier")))
	switch {
	case !s.valid().Before(code.expires), app.authorizations[code.granted.user.id] != code.granted:
		return nil, badCode
	case params.Has("redirect_uri") && params.Get("redirect_uri") != code.redirect:
		return nil, exchangeError("redirect_uri_mismatch", redirectMismatch)
	case code.challenge != "" && base64.RawURLEncoding.EncodeToString(proof[:]) != code.challenge:
		return nil, badCode
	}
	return s.issue(code.granted, code.granted.onlyOf(params.Get("repository_id")), false), nil
}

const redirectMismatch = "The redirect_uri MUST match the registered callback URL for this application."
