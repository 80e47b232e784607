package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	"github.com/portcullis-app/portcullis/killswitch"
)

// MemorySandbox is a [Sandbox] whose commands are answered by a function: for tests.
type MemorySandbox struct {
	stop Switch
	run  func(command []string) Result

	mu      sync.Mutex
	created map[string]memorySandbox
}

type memorySandbox struct {
	place  killswitch.Scope
	status SandboxStatus
}

var (
	_ Sandbox            = (*MemorySandbox)(nil)
	_ killswitch.Stopper = (*MemorySandbox)(nil)
)

// NewMemorySandbox returns a sandbox that asks stop before it starts anything, and
// answers commands with run.
func NewMemorySandbox(stop Switch, run func(command []string) Result) *MemorySandbox {
	return &MemorySandbox{stop: stop, run: run, created: map[string]memorySandbox{}}
}

// Create starts a sandbox.
func (m *MemorySandbox) Create(ctx context.Context, place killswitch.Scope, _ SandboxConstraints) (string, SandboxStatus, error) {
	id := rand.Text()
	m.mu.Lock()
	m.created[id] = memorySandbox{place, StatusIdle}
	m.mu.Unlock()
	// Asked once it is on the list: a stop that comes now finds it there.
	if m.stop == nil {
		return "", StatusTerminated, errors.Join(ErrStopped, m.Destroy(ctx, id))
	}
	if on, err := m.stop.IsActive(ctx, place); on || err != nil {
		return "", StatusTerminated, errors.Join(ErrStopped, err, m.Destroy(ctx, id))
	}
	return id, StatusIdle, nil
}

// Execute answers a command.
func (m *MemorySandbox) Execute(ctx context.Context, id string, command []string) (Result, error) {
	status, err := m.Status(ctx, id)
	if err != nil {
		return Result{}, err
	}
	if status != StatusIdle {
		return Result{}, ErrNotRunning
	}
	return m.run(command), nil
}

// Status is idle until it was destroyed.
func (m *MemorySandbox) Status(_ context.Context, id string) (SandboxStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.created[id]
	if !known {
		return "", ErrUnknown
	}
	return s.status, nil
}

// Destroy ends a sandbox.
func (m *MemorySandbox) Destroy(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, known := m.created[id]; known {
		s.status = StatusTerminated
		m.created[id] = s
	}
	return nil
}

// Stop destroys every sandbox in the scope.
func (m *MemorySandbox) Stop(_ context.Context, scope killswitch.Scope) (ended int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, s := range m.created {
		if s.status != StatusTerminated && scope.Covers(s.place) {
			s.status = StatusTerminated
			m.created[id] = s
			ended++
		}
	}
	return ended, nil
}
