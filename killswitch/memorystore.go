package killswitch

import (
	"context"
	"slices"
	"sync"

	"github.com/portcullis-app/portcullis/audit"
)

// MemoryStore is a [Store] that forgets everything with the process, and [Gates] that
// nobody watches: for tests, and for the command line.
type MemoryStore struct {
	mu       sync.Mutex
	switches map[string]Switch
	entries  []audit.Entry
}

var (
	_ Store = (*MemoryStore)(nil)
	_ Gates = (*MemoryStore)(nil)
)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{switches: map[string]Switch{}} }

// Switch returns the switch of the scope.
func (m *MemoryStore) Switch(_ context.Context, scope Scope) (Switch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(scope), nil
}

func (m *MemoryStore) of(scope Scope) Switch {
	if sw, known := m.switches[scope.Key()]; known {
		return sw
	}
	return Switch{Scope: scope}
}

// InForce lists the switches that cover the scope.
func (m *MemoryStore) InForce(_ context.Context, scope Scope) ([]Switch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Switch
	for _, sw := range m.switches {
		if sw.State != StateOff && (scope == Scope{} || sw.Covers(scope)) {
			found = append(found, sw)
		}
	}
	slices.SortFunc(found, widestFirst)
	return found, nil
}

// Change lets change the switch; nobody is woken.
func (m *MemoryStore) Change(_ context.Context, scope Scope, _ bool, change func(*Switch) (bool, []audit.Entry)) (Switch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sw := m.of(scope)
	if changed, entries := change(&sw); changed {
		m.switches[scope.Key()] = sw
		m.entries = append(m.entries, entries...)
	}
	return sw, nil
}

// Audit records an act.
func (m *MemoryStore) Audit(_ context.Context, entry audit.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, entry)
	return nil
}

// Entries are the acts on record.
func (m *MemoryStore) Entries() []audit.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}

// MarkGates leaves the gates to a server.
func (m *MemoryStore) MarkGates(context.Context, Scope, string) error { return nil }

// MarkedGates says that nobody counts them.
func (m *MemoryStore) MarkedGates(context.Context, Scope) (left, green int, err error) {
	return Unwatched, Unwatched, nil
}

// ResumeGates leaves the gates to a server.
func (m *MemoryStore) ResumeGates(context.Context, Scope) error { return nil }

// Bases knows of no branch but the default one.
func (m *MemoryStore) Bases(context.Context, Scope) ([]string, error) { return nil, nil }
