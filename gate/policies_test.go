package gate_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// forgetful is a store that tells in which order it hears of floors, and fails to
// remember them as long as it is told to.
type forgetful struct {
	gate.Store
	fails bool
	heard []string
}

var errForgotten = errors.New("forgotten")

func (s *forgetful) EvaluateOpen(ctx context.Context, scope gate.Scope) error {
	if scope == (gate.Scope{Owner: "acme"}) {
		s.heard = append(s.heard, "wake all")
	}
	return s.Store.EvaluateOpen(ctx, scope)
}

func (s *forgetful) PutFloor(ctx context.Context, owner string, has bool) error {
	s.heard = append(s.heard, "remember")
	if s.fails {
		return errForgotten
	}
	return s.Store.PutFloor(ctx, owner, has)
}

// TestAFloorWakesTheOthersBeforeItIsRemembered lets the process end between the
// two: the others are woken all the same, and once more by the next reading.
func TestAFloorWakesTheOthersBeforeItIsRemembered(t *testing.T) {
	f := newFixture(t)
	memory := &forgetful{Store: f.config.Store, fails: true}
	f.config.Store = memory
	g := gate.New(f.config)
	f.repo.Organization().CreateRepository(".github", map[string]string{policy.DefaultPath: "version: 1\n"})

	hears := func(want ...string) {
		t.Helper()
		if !slices.Equal(memory.heard, want) {
			t.Errorf("the store hears %q, want %q", memory.heard, want)
		}
		memory.heard = nil
	}
	if d, err := g.Evaluate(t.Context(), f.ref); !errors.Is(err, errForgotten) || d.Outcome != policy.OutcomeClosed {
		t.Errorf("with a floor that cannot be remembered the gate is %s: %v", d.Outcome, err)
	}
	hears("wake all", "remember")
	memory.fails = false
	f.evaluate(g)
	hears("wake all", "remember")
	f.evaluate(g)
	hears()
}
