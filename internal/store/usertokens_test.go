package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

func TestUserTokens(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		whole := usertoken.Kept{
			Person: policy.Actor{ID: 42, Login: "ann", Kind: policy.KindUser}, Sealed: []byte{0, 1, 255, '\''}, ExpiresAt: start.Add(time.Hour), RefreshExpiresAt: start.Add(2 * time.Hour),
			Turn: "T", TurnUntil: start.Add(time.Minute), ExpectedUntil: start.Add(3 * time.Hour), Pays: true,
		}
		change := func(to usertoken.Kept, entries ...audit.Entry) {
			t.Helper()
			must(t, d.ChangeUserToken(t.Context(), 42, func(kept *usertoken.Kept) ([]audit.Entry, error) {
				*kept = to
				return entries, nil
			}))
		}
		kept := func() usertoken.Kept {
			t.Helper()
			is, err := d.UserToken(t.Context(), 42)
			must(t, err)
			return is
		}
		if is := kept(); !is.IsEmpty() || is.Person.ID != 42 {
			t.Errorf("of nobody: %+v", is)
		}
		change(whole, audit.Entry{At: start, Actor: "ann", ActorID: 42, Action: "user_token.keep", Subject: "@ann"})
		d.reopen(t)
		if is := kept(); !reflect.DeepEqual(is, whole) {
			t.Errorf("%+v, want %+v", is, whole)
		}
		refusal := errors.New("no")
		if err := d.ChangeUserToken(t.Context(), 42, func(kept *usertoken.Kept) ([]audit.Entry, error) {
			*kept = usertoken.Kept{}
			return nil, refusal
		}); !errors.Is(err, refusal) || !reflect.DeepEqual(kept(), whole) {
			t.Errorf("%v, and %+v is kept", err, kept())
		}
		for after, want := range map[time.Duration]int{0: 1, 3*time.Hour - time.Millisecond: 1, 3 * time.Hour: 0} {
			if all, err := d.ExpectingUserTokens(t.Context(), start.Add(after)); err != nil || len(all) != want {
				t.Errorf("expected after %s: %+v, %v", after, all, err)
			}
		}
		lasting := usertoken.Kept{Person: whole.Person, Sealed: []byte("x")}
		change(lasting)
		if is := kept(); !reflect.DeepEqual(is, lasting) {
			t.Errorf("%+v, want %+v", is, lasting)
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := d.ChangeUserToken(t.Context(), 42, func(kept *usertoken.Kept) ([]audit.Entry, error) {
					kept.Sealed = append(kept.Sealed, 'x')
					return nil, nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if is := kept(); len(is.Sealed) != 21 {
			t.Errorf("twenty at once make %q", is.Sealed)
		}
		change(usertoken.Kept{Person: whole.Person})
		if is := kept(); !is.IsEmpty() || is.Person.Login != "" {
			t.Errorf("nothing is to be kept: %+v", is)
		}
		entries, err := d.AuditEntries(t.Context(), 0, 10)
		must(t, err)
		if acts := fmt.Sprint(len(entries)); acts != "1" || entries[0].Action != "user_token.keep" {
			t.Errorf("%s entries: %+v", acts, entries)
		}
	})
}

// What cannot be renewed any more is not kept, and neither is what was expected long ago.
func TestUserTokensArePruned(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		put := func(k usertoken.Kept, entries ...audit.Entry) {
			t.Helper()
			must(t, d.ChangeUserToken(t.Context(), k.Person.ID, func(kept *usertoken.Kept) ([]audit.Entry, error) {
				*kept = k
				return entries, nil
			}))
		}
		const day = 24 * time.Hour
		now := d.clock.Now()
		person := func(id int64, login string) policy.Actor { return policy.Actor{ID: id, Login: login} }
		said := audit.Entry{At: start, Actor: "Zoe", ActorID: 1, Action: usertoken.ActionKeep, Subject: "@Zoe"}
		put(usertoken.Kept{Person: person(1, "Zoe"), Sealed: []byte("x"), ExpiresAt: now.Add(-3 * day), RefreshExpiresAt: now.Add(day)}, said)
		put(usertoken.Kept{Person: person(2, "ann"), Sealed: []byte("x")})
		put(usertoken.Kept{Person: person(3, "bob"), Sealed: []byte("x"), ExpiresAt: now.Add(-3 * day), RefreshExpiresAt: now.Add(-2 * day)})
		put(usertoken.Kept{Person: person(4, "cid"), Sealed: []byte("x"), ExpiresAt: now.Add(-3 * day), RefreshExpiresAt: now.Add(-2 * day), ExpectedUntil: now.Add(-time.Hour), Pays: true})
		put(usertoken.Kept{Person: person(-5, "acme"), ExpectedUntil: now.Add(-2 * day)})
		put(usertoken.Kept{Person: person(-6, "other"), ExpectedUntil: now})
		_, err := d.Prune(t.Context(), now)
		must(t, err)
		all, err := d.Authorizations(t.Context())
		must(t, err)
		if len(all) != 2 || all[0].Person.Login != "ann" || !all[0].Since.IsZero() || all[1].Person.Login != "Zoe" || !all[1].Since.Equal(start) {
			t.Errorf("%+v", all)
		}
		expected, err := d.ExpectingUserTokens(t.Context(), start.Add(-1000*time.Hour))
		must(t, err)
		if len(expected) != 2 || expected[0].Person.ID != -6 || expected[1].Person.Login != "cid" || len(expected[1].Sealed) != 0 || !expected[1].Pays {
			t.Errorf("%+v", expected)
		}
	})
}
