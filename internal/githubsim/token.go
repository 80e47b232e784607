package githubsim

import (
	"fmt"
	"slices"
	"time"
)

// token is what an Authorization header may hold: a user's, an installation's, or a user's that an App acts with for them.
type token struct {
	value       string
	user        *User             // nil for an installation's
	install     *Installation     // nil for a user's
	grant       *authorization    // of a user access token
	expires     time.Time         // zero: never
	repos       []int64           // nil: all
	permissions map[string]string // nil: all that are granted

	refresh        string // of a user access token that expires
	refreshExpires time.Time
	fromDevice     bool // it was asked for by a device, which has no client secret
}

// tokenLifetime is how long an installation token lives.
const tokenLifetime = time.Hour

// newToken makes an installation token in the format in use since 2026: with the App's id and what looks like a JWT, some 520 characters.
func (s *Sim) newToken(i *Installation) *token {
	t := &token{
		value:   fmt.Sprintf("ghs_%d_%s.%s.%s", i.app.id, randomHex(18), randomHex(64), randomHex(171)),
		install: i, expires: s.valid().Add(tokenLifetime).UTC().Truncate(time.Second),
	}
	s.tokens[t.value] = t
	return t
}

// expired says whether the token's time is over.
func (t *token) expired(now time.Time) bool { return !t.expires.IsZero() && !now.Before(t.expires) }

// limited says whether the token is good for no more than an App may do: its installation's, or a user's through it.
func (t *token) limited() bool { return t.install != nil || t.grant != nil }

// at is the installation through which a limited token works on what the organization owns, or nil.
func (t *token) at(o *Organization) *Installation {
	switch {
	case o == nil:
		return nil
	case t.install != nil && t.install.org == o:
		return t.install
	case t.grant != nil:
		for _, i := range o.installs {
			if i.app == t.grant.app && !i.suspended {
				return i
			}
		}
	}
	return nil
}

// may says whether a limited token, which may have been narrowed, has at least that level there.
func (t *token) may(o *Organization, name, level string) bool {
	i := t.at(o)
	return i != nil && i.allows(name, level) && (t.permissions == nil || holds(t.permissions, name, level))
}

// covers says whether a limited token reaches the repository.
func (t *token) covers(r *Repository) bool {
	return t.at(r.org) != nil && (t.repos == nil || slices.Contains(t.repos, r.id))
}
