package credential_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// What cannot be taken back is handed to nobody: it goes only into a secret of an
// environment.
func TestALentSecretIsNotHandedToWhoAsks(t *testing.T) {
	issuer := credential.NewGitHubJITCredentialIssuer(credential.Config{
		Providers: map[policy.CredentialProvider]credential.Provider{policy.ProviderLend: credential.Lend{Store: credential.NewMemorySecretStore()}},
		Permit: func(context.Context, credential.Lease) error {
			t.Error("it is judged")
			return nil
		},
		Now: time.Now,
	})
	_, err := issuer.Issue(t.Context(), credential.Request{
		For: shop, Scope: []string{"db"}, TTL: time.Minute, Provider: policy.ProviderLend, Source: "db-password", Slot: credential.Slot{Environment: "production"},
	})
	if refused, is := errors.AsType[*credential.RefusedError](err); !is || refused.Waits {
		t.Errorf("got %v", err)
	}
}
