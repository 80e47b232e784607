package app

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestCrashPointsOfACredential kills the process between any two steps of lending a
// credential and of revoking it: afterwards the world is as I2 and I3 say.
func TestCrashPointsOfACredential(t *testing.T) {
	walkCrashes(t, []string{
		"OpenLease:1",   // the intent
		"ChangeLease:1", // minted
		"ChangeLease:2", // in force
		"ChangeLease:3", // ended
		"ChangeLease:4", // cleared away
	}, []crashCall{ // what is read in between is between two of these
		{"secret written", http.MethodPut, `/actions/secrets/JIT_1H_DEPLOY$`}, {"secret deleted", http.MethodDelete, `/actions/secrets/JIT_1H_DEPLOY$`},
	}, func(c *cluster, variables ...string) { c.lendingStory(lendingPolicy, c.accepts, variables) })
}

// TestCrashPointsOfAToken is the same of what must be revoked elsewhere: GitHub itself
// says whether it accepts the token.
func TestCrashPointsOfAToken(t *testing.T) {
	policy := strings.Replace(lendingPolicy, `scope: ["deploy:staging"]`, `provider: installation-token, scope: ["contents:read"]`, 1)
	walkCrashes(t, []string{"ChangeLease:1", "ChangeLease:2", "ChangeLease:3", "ChangeLease:4"}, []crashCall{
		{"token ended", http.MethodDelete, `/installation/token$`},
	}, func(c *cluster, variables ...string) {
		tw := &testWorld{world: c.world, t: c.t, report: c.t}
		c.lendingStory(policy, func(token string) bool { return tw.as(token, "repos/acme/shop/contents/README.md") == http.StatusOK }, variables)
	})
}

// lendingStory is a credential that is asked for until it is lent, and revoked.
func (c *cluster) lendingStory(policy string, accepts func(token string) bool, variables []string) {
	t := c.t
	t.Helper()
	tw := &testWorld{world: c.world, t: t, report: t}
	tw.set(policy)
	c.variables = append(c.variables,
		"PORTCULLIS_CREDENTIALS_INTROSPECTION_CLIENTS_0_ID="+demoClient, "PORTCULLIS_CREDENTIALS_INTROSPECTION_CLIENTS_0_SECRET="+demoClientSecret)
	died := c.startToDie(variables...)
	n := newNarrator(c.world, io.Discard, demoImage)
	tw.must(n.open("ann", "typo", "Fix a typo", map[string]string{"README.md": "# Shop\n"})(t.Context()))
	_, err := n.pr.Review(c.github.User("lee"), "APPROVE", "")
	tw.must(err)
	ask := func(command string) {
		_, err := n.pr.Comment(c.github.User("ann"), command)
		tw.must(err)
	}
	secret := func() string { return tw.shop.Secrets()["JIT_1H_DEPLOY"] }

	// Where it died while it was issued, the slot is taken until that is cleared away.
	c.until("it is lent", func() bool { return accepts(secret()) }, func() { ask("/credential issue deploy") })
	token := secret()
	c.until("it is refused", func() bool { return !accepts(token) }, func() { ask("/credential revoke deploy") })
	died()
	c.until("nothing is left of it", func() bool {
		undone, err := c.records.undone(t.Context())
		if err != nil || undone > 0 || secret() != "" {
			return false
		}
		live, err := c.records.liveLeases(t.Context())
		return err == nil && live == 0
	}, func() { ask("/credential revoke deploy") }) // of what was asked for more than once
	if accepts(token) {
		t.Error("it is accepted again")
	}
	c.replicas[0].terminate()
	if _, err := c.records.chain(t.Context()); err != nil {
		t.Errorf("the audit chain: %v", err)
	}
}

// until asks, and again every five seconds, until it is so.
func (c *cluster) until(what string, is func() bool, ask func()) {
	c.t.Helper()
	const patience = 4 * time.Minute // what was left behind is taken back after a minute and a half, and a claim ends after one
	begun := time.Now()
	for asked := begun.Add(-time.Minute); !is(); <-time.After(20 * time.Millisecond) {
		switch {
		case time.Since(begun) > patience:
			c.t.Fatalf("not after %s: %s\n%s", patience, what, c.tail())
		case time.Since(asked) > 5*time.Second:
			asked = time.Now()
			ask()
		}
	}
}

// accepts is what the server says of the token; a server that is dead accepts nothing.
func (c *cluster) accepts(token string) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	answer, err := introspect(ctx, c.door.replica(), token)
	return err == nil && strings.Contains(answer, `"active":true`)
}
