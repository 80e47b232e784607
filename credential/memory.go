package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
)

// MemoryJITCredentialIssuer is a [JITCredentialIssuer] of opaque tokens that forgets
// everything with the process: for tests and for library users without a database.
type MemoryJITCredentialIssuer struct {
	stop Switch
	now  func() time.Time

	mu    sync.Mutex
	lent  map[string]JITCredential
	ended map[string]bool
	keys  map[string]string
}

var (
	_ JITCredentialIssuer = (*MemoryJITCredentialIssuer)(nil)
	_ killswitch.Stopper  = (*MemoryJITCredentialIssuer)(nil)
)

// NewMemoryJITCredentialIssuer returns an issuer that asks stop before it lends
// anything, and tells the time with now.
func NewMemoryJITCredentialIssuer(stop Switch, now func() time.Time) *MemoryJITCredentialIssuer {
	return &MemoryJITCredentialIssuer{stop: stop, now: now, lent: map[string]JITCredential{}, ended: map[string]bool{}, keys: map[string]string{}}
}

// Issue lends a credential.
func (m *MemoryJITCredentialIssuer) Issue(ctx context.Context, request Request) (JITCredential, error) {
	if err := request.check(); err != nil {
		return JITCredential{}, err
	}
	made, err := Opaque{}.Issue(ctx, Order{})
	if err != nil {
		return JITCredential{}, err
	}
	now := m.now()
	c := JITCredential{
		ID: rand.Text(), Token: made.Values[""], Scope: slices.Clone(request.Scope), For: request.For, IssuedAt: now, ExpiresAt: now.Add(request.TTL),
	}
	if known, again := m.keep(c, request.Key); again {
		return known, nil
	}
	// Asked once it is on the list: a stop that comes now finds it there, and one that
	// came before is seen here.
	if on, err := active(ctx, m.stop, request.For); on {
		return JITCredential{}, errors.Join(ErrStopped, err, m.Revoke(ctx, c.ID))
	}
	return c, nil
}

// keep puts the credential on the list, unless one was issued under the key.
func (m *MemoryJITCredentialIssuer) keep(c JITCredential, key string) (known JITCredential, again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id, issued := m.keys[key]; issued && key != "" {
		known = m.lent[id]
		known.Token = Secret{}
		return known, true
	}
	m.lent[c.ID] = c
	m.keys[key] = c.ID
	return JITCredential{}, false
}

// active reports whether a kill switch stops the place; nobody to ask, or no answer,
// is a yes.
func active(ctx context.Context, stop Switch, place killswitch.Scope) (bool, error) {
	if stop == nil {
		return true, nil
	}
	on, err := stop.IsActive(ctx, place)
	return on || err != nil, err
}

// Revoke ends a credential.
func (m *MemoryJITCredentialIssuer) Revoke(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, lent := m.lent[id]; !lent {
		return ErrUnknown
	}
	m.ended[id] = true
	return nil
}

// IsValid reports whether the credential is lent.
func (m *MemoryJITCredentialIssuer) IsValid(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, lent := m.lent[id]
	return lent && !m.ended[id] && m.now().Before(c.ExpiresAt), nil
}

// Stop ends every credential that was lent in the scope.
func (m *MemoryJITCredentialIssuer) Stop(_ context.Context, scope killswitch.Scope) (ended int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, c := range m.lent {
		if scope.Covers(c.For) && !m.ended[id] {
			m.ended[id] = true
			ended++
		}
	}
	return ended, nil
}
