package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Reach is where the App is installed. store.Store fits.
type Reach interface {
	// Reach tells it as of when GitHub last told, as places without a name, those apart
	// that are suspended; the zero time: it never did.
	Reach(ctx context.Context) (at time.Time, active, suspended []policy.Repository, err error)
}

// Switches are the kill switches on record. killswitch.GitHubKillSwitch fits.
type Switches interface {
	// InForce lists, with the zero Scope, all that are on or being lifted.
	InForce(ctx context.Context, scope killswitch.Scope) ([]killswitch.Switch, error)
}

// current is how old what GitHub told may be: a server asks every 40 seconds, and some
// times more if it does not answer.
const current = 3 * time.Minute

// Standing is whether anything is enforced, in the words of the JSON.
type Standing struct {
	// At is when GitHub told; zero: it never did.
	At time.Time `json:"at"`
	// Known is false if that was too long ago, or cannot be read: then nothing else is
	// set but Stopped.
	Known bool `json:"known"`
	// Enforced is true if it is known that everything is that should be.
	Enforced bool `json:"enforced"`
	// Installed is in how many accounts the App works, Suspended in how many it is kept
	// from it.
	Installed int `json:"installed"`
	Suspended int `json:"suspended"`
	// Stopped is how many kill switches are on, Locked how many of them are confirmed by
	// GitHub, and Unenforced how many of them are where the App is suspended or gone.
	Stopped    int `json:"stopped"`
	Locked     int `json:"locked"`
	Unenforced int `json:"unenforced"`
}

// Dashboard says whether anything is enforced: a page at "GET /" and the same as JSON
// at "GET /api/v1/status". Nobody's visit costs a call to GitHub. Its methods may be
// called by several goroutines.
type Dashboard struct {
	reach    Reach
	switches Switches
	now      func() time.Time
	log      zerolog.Logger
}

// NewDashboard returns a dashboard that tells the time by now.
func NewDashboard(reach Reach, switches Switches, now func() time.Time, log zerolog.Logger) *Dashboard {
	return &Dashboard{reach: reach, switches: switches, now: now, log: log}
}

// Standing is how things stand.
func (d *Dashboard) Standing(ctx context.Context) Standing {
	on, err := d.switches.InForce(ctx, killswitch.Scope{})
	if err != nil {
		d.log.Error().Err(err).Msg("the dashboard cannot tell what is stopped")
		return Standing{}
	}
	s := Standing{Stopped: len(on)}
	at, active, suspended, err := d.reach.Reach(ctx)
	if err != nil {
		d.log.Error().Err(err).Msg("the dashboard cannot tell whether anything is enforced")
		return s
	}
	s.At = at
	if d.now().Sub(at) > current {
		return s
	}
	s.Known, s.Installed, s.Suspended = true, len(active), len(suspended)
	s.Unenforced = len(killswitch.Unenforced(on, active))
	for _, sw := range on {
		if sw.Lock.Enforced && !sw.LockedAt.IsZero() {
			s.Locked++
		}
	}
	s.Enforced = s.Installed > 0 && s.Suspended == 0 && s.Unenforced == 0
	return s
}

var (
	//go:embed dashboard.html
	dashboardHTML string
	//go:embed dashboard.css
	dashboardCSS string

	//go:embed page.html
	pageHTML string

	dashboardPage = pageWith(dashboardHTML)

	// contentPolicy lets the page load nothing, send nothing anywhere and be styled by
	// this style alone.
	contentPolicy = func() string {
		hash := sha256.Sum256([]byte(dashboardCSS))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// pageWith is the page around what a file defines as its content.
func pageWith(content string) *template.Template {
	return template.Must(template.Must(template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(dashboardCSS) }, //nolint:gosec // it is ours
		"again": func() string { return AuthorizePath },
	}).Parse(pageHTML)).Parse(content))
}

// ServeHTTP answers with the page.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := dashboardPage.Execute(&body, d.Standing(r.Context())); err != nil {
		d.log.Error().Err(err).Msg("the dashboard cannot be shown")
		http.Error(w, "the dashboard cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", contentPolicy)
	answer(w, "text/html; charset=utf-8", body.Bytes())
}

// ServeJSON answers with the same as JSON.
func (d *Dashboard) ServeJSON(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(d.Standing(r.Context()))
	if err != nil {
		d.log.Error().Err(err).Msg("the status cannot be told")
		http.Error(w, "the status cannot be told; the log says why", http.StatusInternalServerError)
		return
	}
	answer(w, "application/json", append(body, '\n'))
}

func answer(w http.ResponseWriter, contentType string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // whoever asked is gone
}
