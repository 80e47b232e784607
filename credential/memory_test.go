package credential_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

var (
	ann  = policy.Actor{ID: 1, Login: "ann", Kind: policy.KindUser}
	shop = killswitch.Scope{Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}}
	acme = killswitch.Organization("acme", 5)
)

func anybody(context.Context, policy.Actor) (policy.Standing, error) {
	return policy.Standing{Login: "ann", Permission: policy.PermissionAdmin}, nil
}

func Example() {
	ctx := context.Background()
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), anybody, time.Now)
	issuer := credential.NewMemoryJITCredentialIssuer(stop, time.Now)

	lent, _ := issuer.Issue(ctx, credential.Request{For: shop, Scope: []string{"deploy:staging"}, TTL: 30 * time.Minute})
	_ = stop.Activate(ctx, acme, ann, "a token leaked")
	ended, _ := issuer.Stop(ctx, acme)
	valid, _ := issuer.IsValid(ctx, lent.ID)
	_, err := issuer.Issue(ctx, credential.Request{For: shop, Scope: []string{"deploy:staging"}, TTL: time.Minute})
	fmt.Println(ended, valid, err)
	// Output: 1 false the kill switch is on: nothing is lent
}

func TestLending(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), anybody, func() time.Time { return now })
	issuer := credential.NewMemoryJITCredentialIssuer(stop, func() time.Time { return now })
	issue := func(place killswitch.Scope, ttl time.Duration) credential.JITCredential {
		t.Helper()
		c, err := issuer.Issue(t.Context(), credential.Request{For: place, Scope: []string{"x"}, TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	valid := func(c credential.JITCredential) bool {
		is, err := issuer.IsValid(t.Context(), c.ID)
		return is && err == nil
	}
	other := shop
	other.Repository.ID, other.Repository.Name = 12, "stall"
	a, b, short := issue(shop, time.Hour), issue(other, time.Hour), issue(shop, time.Minute)
	if !valid(a) || !valid(b) || a.Token.Reveal() == b.Token.Reveal() || strings.Contains(a.String(), a.Token.Reveal()) {
		t.Errorf("lent %s and %s", a, b)
	}
	now = now.Add(time.Minute)
	if valid(short) {
		t.Error("a credential outlives its end")
	}
	if _, err := issuer.Issue(t.Context(), credential.Request{For: shop, Scope: []string{"x"}}); !errors.Is(err, credential.ErrTTL) {
		t.Errorf("for no time: %v", err)
	}
	if err := stop.Activate(t.Context(), shop, ann, "x"); err != nil {
		t.Fatal(err)
	}
	if ended, err := issuer.Stop(t.Context(), shop); ended != 2 || err != nil {
		t.Errorf("%d ended, %v", ended, err)
	}
	if valid(a) || !valid(b) {
		t.Error("a stop ends the wrong credentials")
	}
	if _, err := issuer.Issue(t.Context(), credential.Request{For: shop, Scope: []string{"x"}, TTL: time.Hour}); !errors.Is(err, credential.ErrStopped) {
		t.Errorf("while stopped: %v", err)
	}
	issue(other, time.Hour)
}

type away struct{}

func (away) IsActive(context.Context, killswitch.Scope) (bool, error) { return false, errAway }

var errAway = errors.New("the database is away")

// Unknown is on.
func TestNothingIsLentUnlessTheSwitchSaysSo(t *testing.T) {
	for name, stop := range map[string]credential.Switch{"an error": away{}, "nobody": nil} {
		issuer := credential.NewMemoryJITCredentialIssuer(stop, time.Now)
		if c, err := issuer.Issue(t.Context(), credential.Request{For: shop, Scope: []string{"x"}, TTL: time.Hour}); !errors.Is(err, credential.ErrStopped) || !c.Token.IsZero() {
			t.Errorf("%s: lent %s, %v", name, c, err)
		}
		if ended, _ := issuer.Stop(t.Context(), acme); ended != 0 {
			t.Errorf("%s: something was lent all the same", name)
		}
	}
}
