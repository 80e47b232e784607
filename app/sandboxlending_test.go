package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
)

const givingPolicy = switchPolicy + `credentials:
  model: {secret: JIT_1H_MODEL, scope: ["model:ask"], ttl: 20m, tier: peer-review}
sandbox:
  provider: docker
  image: "` + sandboxImage + `"
  constraints: {network: egress-only, egress: [api.example.com], timeout: 10m}
  credentials: {api.example.com: model}
`

// A sandbox's request is given a credential when there is one, as long as it may be lent,
// and it ends with the sandbox.
func TestACredentialOnTheWayOutOfASandbox(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ends  func(tw *testWorld, pr *githubsim.PullRequest, id string)
		again bool // whether the sandbox is there still
	}{
		"the sandbox is stopped": {func(tw *testWorld, pr *githubsim.PullRequest, id string) { tw.comment(pr, "bob", "/sandbox stop "+id) }, false},
		"a kill switch falls":    {func(tw *testWorld, _ *githubsim.PullRequest, _ string) { tw.halts(tw.shop, "bob", "Stop", switchLabel) }, false},
		"it is revoked": {func(tw *testWorld, pr *githubsim.PullRequest, _ string) {
			tw.comment(pr, "bob", "/credential revoke model")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tw, boxes := boxed(t, atOnce)
			tw.set(givingPolicy)
			tw.settled()
			pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
			tw.comment(pr, "lee", "/approve")
			id := tw.started(pr)
			there, err := boxes.List(t.Context())
			tw.must(err)
			secret := tw.server.gives.secret(there[0], "model")
			first, err := secret(t.Context())
			tw.must(err)
			second, err := secret(t.Context())
			tw.must(err)
			if first == "" || first != second || !strings.Contains(tw.introspect(first), `"active":true`) {
				t.Errorf("given %t, the same twice: %t, %s", first != "", first == second, tw.introspect(first))
			}
			wantText(t, tw.entries("credential."), "credential.lent by bob")
			if _, err := tw.server.gives.secret(there[0], "other")(t.Context()); !errors.Is(err, errNotLent) {
				t.Errorf("one that the policy does not name: %v", err)
			}
			c.ends(tw, pr, id)
			tw.settled()
			if answer := tw.introspect(first); !strings.Contains(answer, `"active":false`) {
				t.Errorf("afterwards: %s", answer)
			}
			third, err := secret(t.Context())
			if c.again && (err != nil || third == first) || !c.again && !errors.Is(err, errNotLent) {
				t.Errorf("asked again: given %t, another: %t, %v", third != "", third != first, err)
			}
			if strings.Contains(tw.log.String(), first) {
				t.Error("the credential is in the log")
			}
		})
	}
}

// A process that cannot give credentials starts no sandbox that is to have them.
func TestWhoCannotGiveRefuses(t *testing.T) {
	t.Parallel()
	reach := docker.Reach{Network: sandbox.NetworkEgressOnly, Hosts: []string{"api.example.com"}, Credentials: map[string]string{"api.example.com": "model"}}
	is := sandbox.Instance{ID: "pc-1", For: killswitch.Scope{}}
	if _, err := newEgress(is, reach, nil, time.Now, zerolog.Nop(), nil); err == nil {
		t.Error("a way out without the credential that belongs to it")
	}
	give := func(sandbox.Instance, string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return "", errNotLent }
	}
	if _, err := newEgress(is, reach, nil, time.Now, zerolog.Nop(), give); err != nil {
		t.Error(err)
	}
}
