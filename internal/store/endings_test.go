package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// lend keeps a lease that is lent in the repository, for a run.
func (d *database) lend(t *testing.T, id string, run int64) {
	t.Helper()
	now := d.clock.Now()
	_, opened, err := d.OpenLease(t.Context(), credential.Lease{
		ID: id, Key: id, Credential: "deploy", Provider: policy.ProviderOpaque, Slot: credential.Slot{Repository: shopScope.Repository}, Run: run,
		State: credential.StateActive, CreatedAt: now, ExpiresAt: now.Add(time.Hour), NextAt: now.Add(time.Hour),
	}, audit.Entry{At: now, Actor: "ann", Action: "credential.asked", Subject: id})
	if err != nil || !opened {
		t.Fatalf("not kept: %v", err)
	}
}

// lastEntry is the last act on record, in words.
func (d *database) lastEntry(t *testing.T) string {
	t.Helper()
	entries, err := d.AuditEntries(t.Context(), 0, 1000)
	must(t, err)
	e := entries[len(entries)-1]
	return fmt.Sprintf("%s %s %s: %s", e.Actor, e.Action, e.Subject, e.Detail)
}

// TestManyAreEndedAtOnce: one act ends all that are selected, and one entry tells of it
// when they end, not only when each is cleared away.
func TestManyAreEndedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		live := func() (ids string) {
			t.Helper()
			leases, err := d.Leases(t.Context(), credential.Selection{})
			must(t, err)
			for _, lease := range leases {
				if lease.Accepted(d.clock.Now()) {
					ids += lease.ID
				}
			}
			return ids
		}
		end := func(run int64, reason string) (int, error) {
			return d.EndLeases(t.Context(), credential.Selection{RepositoryID: shopScope.Repository.ID, Run: run},
				credential.Ending{Reason: reason, At: d.clock.Now(), Place: "acme/shop"})
		}
		for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
			d.lend(t, id, int64(i/2+1))
		}
		if n, err := end(1, "its run has ended"); n != 2 || err != nil || live() != "cdef" {
			t.Errorf("ended %d, %v; live are %q", n, err, live())
		}
		want := "portcullis credential.ended acme/shop: 2 credentials: its run has ended"
		if is := d.lastEntry(t); is != want {
			t.Errorf("on record is %q, want %q", is, want)
		}
		if n, err := end(1, "its run has ended once more"); n != 0 || err != nil || d.lastEntry(t) != want {
			t.Errorf("ended %d again, %v: %s", n, err, d.lastEntry(t))
		}

		// What a kill switch has ended that is not written into the leases yet keeps
		// nothing else from ending.
		one := shopScope
		one.Number = 9
		now := d.clock.Now()
		_, _, err := d.OpenLease(t.Context(), credential.Lease{
			ID: "on 9", Key: "on 9", Slot: credential.Slot{Repository: shopScope.Repository}, Number: 9, State: credential.StateActive, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		}, audit.Entry{At: now, Actor: "ann", Action: "credential.asked", Subject: "on 9"})
		must(t, err)
		d.throw(t, one)
		d.edit(t, `ALTER TABLE audit_entries RENAME TO elsewhere`)
		if n, err := end(2, "its run has ended"); n != 2 || !errors.Is(err, audit.ErrNotRecorded) || live() != "ef" {
			t.Errorf("without a record: ended %d, %v; live are %q", n, err, live())
		}
		d.edit(t, `ALTER TABLE elsewhere RENAME TO audit_entries`)

		d.throw(t, shopScope)
		if live() != "" {
			t.Errorf("live under the kill switch: %q", live())
		}
		if _, _, err := d.DueLease(t.Context(), shopScope.Repository.Installation, d.clock.Now()); err != nil {
			t.Error(err)
		}
		if is, want := d.lastEntry(t), "portcullis credential.ended acme/shop: 2 credentials: the kill switch: leak"; is != want {
			t.Errorf("on record is %q, want %q", is, want)
		}
	})
}

// TestWhatHasLongEndedIsForgotten: the audit log has it; the record of leases does not
// grow with all that ever were.
func TestWhatHasLongEndedIsForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		ended := func(id string, state credential.State) {
			t.Helper()
			_, err := d.ChangeLease(t.Context(), id, func(l *credential.Lease, _ bool) ([]audit.Entry, error) {
				l.End(credential.StateRevoked, "over", policy.Actor{}, d.clock.Now())
				if l.State = state; state.Ended() {
					l.NextAt = time.Time{}
				}
				return nil, nil
			})
			must(t, err)
		}
		kept := func() (ids []string) {
			t.Helper()
			leases, err := d.Leases(t.Context(), credential.Selection{})
			must(t, err)
			for _, lease := range leases {
				ids = append(ids, lease.ID)
			}
			return ids
		}
		const many = 501 // more than are deleted at once
		d.edit(t, fmt.Sprintf(`
			INSERT INTO leases (id, idem_key, installation, owner, repository_id, environment, number, by_agent, run_id, state, outcome, reason, ended_by, ended_by_id, ended_at, expires_at, document, position)
			WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < %d)
			SELECT 'old' || n, 'old' || n, 5, 'acme', 11, '', 7, 0, 0, 'revoked', 'revoked', '', '', 0, %d, 0, '{}', n - 1000 FROM many`, many, d.clock.Now().UnixMilli()))
		for _, id := range []string{"a", "b", "c"} {
			d.lend(t, id, 1)
		}
		ended("b", credential.StateStuck)
		d.clock.pass(20 * 24 * time.Hour)
		ended("c", credential.StateExpired)
		for _, run := range []int64{1, 2} {
			_, err := d.ChangeDeployment(t.Context(), credential.Deployment{On: pullRequest(7), Run: run, Environment: "staging"}, func(dep *credential.Deployment) bool {
				dep.Jobs, dep.Approved = []int64{run}, true
				return false
			})
			must(t, err)
		}
		prune := func() bool {
			t.Helper()
			more, err := d.Prune(t.Context(), d.clock.Now())
			must(t, err)
			return more
		}
		if prune() || len(kept()) != many+3 {
			t.Errorf("after twenty days there are %q", kept())
		}
		d.clock.pass(12 * 24 * time.Hour)
		if !prune() || prune() || !slices.Equal(kept(), []string{"a", "b", "c"}) {
			t.Errorf("after a month there are %q", kept())
		}
		for run, want := range map[int64]int{1: 1, 2: 0} {
			got, err := d.Deployment(t.Context(), credential.Deployment{On: pullRequest(7), Run: run, Environment: "Staging"})
			if err != nil || len(got.Jobs) != want {
				t.Errorf("of run %d, %d jobs are known, want %d (%v)", run, len(got.Jobs), want, err)
			}
		}
	})
}
