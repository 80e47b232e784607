package githubapi

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// renewPause is how long no token is replaced after one that was new was refused
// as well.
const renewPause = time.Minute

// renewing replaces the installation's token when GitHub refuses it before its
// time: it was revoked, or GitHub's clock is ahead of ours, by which ghinstallation
// goes. The call is made again then, whatever it does: what is refused with 401
// was not done.
type renewing struct {
	// sign makes what signs calls with a token of its own.
	sign func() (http.RoundTripper, error)
	now  func() time.Time

	mu     sync.Mutex
	signed http.RoundTripper
	// tokens counts how many there were before.
	tokens int
	// refused is when a new token was refused.
	refused time.Time
}

// RoundTrip makes the call, once more with a new token if need be.
func (t *renewing) RoundTrip(r *http.Request) (*http.Response, error) {
	signed, token := t.current()
	response, err := signed.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	again, ok := repeat(r)
	if !ok || !t.renew(token) {
		return response, nil
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, refusalSize)) // so that the connection can be used again
	_ = response.Body.Close()
	signed, _ = t.current()
	if response, err = signed.RoundTrip(again); err == nil && response.StatusCode == http.StatusUnauthorized {
		t.mu.Lock()
		t.refused = t.now()
		t.mu.Unlock()
	}
	return response, err
}

func (t *renewing) current() (signed http.RoundTripper, token int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.signed, t.tokens
}

// renew replaces the token that was refused, unless somebody else has. It is false
// if there is no use in asking again.
func (t *renewing) renew(refused int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tokens != refused {
		return true
	}
	if !t.refused.IsZero() && t.now().Sub(t.refused) < renewPause {
		return false
	}
	signed, err := t.sign()
	if err != nil {
		return false // the key was good when the first was made
	}
	t.signed, t.tokens = signed, t.tokens+1
	return true
}

// repeat is the request once more, if its body can be had again.
func repeat(r *http.Request) (*http.Request, bool) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	again.Body = body
	return again, true
}

// signing returns what signs calls of an installation with a token of its own.
func (c *clients) signing(installation int64, keep keeper) (http.RoundTripper, error) {
	client, err := c.creator(installation, keep).NewInstallationClient(installation)
	if err != nil {
		return nil, fmt.Errorf("create the client of installation %d: %w", installation, err)
	}
	return client.Client().Transport, nil
}
