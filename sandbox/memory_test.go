package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ann  = policy.Actor{ID: 1, Login: "ann", Kind: policy.KindUser}
	shop = killswitch.Scope{Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}}
	acme = killswitch.Organization("acme", 5)
)

func anybody(context.Context, policy.Actor) (policy.Standing, error) {
	return policy.Standing{Login: "ann", Permission: policy.PermissionAdmin}, nil
}

// echo says what it is told.
func echo(_ context.Context, _ map[string][]byte, command sandbox.Command, stdout, _ io.Writer) int {
	_, _ = io.WriteString(stdout, strings.Join(command.Argv, " "))
	return 0
}

func Example() {
	ctx := context.Background()
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), anybody, time.Now)
	boxes := sandbox.Guard{Sandbox: sandbox.NewMemorySandbox(time.Now, echo), Switch: stop}

	box, _ := boxes.Create(ctx, sandbox.Spec{ID: "pc-1", For: shop, Constraints: sandbox.SandboxConstraints{Network: sandbox.NetworkNone}})
	result, _ := boxes.Execute(ctx, box.ID, sandbox.Command{Argv: []string{"go", "test"}})
	_ = stop.Activate(ctx, acme, ann, "an agent runs wild")
	ended, _ := boxes.Stop(ctx, acme)
	_, err := boxes.Create(ctx, sandbox.Spec{ID: "pc-2", For: shop})
	fmt.Println(result.Stdout, ended, err)
	// Output: go test 1 the kill switch is on: nothing is started
}

func TestMemorySandbox(t *testing.T) {
	boxes := sandbox.NewMemorySandbox(time.Now, sandboxtest.Program)
	sandboxtest.Conform(t, sandboxtest.Subject{
		Boxes: boxes, Fresh: boxes, Spec: sandboxtest.Spec(""), Probe: []string{"probe"},
		Unsupported: map[string]func(*sandbox.Spec){"runtime": func(s *sandbox.Spec) { s.Constraints.Runtime = "runsc" }},
	})
}

// I16 of the field's invariants, for one process; for several and with Docker see the
// packages that have them.
func TestI16AStopEndsWhatItCovers(t *testing.T) {
	stop := killswitch.NewMemoryKillSwitch(policy.JoinSwitchRules(nil), anybody, time.Now)
	boxes := sandbox.Guard{Sandbox: sandbox.NewMemorySandbox(time.Now, echo), Switch: stop}
	other := shop
	other.Repository.ID = 12
	for id, place := range map[string]killswitch.Scope{"shop": shop, "other": other} {
		if there, err := boxes.Create(t.Context(), sandbox.Spec{ID: id, For: place}); err != nil || there.Status != sandbox.StatusRunning {
			t.Fatalf("%s: %+v, %v", place, there, err)
		}
	}
	if err := stop.Activate(t.Context(), shop, ann, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := boxes.Execute(t.Context(), "shop", sandbox.Command{Argv: []string{"x"}}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("a command while stopped: %v", err)
	}
	if err := boxes.Put(t.Context(), "shop", sandbox.Workspace, sandboxtest.Files()); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("files while stopped: %v", err)
	}
	for n, want := range []int{1, 0} {
		if ended, err := boxes.Stop(t.Context(), shop); ended != want || err != nil {
			t.Errorf("stop %d: %d ended, %v", n+1, ended, err)
		}
	}
	if _, err := boxes.Status(t.Context(), "shop"); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("what was stopped: %v", err)
	}
	if result, err := boxes.Execute(t.Context(), "other", sandbox.Command{Argv: []string{"x"}}); result.Stdout != "x" || err != nil {
		t.Errorf("elsewhere: %+v, %v", result, err)
	}
	if _, err := boxes.Create(t.Context(), sandbox.Spec{ID: "again", For: shop}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("while stopped: %v", err)
	}
	if _, err := (sandbox.Guard{Sandbox: sandbox.NewMemorySandbox(time.Now, echo)}).Create(t.Context(), sandbox.Spec{ID: "nobody", For: shop}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("with nobody to ask: %v", err)
	}
}

// away is a switch that cannot be asked.
type away struct{}

func (away) IsActive(context.Context, killswitch.Scope) (bool, error) {
	return false, errors.New("away")
}

func TestI16NothingIsStartedWhileTheSwitchCannotBeAsked(t *testing.T) {
	memory := sandbox.NewMemorySandbox(time.Now, echo)
	if _, err := memory.Create(t.Context(), sandbox.Spec{ID: "there", For: shop}); err != nil {
		t.Fatal(err)
	}
	boxes := sandbox.Guard{Sandbox: memory, Switch: away{}}
	_, created := boxes.Create(t.Context(), sandbox.Spec{ID: "new", For: shop})
	_, executed := boxes.Execute(t.Context(), "there", sandbox.Command{Argv: []string{"x"}})
	for what, err := range map[string]error{
		"create": created, "a command": executed, "files": boxes.Put(t.Context(), "there", sandbox.Workspace, sandboxtest.Files()),
	} {
		if !errors.Is(err, sandbox.ErrStopped) || !strings.Contains(err.Error(), "away") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := boxes.Status(t.Context(), "new"); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("what was not to be created: %v", err)
	}
}

// halfBlind cannot list everything.
type halfBlind struct {
	sandbox.Sandbox

	err error
}

func (h halfBlind) List(ctx context.Context) ([]sandbox.Instance, error) {
	all, _ := h.Sandbox.List(ctx)
	return all, h.err
}

func TestI16AStopEndsWhatCanBeSeen(t *testing.T) {
	boxes := sandbox.NewMemorySandbox(time.Now, echo)
	if _, err := boxes.Create(t.Context(), sandbox.Spec{ID: "x", For: shop}); err != nil {
		t.Fatal(err)
	}
	ended, err := sandbox.Guard{Sandbox: halfBlind{boxes, errors.New("GitHub does not answer")}}.Stop(t.Context(), acme)
	if ended != 1 || err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%d ended, %v", ended, err)
	}
}

// What cannot be seen of one organization keeps no stop of another's from being whole.
func TestI16AStopIsWholeThoughAnotherPlaceCannotBeSeen(t *testing.T) {
	unseen := func(owner string, installation int64) error {
		return &sandbox.UnseenError{Owner: policy.Repository{Owner: owner, Installation: installation}, Err: errors.New(owner + " does not answer")}
	}
	elsewhere, here := unseen("Elsewhere", 99), unseen("ACME", shop.Repository.Installation)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"elsewhere alone":      {fmt.Errorf("list: %w", errors.Join(elsewhere, elsewhere)), ""},
		"here too":             {errors.Join(elsewhere, here), "ACME does not answer"},
		"here, renamed":        {unseen("acme-now", shop.Repository.Installation), "acme-now does not answer"},
		"nobody knows of whom": {errors.Join(elsewhere, errors.New("GitHub does not answer")), "GitHub does not answer"},
	} {
		_, err := sandbox.Guard{Sandbox: halfBlind{sandbox.NewMemorySandbox(time.Now, echo), c.err}}.Stop(t.Context(), shop)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "Elsewhere")):
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (sandbox.Guard{Sandbox: halfBlind{sandbox.NewMemorySandbox(time.Now, echo), elsewhere}}).Stop(t.Context(), killswitch.Scope{}); err == nil {
		t.Error("a stop of everything does not tell what it could not see")
	}
}

// stopsMeanwhile is a switch that is thrown between the first question and the second.
type stopsMeanwhile struct{ asked int }

func (s *stopsMeanwhile) IsActive(context.Context, killswitch.Scope) (bool, error) {
	s.asked++
	return s.asked > 1, nil
}

func TestI16AStopWhileOneIsCreatedLeavesNone(t *testing.T) {
	boxes := sandbox.Guard{Sandbox: sandbox.NewMemorySandbox(time.Now, echo), Switch: &stopsMeanwhile{}}
	if there, err := boxes.Create(t.Context(), sandbox.Spec{ID: "x", For: shop}); !errors.Is(err, sandbox.ErrStopped) {
		t.Errorf("%+v, %v", there, err)
	}
	if left, err := boxes.List(t.Context()); len(left) != 0 || err != nil {
		t.Errorf("%+v, %v", left, err)
	}
}
