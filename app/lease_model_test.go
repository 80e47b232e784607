package app

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// loans is a random history of credentials that are lent and ended, of a GitHub that
// fails, people who write secrets by hand, and processes that die, beside a model of
// what must be accepted and what must not.
type loans struct {
	*leaseWorld

	random *rand.Rand
	// lent are those of which Issue said so, and those that a process had put into force
	// when it died, by id.
	lent map[string]*loan
	// revoked are those that were revoked while they were issued.
	revoked map[string]bool
	// theirs are the secrets that people wrote, by name.
	theirs             map[string]string
	stopped, forbidden bool
	lends, deaths      int64
	lines              []string
}

// loan is a credential as the model has it.
type loan struct {
	credential.JITCredential

	// over is true once it was ended, or was seen not to be accepted; loose if something
	// may have ended it since.
	over, loose bool
}

var loanSlots = []string{"JIT_1H_DEPLOY", "JIT_2H_DEPLOY", "JIT_1H_GIT", "JIT_1H_RELEASE"}

// TestLoansByAModel walks random histories of leases, and holds each step to the model.
func TestLoansByAModel(t *testing.T) {
	t.Parallel()
	histories, steps := 8, 300
	if raced {
		histories, steps = 2, 150
	}
	const least = 5 // that is lent, and dies, in each
	var lent, died atomic.Int64
	t.Cleanup(func() {
		if all := least * int64(histories); lent.Load() < all || died.Load() < all {
			t.Errorf("hardly anything happened: %d lent, %d died", lent.Load(), died.Load())
		}
	})
	for i := range histories {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano()) + uint64(i)
			l := &loans{
				leaseWorld: newLeaseWorld(t, "sqlite:"+t.TempDir()+"/portcullis.db"), random: rand.New(rand.NewPCG(seed, 1)),
				lent: map[string]*loan{}, revoked: map[string]bool{}, theirs: map[string]string{},
			}
			l.permit = func(credential.Lease) error {
				if l.forbidden {
					return &credential.RefusedError{Why: "the approval is gone"}
				}
				return nil
			}
			// A history in which little happens yet goes on.
			for i := 0; i < steps || i < 10*steps && min(l.lends, l.deaths) < least; i++ {
				l.step()
				if l.holds(); t.Failed() {
					break
				}
			}
			if !t.Failed() {
				l.comesToAnEnd()
			}
			if t.Failed() {
				t.Logf("seed %d:\n%s", seed, strings.Join(l.lines, "\n"))
			}
			lent.Add(l.lends)
			died.Add(l.deaths)
		})
	}
}

func (l *loans) say(format string, args ...any) {
	l.lines = append(l.lines, l.clock.now().UTC().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// step lets something happen.
func (l *loans) step() {
	switch l.random.IntN(16) {
	case 0, 1, 2, 3, 4:
		l.asks()
	case 5, 6:
		l.revokes()
	case 7, 8, 9:
		for range 1 + l.random.IntN(4) {
			l.mayDie("clears", func() { _, _ = l.issuer.Clear(l.t.Context(), l.installation.ID()) })
		}
	case 10, 11:
		d := time.Duration(1+l.random.IntN(600)) * time.Second
		l.say("%s pass", d)
		l.clock.pass(d)
	case 12:
		l.fails()
	case 13:
		l.byHand()
	case 14:
		l.stops(l.random.IntN(2) == 0)
	case 15:
		l.forbids(l.random.IntN(2) == 0)
	}
}

func (l *loans) stops(on bool) {
	l.say("stopped: %t", on)
	l.stopped = on
	l.throw(on)
	for _, one := range l.lent {
		one.over = one.over || on
	}
}

func (l *loans) forbids(is bool) {
	l.say("forbidden: %t", is)
	l.forbidden = is
	for _, one := range l.lent {
		one.loose = one.loose || is // it ends with the next look
	}
}

// mayDie does it in a process that dies somewhere in it, or does not.
func (l *loans) mayDie(what string, do func()) (died bool) {
	moment := 0
	if l.random.IntN(3) == 0 {
		moment = 1 + l.random.IntN(16)
	}
	died = l.dies(moment, do)
	if died {
		l.say("%s, and dies at %s", what, l.log()[moment-1])
		l.deaths++
		l.restart()
	}
	l.on(0, nil)
	return died
}

// asks asks for a credential.
func (l *loans) asks() {
	if l.random.IntN(3) > 0 {
		l.stops(false)
		l.forbids(false)
	}
	request := l.request()
	request.Slot.Name = loanSlots[l.random.IntN(len(loanSlots))]
	request.TTL = time.Duration(1+l.random.IntN(59)) * time.Minute
	if l.random.IntN(2) == 0 {
		request.Provider = policy.ProviderOpaque
	}
	if l.random.IntN(3) == 0 {
		request.Key = fmt.Sprintf("%s %d", request.Slot.Name, l.random.IntN(9))
	}
	free := l.theirs[request.Slot.Name] == "" && !slices.ContainsFunc(l.leases(), func(lease credential.Lease) bool {
		return lease.Slot.Name == request.Slot.Name && !lease.State.Ended()
	})
	var lent credential.JITCredential
	err := errDied
	issue := func() { lent, err = l.issuer.Issue(l.t.Context(), request) }
	moment, permitted := 0, true
	if l.random.IntN(4) == 0 {
		moment = 1 + l.random.IntN(16)
		l.on(moment, l.meanwhile(request.Slot.Name))
		issue()
		permitted = !l.forbidden || !slices.Contains(l.log()[min(moment, len(l.log())):], "change") // it is asked right before the last
		l.on(0, nil)
	} else {
		l.mayDie("lends "+request.Slot.Name, issue)
	}
	if err != nil {
		l.say("%s is not lent for %s: %v", request.Slot.Name, request.TTL, err)
		return
	}
	l.say("%s is lent for %s as %s", request.Slot.Name, request.TTL, lent.ID)
	if known := l.lent[lent.ID]; known != nil { // asked for again
		if known.over && !l.accepts(known.JITCredential) {
			l.t.Errorf("%s has ended and is lent again", lent.ID)
		}
		return
	}
	if !free || !permitted || moment == 0 && (l.stopped || l.forbidden) {
		l.t.Errorf("%s is lent though it must not be", request.Slot.Name)
	}
	if lent.ExpiresAt.After(l.clock.now().Add(request.TTL)) {
		l.t.Errorf("%s is lent until %s, for %s", request.Slot.Name, lent.ExpiresAt, request.TTL)
	}
	l.lends++
	lent.Token = credential.NewSecret(l.shop.Secrets()[request.Slot.Name])
	// What came meanwhile came last, or else it would not have been lent.
	l.lent[lent.ID] = &loan{JITCredential: lent, over: l.stopped || l.revoked[lent.ID], loose: moment != 0}
}

// meanwhile is what happens while something is lent through the slot.
func (l *loans) meanwhile(slot string) func() {
	switch l.random.IntN(3) {
	case 0:
		return func() { l.stops(true) }
	case 1:
		return func() { l.forbids(true) }
	default:
		return func() {
			for _, lease := range l.leases() {
				if lease.Slot.Name == slot && !lease.State.Ended() {
					l.say("%s is revoked meanwhile", lease.ID)
					must(l.t, l.issuer.Revoke(l.t.Context(), lease.ID))
					if l.revoked[lease.ID] = true; l.lent[lease.ID] != nil {
						l.lent[lease.ID].over = true
					}
				}
			}
		}
	}
}

func (l *loans) revokes() {
	all := l.leases()
	if len(all) == 0 {
		return
	}
	id := all[l.random.IntN(len(all))].ID
	var err error
	died := l.mayDie("revokes "+id, func() { err = l.issuer.Revoke(l.t.Context(), id) })
	if err != nil {
		l.t.Errorf("revoke: %v", err)
	}
	l.say("%s is revoked (died: %t)", id, died)
	if one := l.lent[id]; one != nil {
		one.over, one.loose = one.over || !died, true
	}
}

// fails has GitHub fail for a while, or whoever makes what is lent.
func (l *loans) fails() {
	if l.random.IntN(3) == 0 {
		l.upstream.fails = nil
		if l.random.IntN(4) == 0 {
			l.upstream.fails = errUpstream
		}
		l.say("upstream: %v", l.upstream.fails)
		return
	}
	fault := githubsim.Fault{
		Times: 1 + l.random.IntN(3), After: l.random.IntN(2) == 0,
		Status: []int{0, http.StatusForbidden, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests}[l.random.IntN(5)],
	}
	if l.random.IntN(2) == 0 {
		fault.Path = secretPath
	}
	l.say("GitHub answers %d times with %d, after it has done it: %t", fault.Times, fault.Status, fault.After)
	l.github.Inject(fault)
}

// byHand has somebody delete a secret, whoever wrote it, or write one where nothing is
// lent, or over what is. Beside a write of ours that nobody answered, theirs could not be
// told from it.
func (l *loans) byHand() {
	name := loanSlots[l.random.IntN(len(loanSlots))]
	if l.theirs[name] != "" || l.random.IntN(2) == 0 {
		l.say("somebody deletes %s", name)
		l.shop.DeleteSecret(name)
		delete(l.theirs, name)
		return
	}
	for _, lease := range l.leases() {
		if lease.Slot.Name == name && !lease.State.Ended() && lease.SecretUpdatedAt.IsZero() {
			return
		}
	}
	l.clock.pass(2 * time.Second) // GitHub tells seconds
	l.theirs[name] = fmt.Sprintf("theirs %d", len(l.lines))
	l.shop.SetSecret(name, l.theirs[name])
	l.say("somebody writes %s", name)
	l.clock.pass(2 * time.Second)
}

// holds holds what there is to the model.
func (l *loans) holds() {
	l.t.Helper()
	slots := map[string]int{}
	for _, lease := range l.leases() {
		if !lease.State.Ended() {
			slots[lease.Slot.Name]++
		}
		if one := l.lent[lease.ID]; one == nil && l.accepts(credential.JITCredential{ID: lease.ID}) {
			// A process had put it into force, and died before it said so.
			l.lent[lease.ID] = &loan{JITCredential: credential.JITCredential{ID: lease.ID, ExpiresAt: lease.ExpiresAt}}
		}
	}
	for name, n := range slots {
		if n > 1 {
			l.t.Errorf("%d leases have the slot %s", n, name)
		}
	}
	for id, one := range l.lent {
		ended := one.over || !l.clock.now().Before(one.ExpiresAt)
		switch accepted := l.accepts(one.JITCredential); {
		case accepted && ended:
			l.t.Errorf("%s is accepted, and has ended", id)
		case !accepted && !ended && !one.loose:
			l.t.Errorf("%s is not accepted, and nothing ended it: %+v", id, l.lease(id))
		case !accepted:
			one.over = true
		}
	}
	for name, value := range l.theirs {
		if got := l.shop.Secrets()[name]; got != value {
			l.t.Errorf("somebody wrote %q into %s, and it is %q", value, name, got)
		}
	}
}

// comesToAnEnd holds that once nothing fails any more nothing is left but what others
// wrote.
func (l *loans) comesToAnEnd() {
	l.t.Helper()
	l.forbidden, l.upstream.fails = true, nil
	l.throw(false)
	for range 20 { // what GitHub still has to answer wrongly
		_, _ = l.issuer.Clear(l.t.Context(), l.installation.ID())
		l.clock.pass(time.Minute)
	}
	l.reap(3 * time.Hour)
	l.clock.pass(time.Hour)
	if left := l.shop.Secrets(); !maps.Equal(left, l.theirs) {
		l.t.Errorf("left at GitHub: %v, and others wrote %v", left, l.theirs)
	}
	for _, lease := range l.leases() {
		if !lease.State.Ended() || lease.Handle != nil || lease.Accepted(l.clock.now()) {
			l.t.Errorf("the lease %s is %s after %d attempts: %s", lease.ID, lease.State, lease.Attempts, lease.LastError)
		}
	}
	if accepted := l.upstream.accepted(); len(accepted) != 0 {
		l.t.Errorf("accepted upstream: %v", accepted)
	}
	if _, err := l.issuer.Issue(l.t.Context(), l.request()); err == nil || errors.Is(err, credential.ErrStopped) {
		l.t.Errorf("asked once more: %v", err)
	}
}
