package app

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
)

var (
	errUpstream    = errors.New("upstream does not answer")
	repositoryPath = regexp.MustCompile(`^/repos/acme/shop$`)
)

// TestI3ADeathWhileItIsRevokedIsMadeUpFor: for every kill point of Revoke, a restart
// ends in revoked, provider.Revoke was called at least once, and no DELETE is sent after
// one was confirmed.
func TestI3ADeathWhileItIsRevokedIsMadeUpFor(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		moments := 0
		for died, moment := true, 1; died; moment++ {
			lw.on(0, nil)
			lent := lw.issue()
			revoked := lw.upstream.revoked
			died = lw.dies(moment, func() {
				_ = lw.issuer.Revoke(t.Context(), lent.ID)
				lw.reap(0)
			})
			where := ""
			if died {
				moments++
				where = lw.log()[moment-1]
			}
			deleted := lw.shop.Secrets()[leaseSlot] == ""
			lw.restart()
			if where == "change" && lw.accepts(lent) { // before its first step: whoever asked has no answer
				must(t, lw.issuer.Revoke(t.Context(), lent.ID))
			}
			lw.reap(3 * time.Minute)
			lw.nothingLeft()
			if lease := lw.lease(lent.ID); lease.State != credential.StateRevoked || lw.upstream.revoked == revoked || len(lw.upstream.accepted()) != 0 {
				t.Errorf("killed at %s: %s, revoked upstream %d times, accepted there: %v", where, lease.State, lw.upstream.revoked-revoked, lw.upstream.accepted())
			}
			if again := lw.count("delete"); deleted && again != 0 {
				t.Errorf("killed at %s: %d times deleted again", where, again)
			}
		}
		if moments < 9 {
			t.Errorf("it died at %d moments only", moments)
		}
	})
}

// TestI6ItEndsAtItsTime: IsValid(id) is false from expires_at on, with reaper, GitHub
// and webhooks all stopped.
func TestI6ItEndsAtItsTime(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		request := lw.request()
		request.Provider = "" // opaque
		lent, err := lw.issuer.Issue(t.Context(), request)
		must(t, err)
		lent.Token = credential.NewSecret(lw.shop.Secrets()[leaseSlot])
		lw.github.Inject(githubsim.Fault{Status: http.StatusServiceUnavailable})
		lw.clock.pass(lent.ExpiresAt.Sub(lw.clock.now()) - time.Second)
		if !lw.accepts(lent) {
			t.Error("not accepted a second before its end")
		}
		lw.clock.pass(time.Second)
		if lw.accepts(lent) {
			t.Error("accepted at its end")
		}
		if state := lw.lease(lent.ID).State; state != credential.StateActive {
			t.Errorf("something else ended it: it is %s", state)
		}
	})
}

// TestI7RevokedIsNotAccepted: IsValid(id) is false as soon as Revoke has returned or
// failed after step 1; it never becomes true again.
func TestI7RevokedIsNotAccepted(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(lw *leaseWorld){
		"nothing fails":  func(*leaseWorld) {},
		"GitHub fails":   func(lw *leaseWorld) { lw.github.Inject(githubsim.Fault{Status: http.StatusBadGateway, Times: 12}) },
		"upstream fails": func(lw *leaseWorld) { lw.upstream.fails = errUpstream },
		"it is too often": func(lw *leaseWorld) {
			lw.github.SetRateLimit(lw.installation.ID(), 0, lw.clock.now().Add(10*time.Minute))
		},
	} {
		t.Run(name, func(t *testing.T) {
			lw := anyLeaseWorld(t)
			lent := lw.issue()
			trouble(lw)
			must(t, lw.issuer.Revoke(t.Context(), lent.ID))
			for range 20 {
				if lw.accepts(lent) {
					t.Fatal("accepted after it was revoked")
				}
				next, err := lw.issuer.Clear(t.Context(), lw.installation.ID())
				must(t, err)
				if ahead := next.Sub(lw.clock.now()); ahead > 0 {
					lw.clock.pass(ahead)
				}
			}
			lw.upstream.fails = nil
			lw.reap(5 * time.Hour)
			lw.nothingLeft()
		})
	}
}

// TestI9WhatCannotBeRevokedIsStuck: a failed upstream revoke never deletes or finalises
// the row; after six it is stuck, counted and listed, and tried again every hour.
func TestI9WhatCannotBeRevokedIsStuck(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.issueStuck()
	stuck := lw.lease(lent.ID)
	if stuck.State != credential.StateStuck || stuck.Attempts < 6 || !strings.Contains(stuck.LastError, errUpstream.Error()) || len(stuck.Handle) == 0 {
		t.Errorf("it is %s after %d attempts: %s", stuck.State, stuck.Attempts, stuck.LastError)
	}
	listed, err := lw.facts.Leases(t.Context(), credential.Selection{Live: true})
	must(t, err)
	counts, err := lw.facts.CountLeases(t.Context())
	must(t, err)
	if len(listed) != 1 || counts[credential.StateStuck] != 1 || !strings.Contains(lw.written(), "credential.not_cleared") {
		t.Errorf("%d are listed, %v counted", len(listed), counts)
	}
	if len(lw.shop.Secrets()) != 0 {
		t.Error("that one half failed kept the other from being done")
	}
	if _, err := lw.issuer.Issue(t.Context(), lw.request()); err == nil {
		t.Error("its slot was lent to somebody else")
	}
	before := stuck.Attempts
	lw.reap(5 * time.Hour)
	if tried := lw.lease(lent.ID).Attempts - before; tried < 3 || tried > 10 {
		t.Errorf("tried %d times in five hours", tried)
	}
	lw.upstream.fails = nil
	lw.reap(2 * time.Hour)
	lw.nothingLeft()
}

// TestI9AtItsUpstreamEndItNeedsNobody: what nobody revoked is over once its maker ends
// it, and a minute.
func TestI9AtItsUpstreamEndItNeedsNobody(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.issue()
	lw.upstream.fails = errUpstream
	must(t, lw.issuer.Revoke(t.Context(), lent.ID))
	lw.reap(50 * time.Minute)
	if state := lw.lease(lent.ID).State; state.Ended() {
		t.Errorf("it is %s while it is accepted upstream", state)
	}
	lw.reap(4 * time.Hour)
	lw.nothingLeft()
}

// TestI10NotFoundIsGoneOnlyWithAccess: a 404 on DELETE finalises only with proven access
// to the repository; a 401 or 403 never does.
func TestI10NotFoundIsGoneOnlyWithAccess(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`/actions/secrets/`)
	for name, c := range map[string]struct {
		faults []githubsim.Fault
		gone   bool
	}{
		"404, and the repository is there": {[]githubsim.Fault{{Path: secret, Status: http.StatusNotFound}}, true},
		"403 for the secret":               {[]githubsim.Fault{{Path: secret, Status: http.StatusForbidden}}, false},
		"401 for the secret":               {[]githubsim.Fault{{Path: secret, Status: http.StatusUnauthorized}}, false},
		"403 for the repository":           {[]githubsim.Fault{{Path: secret, Status: http.StatusNotFound}, {Path: repositoryPath, Status: http.StatusForbidden}}, false},
		"404 for the deletion":             {[]githubsim.Fault{{Method: http.MethodDelete, Path: secret, Status: http.StatusNotFound}}, true},
		"403 for the deletion":             {[]githubsim.Fault{{Method: http.MethodDelete, Path: secret, Status: http.StatusForbidden}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			lw := anyLeaseWorld(t)
			lent := lw.issue()
			for _, fault := range c.faults {
				lw.github.Inject(fault)
			}
			must(t, lw.issuer.Revoke(t.Context(), lent.ID))
			lw.reap(10 * time.Minute)
			if lease := lw.lease(lent.ID); lease.State.Ended() != c.gone {
				t.Errorf("it is %s: %s", lease.State, lease.LastError)
			}
		})
	}
	t.Run("the repository has gone to where the App is not", func(t *testing.T) {
		lw := anyLeaseWorld(t)
		lent := lw.issue()
		lw.shop.Transfer(lw.github.CreateOrganization("elsewhere"))
		must(t, lw.issuer.Revoke(t.Context(), lent.ID))
		lw.reap(10 * time.Minute)
		if lease := lw.lease(lent.ID); lease.State.Ended() || lease.LastError == "" || lw.shop.Secrets()[leaseSlot] == "" {
			t.Errorf("it is %s: %s", lease.State, lease.LastError)
		}
	})
}

// TestI25ARepositoryIsItsNumber: a renamed repository keeps its leases, and one that
// comes to have its old name gets none of them. TestI14WhatEndsALease has transfers.
func TestI25ARepositoryIsItsNumber(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.issue()
	lw.shop.Rename("store")
	other := lw.acme.CreateRepository("shop", map[string]string{"README.md": "# Another\n"})
	other.SetSecret(leaseSlot, "theirs")
	if !lw.accepts(lent) {
		t.Error("it ended with the name")
	}
	must(t, lw.issuer.Revoke(t.Context(), lent.ID))
	lw.reap(time.Minute)
	lw.nothingLeft()
	if other.Secrets()[leaseSlot] != "theirs" || len(lw.upstream.accepted()) != 0 {
		t.Errorf("the other repository has %v", other.Secrets())
	}
}

// TestI14WhatMayNotBeLentAnyMoreEnds: once it may not be lent any more it leaves active
// within one round, although nothing told. The causes are in credential_ends_test.go.
func TestI14WhatMayNotBeLentAnyMoreEnds(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	lent := lw.issue()
	lw.reap(10 * time.Minute)
	if !lw.accepts(lent) {
		t.Fatal("it ended without a reason")
	}
	lw.permit = func(credential.Lease) error { return errUpstream } // it is not known
	lw.reap(10 * time.Minute)
	if !lw.accepts(lent) || !strings.Contains(lw.written(), "credential.not_reviewed") {
		t.Error("that it is not known ended it, or was not told")
	}
	lw.permit = func(credential.Lease) error { return &credential.RefusedError{Why: "the pull request is closed"} }
	lw.reap(2 * time.Minute)
	if lease := lw.lease(lent.ID); lw.accepts(lent) || lease.Reason != "the pull request is closed" {
		t.Errorf("it is %s: %s", lease.State, lease.Reason)
	}
	lw.reap(time.Minute)
	lw.nothingLeft()
}

// TestI19LimitsDoNotCount: rate-limited revokes wait as told and do not count towards
// stuck.
func TestI19LimitsDoNotCount(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]githubsim.Fault{
		"429":           {Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "120"}},
		"secondary 403": {Status: http.StatusForbidden, Header: map[string]string{"Retry-After": "120"}, Body: `{"message":"You have exceeded a secondary rate limit.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}`},
	} {
		t.Run(name, func(t *testing.T) {
			lw := anyLeaseWorld(t)
			lent := lw.issue()
			fault.Method, fault.Path, fault.Times = http.MethodDelete, secretPath, 10
			lw.github.Inject(fault)
			must(t, lw.issuer.Revoke(t.Context(), lent.ID))
			begun := lw.clock.now()
			_, err := lw.issuer.Clear(t.Context(), lw.installation.ID())
			must(t, err)
			if lease := lw.lease(lent.ID); lease.Attempts != 0 || lease.NextAt.Sub(begun) < 119*time.Second {
				t.Errorf("%d attempts, the next after %s", lease.Attempts, lease.NextAt.Sub(begun))
			}
			lw.reap(15 * time.Minute)
			if lease := lw.lease(lent.ID); lease.State != credential.StateRevoking || lease.Attempts != 0 {
				t.Errorf("it is %s after %d attempts", lease.State, lease.Attempts)
			}
			lw.reap(time.Hour)
			lw.nothingLeft()
		})
	}
}

// TestI23OneReaper: two reapers over one database never run the same lease at once; a
// dead reaper's claim is taken over when its time is over.
func TestI23OneReaper(t *testing.T) {
	t.Parallel()
	lw := newLeaseWorld(t, sharedDatabase(t))
	lent := lw.issue()
	must(t, lw.issuer.Revoke(t.Context(), lent.ID))
	key := credential.WorkKey(lw.installation.ID())
	other, err := store.Open(t.Context(), lw.database, lw.clock.now)
	must(t, err)
	defer func() { must(t, other.Close()) }()
	if _, claimed, err := lw.facts.Claim(t.Context(), key); !claimed || err != nil {
		t.Fatalf("not claimed: %v", err)
	}
	if _, claimed, err := other.Claim(t.Context(), key); claimed || err != nil {
		t.Errorf("claimed by two: %t, %v", claimed, err)
	}
	lw.clock.pass(store.Lease + time.Second)
	work, claimed, err := other.Claim(t.Context(), key)
	if !claimed || err != nil {
		t.Fatalf("a dead reaper's claim stays: %v", err)
	}
	again, err := lw.issuer.Clear(t.Context(), work.Ref.Repository.Installation)
	must(t, err)
	must(t, other.DoneUntil(t.Context(), work, again, nil))
	lw.reap(time.Minute)
	lw.nothingLeft()
}

// TestI28RevokeRacesIssue: revoke racing issue on one lease, at every moment of it, ends
// with no secret at GitHub and a refused credential.
func TestI28RevokeRacesIssue(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		for raced, moment := true, 1; raced; moment++ {
			raced = false
			known := len(lw.leases())
			lw.on(moment, func() {
				raced = true
				lw.on(0, nil)
				if all := lw.leases(); len(all) > known {
					must(t, lw.issuer.Revoke(t.Context(), all[known].ID))
					_, err := lw.issuer.Clear(t.Context(), lw.installation.ID())
					must(t, err)
				}
			})
			where := moment
			lent, err := lw.issuer.Issue(t.Context(), lw.request())
			lw.on(0, nil)
			if raced && len(lw.leases()) > known && lw.leases()[known].Reason == "it was revoked" && err == nil && lw.accepts(lent) {
				t.Errorf("revoked at moment %d, and accepted", where)
			}
			lw.endAll()
			lw.nothingLeft()
			if left := lw.upstream.accepted(); len(left) != 0 {
				t.Errorf("revoked at moment %d: accepted upstream: %v", where, left)
			}
		}
	})
}
