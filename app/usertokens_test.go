package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// registry keeps tokens of people's in a database, from a simulated GitHub.
type registry struct {
	*usertoken.Keeper

	t     *testing.T
	sim   *githubsim.Sim
	hook  *githubsim.App
	ann   *githubsim.User
	facts *store.Store
	log   strings.Builder
	clock clock
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{t: t}
	witness := newWitness(t)
	var err error
	if r.sim, err = githubsim.Start(githubsim.Options{TokenNow: r.clock.now, Wrap: witness.around}); err != nil {
		t.Fatal(err)
	}
	if r.facts, err = store.Open(t.Context(), "sqlite:"+t.TempDir()+"/portcullis.db", r.clock.now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.facts.Close(); err != nil {
			t.Error(err)
		}
		witness.testify(t, r.sim)
		r.sim.Close()
	})
	r.hook = r.sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", DeviceFlow: true, CallbackURLs: []string{back}, Permissions: map[string]string{"codespaces": "write"}})
	r.ann = r.sim.CreateUser("ann")
	r.Keeper = r.another()
	return r
}

// back is where people come back to.
const back = "https://portcullis.example/sandbox/authorized"

// another is one more replica.
func (r *registry) another() *usertoken.Keeper {
	r.t.Helper()
	c := &cloud{t: r.t, sim: r.sim, hook: r.hook}
	config, client := c.settings(), c.clientAt(r.clock.now)
	sealed, err := newHandles(config.GitHub.App.PrivateKey)
	if err != nil {
		r.t.Fatal(err)
	}
	return usertoken.NewKeeper(usertoken.Config{
		GitHub: userTokens{client}, Store: r.facts, Cipher: sealed, SettingsURL: config.GitHub.WebURL + "/settings/apps/authorizations", Now: r.clock.now,
		Wait: func(ctx context.Context, _ time.Duration) error { return wait(ctx, time.Millisecond) }, Log: zerolog.New(zerolog.SyncWriter(&r.log)),
	})
}

func (r *registry) person() policy.Actor {
	return policy.Actor{ID: r.ann.ID(), Login: "ann", Kind: policy.KindUser}
}

// byDevice has ann enter a device's code.
func (r *registry) byDevice() {
	r.t.Helper()
	device, err := r.BeginDevice(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.ann.Authorize(device.UserCode); err != nil {
		r.t.Fatal(err)
	}
	if who, err := r.AwaitDevice(r.t.Context(), device); err != nil || who != r.person() {
		r.t.Fatalf("%+v, %v", who, err)
	}
}

// good reports whether GitHub takes what is kept of ann.
func (r *registry) good() string {
	r.t.Helper()
	token, err := r.Token(r.t.Context(), r.person())
	if needed, is := errors.AsType[*usertoken.NeededError](err); is {
		return "needed: " + needed.Why
	}
	if err != nil {
		return "error: " + err.Error()
	}
	for _, one := range r.hook.UserTokens(r.ann) {
		if one.AccessToken == token.Reveal() && one.ExpiresAt.After(r.clock.now()) {
			return "good"
		}
	}
	return "bad"
}

func (r *registry) want(what, want string) {
	r.t.Helper()
	if got := r.good(); !strings.HasPrefix(got, want) {
		r.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestUserTokensAtGitHub(t *testing.T) {
	r := newRegistry(t)
	r.want("nobody's", "needed: they have not done so")
	r.byDevice()
	r.want("new", "good")
	r.clock.pass(9 * time.Hour)
	r.want("renewed", "good")
	if err := r.Revoke(t.Context(), r.person(), r.person()); err != nil {
		t.Fatal(err)
	}
	if left := r.hook.UserTokens(r.ann); len(left) != 0 {
		t.Errorf("%d tokens are left at GitHub", len(left))
	}
	r.want("revoked", "needed: they have not done so")
	r.byDevice()
	r.ann.RevokeApp(r.hook)
	if err := r.Forget(t.Context(), r.person()); err != nil { // as the webhook has it
		t.Fatal(err)
	}
	r.want("taken back at GitHub", "needed: they have not done so")
}

// One replica renews: GitHub gives the next token for what renews it once.
func TestUserTokensAreRenewedByOneReplica(t *testing.T) {
	r := newRegistry(t)
	r.byDevice()
	r.clock.pass(9 * time.Hour)
	var all sync.WaitGroup
	for range 6 {
		replica := r.another()
		all.Go(func() {
			if _, err := replica.Token(t.Context(), r.person()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if tokens := r.hook.UserTokens(r.ann); len(tokens) != 1 {
		t.Errorf("GitHub has %d tokens", len(tokens))
	}
	r.want("afterwards", "good")
}

// Whatever becomes of the request and its answer, the token is good or its owner is told.
func TestUserTokensWhoseRenewalFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault       githubsim.Fault
		first, then string
	}{
		"not done":              {githubsim.Fault{Status: http.StatusServiceUnavailable}, "error: renew the token of ann", "good"},
		"cut off":               {githubsim.Fault{}, "error: renew the token of ann", "good"},
		"done, and not told":    {githubsim.Fault{After: true}, "error: renew the token of ann", "needed: GitHub does not renew"},
		"done, and told wrong":  {githubsim.Fault{After: true, Status: http.StatusBadGateway}, "error: renew the token of ann", "needed: GitHub does not renew"},
		"done, and unreadable":  {githubsim.Fault{After: true, Status: http.StatusOK, Body: `{"access_token":"ghu_`}, "error: renew the token of ann", "needed: GitHub does not renew"},
		"done, and not as such": {githubsim.Fault{After: true, Status: http.StatusOK, Body: `{"access_token":"ghu_x","expires_in":28800}`}, "error: renew the token of ann", "needed: GitHub does not renew"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t)
			r.byDevice()
			r.clock.pass(9 * time.Hour)
			c.fault.Path, c.fault.Times = regexp.MustCompile("/login/oauth/access_token$"), 1
			r.sim.Inject(c.fault)
			secrets := fmt.Sprint(r.hook.UserTokens(r.ann))
			first := r.good()
			if !strings.HasPrefix(first, c.first) {
				t.Errorf("at first: %s, want %s", first, c.first)
			}
			r.want("then", c.then)
			for secret := range strings.FieldsSeq(secrets + " " + r.hook.ClientSecret()) {
				if secret = strings.Trim(secret, "[{}]"); strings.HasPrefix(secret, "gh") || secret == r.hook.ClientSecret() {
					if strings.Contains(first+r.log.String(), secret) {
						t.Errorf("%s is in %s or in the log", secret, first)
					}
				}
			}
			r.byDevice()
			r.want("once she has let it again", "good")
		})
	}
}
