package credential

import (
	"context"
	"errors"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
)

// JITCredential is a credential that is lent. Its Token is a secret: it is shown once,
// to whoever asked for it, and kept nowhere in the clear.
type JITCredential struct {
	ID    string
	Token string
	// Scope is what it is for, as "deploy:staging".
	Scope []string
	// For is where it was asked for: a kill switch that covers it ends the credential.
	For       killswitch.Scope
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// String tells of a credential without its secret.
func (c JITCredential) String() string { return "credential " + c.ID + " for " + c.For.String() }

// JITCredentialIssuer lends credentials. It may be used by several goroutines.
type JITCredentialIssuer interface {
	// Issue lends a credential for at most ttl, which is above zero. It returns
	// [ErrStopped] while a kill switch is on for the place, or cannot be asked.
	Issue(ctx context.Context, place killswitch.Scope, scope []string, ttl time.Duration) (JITCredential, error)
	// Revoke ends a credential now; one that has ended, or was never lent, is no error.
	Revoke(ctx context.Context, id string) error
	// IsValid reports whether the credential is lent and has not ended. An error counts
	// as not.
	IsValid(ctx context.Context, id string) (bool, error)
}

var (
	// ErrStopped is returned while a kill switch is on, or may be.
	ErrStopped = errors.New("the kill switch is on: nothing is lent")
	// ErrTTL is returned for a credential that would not end.
	ErrTTL = errors.New("a credential must be lent for some time")
)

// Switch tells whether a kill switch is on; [killswitch.KillSwitch] fits.
type Switch interface {
	IsActive(ctx context.Context, scope killswitch.Scope) (bool, error)
}
