package usertoken

import (
	"context"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// Expectation is that a person or an organization may have something that was made with a
// person's token.
type Expectation struct {
	Person policy.Actor
	// Place is the organization, without a name, instead of a person.
	Place policy.Repository
	// Until is until when it may be there.
	Until time.Time
	// Pays is true if the person pays for it, so that nobody else can see it.
	Pays bool
}

// IsIn reports whether that is the organization: one in which the App is installed anew
// has another number, and one that was renamed another login.
func (e Expectation) IsIn(place policy.Repository) bool {
	return e.Place.Installation == place.Installation || strings.EqualFold(e.Place.Owner, place.Owner)
}

// Expect keeps until when something may be there that was made with the person's token.
func (k *Keeper) Expect(ctx context.Context, person policy.Actor, until time.Time, pays bool) error {
	return k.expect(ctx, person, until, pays)
}

// ExpectIn keeps until when something may be there that the organization pays for. It is
// kept as of a person, by the number of the App's installation there below zero, which no
// person has.
func (k *Keeper) ExpectIn(ctx context.Context, place policy.Repository, until time.Time) error {
	return k.expect(ctx, policy.Actor{ID: -place.Installation, Login: place.Owner}, until, false)
}

// ExpectNoMore keeps that nothing is there any more that the organization pays for, unless
// something else is expected there by now than until that time.
func (k *Keeper) ExpectNoMore(ctx context.Context, place policy.Repository, until time.Time) error {
	return k.config.Store.ChangeUserToken(ctx, -place.Installation, func(kept *Kept) ([]audit.Entry, error) {
		if kept.ExpectedUntil.Equal(until) {
			kept.ExpectedUntil = time.Time{}
		}
		return nil, nil
	})
}

func (k *Keeper) expect(ctx context.Context, whom policy.Actor, until time.Time, pays bool) error {
	return k.config.Store.ChangeUserToken(ctx, whom.ID, func(kept *Kept) ([]audit.Entry, error) {
		if !k.config.Now().Before(kept.ExpectedUntil.Add(expectedAfter)) {
			kept.ExpectedUntil, kept.Pays = time.Time{}, false
		}
		kept.Person = whom
		if until.After(kept.ExpectedUntil) {
			kept.ExpectedUntil = until
		}
		kept.Pays = kept.Pays || pays
		return nil, nil
	})
}

// Expected lists of whom something may be there still.
func (k *Keeper) Expected(ctx context.Context) ([]Expectation, error) {
	all, err := k.config.Store.ExpectingUserTokens(ctx, k.config.Now().Add(-expectedAfter))
	if err != nil {
		return nil, err
	}
	expected := make([]Expectation, len(all))
	for i, kept := range all {
		expected[i] = Expectation{Person: kept.Person, Until: kept.ExpectedUntil, Pays: kept.Pays}
		if kept.Person.ID < 0 {
			expected[i].Person, expected[i].Place = policy.Actor{}, policy.Repository{Installation: -kept.Person.ID, Owner: kept.Person.Login}
		}
	}
	return expected, nil
}
