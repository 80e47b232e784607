package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// JITCredential is a credential that is lent. Its Token is shown once, to whoever asked
// for it, and kept nowhere in the clear.
type JITCredential struct {
	ID string
	// Token is empty if the credential was delivered otherwise, or was issued before
	// under the same key.
	Token Secret
	// Values are what it is made of where that is several values, by the ending of their
	// names, as ACCESS_KEY_ID. Token is empty then.
	Values map[string]Secret
	// Scope is what it is for, as "deploy:staging".
	Scope []string
	// For is where it was asked for: a kill switch that covers it ends the credential.
	For       killswitch.Scope
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// String tells of a credential without its secret.
func (c JITCredential) String() string { return "credential " + c.ID + " for " + c.For.String() }

// Request is what is asked of an issuer. Whether it may be asked for is not the
// issuer's to judge.
type Request struct {
	// For is where it is asked for.
	For killswitch.Scope
	// Scope is what it is for; never empty.
	Scope []string
	// TTL is how long it is lent; above zero.
	TTL time.Duration

	// Key is the idempotency key: who asks twice with one is lent one credential. Empty:
	// each time another.
	Key string
	// Credential is its name in the policy, Provider what makes it, the zero value being
	// the opaque one, and Source what that makes it from.
	Credential string
	Provider   policy.CredentialProvider
	Source     string
	// Slot is where it is delivered; without a name it is in Token alone.
	Slot Slot
	// HeadSHA is the commit that was approved, by ApprovedBy, under Policy, and Run the
	// workflow run that it is for; with Job it is handed to that job of it.
	HeadSHA string
	Run     int64
	Attempt int
	Job     int64
	// Sandbox is the id of the one that it is for; empty: it is for none.
	Sandbox     string
	RequestedBy policy.Actor
	ApprovedBy  []policy.Actor
	Policy      string
}

// JITCredentialIssuer lends credentials. It may be used by several goroutines.
type JITCredentialIssuer interface {
	// Issue lends a credential. It returns [ErrStopped] while a kill switch is on for
	// the place, or cannot be asked, and [ErrScope] and [ErrTTL] for what is no request.
	Issue(ctx context.Context, request Request) (JITCredential, error)
	// Revoke ends a credential now; one that has ended is no error, and one that was
	// never lent is [ErrUnknown]. After an error it has ended all the same, unless that
	// could not be recorded: what is left of it is cleared away later.
	Revoke(ctx context.Context, id string) error
	// IsValid reports whether the credential is lent and has not ended. An error counts
	// as not.
	IsValid(ctx context.Context, id string) (bool, error)
}

var (
	// ErrStopped is returned while a kill switch is on, or may be.
	ErrStopped = errors.New("the kill switch is on: nothing is lent")
	// ErrTTL is returned for a credential that would not end, or too late.
	ErrTTL = errors.New("a credential must be lent for a time that is above zero and not too long")
	// ErrScope is returned for a credential that is for nothing.
	ErrScope = errors.New("a credential must be for something: its scope is empty")
	// ErrUnknown is returned for an id that no credential has.
	ErrUnknown = errors.New("there is no such credential")
	// ErrEnded is returned by Issue if the credential has ended, or ended while it was
	// issued.
	ErrEnded = errors.New("it is not lent any more")
	// ErrUnfinished is returned by Issue for a key under which one is being issued, or was
	// not finished by a process that is gone.
	ErrUnfinished = errors.New("it is being issued already; if that does not come to an end it is taken back within minutes")
)

// FailedError is returned by Issue for what could not be made or delivered. Nothing of it
// is lent, and under its key nothing will be.
type FailedError struct {
	Credential string
	cause      error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the credential %s could not be lent: %v", e.Credential, e.cause)
}

// Unwrap returns why.
func (e *FailedError) Unwrap() error { return e.cause }

// OccupiedError is returned for a slot that holds what Portcullis did not write there,
// or not for a lease that has ended.
type OccupiedError struct {
	Slot Slot
	// Holder is the lease that has it; empty: there is a secret of somebody else's.
	Holder string
}

func (e *OccupiedError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("there is a secret %s that Portcullis did not write: delete it, or name another in the policy", e.Slot)
	}
	return fmt.Sprintf("%s is lent already, as %s: end that one first, or wait", e.Slot, e.Holder)
}

// Switch tells whether a kill switch is on; [killswitch.KillSwitch] fits.
type Switch interface {
	IsActive(ctx context.Context, scope killswitch.Scope) (bool, error)
}

// check is an error for what is no request.
func (r Request) check() error {
	switch {
	case len(r.Scope) == 0:
		return ErrScope
	case r.TTL <= 0:
		return ErrTTL
	case r.Slot.Name != "" && !r.Slot.ours():
		return fmt.Errorf("%s is not a name that Portcullis writes: it must begin with JIT_ and its longest life, as JIT_1H_DEPLOY", r.Slot.Name)
	default:
		return nil
	}
}
