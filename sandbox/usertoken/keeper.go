package usertoken

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// Grant is what GitHub gives for a person's word.
type Grant struct {
	Access string
	// Refresh is good for one renewal; empty: the token does not end by itself.
	Refresh                     string
	ExpiresAt, RefreshExpiresAt time.Time
}

// GitHub gives tokens and takes them back.
type GitHub interface {
	// Redeem trades the code that a person came back with. It, Renew and PollDevice
	// return an [*OverError] for what is good for nothing any more.
	Redeem(ctx context.Context, code, verifier, redirect string) (Grant, error)
	Renew(ctx context.Context, refresh string) (Grant, error)
	// Owner is whose a token is.
	Owner(ctx context.Context, access string) (policy.Actor, error)
	// Revoke takes back that the App may act for the person whose token it is.
	Revoke(ctx context.Context, access string) error
	// BeginDevice begins a round of the device flow, and PollDevice asks whether the
	// person has decided; it returns a [*PendingError] until then.
	BeginDevice(ctx context.Context) (Device, error)
	PollDevice(ctx context.Context, code string) (Grant, error)
}

// OverError is returned for what GitHub takes no more.
type OverError struct{ Cause error }

func (e *OverError) Error() string { return "GitHub takes it no more: " + e.Cause.Error() }

// Unwrap returns GitHub's answer.
func (e *OverError) Unwrap() error { return e.Cause }

// Kept is what is kept of a person.
type Kept struct {
	Person policy.Actor
	// Sealed are the tokens, encrypted; empty: the App may not act for the person.
	Sealed []byte
	// ExpiresAt is zero for a token that does not end by itself.
	ExpiresAt, RefreshExpiresAt time.Time
	// Turn is whose turn it is to renew it, until TurnUntil; empty: nobody's.
	Turn      string
	TurnUntil time.Time
	// ExpectedUntil is until when something may be there that was made with it, which the
	// person pays for if Pays; zero: nothing is.
	ExpectedUntil time.Time
	Pays          bool
}

// IsEmpty reports whether there is nothing to keep.
func (k Kept) IsEmpty() bool { return len(k.Sealed) == 0 && k.ExpectedUntil.IsZero() }

// Store keeps what is kept of people. Its methods are facts.
type Store interface {
	// UserToken returns what is kept of the person; nothing may be.
	UserToken(ctx context.Context, person int64) (Kept, error)
	// ChangeUserToken changes it in one transaction, with the entries of the audit log.
	// An error of change's changes nothing, and change may be called twice.
	ChangeUserToken(ctx context.Context, person int64, change func(kept *Kept) ([]audit.Entry, error)) error
	// ExpectingUserTokens lists those of whom something is expected after that time.
	ExpectingUserTokens(ctx context.Context, after time.Time) ([]Kept, error)
}

// Cipher encrypts what is kept. What was encrypted for one purpose is decrypted for no
// other.
type Cipher interface {
	Encrypt(plain []byte, purpose string) ([]byte, error)
	Decrypt(encrypted []byte, purpose string) ([]byte, error)
}

// Config is what a Keeper is made of. Every field is required.
type Config struct {
	GitHub GitHub
	Store  Store
	Cipher Cipher
	// SettingsURL is where people see at GitHub which Apps may act for them.
	SettingsURL string
	Now         func() time.Time
	// Wait waits so long, or until ctx ends.
	Wait func(ctx context.Context, d time.Duration) error
	Log  zerolog.Logger
}

// Keeper keeps people's tokens. It may be used by several goroutines, and several may
// share a store.
type Keeper struct{ config Config }

// NewKeeper returns one.
func NewKeeper(config Config) *Keeper { return &Keeper{config} }

const (
	// renewBefore is how long a token is good at least that is given out: creating a
	// codespace may take a while.
	renewBefore = 20 * time.Minute
	// turnTime is how long one has to renew a token, and turnEvery how often the others
	// look whether it was.
	turnTime  = 30 * time.Second
	turnEvery = 250 * time.Millisecond
	// keepTries is how often it is tried to keep what GitHub will not give again.
	keepTries = 3
	keepTime  = 20 * time.Second
	// expectedAfter is how long something may still be there after it should not.
	expectedAfter = time.Hour
)

// tokens are the secrets, as they are encrypted.
type tokens struct{ Access, Refresh string }

func purpose(person int64) string { return fmt.Sprintf("user token of %d", person) }

func (k *Keeper) seal(kept *Kept, grant Grant) error {
	plain, err := json.Marshal(tokens{grant.Access, grant.Refresh})
	if err != nil {
		return err
	}
	kept.Sealed, err = k.config.Cipher.Encrypt(plain, purpose(kept.Person.ID))
	kept.ExpiresAt, kept.RefreshExpiresAt, kept.Turn, kept.TurnUntil = grant.ExpiresAt, grant.RefreshExpiresAt, "", time.Time{}
	return err
}

func (k *Keeper) open(kept Kept) (tokens, error) {
	var opened tokens
	plain, err := k.config.Cipher.Decrypt(kept.Sealed, purpose(kept.Person.ID))
	if err == nil {
		err = json.Unmarshal(plain, &opened)
	}
	if err != nil {
		// The error of the parser would show what it read.
		return tokens{}, errors.New("what is kept of their token cannot be read, as after a change of the App's private key")
	}
	return opened, nil
}

// keep keeps what GitHub gave for a person's word.
func (k *Keeper) keep(ctx context.Context, grant Grant) (policy.Actor, error) {
	owner, err := k.config.GitHub.Owner(ctx, grant.Access)
	if err != nil {
		return policy.Actor{}, err
	}
	err = k.config.Store.ChangeUserToken(ctx, owner.ID, func(kept *Kept) ([]audit.Entry, error) {
		kept.Person = owner
		return []audit.Entry{k.entry(owner, ActionKeep, owner, "the App may act for them")}, k.seal(kept, grant)
	})
	return owner, err
}

// Accept keeps the token that the code is good for which a person came back with from
// GitHub, and returns whose it is.
func (k *Keeper) Accept(ctx context.Context, code, verifier, redirect string) (policy.Actor, error) {
	grant, err := k.config.GitHub.Redeem(ctx, code, verifier, redirect)
	if err != nil {
		return policy.Actor{}, err
	}
	return k.keep(ctx, grant)
}

// ActionKeep is what the audit log calls it when a person lets the App act for them.
const ActionKeep = "user_token.keep"

func (k *Keeper) entry(by policy.Actor, action string, person policy.Actor, detail string) audit.Entry {
	e := audit.Entry{At: k.config.Now(), Actor: by.Login, ActorID: by.ID, Action: action, Subject: "@" + person.Login, Detail: detail}
	if e.Actor == "" {
		e.Actor = audit.Itself
	}
	return e
}

// Token lets the App act for the person, for some minutes at least.
func (k *Keeper) Token(ctx context.Context, person policy.Actor) (Token, error) {
	for {
		kept, err := k.config.Store.UserToken(ctx, person.ID)
		switch {
		case err != nil:
			return Token{}, err
		case len(kept.Sealed) == 0:
			return Token{}, &NeededError{Person: person, Why: "they have not done so, or have taken it back"}
		}
		opened, err := k.open(kept)
		if err != nil {
			return Token{}, &NeededError{Person: person, Why: err.Error()}
		}
		now := k.config.Now()
		switch {
		case kept.ExpiresAt.IsZero(), now.Add(renewBefore).Before(kept.ExpiresAt):
			return New(kept.Person, opened.Access), nil
		case opened.Refresh == "", !now.Before(kept.RefreshExpiresAt):
			return Token{}, &NeededError{Person: person, Why: "it is too long ago that they did"}
		}
		if err := k.renew(ctx, kept, opened.Refresh); err != nil {
			return Token{}, err
		}
	}
}

var errNotOurs = errors.New("somebody else renews the token, or has")

// renew renews the token if nobody else does, or waits a moment. Nobody may do so twice:
// what renews it is good once.
func (k *Keeper) renew(ctx context.Context, seen Kept, refresh string) error {
	turn := rand.Text()
	mine := func(kept *Kept) bool { return kept.Turn == turn && bytes.Equal(kept.Sealed, seen.Sealed) }
	err := k.config.Store.ChangeUserToken(ctx, seen.Person.ID, func(kept *Kept) ([]audit.Entry, error) {
		now := k.config.Now()
		if !bytes.Equal(kept.Sealed, seen.Sealed) || kept.Turn != "" && now.Before(kept.TurnUntil) {
			return nil, errNotOurs
		}
		kept.Turn, kept.TurnUntil = turn, now.Add(turnTime)
		return nil, nil
	})
	if errors.Is(err, errNotOurs) {
		return k.config.Wait(ctx, turnEvery)
	}
	if err != nil {
		return err
	}
	// From here on whoever asked may go away: the answer comes once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	grant, err := k.config.GitHub.Renew(ctx, refresh)
	over, isOver := errors.AsType[*OverError](err)
	var lost error
	change := func(kept *Kept) ([]audit.Entry, error) {
		switch {
		case !mine(kept):
			return nil, errNotOurs
		case isOver:
			k.forget(kept)
			return []audit.Entry{k.entry(policy.Actor{}, "user_token.lost", seen.Person, "what renews it was used before and the answer was lost, or they have taken it back")}, nil
		case grant.Access == "": // nothing came of it
			kept.Turn, kept.TurnUntil = "", time.Time{}
			return nil, nil
		default:
			return nil, k.seal(kept, grant)
		}
	}
	for range keepTries {
		if lost = k.config.Store.ChangeUserToken(ctx, seen.Person.ID, change); lost == nil || errors.Is(lost, errNotOurs) {
			break
		}
		_ = k.config.Wait(ctx, turnEvery) // which ends with ctx, as the next try does
	}
	switch {
	case isOver:
		k.config.Log.Warn().Err(over).Str("event", "user_token.lost").Str("person", seen.Person.Login).Msg("a user access token could not be renewed: the person has to let the App act for them again")
		return &NeededError{Person: seen.Person, Why: "GitHub does not renew their token any more"}
	case err != nil:
		return fmt.Errorf("renew the token of %s: %w", seen.Person.Login, err)
	case lost != nil && !errors.Is(lost, errNotOurs):
		return fmt.Errorf("keep the new token of %s, who will have to let the App act for them again: %w", seen.Person.Login, lost)
	default:
		return nil
	}
}

// forget leaves nothing of a person but what nobody else could see.
func (k *Keeper) forget(kept *Kept) {
	kept.Sealed, kept.Turn, kept.TurnUntil, kept.ExpiresAt, kept.RefreshExpiresAt = nil, "", time.Time{}, time.Time{}, time.Time{}
	if !kept.Pays || !k.config.Now().Before(kept.ExpectedUntil.Add(expectedAfter)) {
		kept.ExpectedUntil, kept.Pays = time.Time{}, false
	}
}

// Forget forgets the tokens of a person who has taken back, at GitHub, that the App may
// act for them.
func (k *Keeper) Forget(ctx context.Context, person policy.Actor) error {
	return k.take(ctx, person, person, "they have taken it back at GitHub")
}

var errNothing = errors.New("nothing is kept of them")

func (k *Keeper) take(ctx context.Context, person, by policy.Actor, why string) error {
	err := k.config.Store.ChangeUserToken(ctx, person.ID, func(kept *Kept) ([]audit.Entry, error) {
		if len(kept.Sealed) == 0 {
			return nil, errNothing
		}
		k.forget(kept)
		return []audit.Entry{k.entry(by, "user_token.forget", kept.Person, why)}, nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// Revoke takes back that the App may act for the person, at GitHub as well. Whatever
// becomes of that, nothing is kept any more.
func (k *Keeper) Revoke(ctx context.Context, person, by policy.Actor) error {
	kept, err := k.config.Store.UserToken(ctx, person.ID)
	if err != nil || len(kept.Sealed) == 0 {
		return err
	}
	token, unrevoked := k.Token(ctx, person) // GitHub revokes nothing for a token that is over
	if err := k.take(ctx, person, by, "taken back here"); err != nil {
		return err
	}
	if unrevoked == nil {
		unrevoked = k.config.GitHub.Revoke(ctx, token.Reveal())
	}
	if unrevoked != nil {
		return fmt.Errorf("nothing of %s is kept any more, but GitHub did not take back that the App may act for them; they can, at %s: %w", kept.Person.Login, k.config.SettingsURL, unrevoked)
	}
	return nil
}
