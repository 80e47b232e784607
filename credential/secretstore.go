package credential

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/portcullis-app/portcullis/policy"
)

// SecretStore keeps secrets that are lent out. It may be used by several goroutines.
type SecretStore interface {
	// Get returns the secret, which may be empty, or [ErrNoSecret].
	Get(ctx context.Context, name string) (Secret, error)
	// Set keeps a secret under a name of small letters, digits and single dashes.
	Set(ctx context.Context, name string, value Secret) error
	// Delete forgets one; that it is not there is no error.
	Delete(ctx context.Context, name string) error
	// List lists the names, in order.
	List(ctx context.Context) ([]string, error)
}

var (
	// ErrNoSecret is returned for a name that nothing is kept under.
	ErrNoSecret = errors.New("there is no such secret")
	// ErrReadOnly is returned by stores that are changed elsewhere.
	ErrReadOnly = errors.New("the secret store cannot be changed from here")
)

func checkSecretName(name string) error {
	if !policy.IsSecretName(name) {
		return fmt.Errorf("%q is not a name for a secret; use small letters, digits and single dashes, a letter first", name)
	}
	return nil
}

// MemorySecretStore is a [SecretStore] that forgets everything with the process.
type MemorySecretStore struct {
	mu   sync.Mutex
	kept map[string]Secret
}

var _ SecretStore = (*MemorySecretStore)(nil)

// NewMemorySecretStore returns an empty store.
func NewMemorySecretStore() *MemorySecretStore {
	return &MemorySecretStore{kept: map[string]Secret{}}
}

// Get returns the secret.
func (m *MemorySecretStore) Get(_ context.Context, name string) (Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, kept := m.kept[name]
	if !kept {
		return Secret{}, fmt.Errorf("%w: %q", ErrNoSecret, name)
	}
	return value, nil
}

// Set keeps a secret.
func (m *MemorySecretStore) Set(_ context.Context, name string, value Secret) error {
	if err := checkSecretName(name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[name] = value
	return nil
}

// Delete forgets a secret.
func (m *MemorySecretStore) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, name)
	return nil
}

// List lists the names.
func (m *MemorySecretStore) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.kept)), nil
}

// EnvSecretStore is a [SecretStore] over environment variables: with the prefix
// PORTCULLIS_SECRET_, db-password is PORTCULLIS_SECRET_DB_PASSWORD. What has another
// prefix it does not have, so that nothing else of the environment can be lent.
type EnvSecretStore struct {
	prefix  string
	environ func() []string
}

var _ SecretStore = (*EnvSecretStore)(nil)

// NewEnvSecretStore returns the store of the variables that begin with the prefix, which
// is not empty; environ is [os.Environ].
func NewEnvSecretStore(prefix string, environ func() []string) (*EnvSecretStore, error) {
	if prefix == "" {
		return nil, errors.New("a secret store over the environment needs a prefix: without one the whole environment could be lent")
	}
	return &EnvSecretStore{prefix: prefix, environ: environ}, nil
}

// all are the secrets by name. Of a variable that is there twice the last one counts,
// as for os.Getenv.
func (e *EnvSecretStore) all() map[string]Secret {
	found := map[string]Secret{}
	for _, variable := range e.environ() {
		key, value, _ := strings.Cut(variable, "=")
		ending, ours := strings.CutPrefix(key, e.prefix)
		name := strings.ToLower(strings.ReplaceAll(ending, "_", "-"))
		if ours && ending == strings.ToUpper(ending) && checkSecretName(name) == nil {
			found[name] = NewSecret(value)
		}
	}
	return found
}

// Get returns the variable's value.
func (e *EnvSecretStore) Get(_ context.Context, name string) (Secret, error) {
	value, found := e.all()[name]
	if !found {
		return Secret{}, fmt.Errorf("%w: %q", ErrNoSecret, name)
	}
	return value, nil
}

// Set returns [ErrReadOnly]: what a process sets in its environment is gone with it.
func (*EnvSecretStore) Set(context.Context, string, Secret) error { return ErrReadOnly }

// Delete returns [ErrReadOnly].
func (*EnvSecretStore) Delete(context.Context, string) error { return ErrReadOnly }

// List lists the names.
func (e *EnvSecretStore) List(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(e.all())), nil
}
