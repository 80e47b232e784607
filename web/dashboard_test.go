package web_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/web"
)

var now = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// world is what is on record.
type world struct {
	// age is how long ago GitHub told.
	age               time.Duration
	active, suspended []policy.Repository
	on                []killswitch.Switch
	untold, unread    error
}

func (w *world) Reach(context.Context) (at time.Time, active, suspended []policy.Repository, err error) {
	return now.Add(-w.age), w.active, w.suspended, w.untold
}

func (w *world) InForce(context.Context, killswitch.Scope) ([]killswitch.Switch, error) {
	return w.on, w.unread
}

func (w *world) dashboard() *web.Dashboard {
	return web.NewDashboard(w, w, func() time.Time { return now }, zerolog.Nop())
}

func place(installation int64) []policy.Repository {
	return []policy.Repository{{Installation: installation, Owner: "acme"}}
}

func stopped(installation int64, locked bool) killswitch.Switch {
	sw := killswitch.Switch{Scope: killswitch.Organization("acme", installation), State: killswitch.StateOn, Reason: "a token leaked", By: policy.Actor{Login: "violet"}}
	if locked {
		sw.Lock.Enforced, sw.LockedAt = true, time.Unix(1, 0)
	}
	return sw
}

func TestWhetherAnythingIsEnforced(t *testing.T) {
	broken := errors.New("connection refused")
	for name, c := range map[string]struct {
		world
		enforced bool
		says     []string
	}{
		"all is well":             {world{active: place(5)}, true, []string{"Enforced</strong> in 1 account.", "None is on."}},
		"stopped and locked":      {world{active: place(5), on: []killswitch.Switch{stopped(5, true)}}, true, []string{"Enforced</strong>", "1 is on; GitHub has confirmed the lock of 1."}},
		"stopped, not locked yet": {world{active: place(5), on: []killswitch.Switch{stopped(5, true), stopped(5, false)}}, true, []string{"2 are on; GitHub has confirmed the lock of 1."}},
		"installed nowhere":       {world{}, false, []string{"Nothing is enforced anywhere:", "portcullis doctor", "None is on."}},
		"suspended everywhere":    {world{suspended: place(5)}, false, []string{"Nothing is enforced anywhere:"}},
		"suspended somewhere":     {world{active: place(5), suspended: place(6)}, false, []string{"Nothing is enforced in 1 account:", "suspended there"}},
		"stopped and suspended": {world{active: place(5), suspended: place(6), on: []killswitch.Switch{stopped(6, true), stopped(5, true)}}, false,
			[]string{"Nothing is enforced in 1 account:", "Nothing enforces 1 of the kill switches that are on:"}},
		"stopped and uninstalled": {world{active: place(5), on: []killswitch.Switch{stopped(6, true)}}, false, []string{"Nothing enforces 1 of the kill switches that are on:"}},
		"told two minutes ago":    {world{active: place(5), age: 2 * time.Minute}, true, []string{"Enforced</strong> in 1 account.", "2026-11-30 08:58:00"}},
		"GitHub is silent":        {world{active: place(5), age: 4 * time.Minute, on: []killswitch.Switch{stopped(5, true)}}, false, []string{"It is not known whether anything is enforced.", "1 is on. Each", "08:56:00"}},
		"reach cannot be read":    {world{active: place(5), on: []killswitch.Switch{stopped(5, true)}, untold: broken}, false, []string{"It is not known whether anything is enforced.", "1 is on. Each"}},
		"switches cannot be read": {world{active: place(5), unread: broken}, false, []string{"It is not known whether anything is enforced.", "Not known.", "When GitHub last told is not known"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.dashboard()
			shown, told := httptest.NewRecorder(), httptest.NewRecorder()
			d.ServeHTTP(shown, httptest.NewRequest(http.MethodGet, "/", nil))
			d.ServeJSON(told, httptest.NewRequest(http.MethodGet, "/api/v1/status", nil))
			page := shown.Body.String()
			for _, words := range c.says {
				if !strings.Contains(page, words) {
					t.Errorf("the page lacks %q:\n%s", words, page)
				}
			}
			if !c.enforced && strings.Contains(page, "Enforced</strong>") {
				t.Errorf("the page says that all is enforced:\n%s", page)
			}
			var standing web.Standing
			if err := json.Unmarshal(told.Body.Bytes(), &standing); err != nil || standing.Enforced != c.enforced {
				t.Errorf("it tells %s (%v)", told.Body, err)
			}
			for _, name := range []string{"acme", "violet", "a token leaked", "connection refused"} {
				if strings.Contains(page+told.Body.String(), name) {
					t.Errorf("it tells anybody of %q", name)
				}
			}
		})
	}
}

// The page loads nothing, runs nothing and is styled by what the header allows.
func TestThePageIsAlone(t *testing.T) {
	w := &world{active: place(5)}
	shown := httptest.NewRecorder()
	w.dashboard().ServeHTTP(shown, httptest.NewRequest(http.MethodGet, "/", nil))
	_, style, _ := strings.Cut(shown.Body.String(), "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	hash := sha256.Sum256([]byte(style))
	allowed := shown.Header().Get("Content-Security-Policy")
	if style == "" || !strings.HasPrefix(allowed, "default-src 'none'") || !strings.Contains(allowed, "'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'") {
		t.Errorf("the style %q is not what %q allows", style, allowed)
	}
	if strings.Contains(shown.Body.String(), "<script") || strings.Contains(allowed, "unsafe") {
		t.Errorf("%q", allowed)
	}
	for header, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got := shown.Header().Get(header); got != want {
			t.Errorf("%s is %q", header, got)
		}
	}
}
