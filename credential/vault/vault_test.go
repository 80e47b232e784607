package vault_test

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/credential/vault"
)

// provider is one that asks the fake server.
func (f *fake) provider() *vault.Provider {
	return vault.New(vault.Config{Address: f.URL + "/", Namespace: f.namespace, RoleID: fakeRole, SecretID: credential.NewSecret(fakeSecret), Now: f.clock})
}

// order is for ten minutes.
func (f *fake) order(source string) credential.Order {
	return credential.Order{Source: source, NotAfter: f.clock().Add(10 * time.Minute)}
}

// TestALeaseIsMadeAndRevoked runs against the fake server and, where
// PORTCULLIS_VAULT_ADDRESS, …_ROLE_ID and …_SECRET_ID name a real one, against that: it
// needs an engine at database/creds/deploy that makes a username and a password, and a
// key-value store with a password at kv/a, both of which the role may read.
func TestALeaseIsMadeAndRevoked(t *testing.T) {
	f := newFake(t)
	servers := map[string]*vault.Provider{"fake": f.provider()}
	if address := os.Getenv("PORTCULLIS_VAULT_ADDRESS"); address != "" {
		servers["real"] = vault.New(vault.Config{
			Address: address, RoleID: os.Getenv("PORTCULLIS_VAULT_ROLE_ID"), SecretID: credential.NewSecret(os.Getenv("PORTCULLIS_VAULT_SECRET_ID")), Now: time.Now,
		})
	}
	for name, p := range servers {
		t.Run(name, func(t *testing.T) {
			made, err := p.Issue(t.Context(), f.order("database/creds/deploy#username,password"))
			if err != nil {
				t.Fatal(err)
			}
			if names := slices.Sorted(maps.Keys(made.Values)); !slices.Equal(names, []string{"PASSWORD", "USERNAME"}) || made.Values["PASSWORD"].IsZero() || made.NotAfter.IsZero() {
				t.Errorf("made %v until %s", names, made.NotAfter)
			}
			one, err := p.Issue(t.Context(), f.order("database/creds/deploy#password"))
			if err != nil || one.Values[""].IsZero() || len(one.Values) != 1 {
				t.Fatalf("made %v, %v", one.Values, err)
			}
			for range 2 { // again: it has ended by then
				for _, handle := range [][]byte{made.Handle, one.Handle, []byte(`{"lease_id":"database/creds/deploy/nothing"}`)} {
					if err := p.Revoke(t.Context(), handle); err != nil {
						t.Errorf("revoke: %v", err)
					}
				}
			}
			for source, want := range map[string]string{
				"kv/a#password":                 "what Vault has at kv/a comes without a lease, and could not be taken back",
				"database/creds/nobody#x":       "read database/creds/nobody at Vault: it answered 404: there is nothing",
				"elsewhere/x#password":          "read elsewhere/x at Vault: it answered 403: the role may not do that",
				"database/creds/deploy#private": "has no field private with a text in it",
			} {
				if made, err := p.Issue(t.Context(), f.order(source)); err == nil || !strings.Contains(err.Error(), want) || len(made.Values) != 0 {
					t.Errorf("%s: %v, want %q", source, err, want)
				}
			}
		})
	}
	if n := f.live(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

func TestPlan(t *testing.T) {
	p := vault.New(vault.Config{})
	can, err := p.Plan(credential.Order{Source: "aws/creds/deploy#access_key,secret_key"})
	if err != nil || !can.Revocable || can.EnvironmentOnly || !slices.Equal(can.Values, []string{"ACCESS_KEY", "SECRET_KEY"}) {
		t.Errorf("planned %+v, %v", can, err)
	}
	if can, err := p.Plan(credential.Order{Source: "aws/creds/deploy#token"}); err != nil || can.Values != nil {
		t.Errorf("planned %+v, %v", can, err)
	}
	for source, want := range map[string]string{
		"": "which field", "database/creds/deploy": "which field", "#password": "must be a path", "database#password": "must be a path",
		"/database/creds#x": "must be a path", "a/../sys/raw#x": "must be a path", "a/b?list=true#x": "must be a path", "sys/raw/x#x": "keeps under sys/",
		"auth/token/lookup-self#id": "keeps under auth/", "a/b#": "must name fields", "a/b#x,": "must name fields", "a/b#x,X": "twice",
	} {
		if _, err := p.Plan(credential.Order{Source: source}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", source, err, want)
		}
	}
}

// TestALeaseEndsWithItsToken is about tokens: one that would end too early is not used,
// and what it limits is told.
func TestALeaseEndsWithItsToken(t *testing.T) {
	f := newFake(t)
	p := f.provider()
	issue := func(logins int, until time.Duration) credential.Material {
		t.Helper()
		made, err := p.Issue(t.Context(), f.order("database/creds/deploy#password"))
		if err != nil {
			t.Fatal(err)
		}
		if got := made.NotAfter.Sub(f.clock()); got != until || f.logins != logins {
			t.Errorf("it lives %s, after %d logins, want %s after %d", got, f.logins, until, logins)
		}
		return made
	}
	issue(1, 20*time.Minute)
	f.pass(9 * time.Minute)
	issue(1, 11*time.Minute)
	f.pass(2 * time.Minute) // nine are left, and it is lent for ten
	last := issue(2, 20*time.Minute)
	f.endTokens()
	if err := p.Revoke(t.Context(), last.Handle); err != nil || f.logins != 3 {
		t.Errorf("with a token that had ended: %v, %d logins", err, f.logins)
	}
	f.life = 5 * time.Minute
	f.endTokens()
	issue(4, 5*time.Minute) // as long as the role's tokens live, which the lease is told of
	f.life = 2 * time.Hour
	issue(5, time.Hour)
}

// TestWhatCannotBeLentIsEnded makes what is not fit to be lent.
func TestWhatCannotBeLentIsEnded(t *testing.T) {
	f := newFake(t)
	for source, want := range map[string]string{
		"database/creds/endless#password": "does not say when it ends", "database/creds/deploy#number": "no field number with a text",
		"database/creds/deploy#empty": "no field empty with a text", "database/creds/deploy#password,x": "no field x with a text",
	} {
		if _, err := f.provider().Issue(t.Context(), f.order(source)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "of the database") {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
	if f.count != 4 || f.live() != 0 {
		t.Errorf("%d were made, %d are left", f.count, f.live())
	}
}

// TestWhatVaultDoesNotDo has calls fail. No error has anything in it that is secret or
// that the server said, and the log has what it said.
func TestWhatVaultDoesNotDo(t *testing.T) {
	f := newFake(t)
	f.namespace = "team"
	var log bytes.Buffer
	ctx := zerolog.New(&log).WithContext(t.Context())
	made, err := f.provider().Issue(ctx, f.order("database/creds/deploy#password"))
	if err != nil {
		t.Fatal(err)
	}
	const inner = "dial tcp 10.0.0.5:5432: refused"
	for name, c := range map[string]struct {
		path   string
		status int
		header map[string]string
		told   string
		want   string // "" is no error
	}{
		"the lease is not known":     {"sys/leases/revoke", 400, nil, "invalid lease", ""},
		"nor found":                  {"sys/leases/revoke", 400, nil, "lease not found", ""},
		"a bad request is no end":    {"sys/leases/revoke", 400, nil, inner, "revoke a lease at Vault: it answered 400"},
		"nor is what is not there":   {"sys/leases/revoke", 404, nil, inner, "it answered 404: there is nothing"},
		"the engine failed":          {"sys/leases/revoke", 500, nil, inner, "it answered 500"},
		"sealed":                     {"sys/leases/revoke", 503, nil, "Vault is sealed", "it is sealed, or not up"},
		"led elsewhere":              {"sys/leases/revoke", 307, map[string]string{"Location": "http://127.0.0.1:1/v1/sys/leases/revoke"}, "", "it leads elsewhere, and is not followed"},
		"a limit":                    {"sys/leases/revoke", 429, map[string]string{"Retry-After": "7"}, "request path: rate limit quota exceeded", "its limit is reached until 2026-11-24T09:00:07Z"},
		"a limit that is not told":   {"sys/leases/revoke", 429, nil, "", "until 2026-11-24T09:01:00Z"},
		"nobody may log in":          {"auth/approle/login", 400, nil, "invalid secret id", "log in at Vault: it answered 400"},
		"a login that gives nothing": {"auth/approle/login", 200, nil, "", "log in at Vault: it gave no token"},
	} {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			f.failOnce(c.path, c.status, c.header, c.told)
			err := f.provider().Revoke(ctx, made.Handle)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			for _, secret := range []string{fakeSecret, "hvs.", "of the database"} {
				if strings.Contains(log.String(), secret) || err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("%q is told: %v, %s", secret, err, log.String())
				}
			}
			if err != nil && strings.Contains(err.Error(), inner) || c.status != http.StatusOK && !strings.Contains(log.String(), c.told) {
				t.Errorf("%v, and the log says %s", err, log.String())
			}
			limit, limited := errors.AsType[credential.Limit](err)
			if limited != (c.status == http.StatusTooManyRequests) || limited && !limit.RetryTime().After(f.clock()) {
				t.Errorf("a limit: %t, %v", limited, err)
			}
		})
	}
	f.Close()
	if err := f.provider().Revoke(ctx, made.Handle); err == nil || err.Error() != "log in at Vault: it could not be reached" {
		t.Errorf("nobody there: %v", err)
	}
	for _, handle := range []string{"", "{}", "hvs.x"} {
		if err := f.provider().Revoke(ctx, []byte(handle)); err == nil || strings.Contains(err.Error(), "hvs.") {
			t.Errorf("the handle %q: %v", handle, err)
		}
	}
}
