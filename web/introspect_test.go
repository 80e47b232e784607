package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/web"
)

// known has one token that is accepted; an error is told instead of anything.
type known struct {
	hash string
	err  error
}

func (k known) AcceptedLease(_ context.Context, hash string) (credential.Lease, bool, error) {
	lease := credential.Lease{
		ID: "7", Credential: "deploy", Scope: []string{"deploy:staging", "deploy:test"}, HeadSHA: "bbbb", CreatedAt: time.Unix(1000, 0), ExpiresAt: time.Unix(2000, 0),
		Slot: credential.Slot{Repository: policy.Repository{ID: 42, Owner: "acme", Name: "shop"}},
	}
	return lease, hash == k.hash, k.err
}

func opaque(t *testing.T) string {
	t.Helper()
	made, err := credential.Opaque{}.Issue(t.Context(), credential.Order{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Values[""].Reveal()
}

// TestI27IntrospectionTellsNothing: it answers {"active":false} byte-identically for
// unknown, expired, revoked and malformed tokens; unauthenticated callers get 401.
func TestI27IntrospectionTellsNothing(t *testing.T) {
	token, unknown := opaque(t), opaque(t)
	hash, _ := credential.TokenHash(token)
	const form = "application/x-www-form-urlencoded"
	type question struct {
		leases     known
		id, secret string
		kind, body string
		clients    []web.Client
	}
	clients := []web.Client{{ID: "deployer", Secret: credential.NewSecret("a secret of sixteen")}}
	asks := func(token string) question {
		return question{known{hash: hash}, "deployer", "a secret of sixteen", form, url.Values{"token": {token}}.Encode(), clients}
	}
	with := func(q question, change func(*question)) question {
		change(&q)
		return q
	}
	const inactive = `{"active":false}`
	for name, c := range map[string]struct {
		question
		status int
		body   string
	}{
		"accepted": {
			asks(token), http.StatusOK,
			`{"active":true,"scope":"deploy:staging deploy:test","exp":2000,"iat":1000,"jti":"7","sub":"repo:42","token_type":"Bearer","credential":"deploy","repository":"acme/shop","commit":"bbbb"}`,
		},
		"unknown, expired or revoked":  {asks(unknown), http.StatusOK, inactive},
		"a wrong checksum":             {asks(token[:len(token)-1] + "~"), http.StatusOK, inactive},
		"somebody else's":              {asks("ghs_16C7e42F292c6912E7710c838347Ae178B4a"), http.StatusOK, inactive},
		"empty":                        {asks(""), http.StatusOK, inactive},
		"malformed":                    {asks("jit_\x00\n" + token), http.StatusOK, inactive},
		"no token":                     {with(asks(token), func(q *question) { q.body = "" }), http.StatusBadRequest, `{"error":"invalid_request"}`},
		"two tokens":                   {with(asks(token), func(q *question) { q.body += "&token=x" }), http.StatusBadRequest, `{"error":"invalid_request"}`},
		"no form":                      {with(asks(token), func(q *question) { q.kind = "application/json" }), http.StatusBadRequest, `{"error":"invalid_request"}`},
		"too large":                    {with(asks(token), func(q *question) { q.body = "token=" + strings.Repeat("x", 9000) }), http.StatusBadRequest, `{"error":"invalid_request"}`},
		"nobody asks":                  {with(asks(token), func(q *question) { q.id, q.secret = "", "" }), http.StatusUnauthorized, `{"error":"invalid_client"}`},
		"a wrong secret":               {with(asks(token), func(q *question) { q.secret += "x" }), http.StatusUnauthorized, `{"error":"invalid_client"}`},
		"an unknown client":            {with(asks(token), func(q *question) { q.id = "nobody" }), http.StatusUnauthorized, `{"error":"invalid_client"}`},
		"an unknown one with nothing":  {with(asks(token), func(q *question) { q.id, q.secret = "nobody", "" }), http.StatusUnauthorized, `{"error":"invalid_client"}`},
		"there are no clients":         {with(asks(token), func(q *question) { q.clients = nil }), http.StatusUnauthorized, `{"error":"invalid_client"}`},
		"the database cannot be asked": {with(asks(token), func(q *question) { q.leases.err = errors.New("the disk is gone") }), http.StatusServiceUnavailable, `{"error":"temporarily_unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			handler := web.NewIntrospection(c.leases, c.clients, zerolog.Nop())
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/introspect?token="+token, strings.NewReader(c.question.body))
			request.Header.Set("Content-Type", c.kind)
			if c.id != "" {
				request.SetBasicAuth(c.id, c.secret)
			}
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			body, err := io.ReadAll(recorder.Body)
			if err != nil || recorder.Code != c.status || string(body) != c.body || recorder.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s, want %d %s", recorder.Code, body, c.status, c.body)
			}
			if (recorder.Code == http.StatusUnauthorized) != (recorder.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("WWW-Authenticate: %q", recorder.Header().Get("WWW-Authenticate"))
			}
		})
	}
}
