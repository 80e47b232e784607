package credential

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Limit is an error of whoever limits how often it is asked, GitHub or a provider: it is
// to be asked again then.
type Limit interface {
	error
	RetryTime() time.Time
}

// Platform is what lending needs of GitHub. Every method is made through the slot's
// installation. An error that is a [Limit] counts for no attempt.
type Platform interface {
	// Locate is the repository under the name that it has now, by its number; found is
	// false if it is certain that the App cannot reach it any more. That it is found
	// proves access.
	Locate(ctx context.Context, repository policy.Repository) (now Located, found bool, err error)
	// Secret reads what GitHub tells of a secret; at is GitHub's clock.
	Secret(ctx context.Context, slot Slot) (meta SecretMeta, found bool, at time.Time, err error)
	// PublicKey is the key that the slot's secrets are sealed with.
	PublicKey(ctx context.Context, slot Slot) (PublicKey, error)
	// PutSecret writes a sealed secret. created is false if there was one. It returns a
	// [*StaleKeyError] if GitHub refuses what was sealed.
	PutSecret(ctx context.Context, slot Slot, keyID, sealed string) (created bool, err error)
	// DeleteSecret deletes one; found is false if there was none to be seen.
	DeleteSecret(ctx context.Context, slot Slot) (found bool, err error)
	// Secrets lists those of the repository or of its environment.
	Secrets(ctx context.Context, repository policy.Repository, environment string) (names map[string]SecretMeta, at time.Time, err error)
	// Sweepable is where in the installation the App may see secrets, the repositories by
	// their number.
	Sweepable(ctx context.Context, installation int64) (Sight, error)
	// Environments lists the names of those of the repository.
	Environments(ctx context.Context, repository policy.Repository) ([]string, error)
}

// Located is a repository as it is now.
type Located struct {
	Repository policy.Repository
	Archived   bool
}

// SecretMeta is what GitHub tells of a secret: never its value.
type SecretMeta struct {
	CreatedAt time.Time
	UpdatedAt time.Time
}

// PublicKey is a key for sealed boxes.
type PublicKey struct {
	ID  string
	Key []byte
}

// StaleKeyError is returned for a secret that GitHub could not open.
type StaleKeyError struct{ Cause error }

func (e *StaleKeyError) Error() string { return "GitHub refused the sealed secret: " + e.Cause.Error() }

func (e *StaleKeyError) Unwrap() error { return e.Cause }

// Leases is the record. Each method is one transaction.
type Leases interface {
	// OpenLease keeps a lease in [StateIntent] with its slot. It returns the one that has
	// the key already, if there is one, and opened false; [ErrStopped] if a kill switch
	// stops the place by then, and an [*OccupiedError] if the slot is taken.
	OpenLease(ctx context.Context, lease Lease, entry audit.Entry) (kept Lease, opened bool, err error)
	// ChangeLease changes one, tells change whether a kill switch stops its place, and
	// keeps nothing if that returns an error.
	ChangeLease(ctx context.Context, id string, change func(lease *Lease, stopped bool) ([]audit.Entry, error)) (Lease, error)
	// Lease returns [ErrUnknown] for an id that none has.
	Lease(ctx context.Context, id string) (Lease, error)
	// EndLeases ends all that are selected and have not ended, and counts them. They are
	// ended also if it returns [audit.ErrNotRecorded]: then no entry tells of it.
	EndLeases(ctx context.Context, selected Selection, end Ending) (ended int, err error)
	// Leases lists those that are selected, the oldest first.
	Leases(ctx context.Context, selected Selection) ([]Lease, error)
	// DueLease is the one of the installation's for which there is something to do at
	// that time; next is when there is, if there is none now; zero: never.
	DueLease(ctx context.Context, installation int64, at time.Time) (lease Lease, next time.Time, err error)
	// Audit puts an act on record that changes no lease.
	Audit(ctx context.Context, entry audit.Entry) error
	// RecordBegan is when the first thing was put on record; zero: nothing is.
	RecordBegan(ctx context.Context) (time.Time, error)
}

// Selection selects leases.
type Selection struct {
	// Scope is where they are; the zero Scope: anywhere.
	Scope killswitch.Scope
	// RepositoryID and Installation are theirs; zero: any.
	RepositoryID int64
	Installation int64
	// Key is the idempotency key of the one; empty: any.
	Key string
	// Run is the workflow run they are for, and Environment the one they are in; zero
	// and empty: any.
	Run         int64
	Environment string
	// Live selects those that are not cleared away yet.
	Live bool
}

// Ending is why leases end.
type Ending struct {
	Reason string
	By     policy.Actor
	At     time.Time
	// Place is where many are ended at once, as the audit log is to name it.
	Place string
}

// Config is what an issuer is made of.
type Config struct {
	GitHub    Platform
	Store     Leases
	Providers map[policy.CredentialProvider]Provider
	// Permit is an error for a lease that may not be lent any more: it is asked before
	// anything is made, and right before it is accepted.
	Permit func(ctx context.Context, lease Lease) error
	// Handles encrypts what revoking needs, bound to the lease.
	Handles Cipher
	Now     func() time.Time
	// Wait waits so long, or until ctx ends.
	Wait func(ctx context.Context, d time.Duration) error
	Log  zerolog.Logger
}

// Cipher encrypts what is kept. What was encrypted for one purpose is decrypted for no
// other.
type Cipher interface {
	Encrypt(plain []byte, purpose string) ([]byte, error)
	Decrypt(encrypted []byte, purpose string) ([]byte, error)
}
