package killswitch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

var (
	shop = killswitch.Scope{Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}}
	acme = killswitch.Organization("acme", 5)
)

func person(login string) policy.Actor {
	return policy.Actor{ID: int64(len(login)*1000) + int64(login[0]), Login: login, Kind: policy.KindUser}
}

// admins says that everybody is an admin.
func admins(_ context.Context, who policy.Actor) (policy.Standing, error) {
	return policy.Standing{Login: who.Login, Permission: policy.PermissionAdmin}, nil
}

func ExampleMemoryKillSwitch() {
	ctx := context.Background()
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), admins, time.Now)

	_ = stop.Activate(ctx, acme, person("ann"), "a token leaked")
	on, _ := stop.IsActive(ctx, shop)
	why, _ := stop.Reason(ctx, shop)
	fmt.Println(on, why)

	fmt.Println(stop.Deactivate(ctx, acme, policy.Actor{ID: 9, Login: "claude[bot]", Kind: policy.KindBot}))
	fmt.Println(stop.Deactivate(ctx, acme, person("sue")))
	// Output:
	// true a token leaked
	// claude[bot] is a bot
	// <nil>
}

func TestMemoryKillSwitch(t *testing.T) {
	policies := []policy.PolicySource{policy.LoadPolicy(policy.PolicyText{
		Place: policy.Place{Path: policy.DefaultPath}, Content: []byte("version: 1\nkill_switch: {deactivate: {permission: admin, approvals: 2}}\n"),
	})}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(policies), admins, func() time.Time { now = now.Add(time.Second); return now })
	active := func(scope killswitch.Scope, want bool) {
		t.Helper()
		if on, err := stop.IsActive(t.Context(), scope); on != want || err != nil {
			t.Errorf("%s is stopped: %t, %v, want %t", scope, on, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	active(shop, false)
	if err := stop.Deactivate(t.Context(), shop, person("ann")); !errors.Is(err, killswitch.ErrNotActive) {
		t.Errorf("off when it is off: %v", err)
	}
	must(stop.Activate(t.Context(), shop, person("ann"), "leak"))
	pr := shop
	pr.Number = 7
	active(pr, true)
	active(acme, false)

	var waiting *killswitch.WaitingError
	for range 2 {
		if err := stop.Deactivate(t.Context(), shop, person("bob")); !errors.As(err, &waiting) {
			t.Errorf("one of two, twice: %v", err)
		}
	}
	// Whoever stops again voids what was asked.
	must(stop.Activate(t.Context(), shop, person("lee"), "another leak"))
	if err := stop.Deactivate(t.Context(), shop, person("sue")); !errors.As(err, &waiting) {
		t.Errorf("one of two after another stop: %v", err)
	}
	must(stop.Deactivate(t.Context(), shop, person("bob")))
	active(shop, false)
	if why, _ := stop.Reason(t.Context(), shop); why != "" {
		t.Errorf("a switch that is off has the reason %q", why)
	}
	must(stop.Activate(t.Context(), shop, person("ann"), "leak"))
	active(shop, true)
}

func TestScopes(t *testing.T) {
	agents := acme
	agents.Agents = true
	pr := killswitch.PullRequest(policy.PullRequestRef{Repository: shop.Repository, Number: 7})
	agentsPR := pr
	agentsPR.Agents = true
	elsewhere := shop
	elsewhere.Repository.ID, elsewhere.Repository.Name = 12, "stall"
	other := killswitch.Organization("other", 6)
	for _, c := range []struct {
		scope      killswitch.Scope
		key, words string
		covers     []killswitch.Scope
		coversNot  []killswitch.Scope
	}{
		{acme, "owner:acme", "acme", []killswitch.Scope{acme, shop, pr, agents, agentsPR}, []killswitch.Scope{other}},
		{agents, "owner:acme-agents", "agents in acme", []killswitch.Scope{agents, agentsPR}, []killswitch.Scope{acme, shop, pr}},
		{shop, "repo:11", "acme/shop", []killswitch.Scope{shop, pr, agentsPR}, []killswitch.Scope{acme, elsewhere, agents}},
		{pr, "pr:11#7", "acme/shop#7", []killswitch.Scope{pr, agentsPR}, []killswitch.Scope{acme, shop, elsewhere}},
		{agentsPR, "pr:11#7-agents", "agents in acme/shop#7", []killswitch.Scope{agentsPR}, []killswitch.Scope{pr, shop}},
	} {
		if c.scope.Key() != c.key || c.scope.String() != c.words {
			t.Errorf("%q %q, want %q %q", c.scope.Key(), c.scope, c.key, c.words)
		}
		for _, in := range c.covers {
			if !c.scope.Covers(in) {
				t.Errorf("%s does not cover %s", c.scope, in)
			}
		}
		for _, out := range c.coversNot {
			if c.scope.Covers(out) {
				t.Errorf("%s covers %s", c.scope, out)
			}
		}
	}
}
