package githubsim

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// device is one round of the device flow: an App asks with the code, a person enters the user code.
type device struct {
	app      *App
	code     string // 40 characters, the device's secret
	userCode string // as WDJB-MJHT
	expires  time.Time
	interval time.Duration
	asked    time.Time // when it last asked
	by       *User     // who authorized it
	denied   bool
}

const (
	deviceLife     = 15 * time.Minute
	deviceInterval = 5 * time.Second // and what every slow_down adds
)

// userCodeLetters are those of user codes: none that makes a word or is taken for another.
const userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"

func (s *Sim) newDevice(app *App) *device {
	letters := make([]byte, 8)
	_, _ = rand.Read(letters) // crypto/rand.Read never returns an error
	for i, n := range letters {
		letters[i] = userCodeLetters[int(n)%len(userCodeLetters)]
	}
	d := &device{app: app, code: randomHex(20), userCode: string(letters[:4]) + "-" + string(letters[4:]), expires: s.valid().Add(deviceLife), interval: deviceInterval}
	s.devices[d.code] = d
	return d
}

func (d *device) json() obj {
	return obj{
		"device_code": d.code, "user_code": d.userCode, "verification_uri": d.app.sim.base + "/login/device",
		"expires_in": int(deviceLife.Seconds()), "interval": int(d.interval.Seconds()),
	}
}

// Authorize has the person enter a device's user code and let its App act for them. A code that was not given out, is older than 15
// minutes or was answered is refused.
func (u *User) Authorize(userCode string) error { return u.enter(userCode, true) }

// Deny has the person enter a device's user code and cancel: the device is told access_denied.
func (u *User) Deny(userCode string) error { return u.enter(userCode, false) }

func (u *User) enter(userCode string, yes bool) error {
	u.sim.mu.Lock()
	defer u.sim.mu.Unlock()
	for _, d := range u.sim.devices {
		if !strings.EqualFold(d.userCode, userCode) || d.by != nil || d.denied || !u.sim.valid().Before(d.expires) {
			continue
		}
		if d.denied = !yes; yes {
			d.by = u
			d.app.authorizationOf(u)
		}
		return nil
	}
	return refuse(http.StatusNotFound, "There is no such code, or it has expired.")
}

// poll answers a device that asks whether the person has decided. Who asks before the interval is over must wait five seconds longer
// from then on.
func (s *Sim) poll(app *App, params url.Values) (*token, *loginError) {
	d, now := s.devices[params.Get("device_code")], s.valid()
	switch {
	case !app.deviceFlow:
		return nil, deviceFlowDisabled
	case d == nil || d.app != app:
		return nil, deviceError("incorrect_device_code", "The device_code provided is not valid.")
	case !now.Before(d.expires):
		return nil, deviceError("expired_token", "The device code has expired.")
	case d.denied:
		return nil, deviceError("access_denied", "The authorization request was denied.")
	}
	early := !d.asked.IsZero() && now.Sub(d.asked) < d.interval
	d.asked = now
	switch {
	case early:
		d.interval += deviceInterval
		no := deviceError("slow_down", "Too many requests have been made in the same timeframe.")
		no.interval = d.interval
		return nil, no
	case d.by == nil:
		return nil, deviceError("authorization_pending", "The authorization request is still pending.")
	}
	delete(s.devices, d.code)
	granted := app.authorizations[d.by.id]
	if granted == nil { // taken back before the device came for it
		return nil, deviceError("access_denied", "The authorization request was denied.")
	}
	return s.issue(granted, granted.onlyOf(params.Get("repository_id")), true), nil
}

var deviceFlowDisabled = deviceError("device_flow_disabled", "Device Flow must be explicitly enabled for this App")

func deviceError(code, sentence string) *loginError {
	return &loginError{code: code, sentence: sentence, page: "/developers/apps/authorizing-oauth-apps#error-codes-for-the-device-flow"}
}
