package app

import (
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// lendingPolicy lends a token on the team lead's word.
const lendingPolicy = switchPolicy + `credentials:
  deploy: {secret: JIT_1H_DEPLOY, scope: ["deploy:staging"], ttl: 30m, tier: team-lead}
`

// lends is a world in which lee, a lead, has approved ann's change.
func lends(t *testing.T) (*testWorld, *githubsim.PullRequest) {
	t.Helper()
	tw := newTestWorld(t)
	tw.set(lendingPolicy)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	return tw, pr
}

// introspect asks the server of a token, as the demo's client.
func (tw *testWorld) introspect(token string) string {
	tw.report.Helper()
	answer, err := introspect(tw.t.Context(), tw.server.URL(), token)
	tw.must(err)
	return answer
}

func TestACredentialIsLentAndEnds(t *testing.T) {
	t.Parallel()
	tw, pr := lends(t)
	tw.comment(pr, "ann", "/credential issue deploy")
	if n := len(tw.shop.Secrets()); n != 0 {
		t.Fatalf("%d secrets before anybody approved", n)
	}
	tw.review(pr, "lee", "APPROVE")
	tw.comment(pr, "ann", "/credential issue deploy")
	token := tw.shop.Secrets()["JIT_1H_DEPLOY"]
	if token == "" {
		t.Fatalf("no secret; %v", pr.Comments())
	}
	wantText(t, tw.introspect(token), `"active":true`)
	tw.comment(pr, "ann", "/credential revoke deploy")
	if got := tw.introspect(token); got != `{"active":false}` {
		t.Errorf("after it was revoked: %s", got)
	}
	if left := tw.shop.Secrets(); len(left) != 0 {
		t.Errorf("after it was revoked: %v", left)
	}
}
