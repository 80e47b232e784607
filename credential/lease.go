package credential

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// State is how far a lease is.
type State string

// The states of a lease, in their order. A credential is accepted while its lease is
// active and at no other time.
const (
	// StateIntent is on record before anything else happens.
	StateIntent State = "intent"
	// StateMinted has a credential that is not delivered yet.
	StateMinted State = "minted"
	StateActive State = "active"
	// StateRevoking has ended: what is left of it is being cleared away.
	StateRevoking State = "revoking"
	// StateStuck could not be cleared away in many attempts. It is tried again every
	// hour, and keeps its slot.
	StateStuck State = "stuck"
	// The ends: revoked before its time, at its time, and never delivered.
	StateRevoked State = "revoked"
	StateExpired State = "expired"
	StateFailed  State = "failed"
)

// Ended reports whether nothing is left of the lease.
func (s State) Ended() bool { return s == StateRevoked || s == StateExpired || s == StateFailed }

// Lease is a credential on record: all but its value.
type Lease struct {
	ID string
	// Key is the idempotency key: whoever asks twice with one is lent one credential.
	Key string
	// Credential is the name that the policy gives it.
	Credential string
	Provider   policy.CredentialProvider
	// Slot is where it is delivered. Without a name it is handed to who asked, and
	// GitHub keeps nothing.
	Slot Slot
	// Endings are those of the names of its secrets, if it has several.
	Endings []string
	// Number is the pull request it was asked for on, HeadSHA the commit that was
	// approved, and ByAgent true if an agent took part in that.
	Number  int
	HeadSHA string
	ByAgent bool
	// Run is the workflow run it is for; 0: any. Attempt is which time that runs; 0: any.
	// Job is the job that it was handed to; 0: it is for all, or which is not known.
	Run     int64
	Attempt int
	Job     int64
	// Sandbox is the id of the sandbox on whose way to a host it is given; empty: it is for
	// none.
	Sandbox string
	// Scope is what it is for.
	Scope       []string
	RequestedBy policy.Actor
	ApprovedBy  []policy.Actor
	// Policy names the files that allowed it.
	Policy string

	State State
	// TokenHash is the SHA-256 of an opaque token; Handle is what the provider needs to
	// revoke, encrypted.
	TokenHash string
	Handle    []byte
	CreatedAt time.Time
	// SlotAbsentAt is when GitHub said that there was no secret in the slot, and
	// SecretUpdatedAt when it says that ours was written; both by GitHub's clock.
	SlotAbsentAt    time.Time
	MintedAt        time.Time
	SecretUpdatedAt time.Time
	// ExpiresAt is when it ends, and HardExpiresAt when whoever made it ends it, by
	// which a credential is dead that nobody can revoke; zero: it never does.
	ExpiresAt     time.Time
	HardExpiresAt time.Time
	// Outcome is the end it comes to once it is cleared away, Reason why it ended, and
	// EndedBy who ended it; the zero Actor: nobody.
	Outcome State
	Reason  string
	EndedBy policy.Actor
	EndedAt time.Time
	// RevokedAt is when the provider had revoked it, and DeletedAt when its secret was
	// seen to be gone; zero: not yet.
	RevokedAt time.Time
	DeletedAt time.Time
	ClearedAt time.Time
	// Quiet is true of one that could not be issued if nothing of it can still arrive at
	// GitHub, and Untold of one whose end the audit log does not tell of.
	Quiet  bool
	Untold bool
	// Attempts counts how often it could not be cleared away, LastError says why the
	// last time, and NextAt is when there is something to do next; zero: never.
	Attempts  int
	LastError string
	NextAt    time.Time
}

// Place is what a kill switch must cover to stop it.
func (l *Lease) Place() killswitch.Scope {
	return killswitch.Scope{Repository: l.Slot.Repository, Number: l.Number, Agents: l.ByAgent}
}

// Accepted reports whether the credential is accepted at that time.
func (l *Lease) Accepted(at time.Time) bool { return l.State == StateActive && at.Before(l.ExpiresAt) }

// Slots are where its secrets are.
func (l *Lease) Slots() []Slot {
	if l.Slot.Name == "" {
		return nil
	}
	var all []Slot
	for _, ending := range l.endings() {
		slot := l.Slot
		if ending != "" {
			slot.Name += "_" + ending
		}
		all = append(all, slot)
	}
	return all
}

// endings are those of the names of its values: one that is empty if it is one value.
func (l *Lease) endings() []string {
	if len(l.Endings) == 0 {
		return []string{""}
	}
	return l.Endings
}

// wrote reports whether the secret is the one that was written for the lease. GitHub
// tells seconds: two that were written in one look the same.
func (l *Lease) wrote(meta SecretMeta) bool {
	if l.SecretUpdatedAt.IsZero() {
		return !meta.CreatedAt.Before(l.SlotAbsentAt.Truncate(time.Second))
	}
	return !meta.UpdatedAt.After(l.SecretUpdatedAt)
}

// order is what a provider is to make of it.
func (l *Lease) order(source string) Order {
	return Order{Lease: l.ID, Repository: l.Slot.Repository, Scope: slices.Clone(l.Scope), Source: source, NotAfter: l.ExpiresAt}
}

// credential is the lease as whoever asked for it sees it. What is delivered as a secret
// is not handed to them as well.
func (l *Lease) credential(values map[string]Secret) JITCredential {
	c := JITCredential{ID: l.ID, Scope: slices.Clone(l.Scope), For: l.Place(), IssuedAt: l.CreatedAt, ExpiresAt: l.ExpiresAt}
	switch {
	case l.Slot.Name != "":
	case len(l.Endings) == 0:
		c.Token = values[""]
	default:
		c.Values = values
	}
	return c
}

// subject is what audit entries about it are about.
func (l *Lease) subject() string { return fmt.Sprintf("%s %s", l.Place(), l.ID) }

// why says why it is not accepted.
func (l *Lease) why() string {
	return cmp.Or(l.Reason, "it is "+string(l.State))
}

// told says what was lent, until when.
func (l *Lease) told() string {
	approvers := make([]string, len(l.ApprovedBy))
	for i, by := range l.ApprovedBy {
		approvers[i] = by.String()
	}
	return fmt.Sprintf("%s for %s until %s, approved by %s, under %s", l.Credential, strings.Join(l.Scope, " "), l.ExpiresAt.UTC().Format(time.RFC3339),
		cmp.Or(strings.Join(approvers, " and "), "nobody, who need not"), l.Policy)
}

// mint keeps what the provider made.
func (l *Lease) mint(notAfter, absent, at time.Time) {
	l.State, l.MintedAt, l.SlotAbsentAt = StateMinted, at, absent
	if notAfter.IsZero() {
		return
	}
	l.HardExpiresAt = notAfter
	if notAfter.Before(l.ExpiresAt) {
		l.ExpiresAt = notAfter
	}
}

// activate is false if it was ended meanwhile.
func (l *Lease) activate(updated, at time.Time) bool {
	if l.State != StateMinted {
		return false
	}
	l.State, l.SecretUpdatedAt = StateActive, updated
	l.reviewed(at)
	return true
}

// reviewEvery is how often it is asked whether a credential may still be lent, in case
// that nothing told.
const reviewEvery = 2 * time.Minute

// reviewed says when there is something to do about a credential that is lent.
func (l *Lease) reviewed(at time.Time) {
	l.NextAt = at.Add(reviewEvery)
	if l.NextAt.After(l.ExpiresAt) {
		l.NextAt = l.ExpiresAt
	}
}

// End ends the lease and reports whether that is new. From then on the credential is
// not accepted, whatever else succeeds or fails.
func (l *Lease) End(outcome State, reason string, by policy.Actor, at time.Time) bool {
	switch l.State {
	case StateIntent, StateMinted:
		outcome = StateFailed
	case StateActive:
	default:
		return false
	}
	l.State, l.Outcome, l.Reason, l.EndedBy, l.EndedAt = StateRevoking, outcome, reason, by, at
	l.Attempts, l.LastError, l.NextAt = 0, "", at
	return true
}

// expire ends it if its time has come: that of a lease that is lent, or of one that was
// left behind while it was issued.
func (l *Lease) expire(at time.Time) bool {
	switch {
	case l.State == StateActive && !at.Before(l.ExpiresAt):
		return l.End(StateExpired, "its time was over", policy.Actor{}, at)
	case (l.State == StateIntent || l.State == StateMinted) && !at.Before(l.CreatedAt.Add(minAge)):
		return l.End(StateFailed, "the process that issued it did not finish", policy.Actor{}, at)
	default:
		return false
	}
}

// clearing reports whether it has ended and is to be cleared away.
func (s State) clearing() bool { return s == StateRevoking || s == StateStuck }

// settledAt is when nothing can arrive at GitHub any more of a lease that was not issued
// to the end.
func (l *Lease) settledAt() time.Time { return l.CreatedAt.Add(issueTime + quarantine) }

// finish ends the record: nothing is left.
func (l *Lease) finish(at time.Time) {
	l.State, l.Handle, l.LastError, l.NextAt, l.ClearedAt = l.Outcome, nil, "", time.Time{}, at
}

// maxError is how much of an error is kept.
const maxError = 240

func brief(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// failed keeps that it could not be cleared away, and reports whether that makes it
// stuck.
func (l *Lease) failed(err error, at time.Time) (stuck bool) {
	l.Attempts++
	l.LastError = brief(err)
	wait := min(longestWait, firstWait<<min(l.Attempts-1, 10))
	if l.Attempts >= maxAttempts {
		stuck, wait = l.State != StateStuck, stuckWait
		l.State = StateStuck
	}
	// Half as long to half as long again, so that what failed together is not tried
	// together.
	l.NextAt = at.Add(wait/2 + rand.N(wait)) //nolint:gosec // nobody gains by guessing it
	return stuck
}

// workPrefix and an installation's number are the key of the work on its leases.
const workPrefix = "leases:"

// WorkKey is the key of the work that clears an installation's leases away: one after
// the other, as GitHub asks for of calls that write.
func WorkKey(installation int64) string { return workPrefix + strconv.FormatInt(installation, 10) }

// WorkRef is what that work is about.
func WorkRef(repository policy.Repository) policy.PullRequestRef {
	return policy.PullRequestRef{Repository: policy.Repository{Installation: repository.Installation, Owner: repository.Owner}}
}

// Owns reports whether the key is one of that work.
func Owns(workKey string) bool { return strings.HasPrefix(workKey, workPrefix) }
