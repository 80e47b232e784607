package credential_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

func TestWhatProvidersPlan(t *testing.T) {
	for name, c := range map[string]struct {
		provider credential.Provider
		order    credential.Order
		want     string // "" is planned
	}{
		"an opaque token for anything":       {credential.Opaque{}, credential.Order{Scope: []string{"deploy:staging"}}, ""},
		"an installation token":              {credential.InstallationToken{}, credential.Order{Scope: []string{"contents:read", "packages:write"}}, ""},
		"one that writes what a gate asks":   {credential.InstallationToken{}, credential.Order{Scope: []string{"contents:read", "checks:write"}}, "checks:read may be lent"},
		"one that writes labels":             {credential.InstallationToken{}, credential.Order{Scope: []string{"issues:write"}}, "issues:read may be lent"},
		"one that reads secrets":             {credential.InstallationToken{}, credential.Order{Scope: []string{"secrets:read"}}, `"secrets:read" is not a permission`},
		"one that administers":               {credential.InstallationToken{}, credential.Order{Scope: []string{"administration:write"}}, "is not a permission"},
		"one for a level that there is not":  {credential.InstallationToken{}, credential.Order{Scope: []string{"contents:admin"}}, "has no level"},
		"one that go-github cannot ask for":  {credential.InstallationToken{}, credential.Order{Scope: []string{"attestations:read"}}, "is not a permission"},
		"one for another spelling":           {credential.InstallationToken{}, credential.Order{Scope: []string{"Contents:read"}}, "is not a permission"},
		"a secret":                           {credential.Lend{}, credential.Order{Source: "db-password"}, ""},
		"a secret without a name":            {credential.Lend{}, credential.Order{}, "is not a name for a secret"},
		"a secret in the environment's name": {credential.Lend{}, credential.Order{Source: "DB_PASSWORD"}, "is not a name for a secret"},
		"a secret elsewhere":                 {credential.Lend{}, credential.Order{Source: "../key"}, "is not a name for a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			can, err := c.provider.Plan(c.order)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if _, lends := c.provider.(credential.Lend); can.Revocable == lends || can.EnvironmentOnly != lends {
				t.Errorf("%+v", can)
			}
		})
	}
}

// mint is a Minter in memory.
type mint struct {
	asked   map[string]string
	revoked []string
	limit   error
}

func (m *mint) MintToken(_ context.Context, _ policy.Repository, permissions map[string]string) (credential.Secret, time.Time, error) {
	m.asked = permissions
	return credential.NewSecret("ghs_x"), time.Unix(3600, 0), nil
}

func (m *mint) RevokeToken(_ context.Context, installation int64, token credential.Secret, made time.Time) error {
	if installation == 5 && made.Equal(time.Unix(7, 0)) {
		m.revoked = append(m.revoked, token.Reveal())
	}
	return m.limit
}

func TestInstallationToken(t *testing.T) {
	m := &mint{}
	provider := credential.InstallationToken{Minter: m, Now: func() time.Time { return time.Unix(7, 0) }}
	made, err := provider.Issue(t.Context(), credential.Order{Repository: shop.Repository, Scope: []string{"contents:write", "contents:read", "issues:read"}})
	if err != nil || made.Values[""].Reveal() != "ghs_x" || !made.NotAfter.Equal(time.Unix(3600, 0)) {
		t.Fatalf("made %v, %v", made, err)
	}
	if want := map[string]string{"contents": "write", "issues": "read"}; !maps.Equal(m.asked, want) {
		t.Errorf("asked for %v, want %v", m.asked, want)
	}
	if err := provider.Revoke(t.Context(), made.Handle); err != nil || !slices.Equal(m.revoked, []string{"ghs_x"}) {
		t.Errorf("revoked %v, %v", m.revoked, err)
	}
	m.limit = errAway
	if err := provider.Revoke(t.Context(), made.Handle); !errors.Is(err, errAway) {
		t.Errorf("what failed is %v", err)
	}
	for _, handle := range []string{"", "{}", "ghs_x"} {
		if err := provider.Revoke(t.Context(), []byte(handle)); err == nil || strings.Contains(err.Error(), "ghs_") {
			t.Errorf("the handle %q: %v", handle, err)
		}
	}
}

func TestSecretsOfTheEnvironment(t *testing.T) {
	if _, err := credential.NewEnvSecretStore("", func() []string { return nil }); err == nil {
		t.Error("the whole environment may be lent")
	}
	store, err := credential.NewEnvSecretStore("P_", func() []string {
		return []string{"P_DB_PASSWORD=a", "P_DB_PASSWORD=b=c", "P_EMPTY=", "P_lower=x", "P__X=x", "GITHUB_KEY=x", "P_1=x"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if names, err := store.List(t.Context()); err != nil || !slices.Equal(names, []string{"db-password", "empty"}) {
		t.Errorf("listed %v, %v", names, err)
	}
	lend := credential.Lend{Store: store}
	if made, err := lend.Issue(t.Context(), credential.Order{Source: "db-password"}); err != nil || made.Values[""].Reveal() != "b=c" || made.Handle != nil {
		t.Errorf("lent %v, %v", made, err)
	}
	for source, want := range map[string]string{"empty": "is empty", "github-key": "there is no such secret", "lower": "there is no such secret"} {
		if made, err := lend.Issue(t.Context(), credential.Order{Source: source}); err == nil || !strings.Contains(err.Error(), want) || len(made.Values) != 0 {
			t.Errorf("%s: lent %v, %v", source, made, err)
		}
	}
	if err := errors.Join(store.Set(t.Context(), "x", credential.NewSecret("y")), store.Delete(t.Context(), "x")); !errors.Is(err, credential.ErrReadOnly) {
		t.Errorf("changed: %v", err)
	}
}
