package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// Authorizer is where people let the App act for them.
type Authorizer interface {
	// AuthorizeURL is where at GitHub they do, and from where they are sent back to
	// redirect with a code and the state. challenge is the SHA-256 of a verifier.
	AuthorizeURL(redirect, state, challenge string) string
	// Accept keeps the token that the code is good for, under the account whose it is. It
	// returns an [*usertoken.OverError] for a code that is good for nothing.
	Accept(ctx context.Context, code, verifier, redirect string) (policy.Actor, error)
}

// Authorization brings people to GitHub to let the App act for them, and keeps what they
// come back with. Whose token it is GitHub says: nothing that a visitor sends does. Its
// methods may be called by several goroutines.
type Authorization struct {
	authorizer Authorizer
	cipher     credential.Cipher
	// redirect is the address of End, secure whether that is by TLS.
	redirect string
	secure   bool
	now      func() time.Time
	log      zerolog.Logger
}

// Where [Authorization.Begin] and [Authorization.End] are to be served, the latter of
// which is to be a callback URL in the App's settings.
const (
	AuthorizePath  = "/sandbox/authorize"
	AuthorizedPath = "/sandbox/authorized"
)

const (
	// authorizeTime is how long a visitor may take at GitHub, whose code lives as long.
	authorizeTime = 10 * time.Minute
	// acceptTime is how long GitHub may take to give the token.
	acceptTime = 12 * time.Second
	// maxCookie is how large what a browser brings back may be.
	maxCookie = 1 << 10

	attemptPurpose = "an authorization that was begun"
)

var errAcceptTime = fmt.Errorf("an authorization took longer than %s", acceptTime)

// NewAuthorization returns one. publicURL is the address of this server, by TLS unless it
// is this machine.
func NewAuthorization(authorizer Authorizer, cipher credential.Cipher, publicURL string, now func() time.Time, log zerolog.Logger) (*Authorization, error) {
	at, err := url.Parse(publicURL)
	if err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, errors.New("the server's public address is none that people could be sent back to")
	}
	ip := net.ParseIP(at.Hostname())
	if at.Scheme != "https" && (at.Scheme != "http" || at.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return nil, errors.New("the server's public address does not begin with https://, so that whoever is on the way could use the codes that people come back with")
	}
	return &Authorization{authorizer, cipher, at.JoinPath(AuthorizedPath).String(), at.Scheme == "https", now, log}, nil
}

// attempt is what a browser keeps while its visitor is at GitHub. It is encrypted, and so
// made by nobody else.
type attempt struct {
	State, Verifier string
	Until           time.Time
}

// cookie is one with the name that binds it to this host, if that is possible.
func (a *Authorization) cookie(value string, age int) *http.Cookie {
	name := "portcullis-authorization"
	if a.secure {
		name = "__Host-" + name
	}
	//nolint:gosec // it is Secure wherever the server is reached by TLS
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteLaxMode}
}

// Begin sends a visitor to GitHub. It serves [AuthorizePath].
func (a *Authorization) Begin(w http.ResponseWriter, r *http.Request) {
	begun := attempt{State: rand.Text(), Verifier: rand.Text() + rand.Text(), Until: a.now().Add(authorizeTime)}
	plain, err := json.Marshal(begun)
	if err == nil {
		plain, err = a.cipher.Encrypt(plain, attemptPurpose)
	}
	if err != nil {
		a.log.Error().Err(err).Str("event", "authorization.failed").Msg("nobody can be sent to GitHub to let the App act for them")
		a.show(w, http.StatusInternalServerError, outcome{Problem: "The server cannot send you to GitHub; its log says why."})
		return
	}
	http.SetCookie(w, a.cookie(base64.RawURLEncoding.EncodeToString(plain), int(authorizeTime.Seconds())))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	proof := sha256.Sum256([]byte(begun.Verifier))
	http.Redirect(w, r, a.authorizer.AuthorizeURL(a.redirect, begun.State, base64.RawURLEncoding.EncodeToString(proof[:])), http.StatusFound)
}

// End is where a visitor comes back to. It serves [AuthorizedPath], and sends nobody
// elsewhere.
func (a *Authorization) End(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, a.cookie("", -1)) // an attempt is for once
	query := r.URL.Query()
	begun, ours := a.begun(r)
	switch {
	case !ours || subtle.ConstantTimeCompare([]byte(begun.State), []byte(query.Get("state"))) != 1:
		a.show(w, http.StatusBadRequest, outcome{Problem: "You did not come here from a page that this browser was sent to, or that is more than ten minutes ago."})
		return
	case query.Get("error") == "access_denied":
		a.show(w, http.StatusOK, outcome{Problem: "You have not let Portcullis act for you. Nothing is kept."})
		return
	case query.Get("code") == "":
		a.log.Warn().Str("event", "authorization.refused").Str("answer", clean(query.Get("error"))).Msg("GitHub sent somebody back without a code")
		a.show(w, http.StatusBadGateway, outcome{Problem: "GitHub sent you back without a code; the server's log has what it says."})
		return
	}
	ctx, cancel := context.WithTimeoutCause(a.log.WithContext(r.Context()), acceptTime, errAcceptTime)
	defer cancel()
	who, err := a.authorizer.Accept(ctx, query.Get("code"), begun.Verifier, a.redirect)
	if _, over := errors.AsType[*usertoken.OverError](err); over {
		a.show(w, http.StatusBadRequest, outcome{Problem: "GitHub takes the code no more that you came with."})
		return
	}
	if err != nil {
		a.log.Error().Err(err).Str("event", "authorization.failed").Msg("what somebody came back with from GitHub could not be kept")
		a.show(w, http.StatusServiceUnavailable, outcome{Problem: "What you came back with could not be kept; the server's log says why."})
		return
	}
	a.log.Info().Str("event", "authorization.kept").Str("person", who.Login).Msg("a person lets the App act for them")
	a.show(w, http.StatusOK, outcome{Login: who.Login})
}

// begun is the attempt that the browser was sent to GitHub with.
func (a *Authorization) begun(r *http.Request) (begun attempt, ours bool) {
	cookie, err := r.Cookie(a.cookie("", 0).Name)
	if err != nil || len(cookie.Value) > maxCookie {
		return attempt{}, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return attempt{}, false
	}
	plain, err := a.cipher.Decrypt(sealed, attemptPurpose)
	if err != nil || json.Unmarshal(plain, &begun) != nil {
		return attempt{}, false
	}
	return begun, begun.State != "" && a.now().Before(begun.Until)
}

// clean is what of a visitor's text may be in the log.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, text[:min(len(text), 100)])
}

// outcome is what a visitor is shown at the end: who they are, or what went wrong.
type outcome struct{ Login, Problem string }

var (
	//go:embed authorize.html
	authorizeHTML string

	authorizePage = pageWith(authorizeHTML)
)

func (a *Authorization) show(w http.ResponseWriter, status int, o outcome) {
	var body bytes.Buffer
	if err := authorizePage.Execute(&body, o); err != nil {
		a.log.Error().Err(err).Msg("the outcome of an authorization cannot be shown")
		http.Error(w, "the outcome cannot be shown; the log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address has the code in it
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // whoever went away does not mind
}
