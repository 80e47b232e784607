package githubsim

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// vault is the secrets of a repository or of an environment, with the key that they are sealed with.
type vault struct {
	keyID           string
	public, private *[32]byte
	secrets         map[string]*secret // by name, in capitals
}

type secret struct {
	name, value      string
	created, updated time.Time
}

// mostSecrets is how many a repository or an environment may have.
const mostSecrets = 100

// secretSize is how large one may be, before it is sealed.
const secretSize = 48 << 10

// secretName is what GitHub takes for a name: no digit first, and nothing that begins with GITHUB_.
var secretName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

func (s *Sim) newVault() *vault {
	v := &vault{secrets: map[string]*secret{}}
	v.rotate(s.id())
	return v
}

func (v *vault) rotate(id int64) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("githubsim: make a key: %v", err))
	}
	v.keyID, v.public, v.private = fmt.Sprintf("%018d", 568250167242549743+id), public, private
}

// put opens the box and keeps what is in it; created is false if there was one.
func (v *vault) put(name, keyID, sealed string, at time.Time) (created bool, err error) {
	name = strings.ToUpper(name)
	switch {
	case strings.HasPrefix(name, "GITHUB_"):
		return false, unprocessable("Secret names must not start with GITHUB_.")
	case !secretName.MatchString(name):
		return false, unprocessable("Secret names can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_). Spaces are not allowed. Must start with a letter ([a-z], [A-Z]) or underscores (_).")
	case sealed == "":
		return false, unprocessable("Invalid request.\n\n\"encrypted_value\" wasn't supplied.")
	case keyID == "":
		return false, unprocessable("Invalid request.\n\n\"key_id\" wasn't supplied.")
	}
	plain, ok := v.open(keyID, sealed)
	if !ok {
		return false, unprocessable("Bad request - improperly encrypted secret")
	}
	return v.keep(name, plain, at)
}

// open is what is in the box: ok is false for another key than the present one, and for what is no box of its.
func (v *vault) open(keyID, sealed string) (value string, ok bool) {
	encrypted, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || strings.ContainsAny(sealed, "\r\n") || keyID != v.keyID {
		return "", false
	}
	plain, ok := box.OpenAnonymous(nil, encrypted, v.public, v.private)
	return string(plain), ok
}

func (v *vault) keep(name, value string, at time.Time) (created bool, err error) {
	if len(value) > secretSize {
		return false, unprocessable("Secret value is too large")
	}
	if known := v.secrets[name]; known != nil {
		known.value, known.updated = value, at
		return false, nil
	}
	if len(v.secrets) >= mostSecrets {
		return false, unprocessable("Validation Failed: there are too many secrets")
	}
	v.secrets[name] = &secret{name: name, value: value, created: at, updated: at}
	return true, nil
}

// values is a copy of what a job reads.
func (v *vault) values() map[string]string {
	all := map[string]string{}
	for name, s := range v.secrets {
		all[name] = s.value
	}
	return all
}

// sorted are the secrets by name.
func (v *vault) sorted() []*secret {
	var list []*secret
	for _, name := range slices.Sorted(maps.Keys(v.secrets)) {
		list = append(list, v.secrets[name])
	}
	return list
}

// Environment is one that jobs may be deployed to. Its secrets are read by a job that names it, as the job starts.
type Environment struct {
	repo *Repository
	id   int64
	name string
	vault
	rules   []*protectionRule
	created time.Time
}

// protectionRule is an App whose word a job waits for.
type protectionRule struct {
	id  int64
	app *App
}

// CreateEnvironment makes one, with no rules.
func (r *Repository) CreateEnvironment(name string) *Environment {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.environment(name) != nil || name == "" {
		panic(fmt.Sprintf("githubsim: environment %q is taken or has no name", name))
	}
	return r.newEnvironment(name)
}

func (r *Repository) newEnvironment(name string) *Environment {
	e := &Environment{repo: r, id: r.sim.id(), name: name, vault: *r.sim.newVault(), created: r.sim.tick()}
	r.environments = append(r.environments, e)
	return e
}

// Protect makes jobs wait for the App's word, as an admin can in the environment's settings.
func (e *Environment) Protect(app *App) {
	e.repo.sim.mu.Lock()
	defer e.repo.sim.mu.Unlock()
	e.rules = append(e.rules, &protectionRule{id: e.repo.sim.id(), app: app})
}

// Name is the environment's.
func (e *Environment) Name() string { return e.name }

func (r *Repository) environment(name string) *Environment {
	for _, e := range r.environments {
		if strings.EqualFold(e.name, name) {
			return e
		}
	}
	return nil
}

// SetSecret has somebody write a secret by hand, whatever was there. It panics for a name that GitHub does not take.
func (r *Repository) SetSecret(name, value string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.secrets.mustKeep(name, value, r.sim.tick())
}

// DeleteSecret is somebody who deletes a secret by hand.
func (r *Repository) DeleteSecret(name string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	delete(r.secrets.secrets, strings.ToUpper(name))
}

// SetSecret does so in the environment.
func (e *Environment) SetSecret(name, value string) {
	e.repo.sim.mu.Lock()
	defer e.repo.sim.mu.Unlock()
	e.mustKeep(name, value, e.repo.sim.tick())
}

func (v *vault) mustKeep(name, value string, at time.Time) {
	if _, err := v.keep(strings.ToUpper(name), value, at); err != nil {
		panic(fmt.Sprintf("githubsim: secret %s: %v", name, err))
	}
}

// Secrets are the values of the repository's secrets by name, which the API tells nobody.
func (r *Repository) Secrets() map[string]string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.secrets.values()
}

// Secrets are the values of the environment's.
func (e *Environment) Secrets() map[string]string {
	e.repo.sim.mu.Lock()
	defer e.repo.sim.mu.Unlock()
	return e.values()
}

// RotateKey gives the repository another key: what was sealed for the old one cannot be opened.
func (r *Repository) RotateKey() {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.secrets.rotate(r.sim.id())
}

// RotateKey gives the environment another key.
func (e *Environment) RotateKey() {
	e.repo.sim.mu.Lock()
	defer e.repo.sim.mu.Unlock()
	e.rotate(e.repo.sim.id())
}
