package app

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/credential/vault"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/web"
)

// secrets is GitHub as credentials need it.
type secrets struct{ *githubapi.Client }

var (
	_ credential.Platform   = secrets{}
	_ credential.Gatekeeper = secrets{}
	_ credential.Minter     = secrets{}
	_ credential.Places     = secrets{}
	_ web.Lender            = exchange{}
)

// secretPrefix is what the variables of the environment begin with that may be lent.
const secretPrefix = "PORTCULLIS_SECRET_" //nolint:gosec // a name, and no secret

// newProviders are what makes credentials on this server.
func newProviders(config Config, client *githubapi.Client, options Options) (map[policy.CredentialProvider]credential.Provider, error) {
	kept, err := credential.NewEnvSecretStore(secretPrefix, options.environ)
	if err != nil {
		return nil, err
	}
	providers := map[policy.CredentialProvider]credential.Provider{
		policy.ProviderOpaque:            credential.Opaque{},
		policy.ProviderInstallationToken: credential.InstallationToken{Minter: secrets{client}, Now: options.Now},
		policy.ProviderLend:              credential.Lend{Store: kept},
	}
	if v := config.Credentials.Vault; v != (VaultConfig{}) {
		providers[policy.ProviderVault] = vault.New(vault.Config{
			Address: v.Address, Namespace: v.Namespace, RoleID: v.RoleID, SecretID: credential.NewSecret(v.SecretID), Now: options.Now,
		})
	}
	return providers, nil
}

func in(slot credential.Slot) githubapi.Secrets {
	return githubapi.Secrets{Repository: slot.Repository, Environment: slot.Environment}
}

// Secret reads what GitHub tells of a secret.
func (s secrets) Secret(ctx context.Context, slot credential.Slot) (credential.SecretMeta, bool, time.Time, error) {
	meta, found, at, err := s.Client.Secret(ctx, in(slot), slot.Name)
	return credential.SecretMeta{CreatedAt: meta.CreatedAt, UpdatedAt: meta.UpdatedAt}, found, at, err
}

// PublicKey is what secrets are sealed with.
func (s secrets) PublicKey(ctx context.Context, slot credential.Slot) (credential.PublicKey, error) {
	id, key, err := s.Client.PublicKey(ctx, in(slot))
	return credential.PublicKey{ID: id, Key: key}, err
}

// PutSecret writes a secret. GitHub does not document how it refuses what was sealed with
// a key that it has replaced: whatever it finds invalid may be that.
func (s secrets) PutSecret(ctx context.Context, slot credential.Slot, keyID, sealed string) (bool, error) {
	created, err := s.Client.PutSecret(ctx, in(slot), slot.Name, keyID, sealed)
	if failure, is := errors.AsType[*githubapi.Error](err); is && failure.Invalid() {
		return false, &credential.StaleKeyError{Cause: err}
	}
	return created, err
}

// DeleteSecret deletes a secret.
func (s secrets) DeleteSecret(ctx context.Context, slot credential.Slot) (bool, error) {
	return s.Client.DeleteSecret(ctx, in(slot), slot.Name)
}

// Secrets lists secrets.
func (s secrets) Secrets(ctx context.Context, repository policy.Repository, environment string) (map[string]credential.SecretMeta, time.Time, error) {
	all, at, err := s.ListSecrets(ctx, githubapi.Secrets{Repository: repository, Environment: environment})
	found := map[string]credential.SecretMeta{}
	for _, one := range all {
		found[one.Name] = credential.SecretMeta{CreatedAt: one.CreatedAt, UpdatedAt: one.UpdatedAt}
	}
	return found, at, err
}

// Sweepable is where the App may see secrets. Where it may not it never wrote one, and
// asking each repository would be in vain.
func (s secrets) Sweepable(ctx context.Context, installation int64) (credential.Sight, error) {
	may, suspended, err := s.InstallationPermissions(ctx, installation)
	if failure, is := errors.AsType[*githubapi.Error](err); is && failure.Status == http.StatusNotFound {
		return credential.Sight{}, nil // the App was removed there
	}
	if err != nil || suspended {
		return credential.Sight{}, err
	}
	sight := credential.Sight{Own: may["secrets"] != "", Environments: may["environments"] != "" && may["actions"] != ""}
	if sight.Own || sight.Environments {
		sight.Repositories, err = s.Repositories(ctx, installation)
	}
	return sight, err
}

// Locate finds a repository by its number.
func (s secrets) Locate(ctx context.Context, repository policy.Repository) (credential.Located, bool, error) {
	now, archived, found, err := s.Client.Locate(ctx, repository)
	return credential.Located{Repository: now, Archived: archived}, found, err
}

// MintToken makes an installation token.
func (s secrets) MintToken(ctx context.Context, repository policy.Repository, permissions map[string]string) (credential.Secret, time.Time, error) {
	token, expires, err := s.Client.MintToken(ctx, repository, permissions)
	return credential.NewSecret(token), expires, err
}

// RevokeToken ends one.
func (s secrets) RevokeToken(ctx context.Context, installation int64, token credential.Secret, made time.Time) error {
	return s.Client.RevokeToken(ctx, installation, token.Reveal(), made)
}

// Find finds the repository of a job.
func (s secrets) Find(ctx context.Context, job credential.Job) (policy.Repository, bool, error) {
	return s.RepositoryOf(ctx, job.Repository, job.RepositoryID, job.OwnerID)
}

// WorkflowRun reads a run.
func (s secrets) WorkflowRun(ctx context.Context, repository policy.Repository, run int64) (credential.Run, error) {
	found, there, err := s.Client.WorkflowRun(ctx, repository, run)
	return credential.Run{HeadSHA: found.HeadSHA, Event: found.Event, Attempt: found.Attempt, Ended: !there || found.Completed}, err
}

// ReviewDeployment gives a word on what waits.
func (s secrets) ReviewDeployment(ctx context.Context, d credential.Deployment, state credential.ReviewState, comment string) error {
	waiting, err := s.Client.ReviewDeployment(ctx, d.On.Repository, d.Run, d.Environment, string(state), comment)
	if err == nil && !waiting {
		zerolog.Ctx(ctx).Info().Str("event", "deployment.gone").Stringer("deployment", d).Msg("a job that waited for a word waits no more")
	}
	return err
}

// exchange is what jobs are lent for id-tokens. They can ask again: the last of the hour's
// budget is not for them.
type exchange struct{ *credential.Exchange }

// Lend lends to a job.
func (e exchange) Lend(ctx context.Context, job credential.Job, loan policy.LoanRequest) (credential.JITCredential, error) {
	return e.Exchange.Lend(githubapi.Background(ctx), job, loan)
}

// handles encrypts what revoking a credential needs, with a key that follows from the
// App's private key: what is in the database alone cannot be read, and there is no other
// key to keep. Once the private key is changed, what was encrypted before cannot be
// revoked any more, and ends by itself within the hour.
type handles struct{ sealed cipher.AEAD }

func newHandles(privateKey string) (handles, error) {
	key, err := hkdf.Key(sha256.New, []byte(privateKey), nil, "portcullis credential handles", 32)
	if err != nil {
		return handles{}, fmt.Errorf("derive the key of credential handles: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return handles{}, err
	}
	sealed, err := cipher.NewGCMWithRandomNonce(block)
	return handles{sealed}, err
}

// Encrypt encrypts for a purpose.
func (h handles) Encrypt(plain []byte, purpose string) ([]byte, error) {
	return h.sealed.Seal(nil, nil, plain, []byte(purpose)), nil //nolint:gosec // this AEAD makes a random nonce itself
}

// Decrypt decrypts what was encrypted for that purpose.
func (h handles) Decrypt(encrypted []byte, purpose string) ([]byte, error) {
	return h.sealed.Open(nil, nil, encrypted, []byte(purpose))
}

// wait waits on the wall clock.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
