package killswitch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// MemoryKillSwitch is a [KillSwitch] that forgets everything with the process: for
// tests and for library users without a database. Anybody may stop; who may start
// again are the rules'.
type MemoryKillSwitch struct {
	rules policy.SwitchRules
	who   func(context.Context, policy.Actor) (policy.Standing, error)
	now   func() time.Time

	mu       sync.Mutex
	switches map[string]*Switch
}

var _ KillSwitch = (*MemoryKillSwitch)(nil)

// NewMemoryKillSwitch returns a switch that stops nothing yet. who says what a
// person may do.
func NewMemoryKillSwitch(rules policy.SwitchRules, who func(context.Context, policy.Actor) (policy.Standing, error), now func() time.Time) *MemoryKillSwitch {
	return &MemoryKillSwitch{rules: rules, who: who, now: now, switches: map[string]*Switch{}}
}

// Activate throws the switch.
func (m *MemoryKillSwitch) Activate(_ context.Context, scope Scope, by policy.Actor, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	sw := m.switches[scope.Key()]
	if sw == nil {
		sw = &Switch{Scope: scope}
		m.switches[scope.Key()] = sw
	}
	sw.Throw(Thrown{By: by, Reason: reason, At: m.now()})
	return nil
}

// Deactivate asks to start again.
func (m *MemoryKillSwitch) Deactivate(ctx context.Context, scope Scope, by policy.Actor) error {
	standing, err := m.who(ctx, by)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	sw := m.switches[scope.Key()]
	if sw == nil || sw.State == StateOff {
		return ErrNotActive
	}
	if why := m.rules.MayRelease(by, standing); why != "" {
		return &RefusedError{Why: why}
	}
	sw.Ask(Request{By: by, At: m.now(), standing: standing})
	var asked []policy.Releaser
	for _, request := range sw.Requests {
		asked = append(asked, policy.Releaser{Actor: request.By, Standing: request.standing})
	}
	if missing := m.rules.Missing(asked); len(missing) > 0 {
		return &WaitingError{Missing: missing}
	}
	sw.Release(m.now())
	return nil
}

// IsActive reports whether a switch that covers the scope is on.
func (m *MemoryKillSwitch) IsActive(_ context.Context, scope Scope) (bool, error) {
	return len(m.reaching(scope)) > 0, nil
}

// Reason is why the scope is stopped.
func (m *MemoryKillSwitch) Reason(_ context.Context, scope Scope) (string, error) {
	return reason(m.reaching(scope)), nil
}

func (m *MemoryKillSwitch) reaching(scope Scope) []Switch {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Switch
	for _, sw := range m.switches {
		if sw.State != StateOff && sw.Covers(scope) {
			found = append(found, *sw)
		}
	}
	slices.SortFunc(found, widestFirst)
	return found
}
