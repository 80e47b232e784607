package app

import (
	"testing"
	"time"
)

func TestTheServerTellsMetrics(t *testing.T) {
	tw, pr := lends(t)
	tw.review(pr, "lee", "APPROVE")
	tw.comment(pr, "ann", "/credential issue deploy")
	wantText(t, tw.page("/metrics"), `portcullis_credential_leases{state="active"} 1`, "portcullis_credential_oldest_due_seconds 0", "portcullis_work_backlog 0", "portcullis_kill_switches_on 0")
}

func TestHowLongTheOldestCredentialWaits(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		lent := lw.issue()
		if since, err := lw.facts.OldestDueLease(t.Context()); err != nil || !since.IsZero() {
			t.Errorf("nothing is to be done, and it waits since %s, %v", since, err)
		}
		must(t, lw.issuer.Revoke(t.Context(), lent.ID))
		ended := lw.clock.now()
		lw.clock.pass(time.Hour)
		if since, err := lw.facts.OldestDueLease(t.Context()); err != nil || ended.Sub(since).Abs() > time.Second {
			t.Errorf("it ended at %s and waits since %s, %v", ended, since, err)
		}
		lw.reap(0)
		if since, err := lw.facts.OldestDueLease(t.Context()); err != nil || !since.IsZero() {
			t.Errorf("it is cleared away, and waits since %s, %v", since, err)
		}
	})
}
