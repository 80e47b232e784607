package app

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
)

// TestI1NothingHappensBeforeTheIntent: no PUT or mint happens unless a lease row in
// intent was committed before it.
func TestI1NothingHappensBeforeTheIntent(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	recorded := ""
	for _, at := range []string{"mint", "put"} {
		lw.on(0, nil)
		lw.issue()
		effect := slices.Index(lw.log(), at)
		if opened := slices.Index(lw.log(), "opened"); opened < 0 || effect < opened {
			t.Errorf("%s came before the intent was on record: %v", at, lw.log())
		}
		lw.endAll()
	}
	lw.on(3, func() { recorded = string(lw.leases()[2].State) }) // permit, open, opened
	lw.issue()
	if recorded != string(credential.StateIntent) {
		t.Errorf("on record before anything else is %q", recorded)
	}
	lw.endAll()
	lw.mute = true
	before, writes := lw.upstream.made, lw.count("put")
	if _, err := lw.issuer.Issue(t.Context(), lw.request()); err == nil || lw.upstream.made != before || lw.count("put") != writes {
		t.Errorf("the intent could not be kept (%v), and %d was made, %d written", err, lw.upstream.made-before, lw.count("put")-writes)
	}
}

// TestI2ADeathWhileItIsIssuedLeavesNothing: for every kill point between any two steps
// of Issue, after restart and min-age the secret is absent at GitHub, the credential is
// refused, and the lease is terminal. The one exception has its own place below.
func TestI2ADeathWhileItIsIssuedLeavesNothing(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		moments, hadLost, complete := 0, false, false
		for moment := 1; ; moment++ {
			died := lw.dies(moment, func() { _, _ = lw.issuer.Issue(t.Context(), lw.request()) })
			if !died {
				break
			}
			moments++
			where := lw.log()[moment-1]
			known := false
			for _, lease := range lw.leases() {
				known = known || len(lease.Handle) > 0
			}
			lost := len(lw.upstream.accepted()) > 0 && !known
			lw.restart()
			if all := lw.leases(); len(all) > 0 && all[len(all)-1].State == credential.StateActive {
				// It was lent, and nobody told who asked: it ends at its time.
				complete = true
				lw.clock.pass(30 * time.Minute)
			}
			lw.reap(3 * time.Minute)
			if lost {
				// Made, and on record nowhere: nobody can revoke it. It ends upstream.
				hadLost = true
				if left := lw.upstream.accepted(); len(left) != 1 {
					t.Errorf("killed at %s: %v is accepted upstream", where, left)
				}
				lw.clock.pass(time.Hour)
			}
			lw.nothingLeft()
			if left := lw.upstream.accepted(); len(left) != 0 {
				t.Errorf("killed at %s: %v is accepted upstream", where, left)
			}
		}
		if moments < 14 || !hadLost || !complete {
			t.Errorf("it died at %d moments only, between mint and record: %t, once it was lent: %t", moments, hadLost, complete)
		}
	})
}

// TestI5OneKeyIsOneCredential: the same idempotency key returns the same lease id and
// never a second mint; the token itself is returned only by the first call.
func TestI5OneKeyIsOneCredential(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		request := lw.request()
		request.Key, request.Slot = "comment:7", credential.Slot{} // it is handed over
		first, err := lw.issuer.Issue(t.Context(), request)
		must(t, err)
		again, err := lw.issuer.Issue(t.Context(), request)
		must(t, err)
		if first.Token.IsZero() || again.ID != first.ID || !again.Token.IsZero() || lw.upstream.made != 1 {
			t.Errorf("%v, then %v with a token: %t, %d made", first, again, !again.Token.IsZero(), lw.upstream.made)
		}
		must(t, lw.issuer.Revoke(t.Context(), first.ID))
		if _, err := lw.issuer.Issue(t.Context(), request); !errors.Is(err, credential.ErrEnded) || lw.upstream.made != 1 {
			t.Errorf("once it has ended: %v", err)
		}
		died := lw.dies(4, func() {
			request.Key, request.Slot.Name = "comment:8", "JIT_1H_OTHER"
			_, _ = lw.issuer.Issue(t.Context(), request)
		})
		if _, err := lw.issuer.Issue(t.Context(), request); !died || !errors.Is(err, credential.ErrUnfinished) {
			t.Errorf("while it is being issued: %v", err)
		}
	})
}

// TestI8ItEndsAtTheShortestTime: expires_at ≤ min(requested, policy max, provider max,
// upstream expiry); a TTL that is none or above the cap is an error, never a default.
// What the policy allows is in policy: TestI8TTLs.
func TestI8ItEndsAtTheShortestTime(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	for name, c := range map[string]struct {
		ttl, upstream, want time.Duration
		refused             string
	}{
		"as asked":              {ttl: 10 * time.Minute, want: 10 * time.Minute},
		"upstream is shorter":   {ttl: 30 * time.Minute, upstream: 5 * time.Minute, want: 5 * time.Minute},
		"zero":                  {ttl: 0, refused: "above zero"},
		"negative":              {ttl: -time.Minute, refused: "above zero"},
		"above the provider's":  {ttl: time.Hour + time.Second, refused: "is longer than the provider vault allows, which is 1h0m0s"},
		"as long as is allowed": {ttl: time.Hour, want: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			lw.upstream.life = c.upstream
			request := lw.request()
			request.TTL = c.ttl
			begun := lw.clock.now()
			lent, err := lw.issuer.Issue(t.Context(), request)
			if c.refused != "" {
				if !errors.Is(err, credential.ErrTTL) || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("refused with %v", err)
				}
				return
			}
			must(t, err)
			const slack = 10 * time.Second // what it waits between calls
			if life := lent.ExpiresAt.Sub(begun); life > c.want+slack || life < c.want-slack {
				t.Errorf("it lives for %s, want %s", life, c.want)
			}
			lw.endAll()
		})
	}
}

// TestI13NothingIsLentWhileItIsStopped: after the kill switch commits no lease is
// inserted and none becomes active; every earlier one reaches its end.
func TestI13NothingIsLentWhileItIsStopped(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		thrown := true
		for moment := 1; thrown; moment++ {
			thrown = false
			lw.on(moment, func() {
				lw.throw(true)
				thrown = true
			})
			lent, err := lw.issuer.Issue(t.Context(), lw.request())
			if thrown && err == nil && lw.accepts(lent) {
				t.Errorf("thrown at %s, and accepted afterwards", lw.log()[moment-1])
			}
			if thrown {
				known := len(lw.leases())
				if _, err := lw.issuer.Issue(t.Context(), lw.request()); !errors.Is(err, credential.ErrStopped) || len(lw.leases()) != known {
					t.Errorf("while it is stopped: %v", err)
				}
			}
			lw.on(0, nil)
			if !thrown {
				lw.throw(true)
			}
			lw.reap(3 * time.Minute)
			lw.nothingLeft()
			if left := lw.upstream.accepted(); len(left) != 0 {
				t.Errorf("accepted upstream: %v", left)
			}
			lw.throw(false)
		}
	})
}

// TestI22WithoutAnEntryNothingIsLent: if the audit event cannot be committed nothing is
// issued; a revoke is still carried out, and the gap is flagged.
func TestI22WithoutAnEntryNothingIsLent(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.issue()
	lw.mute = true
	if err := lw.issuer.Revoke(t.Context(), lent.ID); err != nil || lw.accepts(lent) {
		t.Errorf("revoked: %v, and accepted: %t", err, lw.accepts(lent))
	}
	if !lw.lease(lent.ID).Untold || !strings.Contains(lw.written(), "audit.gap") {
		t.Error("the gap is not flagged")
	}
	request := lw.request()
	request.Slot.Name = "JIT_1H_OTHER"
	if other, err := lw.issuer.Issue(t.Context(), request); err == nil || lw.accepts(other) || lw.shop.Secrets()["JIT_1H_OTHER"] != "" {
		t.Errorf("without an entry: %v", err)
	}
	lw.mute = false
	lw.reap(time.Hour)
	lw.nothingLeft()
	entries, err := lw.facts.AuditEntries(t.Context(), 0, 100)
	must(t, err)
	if !slices.ContainsFunc(entries, func(e audit.Entry) bool { return strings.Contains(e.Detail, "when it ended could not be told here") }) {
		t.Errorf("the log does not tell of the gap: %+v", entries)
	}
	// At the last step, when all but the entry is done.
	lw.on(0, nil)
	lw.issue()
	last := len(lw.log()) - 2 // change, changed
	lw.endAll()
	lw.on(last, func() { lw.mute = true })
	late, err := lw.issuer.Issue(t.Context(), lw.request())
	if !errors.Is(err, audit.ErrNotRecorded) || lw.accepts(late) {
		t.Errorf("without the last entry: %v", err)
	}
}

// TestI24Nonsense: Issue with an empty scope is an error; Revoke(unknown) is a typed
// not-found; Revoke twice is nil.
func TestI24Nonsense(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	memory := credential.NewMemoryJITCredentialIssuer(calm{}, lw.clock.now)
	for name, issuer := range map[string]credential.JITCredentialIssuer{"github": lw.issuer, "memory": memory} {
		t.Run(name, func(t *testing.T) {
			request := lw.request()
			request.Scope = nil
			if _, err := issuer.Issue(t.Context(), request); !errors.Is(err, credential.ErrScope) {
				t.Errorf("for nothing: %v", err)
			}
			if err := issuer.Revoke(t.Context(), "nobody"); !errors.Is(err, credential.ErrUnknown) {
				t.Errorf("unknown: %v", err)
			}
			if valid, err := issuer.IsValid(t.Context(), "nobody"); valid || err != nil {
				t.Errorf("unknown: %t, %v", valid, err)
			}
			lent, err := issuer.Issue(t.Context(), lw.request())
			must(t, err)
			for range 2 {
				must(t, issuer.Revoke(t.Context(), lent.ID))
			}
			if valid, err := issuer.IsValid(t.Context(), lent.ID); valid || err != nil {
				t.Errorf("revoked twice: %t, %v", valid, err)
			}
		})
	}
}

// TestI26AHandleIsOfItsLease: a handle that was moved to another row fails to decrypt,
// and there is none in a terminal state.
func TestI26AHandleIsOfItsLease(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	one := lw.issue()
	request := lw.request()
	request.Slot.Name = "JIT_1H_OTHER"
	other, err := lw.issuer.Issue(t.Context(), request)
	must(t, err)
	kept := lw.lease(one.ID).Handle
	if len(kept) == 0 || bytes.Contains(kept, []byte("handle")) {
		t.Errorf("the handle is kept as %q", kept)
	}
	_, err = lw.facts.ChangeLease(t.Context(), other.ID, func(l *credential.Lease, _ bool) ([]audit.Entry, error) {
		l.Handle = kept
		return nil, nil
	})
	must(t, err)
	for _, c := range []credential.JITCredential{one, other} {
		must(t, lw.issuer.Revoke(t.Context(), c.ID))
	}
	lw.reap(30 * time.Second)
	if moved := lw.lease(other.ID); moved.State.Ended() || !strings.Contains(moved.LastError, "decrypt") {
		t.Errorf("it is %s: %s", moved.State, moved.LastError)
	}
	if ended := lw.lease(one.ID); !ended.State.Ended() || ended.Handle != nil {
		t.Errorf("it is %s, with a handle: %t", ended.State, ended.Handle != nil)
	}
	if left := lw.upstream.accepted(); len(left) != 1 || !strings.HasSuffix(left[0], other.ID) {
		t.Errorf("accepted upstream: %v", left)
	}
}
