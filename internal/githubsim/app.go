package githubsim

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"time"
)

// AppSpec says what App to register. Permissions map a name ("checks") to read, write or admin; every App reads metadata.
type AppSpec struct {
	Slug                      string
	Permissions               map[string]string
	Events                    []string
	WebhookURL, WebhookSecret string
	// What the App's settings say of people who authorize it: where they are sent back to, whether devices may ask, and whether user
	// access tokens live until they are revoked, which is GitHub's old way.
	CallbackURLs  []string
	DeviceFlow    bool
	LastingTokens bool
}

// App is a GitHub App.
type App struct {
	sim         *Sim
	id          int64
	slug        string
	permissions map[string]string
	events      []string
	hookURL     string
	hookSecret  string
	hookID      int64
	key         *rsa.PrivateKey // immutable
	bot         *User
	installs    []*Installation
	created     time.Time
	queue       []*delivery
	senders     int // goroutines that work on the queue

	secret         string // the client's, immutable
	callbacks      []string
	deviceFlow     bool
	lasting        bool                     // its user access tokens do not expire
	authorizations map[int64]*authorization // by user
}

// Installation is an App in an organization, on all its repositories, those to come included.
type Installation struct {
	app         *App
	org         *Organization
	id          int64
	permissions map[string]string
	suspended   bool
	suspendedAt time.Time
	created     time.Time
}

var levels = []string{"", "read", "write", "admin"}

// keyBits is half of what GitHub uses: tests make many Apps, and the key guards nothing.
const keyBits = 1024

// CreateApp registers an App with a fresh key.
func (s *Sim) CreateApp(spec AppSpec) *App {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		panic("githubsim: making a key: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, level := range spec.Permissions {
		mustLevel(name, level)
	}
	app := &App{
		sim: s, id: s.id(), slug: spec.Slug, permissions: maps.Clone(spec.Permissions), events: slices.Clone(spec.Events),
		hookURL: spec.WebhookURL, hookSecret: spec.WebhookSecret, hookID: s.id(), key: key, created: s.tick(),
		bot:    s.createUser(spec.Slug+"[bot]", "Bot", 0),
		secret: randomHex(20), callbacks: slices.Clone(spec.CallbackURLs), deviceFlow: spec.DeviceFlow, lasting: spec.LastingTokens,
		authorizations: map[int64]*authorization{},
	}
	if app.permissions == nil {
		app.permissions = map[string]string{}
	}
	app.permissions["metadata"] = "read"
	s.apps[app.id] = app
	return app
}

func mustLevel(name, level string) {
	if !slices.Contains(levels, level) {
		panic(fmt.Sprintf("githubsim: permission %s has level %q, none of %v", name, level, levels))
	}
}

// ID is the number that JWTs name as their issuer.
func (a *App) ID() int64 { return a.id }

// Slug is the name in URLs.
func (a *App) Slug() string { return a.slug }

// ClientID names the App where people authorize it.
func (a *App) ClientID() string { return fmt.Sprintf("Iv1.%016x", a.id) }

// ClientSecret is what the App shows beside its ClientID.
func (a *App) ClientSecret() string { return a.secret }

// BotLogin is the login under which the App acts: slug[bot].
func (a *App) BotLogin() string { return a.slug + "[bot]" }

// PrivateKeyPEM is the key that signs the App's JWTs.
func (a *App) PrivateKeyPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(a.key)}))
}

// SetWebhookURL sends deliveries there from now on; "" sends none, they are only recorded.
func (a *App) SetWebhookURL(url string) {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	a.hookURL = url
}

// Subscribe has the App hear more events, as its settings page does.
func (a *App) Subscribe(events ...string) {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	a.events = append(a.events, events...)
}

// Ping sends the ping event, as GitHub does when a webhook is set up.
func (a *App) Ping() {
	a.sim.mu.Lock()
	defer a.sim.mu.Unlock()
	a.sim.tick()
	a.sim.deliver(a, nil, "ping", "", obj{
		"zen": "Keep it logically awesome.", "hook_id": a.hookID,
		"hook": obj{
			"type": "App", "id": a.hookID, "name": "web", "active": true, "app_id": a.id, "events": a.hears(),
			"config":     obj{"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": cmp.Or(a.hookURL, a.sim.base)},
			"created_at": a.created, "updated_at": a.created, "deliveries_url": a.sim.api("app/hook/deliveries"),
		},
	})
}

// Install installs the App with all the permissions it asks for; it hears installation.created.
func (a *App) Install(o *Organization) *Installation {
	s := a.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &Installation{app: a, org: o, id: s.id(), permissions: maps.Clone(a.permissions), created: s.tick()}
	a.installs, o.installs = append(a.installs, i), append(o.installs, i)
	s.installs[i.id] = i
	i.emit("created")
	return i
}

func (i *Installation) emit(action string) {
	s := i.app.sim
	body := obj{"installation": s.installationJSON(i), "sender": s.users["ghost-owner"].json()}
	if action == "created" || action == "deleted" {
		body["repositories"] = shortRepositories(s.repositoriesOf(i.org))
	}
	s.deliver(i.app, i, "installation", action, body)
}

// ID is the number that webhooks carry and tokens are asked for with.
func (i *Installation) ID() int64 { return i.id }

// Suspend makes every call with the installation's tokens a 403, and new tokens too; events stop.
func (i *Installation) Suspend() { i.setSuspended(true) }

// Unsuspend ends a suspension.
func (i *Installation) Unsuspend() { i.setSuspended(false) }

func (i *Installation) setSuspended(suspended bool) {
	i.app.sim.mu.Lock()
	defer i.app.sim.mu.Unlock()
	i.suspended, i.suspendedAt = suspended, i.app.sim.tick()
	if suspended {
		i.emit("suspend")
	} else {
		i.suspendedAt = time.Time{}
		i.emit("unsuspend")
	}
}

// SetPermission changes what the installation may do, at once and for tokens that exist; level "" takes it away. The App hears
// installation.new_permissions_accepted.
func (i *Installation) SetPermission(name, level string) {
	mustLevel(name, level)
	i.app.sim.mu.Lock()
	defer i.app.sim.mu.Unlock()
	if level == "" {
		delete(i.permissions, name)
	} else {
		i.permissions[name] = level
	}
	i.app.sim.tick()
	i.emit("new_permissions_accepted")
}

// ExpireTokens ends every token of the installation now: the next call with one is a 401 "Bad credentials".
func (i *Installation) ExpireTokens() {
	i.app.sim.mu.Lock()
	defer i.app.sim.mu.Unlock()
	for value, t := range i.app.sim.tokens {
		if t.install == i {
			delete(i.app.sim.tokens, value)
		}
	}
}

// allows says whether the installation holds at least that level.
func (i *Installation) allows(name, level string) bool { return holds(i.permissions, name, level) }

func holds(permissions map[string]string, name, level string) bool {
	if name == "metadata" && level == "read" {
		return true
	}
	return slices.Index(levels, permissions[name]) >= slices.Index(levels, level)
}

// installations are those of the organization that owns the repository.
func (r *Repository) installations() []*Installation {
	if r.org == nil {
		return nil
	}
	return r.org.installs
}

// repositoriesOf lists what an organization owns, oldest first.
func (s *Sim) repositoriesOf(o *Organization) []*Repository {
	var list []*Repository
	for _, r := range s.reposByID {
		if r.org == o {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *Repository) int { return int(a.id - b.id) })
	return list
}
