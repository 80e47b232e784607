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

// MemoryJITCredentialIssuer is a [JITCredentialIssuer] that forgets everything with
// the process: for tests and for library users without a database.
type MemoryJITCredentialIssuer struct {
	stop Switch
	now  func() time.Time

	mu   sync.Mutex
	lent map[string]JITCredential
}

var (
	_ JITCredentialIssuer = (*MemoryJITCredentialIssuer)(nil)
	_ killswitch.Stopper  = (*MemoryJITCredentialIssuer)(nil)
)

// NewMemoryJITCredentialIssuer returns an issuer that asks stop before it lends
// anything, and tells the time with now.
func NewMemoryJITCredentialIssuer(stop Switch, now func() time.Time) *MemoryJITCredentialIssuer {
	return &MemoryJITCredentialIssuer{stop: stop, now: now, lent: map[string]JITCredential{}}
}

// Issue lends a credential.
func (m *MemoryJITCredentialIssuer) Issue(ctx context.Context, place killswitch.Scope, scope []string, ttl time.Duration) (JITCredential, error) {
	if ttl <= 0 {
		return JITCredential{}, ErrTTL
	}
	now := m.now()
	c := JITCredential{ID: rand.Text(), Token: rand.Text(), Scope: slices.Clone(scope), For: place, IssuedAt: now, ExpiresAt: now.Add(ttl)}
	m.mu.Lock()
	m.lent[c.ID] = c
	m.mu.Unlock()
	// Asked once it is on the list: a stop that comes now finds it there, and one that
	// came before is seen here.
	if on, err := active(ctx, m.stop, place); on {
		return JITCredential{}, errors.Join(ErrStopped, err, m.Revoke(ctx, c.ID))
	}
	return c, nil
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
	delete(m.lent, id)
	return nil
}

// IsValid reports whether the credential is lent.
func (m *MemoryJITCredentialIssuer) IsValid(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, lent := m.lent[id]
	return lent && m.now().Before(c.ExpiresAt), nil
}

// Stop ends every credential that was lent in the scope.
func (m *MemoryJITCredentialIssuer) Stop(_ context.Context, scope killswitch.Scope) (ended int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, c := range m.lent {
		if scope.Covers(c.For) {
			delete(m.lent, id)
			ended++
		}
	}
	return ended, nil
}
