package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

var (
	ann  = policy.Actor{ID: 1, Login: "ann", Kind: policy.KindUser}
	shop = killswitch.Scope{Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}}
	acme = killswitch.Organization("acme", 5)
)

func anybody(context.Context, policy.Actor) (policy.Standing, error) {
	return policy.Standing{Login: "ann", Permission: policy.PermissionAdmin}, nil
}

func echo(command []string) sandbox.Result {
	return sandbox.Result{Stdout: strings.Join(command, " ")}
}

func Example() {
	ctx := context.Background()
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), anybody, time.Now)
	boxes := sandbox.NewMemorySandbox(stop, echo)

	id, _, _ := boxes.Create(ctx, shop, sandbox.SandboxConstraints{Network: sandbox.NetworkNone})
	result, _ := boxes.Execute(ctx, id, []string{"go", "test"})
	_ = stop.Activate(ctx, acme, ann, "an agent runs wild")
	ended, _ := boxes.Stop(ctx, acme)
	_, err := boxes.Execute(ctx, id, []string{"go", "test"})
	fmt.Println(result.Stdout, ended, err)
	// Output: go test 1 the sandbox does not run any more
}

func TestAStopEndsWhatItCovers(t *testing.T) {
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), anybody, time.Now)
	boxes := sandbox.NewMemorySandbox(stop, echo)
	other := shop
	other.Repository.ID = 12
	var ids []string
	for _, place := range []killswitch.Scope{shop, other} {
		id, status, err := boxes.Create(t.Context(), place, sandbox.SandboxConstraints{})
		if err != nil || status != sandbox.StatusIdle {
			t.Fatalf("%s: %s, %v", place, status, err)
		}
		ids = append(ids, id)
	}
	if err := stop.Activate(t.Context(), shop, ann, "x"); err != nil {
		t.Fatal(err)
	}
	if ended, err := boxes.Stop(t.Context(), shop); ended != 1 || err != nil {
		t.Errorf("%d ended, %v", ended, err)
	}
	for i, want := range []sandbox.SandboxStatus{sandbox.StatusTerminated, sandbox.StatusIdle} {
		if got, err := boxes.Status(t.Context(), ids[i]); got != want || err != nil {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	if ended, _ := boxes.Stop(t.Context(), shop); ended != 0 {
		t.Errorf("a second stop ends %d", ended)
	}
	if _, _, err := boxes.Create(t.Context(), shop, sandbox.SandboxConstraints{}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("while stopped: %v", err)
	}
	if _, err := boxes.Status(t.Context(), "nonsense"); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("an id of none: %v", err)
	}
	if _, _, err := sandbox.NewMemorySandbox(nil, echo).Create(t.Context(), shop, sandbox.SandboxConstraints{}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("with nobody to ask: %v", err)
	}
}
