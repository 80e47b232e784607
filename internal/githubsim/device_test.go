package githubsim_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// newDevice starts the device flow.
func (w *world) newDevice(app *githubsim.App) (code, userCode string) {
	w.t.Helper()
	status, out := w.login("/login/device/code", values("client_id", app.ClientID()))
	equal(w.t, "status", status, 200)
	return fmt.Sprint(out["device_code"]), fmt.Sprint(out["user_code"])
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// poll is one question of a device.
func (w *world) poll(app *githubsim.App, code string) (string, map[string]any) {
	w.t.Helper()
	return w.exchange("client_id", app.ClientID(), "device_code", code, "grant_type", deviceGrant)
}

// A device gets a code, asks until the person has entered it, and no faster than it may.
func TestDeviceFlow(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	status, out := w.login("/login/device/code", values("client_id", app.ClientID()))
	equal(t, "status", status, 200)
	code, userCode := fmt.Sprint(out["device_code"]), fmt.Sprint(out["user_code"])
	if len(code) != 40 || !regexp.MustCompile(`^[A-Z]{4}-[A-Z]{4}$`).MatchString(userCode) {
		t.Errorf("codes %q, %q", code, userCode)
	}
	equal(t, "what else it is told", fmt.Sprint(out["verification_uri"], out["expires_in"], " ", out["interval"]), w.sim.URL()+"/login/device900 5")

	for _, step := range []struct {
		after    time.Duration
		want     string
		interval any
	}{
		{0, "authorization_pending", nil},
		{4 * time.Second, "slow_down", 10.0},
		{5 * time.Second, "slow_down", 15.0},
		{14 * time.Second, "slow_down", 20.0},
		{20 * time.Second, "authorization_pending", nil},
	} {
		w.clock.advance(step.after)
		got, out := w.poll(app, code)
		equal(t, fmt.Sprint("after ", step.after), got, step.want)
		equal(t, "the interval", out["interval"], step.interval)
	}
	must(t, w.eve.Authorize(strings.ToLower(userCode)))
	refused(t, w.bob.Authorize(userCode), 404, "no such code")
	got, _ := w.poll(app, code)
	equal(t, "at once, although it was authorized", got, "slow_down")
	w.clock.advance(25 * time.Second)
	got, out = w.poll(app, code)
	equal(t, "authorized", got, "token")
	equal(t, "what it got", fmt.Sprint(out["token_type"], out["scope"], out["expires_in"]), "bearer28800")
	equal(t, "how long it may be renewed", out["refresh_token_expires_in"], any(15897600.0))
	token := fmt.Sprint(out["access_token"])
	if !strings.HasPrefix(token, "ghu_") || !strings.HasPrefix(fmt.Sprint(out["refresh_token"]), "ghr_") {
		t.Errorf("tokens %v", out)
	}
	_, me := w.do("GET", "/user", "Bearer "+token, "")
	equal(t, "whose it is", at(me, "login"), any("eve"))
	got, _ = w.poll(app, code)
	equal(t, "asked once more", got, "incorrect_device_code")
}

// How a device flow ends without a token.
func TestDeviceFlowRefused(t *testing.T) {
	w := newWorld(t)
	app := w.helper(nil)
	code, userCode := w.newDevice(app)
	must(t, w.eve.Deny(userCode))
	refused(t, w.eve.Authorize(userCode), 404, "")
	for range 2 {
		got, _ := w.poll(app, code)
		equal(t, "denied", got, "access_denied")
	}

	code, userCode = w.newDevice(app)
	w.clock.advance(15 * time.Minute)
	refused(t, w.eve.Authorize(userCode), 404, "")
	got, _ := w.poll(app, code)
	equal(t, "too late", got, "expired_token")

	code, userCode = w.newDevice(app)
	must(t, w.eve.Authorize(userCode))
	w.eve.RevokeApp(app)
	got, _ = w.poll(app, code)
	equal(t, "taken back", got, "access_denied")

	code, _ = w.newDevice(app)
	other := w.sim.CreateApp(githubsim.AppSpec{Slug: "other"})
	for name, c := range map[string]struct{ want, client, code, grant string }{
		"another code":       {"incorrect_device_code", app.ClientID(), "x", deviceGrant},
		"another App's code": {"device_flow_disabled", other.ClientID(), code, deviceGrant},
		"no such App":        {"incorrect_client_credentials", "Iv1.x", code, deviceGrant},
		"the App's number":   {"incorrect_client_credentials", fmt.Sprint(app.ID()), code, deviceGrant},
		"another grant":      {"unsupported_grant_type", app.ClientID(), code, "device_code"},
		"no grant":           {"unsupported_grant_type", app.ClientID(), code, ""},
		"good, for contrast": {"authorization_pending", app.ClientID(), code, deviceGrant},
	} {
		got, _ := w.exchange("client_id", c.client, "device_code", c.code, "grant_type", c.grant)
		equal(t, name, got, c.want)
	}
	status, out := w.login("/login/device/code", values("client_id", other.ClientID()))
	equal(t, "an App that has it off", fmt.Sprint(status, " ", out["error"]), "400 device_flow_disabled")
	status, out = w.login("/login/device/code", values("client_id", "Iv1.x"))
	equal(t, "no such App", fmt.Sprint(status, " ", out["error"]), "404 Not Found")
}
