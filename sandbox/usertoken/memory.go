package usertoken

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/audit"
)

// MemoryStore is a [Store] that keeps nothing when it ends.
type MemoryStore struct {
	mu      sync.Mutex
	of      map[int64]Kept
	entries []audit.Entry
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns one in which nothing is kept.
func NewMemoryStore() *MemoryStore { return &MemoryStore{of: map[int64]Kept{}} }

// UserToken returns what is kept of the person.
func (m *MemoryStore) UserToken(_ context.Context, person int64) (Kept, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept(person), nil
}

func (m *MemoryStore) kept(person int64) Kept {
	kept := m.of[person]
	kept.Person.ID = person
	return kept
}

// ChangeUserToken changes it.
func (m *MemoryStore) ChangeUserToken(_ context.Context, person int64, change func(kept *Kept) ([]audit.Entry, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.kept(person)
	entries, err := change(&kept)
	if err != nil {
		return err
	}
	m.entries = append(m.entries, entries...)
	if m.of[person] = kept; kept.IsEmpty() {
		delete(m.of, person)
	}
	return nil
}

// ExpectingUserTokens lists those of whom something is expected.
func (m *MemoryStore) ExpectingUserTokens(_ context.Context, after time.Time) (all []Kept, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kept := range m.of {
		if kept.ExpectedUntil.After(after) {
			all = append(all, kept)
		}
	}
	slices.SortFunc(all, func(a, b Kept) int { return int(a.Person.ID - b.Person.ID) })
	return all, nil
}

// Entries are what was written to the audit log, without its chain.
func (m *MemoryStore) Entries() []audit.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}
