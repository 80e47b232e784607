package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

// errDied is what a process that dies panics with.
var errDied = errors.New("the process died here")

// moments are GitHub and the database as the issuer has them. It counts what is done
// with them, and lets something happen right before or after one of it.
type moments struct {
	facts   *store.Store
	secrets secrets

	mu     sync.Mutex
	passed int
	names  []string
	counts map[string]int
	// then happens at the moment with that number, the first being 1.
	when int
	then func()
	// mute fails audit entries.
	mute bool
}

var (
	_ credential.Platform = (*moments)(nil)
	_ credential.Leases   = (*moments)(nil)
)

func (m *moments) at(what string) {
	m.mu.Lock()
	m.passed++
	m.names = append(m.names, what)
	m.counts[what]++
	happens := m.passed == m.when
	m.mu.Unlock()
	if happens {
		m.then()
	}
}

// on has it happen at the moment.
func (m *moments) on(moment int, then func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed, m.names, m.when, m.then = 0, nil, moment, then
}

// dies reports whether the process that does it dies at the moment.
func (m *moments) dies(moment int, do func()) (died bool) {
	m.on(moment, func() { panic(errDied) })
	defer func() {
		if fault := recover(); fault != nil {
			if fault != errDied { //nolint:errorlint // this very one
				panic(fault)
			}
			died = true
		}
	}()
	do()
	return false
}

// log names the moments since the test last said when something is to happen.
func (m *moments) log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.names)
}

func (m *moments) count(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[what]
}

func (m *moments) Locate(ctx context.Context, repository policy.Repository) (credential.Located, bool, error) {
	return m.secrets.Locate(ctx, repository)
}

func (m *moments) Secret(ctx context.Context, slot credential.Slot) (credential.SecretMeta, bool, time.Time, error) {
	m.at("look")
	return m.secrets.Secret(ctx, slot)
}

func (m *moments) PublicKey(ctx context.Context, slot credential.Slot) (credential.PublicKey, error) {
	m.at("key")
	return m.secrets.PublicKey(ctx, slot)
}

func (m *moments) PutSecret(ctx context.Context, slot credential.Slot, keyID, sealed string) (bool, error) {
	m.at("put")
	created, err := m.secrets.PutSecret(ctx, slot, keyID, sealed)
	m.at("putted")
	return created, err
}

func (m *moments) DeleteSecret(ctx context.Context, slot credential.Slot) (bool, error) {
	m.at("delete")
	found, err := m.secrets.DeleteSecret(ctx, slot)
	m.at("deleted")
	return found, err
}

func (m *moments) Secrets(ctx context.Context, repository policy.Repository, environment string) (map[string]credential.SecretMeta, time.Time, error) {
	return m.secrets.Secrets(ctx, repository, environment)
}

func (m *moments) Sweepable(ctx context.Context, installation int64) (credential.Sight, error) {
	return m.secrets.Sweepable(ctx, installation)
}

func (m *moments) Environments(ctx context.Context, repository policy.Repository) ([]string, error) {
	return m.secrets.Environments(ctx, repository)
}

func (m *moments) Audit(ctx context.Context, entry audit.Entry) error {
	if m.mute {
		return audit.ErrNotRecorded
	}
	return m.facts.Audit(ctx, entry)
}

func (m *moments) OpenLease(ctx context.Context, lease credential.Lease, entry audit.Entry) (credential.Lease, bool, error) {
	m.at("open")
	if m.mute {
		return credential.Lease{}, false, audit.ErrNotRecorded
	}
	kept, opened, err := m.facts.OpenLease(ctx, lease, entry)
	m.at("opened")
	return kept, opened, err
}

func (m *moments) ChangeLease(ctx context.Context, id string, change func(*credential.Lease, bool) ([]audit.Entry, error)) (credential.Lease, error) {
	m.at("change")
	lease, err := m.facts.ChangeLease(ctx, id, func(l *credential.Lease, stopped bool) ([]audit.Entry, error) {
		entries, err := change(l, stopped)
		if err == nil && m.mute && len(entries) > 0 {
			err = audit.ErrNotRecorded
		}
		return entries, err
	})
	m.at("changed")
	return lease, err
}

func (m *moments) RecordBegan(ctx context.Context) (time.Time, error) {
	return m.facts.RecordBegan(ctx)
}

func (m *moments) Lease(ctx context.Context, id string) (credential.Lease, error) {
	return m.facts.Lease(ctx, id)
}

func (m *moments) EndLeases(ctx context.Context, selected credential.Selection, end credential.Ending) (int, error) {
	return m.facts.EndLeases(ctx, selected, end)
}

func (m *moments) Leases(ctx context.Context, selected credential.Selection) ([]credential.Lease, error) {
	return m.facts.Leases(ctx, selected)
}

func (m *moments) DueLease(ctx context.Context, installation int64, at time.Time) (credential.Lease, time.Time, error) {
	return m.facts.DueLease(ctx, installation, at)
}
