package app

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
)

var secretPath = regexp.MustCompile(`/actions/secrets/JIT_[A-Z0-9_]+$`)

// TestI4OneLeaseHasASlot: at any instant at most one non-terminal lease exists per slot,
// under 100 concurrent issuers; losers change nothing at GitHub.
func TestI4OneLeaseHasASlot(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, lw *leaseWorld) {
		var issuers sync.WaitGroup
		errs := make([]error, 100)
		for i := range errs {
			issuers.Go(func() { _, errs[i] = lw.issuer.Issue(t.Context(), lw.request()) })
		}
		issuers.Wait()
		lent := 0
		for _, err := range errs {
			occupied, taken := errors.AsType[*credential.OccupiedError](err)
			switch {
			case err == nil:
				lent++
			case !taken || occupied.Holder == "":
				t.Errorf("a loser was told: %v", err)
			}
		}
		if all := lw.leases(); lent != 1 || len(all) != 1 || lw.upstream.made != 1 || lw.count("put") != 1 {
			t.Errorf("%d were lent, %d leases are on record, %d were made, %d written", lent, len(all), lw.upstream.made, lw.count("put"))
		}
	})
}

// TestI11WhatOthersWroteStays: a secret the App did not write (present before the lease,
// or updated since) is never silently overwritten and never deleted.
func TestI11WhatOthersWroteStays(t *testing.T) {
	t.Parallel()
	t.Run("it was there before", func(t *testing.T) {
		lw := anyLeaseWorld(t)
		lw.shop.SetSecret(leaseSlot, "theirs")
		_, err := lw.issuer.Issue(t.Context(), lw.request())
		if occupied, is := errors.AsType[*credential.OccupiedError](err); !is || occupied.Holder != "" {
			t.Errorf("refused with %v", err)
		}
		lw.reap(time.Hour)
		if got := lw.shop.Secrets()[leaseSlot]; got != "theirs" || lw.count("put") != 0 || lw.count("delete") != 0 || lw.upstream.made != 0 {
			t.Errorf("it is %q now", got)
		}
	})
	t.Run("it was written over", func(t *testing.T) {
		lw := anyLeaseWorld(t)
		lent := lw.issue()
		lw.clock.pass(time.Minute)
		lw.shop.SetSecret(leaseSlot, "theirs")
		must(t, lw.issuer.Revoke(t.Context(), lent.ID))
		lw.reap(time.Hour)
		if got := lw.shop.Secrets()[leaseSlot]; got != "theirs" || len(lw.upstream.accepted()) != 0 || lw.lease(lent.ID).State != credential.StateRevoked {
			t.Errorf("it is %q now, accepted upstream: %v, %s", got, lw.upstream.accepted(), lw.lease(lent.ID).State)
		}
		if !strings.Contains(lw.written(), "credential.foreign_secret") {
			t.Error("nobody was told")
		}
	})
	t.Run("it was put there in between", func(t *testing.T) {
		lw := anyLeaseWorld(t)
		remove := lw.github.Before(http.MethodPut, secretPath, func() { lw.shop.SetSecret(leaseSlot, "theirs") })
		_, err := lw.issuer.Issue(t.Context(), lw.request())
		remove()
		if _, is := errors.AsType[*credential.OccupiedError](err); !is || !strings.Contains(lw.written(), "credential.possible_capture") {
			t.Errorf("refused with %v; told: %s", err, lw.written())
		}
		lw.reap(time.Hour)
		lw.nothingLeft() // it had our value
	})
}

// TestI12OnlyNamesOfOurs: names outside ^JIT_ are never written or deleted, even when
// the policy asks.
func TestI12OnlyNamesOfOurs(t *testing.T) {
	t.Parallel()
	lw := anyLeaseWorld(t)
	for _, name := range []string{"DEPLOY", "GITHUB_TOKEN", "jit_1h_deploy", "JIT_DEPLOY", "JIT_1H_", "JIT_1H_A-B", "XJIT_1H_DEPLOY", "JIT_1H_DEPLOY\n"} {
		request := lw.request()
		request.Slot.Name = name
		if _, err := lw.issuer.Issue(t.Context(), request); err == nil || !strings.Contains(err.Error(), "it must begin with JIT_") {
			t.Errorf("%q: %v", name, err)
		}
	}
	lent := lw.issue()
	lw.shop.SetSecret("DEPLOY", "theirs")
	_, err := lw.facts.ChangeLease(t.Context(), lent.ID, func(l *credential.Lease, _ bool) ([]audit.Entry, error) {
		l.Slot.Name = "DEPLOY" // as somebody with the database could
		return nil, nil
	})
	must(t, err)
	must(t, lw.issuer.Revoke(t.Context(), lent.ID))
	lw.reap(time.Hour)
	if lw.shop.Secrets()["DEPLOY"] != "theirs" || lw.count("delete") != 0 {
		t.Error("a secret with another name was deleted")
	}
	if all := lw.leases(); len(all) != 1 {
		t.Errorf("%d leases", len(all))
	}
}

// TestI15AStaleKeyIsSealedForAgainOnce: on 422 the value is sealed anew for the key that
// was fetched again, exactly once; ciphertext for one key is never sent with the id of
// another.
func TestI15AStaleKeyIsSealedForAgainOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ rotations, puts int }{"once": {1, 2}, "each time": {9, 2}} {
		t.Run(name, func(t *testing.T) {
			lw := anyLeaseWorld(t)
			rotations := 0
			lw.github.Before(http.MethodPut, secretPath, func() {
				if rotations++; rotations <= c.rotations {
					lw.shop.RotateKey()
				}
			})
			lent, err := lw.issuer.Issue(t.Context(), lw.request())
			if got := lw.count("put"); got != c.puts || (err == nil) != (c.rotations == 1) {
				t.Errorf("%d writes, %v", got, err)
			}
			// The simulator opens each box with the private key to the id it came with.
			if value := lw.shop.Secrets()[leaseSlot]; err == nil && !strings.HasSuffix(value, "of "+lent.ID) {
				t.Errorf("it is %q", value)
			}
			lw.endAll()
			lw.nothingLeft()
		})
	}
}

// TestI16AKeyHasThirtyTwoBytes: a public key that is not 32 bytes is an error.
func TestI16AKeyHasThirtyTwoBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 31, 33, 64} {
		sealed, err := credential.Seal(credential.PublicKey{ID: "7", Key: make([]byte, size)}, credential.NewSecret("value"))
		if err == nil || sealed != "" || !strings.Contains(err.Error(), "and not 32") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	lw := anyLeaseWorld(t)
	lw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/actions/secrets/public-key$`), Status: http.StatusOK, Body: `{"key_id":"7","key":"c2hvcnQ="}`})
	if _, err := lw.issuer.Issue(t.Context(), lw.request()); err == nil || lw.count("put") != 0 {
		t.Errorf("a short key: %v, %d writes", err, lw.count("put"))
	}
	lw.reap(time.Hour)
	lw.nothingLeft()
}

// TestI19AWriteWaitsForALimitOnlyBriefly: a rate-limited PUT waits at most 5 s in place,
// else the lease is taken back and whoever asked is told when to ask again.
func TestI19AWriteWaitsForALimitOnlyBriefly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wait int
		lent bool
	}{"three seconds": {3, true}, "a minute": {60, false}} {
		t.Run(name, func(t *testing.T) {
			lw := anyLeaseWorld(t)
			lw.github.Inject(githubsim.Fault{Method: http.MethodPut, Path: secretPath, Status: http.StatusTooManyRequests, Times: 1, Header: map[string]string{"Retry-After": strconv.Itoa(c.wait)}})
			_, err := lw.issuer.Issue(t.Context(), lw.request())
			limit, limited := errors.AsType[credential.Limit](err)
			if (err == nil) != c.lent || limited == c.lent || limited && limit.RetryTime().Sub(lw.clock.now()) > time.Minute {
				t.Errorf("%v", err)
			}
			if c.lent {
				return
			}
			lw.clock.pass(time.Minute)
			lw.reap(time.Hour)
			lw.nothingLeft()
			if left := lw.upstream.accepted(); len(left) != 0 {
				t.Errorf("accepted upstream: %v", left)
			}
		})
	}
}
