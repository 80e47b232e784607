package app

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// leaseWorld is an issuer on a simulated GitHub and a database, without a server:
// nothing happens in it that the test does not do.
type leaseWorld struct {
	*world
	*moments

	t     testing.TB
	clock clock
	facts *store.Store
	out   bytes.Buffer
	// upstream makes what is not opaque.
	upstream *upstream
	// permit is what the issuer is told of whether a lease may be lent.
	permit func(credential.Lease) error
	issuer *credential.GitHubJITCredentialIssuer
}

const leaseSlot = "JIT_1H_DEPLOY"

// onBothDatabases runs the test with each, in a world of its own.
func onBothDatabases(t *testing.T, test func(t *testing.T, lw *leaseWorld)) {
	t.Helper()
	for engine, database := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { t.Helper(); return "sqlite:" + t.TempDir() + "/portcullis.db" }, "postgres": sharedDatabase,
	} {
		if raced && engine == "postgres" {
			continue // package store is raced on both
		}
		t.Run(engine, func(t *testing.T) { test(t, newLeaseWorld(t, database(t))) })
	}
}

func anyLeaseWorld(t *testing.T) *leaseWorld {
	t.Helper()
	return newLeaseWorld(t, "sqlite:"+t.TempDir()+"/portcullis.db")
}

func newLeaseWorld(t *testing.T, database string) *leaseWorld {
	t.Helper()
	witness := newWitness(t)
	lw := unjudgedLeaseWorld(t, database, witness.around)
	t.Cleanup(func() { witness.testify(t, lw.github) })
	return lw
}

func unjudgedLeaseWorld(t testing.TB, database string, around func(http.Handler) http.Handler) *leaseWorld {
	t.Helper()
	lw := &leaseWorld{t: t, permit: func(credential.Lease) error { return nil }}
	github, err := githubsim.Start(githubsim.Options{Now: lw.clock.now, TokenNow: time.Now, Wrap: around})
	must(t, err)
	t.Cleanup(github.Close)
	lw.world = &world{github: github, database: database}
	lw.populate()
	lw.upstream = &upstream{world: lw, live: map[string]time.Time{}}
	lw.facts, err = store.Open(t.Context(), database, lw.clock.now)
	must(t, err)
	t.Cleanup(func() { must(t, lw.facts.Close()) })
	lw.restart()
	return lw
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restart forgets everything that a process has in memory.
func (lw *leaseWorld) restart() {
	config := lw.config()
	client, err := githubapi.New(config.GitHub, clientOptions(config, lw.clock.now))
	must(lw.t, err)
	sealed, err := newHandles(config.GitHub.App.PrivateKey)
	must(lw.t, err)
	lw.moments = &moments{facts: lw.facts, secrets: secrets{client}, counts: map[string]int{}}
	lw.issuer = credential.NewGitHubJITCredentialIssuer(credential.Config{
		GitHub: lw.moments, Store: lw.moments, Handles: sealed, Now: lw.clock.now, Log: zerolog.New(zerolog.SyncWriter(&lw.out)),
		Providers: map[policy.CredentialProvider]credential.Provider{policy.ProviderOpaque: credential.Opaque{}, policy.ProviderVault: lw.upstream},
		Permit: func(_ context.Context, lease credential.Lease) error {
			lw.at("Permit")
			return lw.permit(lease)
		},
		Wait: func(_ context.Context, d time.Duration) error {
			lw.clock.pass(d)
			return nil
		},
	})
}

// place is where credentials are asked for in tests.
func (lw *leaseWorld) place() killswitch.Scope {
	return killswitch.PullRequest(policy.PullRequestRef{
		Repository: policy.Repository{Installation: lw.installation.ID(), ID: lw.shop.ID(), Owner: "acme", Name: "shop"}, Number: 1,
	})
}

// request asks for a credential of an upstream's, for half an hour.
func (lw *leaseWorld) request() credential.Request {
	return credential.Request{
		For: lw.place(), Scope: []string{"deploy:staging"}, TTL: 30 * time.Minute, Credential: "deploy", Provider: policy.ProviderVault,
		Slot: credential.Slot{Name: leaseSlot}, HeadSHA: "bbbb", RequestedBy: policy.Actor{ID: 1, Login: "ann"}, Policy: "p",
	}
}

func (lw *leaseWorld) issue() credential.JITCredential {
	lw.t.Helper()
	lent, err := lw.issuer.Issue(lw.t.Context(), lw.request())
	must(lw.t, err)
	return lent
}

// issueStuck lends a credential and ends it, and its maker fails at that until it is stuck.
func (lw *leaseWorld) issueStuck() credential.JITCredential {
	lw.t.Helper()
	lw.upstream.life = 48 * time.Hour
	lent := lw.issue()
	lw.upstream.fails = errUpstream
	must(lw.t, lw.issuer.Revoke(lw.t.Context(), lent.ID))
	lw.reap(40 * time.Minute)
	return lent
}

// reap runs what clears away as often as there is something to do, and no longer than
// until the next is due later than the time that may pass.
func (lw *leaseWorld) reap(within time.Duration) {
	lw.t.Helper()
	for end := lw.clock.now().Add(within); ; {
		next, err := lw.issuer.Clear(lw.t.Context(), lw.installation.ID())
		must(lw.t, err)
		if next.IsZero() || next.After(end) {
			return
		}
		if ahead := next.Sub(lw.clock.now()); ahead > 0 {
			lw.clock.pass(ahead)
		}
	}
}

// leases are all that there ever were.
func (lw *leaseWorld) leases() []credential.Lease {
	lw.t.Helper()
	all, err := lw.facts.Leases(lw.t.Context(), credential.Selection{})
	must(lw.t, err)
	return all
}

func (lw *leaseWorld) lease(id string) credential.Lease {
	lw.t.Helper()
	lease, err := lw.facts.Lease(lw.t.Context(), id)
	must(lw.t, err)
	return lease
}

// accepts is what whoever is given the credential is told, by its id and by its token.
func (lw *leaseWorld) accepts(c credential.JITCredential) bool {
	lw.t.Helper()
	valid, err := lw.issuer.IsValid(lw.t.Context(), c.ID)
	must(lw.t, err)
	if hash, opaque := credential.TokenHash(c.Token.Reveal()); opaque {
		_, accepted, err := lw.facts.AcceptedLease(lw.t.Context(), hash)
		must(lw.t, err)
		if accepted != valid {
			lw.t.Errorf("by its id it is valid: %t, by its token: %t", valid, accepted)
		}
	}
	return valid
}

// nothingLeft holds that there is no secret, that nothing is accepted, and that each
// lease has come to an end.
func (lw *leaseWorld) nothingLeft() {
	lw.t.Helper()
	if left := lw.shop.Secrets(); len(left) != 0 {
		lw.t.Errorf("left at GitHub: %v", left)
	}
	for _, lease := range lw.leases() {
		if !lease.State.Ended() || lease.Handle != nil || lease.Accepted(lw.clock.now()) {
			lw.t.Errorf("the lease %s is %s after %d attempts: %s", lease.ID, lease.State, lease.Attempts, lease.LastError)
		}
	}
}

// endAll revokes whatever is lent, and clears it away.
func (lw *leaseWorld) endAll() {
	lw.t.Helper()
	for _, lease := range lw.leases() {
		must(lw.t, lw.issuer.Revoke(lw.t.Context(), lease.ID))
	}
	lw.reap(3 * time.Minute)
}

// written is what was logged.
func (lw *leaseWorld) written() string { return lw.out.String() }

// calm is a kill switch that is not on.
type calm struct{}

func (calm) IsActive(context.Context, killswitch.Scope) (bool, error) { return false, nil }

// throw puts a kill switch on the repository on record, as package killswitch does.
func (lw *leaseWorld) throw(on bool) {
	lw.t.Helper()
	scope := killswitch.Scope{Repository: lw.place().Repository}
	_, err := lw.facts.Change(lw.t.Context(), scope, false, func(sw *killswitch.Switch) (bool, []audit.Entry) {
		sw.Scope, sw.State = scope, killswitch.StateOff
		if on {
			sw.State = killswitch.StateOn
		}
		return true, nil
	})
	must(lw.t, err)
}

// upstream makes credentials that somebody else accepts, and must be asked to revoke.
type upstream struct {
	world *leaseWorld

	mu   sync.Mutex
	made int
	// live are those that are accepted there, by their handle, until when.
	live    map[string]time.Time
	revoked int
	// life is how long it lets them live, fails why it does not revoke.
	life  time.Duration
	fails error
}

func (u *upstream) Plan(credential.Order) (credential.Capabilities, error) {
	return credential.Capabilities{MaxTTL: time.Hour, Revocable: true}, nil
}

func (u *upstream) Issue(_ context.Context, order credential.Order) (credential.Material, error) {
	u.world.at("mint")
	u.mu.Lock()
	u.made++
	handle := fmt.Sprintf("handle %d of %s", u.made, order.Lease)
	life := u.life
	if life == 0 {
		life = time.Hour
	}
	until := u.world.clock.now().Add(life)
	u.live[handle] = until
	u.mu.Unlock()
	u.world.at("minted")
	return credential.Material{Values: map[string]credential.Secret{"": credential.NewSecret("value of " + handle)}, Handle: []byte(handle), NotAfter: until}, nil
}

func (u *upstream) Revoke(_ context.Context, handle []byte) error {
	u.world.at("revoke")
	u.mu.Lock()
	u.revoked++
	err := u.fails
	if err == nil {
		delete(u.live, string(handle))
	}
	u.mu.Unlock()
	u.world.at("revoked")
	return err
}

// accepted are those that are accepted there now.
func (u *upstream) accepted() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.world.clock.now()
	maps.DeleteFunc(u.live, func(_ string, until time.Time) bool { return !now.Before(until) })
	var all []string
	for handle := range u.live {
		all = append(all, handle)
	}
	return all
}
