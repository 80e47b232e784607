package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
)

// Introspector finds what a token was lent for. A token that is not accepted now has no
// lease.
type Introspector interface {
	// AcceptedLease finds the lease by the hash of [credential.TokenHash].
	AcceptedLease(ctx context.Context, hash string) (lease credential.Lease, accepted bool, err error)
}

// Client is a program that may ask about tokens.
type Client struct {
	ID     string
	Secret credential.Secret
}

// introspection answers whether a token is accepted, as RFC 7662 says.
type introspection struct {
	leases  Introspector
	clients map[string][sha256.Size]byte
	log     zerolog.Logger
}

const (
	// maxForm is how large a question may be.
	maxForm = 8 << 10
	// inactive is what is said of every token that is not accepted, whatever the reason:
	// who guesses learns nothing.
	inactive = `{"active":false}`
)

// NewIntrospection returns the handler of POST /api/v1/introspect. Only the clients may
// ask, by HTTP Basic: without any, nobody may.
func NewIntrospection(leases Introspector, clients []Client, log zerolog.Logger) http.Handler {
	i := &introspection{leases: leases, clients: map[string][sha256.Size]byte{}, log: log}
	for _, c := range clients {
		i.clients[c.ID] = sha256.Sum256([]byte(c.Secret.Reveal()))
	}
	return i
}

func (i *introspection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	if !i.knows(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="portcullis", charset="UTF-8"`)
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	token, ok := tokenOf(w, r)
	if !ok {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	answer, err := i.answer(r.Context(), token)
	if err != nil {
		i.log.Error().Err(err).Str("event", "credential.introspection_failed").Msg("a token could not be looked up")
		refuse(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		return
	}
	_, _ = w.Write(answer) //nolint:gosec // it is JSON that encoding/json made, and says so
}

// knows reports whether a client asks. That one does not exist takes as long as that
// its secret is wrong.
func (i *introspection) knows(r *http.Request) bool {
	id, given, ok := r.BasicAuth()
	want, known := i.clients[id]
	got := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && ok && known && given != ""
}

// tokenOf is the token that is asked about. It is taken from the body alone: addresses
// are logged on the way.
func tokenOf(w http.ResponseWriter, r *http.Request) (string, bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return "", false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || len(r.PostForm["token"]) != 1 {
		return "", false
	}
	return r.PostForm.Get("token"), true
}

func (i *introspection) answer(ctx context.Context, token string) ([]byte, error) {
	hash, ok := credential.TokenHash(token)
	if !ok {
		return []byte(inactive), nil
	}
	lease, accepted, err := i.leases.AcceptedLease(ctx, hash)
	if err != nil || !accepted {
		return []byte(inactive), err
	}
	return json.Marshal(struct {
		Active     bool   `json:"active"`
		Scope      string `json:"scope"`
		Expires    int64  `json:"exp"`
		Issued     int64  `json:"iat"`
		ID         string `json:"jti"`
		Subject    string `json:"sub"`
		Type       string `json:"token_type"`
		Credential string `json:"credential,omitempty"`
		Repository string `json:"repository"`
		Commit     string `json:"commit,omitempty"`
	}{
		Active: true, Scope: strings.Join(lease.Scope, " "), Expires: lease.ExpiresAt.Unix(), Issued: lease.CreatedAt.Unix(), ID: lease.ID,
		Subject: "repo:" + strconv.FormatInt(lease.Slot.Repository.ID, 10), Type: "Bearer",
		Credential: lease.Credential, Repository: lease.Slot.Repository.String(), Commit: lease.HeadSHA,
	})
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + code + `"}`))
}
