package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
	"github.com/portcullis-app/portcullis/web"
)

// consents is where people let the App act for them, and takes one code.
type consents struct {
	login                         string
	err                           error
	accepted                      int
	state, challenge, redirect    string
	verifier, shownCode, shownURL string
}

func (c *consents) AuthorizeURL(redirect, state, challenge string) string {
	c.state, c.challenge, c.redirect = state, challenge, redirect
	return "https://github.example/login/oauth/authorize?" + url.Values{"state": {state}, "code_challenge": {challenge}, "redirect_uri": {redirect}}.Encode()
}

func (c *consents) Accept(_ context.Context, code, verifier, redirect string) (policy.Actor, error) {
	c.accepted++
	c.shownCode, c.verifier, c.shownURL = code, verifier, redirect
	return policy.Actor{ID: 1, Login: c.login}, c.err
}

// sealing is a cipher whose tag is its key and the purpose.
type sealing struct{ key string }

func (s sealing) Encrypt(plain []byte, purpose string) ([]byte, error) {
	return append([]byte(s.key+purpose), plain...), nil
}

func (s sealing) Decrypt(encrypted []byte, purpose string) ([]byte, error) {
	plain, ours := bytes.CutPrefix(encrypted, []byte(s.key+purpose))
	if !ours {
		return nil, errors.New("not what was encrypted")
	}
	return plain, nil
}

func TestAuthorization(t *testing.T) {
	const public = "https://portcullis.example/below"
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	begin := func(c *consents) (*web.Authorization, *http.Cookie, *bytes.Buffer) {
		t.Helper()
		var log bytes.Buffer
		now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		a, err := web.NewAuthorization(c, sealing{"key"}, public, func() time.Time { return now }, zerolog.New(&log))
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		a.Begin(w, httptest.NewRequest(http.MethodGet, web.AuthorizePath+"?redirect_uri=https://evil.example&state=mine", nil))
		cookies := w.Result().Cookies()
		if w.Code != http.StatusFound || len(cookies) != 1 || !strings.HasPrefix(w.Header().Get("Location"), "https://github.example/login/oauth/authorize?") {
			t.Fatalf("%d to %s with %v", w.Code, w.Header().Get("Location"), cookies)
		}
		return a, cookies[0], &log
	}
	c := &consents{}
	_, cookie, _ := begin(c)
	if cookie.Name != "__Host-portcullis-authorization" || !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.MaxAge != 600 {
		t.Errorf("the cookie is %+v", cookie)
	}
	if c.redirect != public+web.AuthorizedPath || len(c.state) < 26 {
		t.Errorf("back to %s with the state %q", c.redirect, c.state)
	}
	for name, s := range map[string]struct {
		change func(c *consents, query url.Values, cookie *http.Cookie)
		status int
		says   string
		asked  int
	}{
		"yes":                 {func(*consents, url.Values, *http.Cookie) {}, 200, "Portcullis may act for ann", 1},
		"a login with markup": {func(c *consents, _ url.Values, _ *http.Cookie) { c.login = "<b>ann" }, 200, "&lt;b&gt;ann", 1},
		"no":                  {func(_ *consents, q url.Values, _ *http.Cookie) { q.Del("code"); q.Set("error", "access_denied") }, 200, "You have not let Portcullis act for you", 0},
		"another state":       {func(_ *consents, q url.Values, _ *http.Cookie) { q.Set("state", "another") }, 400, "You did not come here", 0},
		"no state":            {func(_ *consents, q url.Values, _ *http.Cookie) { q.Del("state") }, 400, "You did not come here", 0},
		"another browser":     {func(_ *consents, _ url.Values, k *http.Cookie) { k.Name = "x" }, 400, "You did not come here", 0},
		"a cookie of one's own": {func(_ *consents, _ url.Values, k *http.Cookie) {
			k.Value = base64.RawURLEncoding.EncodeToString([]byte(`{"State":"x"}`))
		}, 400, "You did not come here", 0},
		"a cookie that is none": {func(_ *consents, _ url.Values, k *http.Cookie) { k.Value = "!" }, 400, "You did not come here", 0},
		"a cookie without an attempt": {func(_ *consents, q url.Values, k *http.Cookie) {
			q.Del("state")
			k.Value = base64.RawURLEncoding.EncodeToString([]byte("keyan authorization that was begun{}"))
		}, 400, "You did not come here", 0},
		"too late": {func(*consents, url.Values, *http.Cookie) { now = now.Add(10 * time.Minute) }, 400, "You did not come here", 0},
		"an error of GitHub's": {func(_ *consents, q url.Values, _ *http.Cookie) {
			q.Del("code")
			q.Set("error", "redirect_uri_mismatch\n<x>")
		}, 502, "GitHub sent you back without a code", 0},
		"a code that is over": {func(c *consents, _ url.Values, _ *http.Cookie) { c.err = &usertoken.OverError{Cause: errors.New("x")} }, 400, "GitHub takes the code no more", 1},
		"an outage":           {func(c *consents, _ url.Values, _ *http.Cookie) { c.err = errors.New("away") }, 503, "could not be kept", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := &consents{login: "ann"}
			a, cookie, log := begin(c)
			query := url.Values{"code": {"thecode"}, "state": {c.state}, "next": {"https://evil.example"}}
			s.change(c, query, cookie)
			r, w := httptest.NewRequest(http.MethodGet, web.AuthorizedPath+"?"+query.Encode(), nil), httptest.NewRecorder()
			r.AddCookie(cookie)
			a.End(w, r)
			if w.Code != s.status || !strings.Contains(w.Body.String(), s.says) || c.accepted != s.asked {
				t.Errorf("%d, asked %d times: %s", w.Code, c.accepted, w.Body)
			}
			if h := w.Header(); h.Get("Location") != "" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("its headers are %v", h)
			}
			if gone := w.Result().Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 {
				t.Errorf("the attempt is not over: %v", gone)
			}
			proof := sha256.Sum256([]byte(c.verifier))
			if c.accepted == 1 && (c.shownCode != "thecode" || c.shownURL != c.redirect || base64.RawURLEncoding.EncodeToString(proof[:]) != c.challenge) {
				t.Errorf("shown are %q, %q and %q", c.shownCode, c.verifier, c.shownURL)
			}
			if strings.Contains(log.String()+w.Body.String(), "thecode") || strings.Contains(log.String(), "<x>") {
				t.Errorf("it tells too much: %s", log)
			}
		})
	}
}

func TestWherePeopleAreSentBackTo(t *testing.T) {
	for address, good := range map[string]bool{
		"https://portcullis.example": true, "http://127.0.0.1:8080": true, "http://localhost:8080/": true, "http://[::1]": true,
		"http://portcullis.example": false, "": false, "portcullis.example": false, "https://a@b": false, "https://a?b": false, "ftp://localhost": false,
	} {
		if _, err := web.NewAuthorization(&consents{}, sealing{}, address, time.Now, zerolog.Nop()); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}
