package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

var (
	shopScope = killswitch.Scope{Repository: pullRequest(1).Repository}
	acmeScope = killswitch.Organization("acme", 5)
)

// throw turns the switch of the scope on.
func (d *database) throw(t *testing.T, scope killswitch.Scope) {
	t.Helper()
	_, err := d.Change(t.Context(), scope, true, func(sw *killswitch.Switch) (bool, []audit.Entry) {
		changed := sw.Throw(killswitch.Thrown{Reason: "leak", At: d.clock.Now(), HeardAt: d.clock.Now(), Verified: true})
		return changed, []audit.Entry{{At: d.clock.Now(), Actor: "ann", Action: "killswitch.on", Subject: scope.String()}}
	})
	must(t, err)
}

// shown keeps that the pull request's check shows the outcome.
func (d *database) shown(t *testing.T, number int, outcome policy.Outcome, autoMerge bool) {
	t.Helper()
	ref := pullRequest(number)
	must(t, d.Evaluate(t.Context(), ref))
	generation, err := d.NextGeneration(t.Context(), ref)
	must(t, err)
	p := posted(generation, time.Time{})
	p.Decision.Outcome, p.Base, p.AutoMerge = outcome, "main", autoMerge
	must(t, d.PutPosted(t.Context(), ref, p, decisionEntry))
	work := d.claim(t)
	must(t, d.Done(t.Context(), work, nil))
}

func TestSwitchesAreKept(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		if sw, err := d.Switch(t.Context(), shopScope); err != nil || sw.State != killswitch.StateOff || sw.Scope != shopScope {
			t.Errorf("one that was never thrown: %+v, %v", sw, err)
		}
		d.throw(t, acmeScope)
		if work := d.claim(t); work.Key != "switch:owner:acme" || work.Urgency != gate.UrgencySwitch || killswitch.Place(work.Ref) != acmeScope {
			t.Errorf("its work is %+v", work)
		} else {
			must(t, d.Done(t.Context(), work, nil))
		}
		agents := shopScope
		agents.Agents = true
		d.throw(t, agents)
		d.reopen(t)
		at := killswitch.PullRequest(pullRequest(7))
		for name, c := range map[string]struct {
			scope killswitch.Scope
			want  string
		}{
			"a person's": {at, "acme"}, "an agent's": {killswitch.Scope{Repository: at.Repository, Number: 7, Agents: true}, "acme, agents in acme/shop"},
			"another owner's": {killswitch.Organization("other", 6), ""}, "all": {killswitch.Scope{}, "acme, agents in acme/shop"},
		} {
			found, err := d.InForce(t.Context(), c.scope)
			must(t, err)
			var words []string
			for _, sw := range found {
				words = append(words, sw.String())
			}
			if got := strings.Join(words, ", "); got != c.want {
				t.Errorf("%s is stopped by %q, want %q", name, got, c.want)
			}
		}
		before := len(d.entries(t))
		_, err := d.Change(t.Context(), acmeScope, false, func(sw *killswitch.Switch) (bool, []audit.Entry) {
			sw.Reason = "something else"
			return false, []audit.Entry{{Action: "nothing"}}
		})
		must(t, err)
		if sw, _ := d.Switch(t.Context(), acmeScope); sw.Reason != "leak" || len(d.entries(t)) != before {
			t.Errorf("what is no change was kept: %q", sw.Reason)
		}
	})
}

// From the moment a switch is on no open gate is kept, and its check not written.
func TestNoGateOpensWhileASwitchIsOn(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		begin := func(outcome policy.Outcome, byAgent bool) error {
			t.Helper()
			generation, err := d.NextGeneration(t.Context(), ref)
			must(t, err)
			p := posted(generation, time.Time{})
			p.Decision.Outcome, p.Decision.ByAgent = outcome, byAgent
			return d.BeginPost(t.Context(), ref, p, nil)
		}
		must(t, begin(policy.OutcomeOpen, false))
		agents := acmeScope
		agents.Agents = true
		d.throw(t, agents)
		must(t, begin(policy.OutcomeOpen, false))
		if err := begin(policy.OutcomeOpen, true); !errors.Is(err, gate.ErrStopped) {
			t.Errorf("an agent's gate opens: %v", err)
		}
		d.throw(t, shopScope)
		if err := begin(policy.OutcomeOpen, false); !errors.Is(err, gate.ErrStopped) {
			t.Errorf("a person's gate opens: %v", err)
		}
		must(t, begin(policy.OutcomeWaiting, false))
		_, err := d.Change(t.Context(), shopScope, false, func(sw *killswitch.Switch) (bool, []audit.Entry) { return sw.BeginRelease(d.clock.Now()), nil })
		must(t, err)
		must(t, begin(policy.OutcomeOpen, false))
	})
}

// TestACheckThatIsBeingWrittenMayShowGreen whether or not GitHub was heard to have
// written it.
func TestACheckThatIsBeingWrittenMayShowGreen(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.shown(t, 7, policy.OutcomeWaiting, false)
		begin := func(outcome policy.Outcome) {
			t.Helper()
			generation, err := d.NextGeneration(t.Context(), ref)
			must(t, err)
			p := posted(generation, time.Time{})
			p.Decision.Outcome = outcome
			must(t, d.BeginPost(t.Context(), ref, p, nil))
		}
		begin(policy.OutcomeOpen)
		begin(policy.OutcomeClosed)
		must(t, d.MarkGates(t.Context(), acmeScope, "once"))
		if left, green, err := d.MarkedGates(t.Context(), acmeScope); left != 1 || green != 1 || err != nil {
			t.Errorf("%d are left, %d of them may show green, %v", left, green, err)
		}
	})
}

// TestWhatWaitsForAReleaseIsDecidedAnew though the switch was turned off while it was
// being written.
func TestWhatWaitsForAReleaseIsDecidedAnew(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.shown(t, 7, policy.OutcomeWaiting, false)
		put := func() (due bool) {
			t.Helper()
			generation, err := d.NextGeneration(t.Context(), ref)
			must(t, err)
			p := posted(generation, time.Time{})
			p.Decision.Outcome, p.Decision.AwaitsRelease, p.AutoMerge = policy.OutcomeWaiting, true, true
			must(t, d.PutPosted(t.Context(), ref, p, decisionEntry))
			for {
				work, ok, err := d.claimNext(t.Context())
				if must(t, err); !ok {
					return due
				}
				due = due || work.Ref == ref
				must(t, d.Done(t.Context(), work, nil))
			}
		}
		d.throw(t, shopScope)
		change := func(change func(sw *killswitch.Switch) bool) {
			t.Helper()
			_, err := d.Change(t.Context(), shopScope, false, func(sw *killswitch.Switch) (bool, []audit.Entry) { return change(sw), nil })
			must(t, err)
		}
		change(func(sw *killswitch.Switch) bool { return sw.BeginRelease(d.clock.Now()) })
		if put() {
			t.Error("it does not wait for the release")
		}
		change(func(sw *killswitch.Switch) bool { return sw.Release(d.clock.Now()) })
		if !put() {
			t.Error("it waits for a release that is over")
		}
	})
}

// wantMarked asks for so many marked gates, and returns whose work came due.
func (d *database) wantMarked(t *testing.T, n int) (numbers []int, waiting int) {
	t.Helper()
	waiting, err := d.WantMarked(t.Context(), 5, d.clock.Now().Add(-time.Minute), func(int, int) int { return n })
	must(t, err)
	for {
		work, ok, err := d.claimNext(t.Context())
		must(t, err)
		if !ok {
			slices.Sort(numbers)
			return numbers, waiting
		}
		if work.Ref.Number != 0 {
			numbers = append(numbers, work.Ref.Number)
		}
		must(t, d.Done(t.Context(), work, nil))
	}
}

func TestMarkedGatesGoGreenFirst(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.shown(t, 1, policy.OutcomeClosed, false)
		d.shown(t, 2, policy.OutcomeWaiting, false)
		d.shown(t, 3, policy.OutcomeOpen, false)
		d.shown(t, 4, policy.OutcomeOpen, true)
		d.shown(t, 5, policy.OutcomeOpen, false)
		must(t, d.PutClosed(t.Context(), pullRequest(5)))
		superseded, err := d.NextGeneration(t.Context(), pullRequest(3))
		must(t, err)

		must(t, d.MarkGates(t.Context(), acmeScope, "once"))
		must(t, d.MarkGates(t.Context(), acmeScope, "once"))
		if left, green, err := d.MarkedGates(t.Context(), acmeScope); left != 4 || green != 2 || err != nil {
			t.Errorf("%d are left, %d of them green, %v", left, green, err)
		}
		if err := d.PutPosted(t.Context(), pullRequest(3), posted(superseded, time.Time{}), decisionEntry); !errors.Is(err, gate.ErrSuperseded) {
			t.Errorf("an evaluation that was under way is kept: %v", err)
		}
		for i, want := range [][]int{{4}, {3}, {2}, {1}, nil} {
			got, waiting := d.wantMarked(t, 1)
			if !slices.Equal(got, want) || waiting != max(0, 3-i) {
				t.Errorf("%d: asked for %v, %d wait, want %v", i, got, waiting, want)
			}
		}
		if last, err := d.LastPosted(t.Context(), pullRequest(4)); err != nil || !last.Marked || last.Digest != "" {
			t.Errorf("the one that is asked for: %+v, %v", last, err)
		}
		d.throw(t, acmeScope)
		for number := range 4 {
			d.post(t, pullRequest(number+1), time.Time{})
		}
		if left, green, err := d.MarkedGates(t.Context(), acmeScope); left != 0 || green != 0 || err != nil {
			t.Errorf("decided anew, and %d are left, %d green, %v", left, green, err)
		}
		if work := d.claim(t); work.Key != "switch:owner:acme" {
			t.Errorf("after the last of them, %s is woken", work.Key)
		}
	})
}

// A lock names the branches to which anything open in its scope would be merged.
func TestBranchesOfAScope(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		at := func(owner string, repository int64, number int) policy.PullRequestRef {
			ref := pullRequest(number)
			ref.Repository.Owner, ref.Repository.ID, ref.Repository.Name = owner, repository, fmt.Sprint("repository-", repository)
			return ref
		}
		for number, to := range []struct {
			owner      string
			repository int64
			base       string
		}{
			{"acme", 11, "main"}, {"acme", 11, "main"}, {"acme", 11, "release/1"}, {"acme", 11, "closed"}, {"acme", 11, ""},
			{"acme", 12, "trunk"}, {"acme", 12, "main"}, {"other", 13, "their-own"},
		} {
			ref := at(to.owner, to.repository, number+1)
			must(t, d.Evaluate(t.Context(), ref))
			generation, err := d.NextGeneration(t.Context(), ref)
			must(t, err)
			p := posted(generation, time.Time{})
			p.Base = to.base
			must(t, d.PutPosted(t.Context(), ref, p, decisionEntry))
			if to.base == "closed" {
				must(t, d.PutClosed(t.Context(), ref))
			}
		}
		agents := shopScope
		agents.Agents = true
		for _, c := range []struct {
			scope killswitch.Scope
			want  []string
		}{
			{acmeScope, []string{"main", "release/1", "trunk"}},
			{killswitch.Organization("ACME", 5), []string{"main", "release/1", "trunk"}},
			{shopScope, []string{"main", "release/1"}},
			{agents, []string{"main", "release/1"}},
			{killswitch.PullRequest(at("acme", 12, 6)), []string{"trunk"}},
			{killswitch.Organization("nobody", 5), nil},
		} {
			if bases, err := d.Bases(t.Context(), c.scope); err != nil || !slices.Equal(bases, c.want) {
				t.Errorf("%s: %q, %v, want %q", c.scope, bases, err, c.want)
			}
		}
	})
}

func TestThePaceIsKeptOverARestart(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for number := range 10 {
			d.shown(t, number+1, policy.OutcomeOpen, false)
		}
		must(t, d.MarkGates(t.Context(), acmeScope, "once"))
		ask := func() (underWay, byOthers int) {
			t.Helper()
			_, err := d.WantMarked(t.Context(), 5, d.clock.Now().Add(-time.Minute), func(u, o int) int { underWay, byOthers = u, o; return 0 })
			must(t, err)
			return underWay, byOthers
		}
		if got, _ := d.wantMarked(t, 6); len(got) != 6 {
			t.Errorf("asked for %v", got)
		}
		for number := range 4 {
			d.post(t, pullRequest(number+1), time.Time{})
		}
		must(t, d.PutClosed(t.Context(), pullRequest(5)))
		if underWay, byOthers := ask(); underWay != 1 || byOthers != 0 {
			t.Errorf("%d are under way, %d were decided by others", underWay, byOthers)
		}
		d.reopen(t)
		if underWay, byOthers := ask(); underWay != 1 || byOthers != 4 {
			t.Errorf("after a restart %d are under way, %d were decided by others", underWay, byOthers)
		}
		spent := 880 - 6*(1+4+2)
		pacer := &gate.Pacer{Marks: d.Store, Spent: func(int64) int { return spent }, Now: d.clock.Now}
		_, err := pacer.Step(t.Context(), 5)
		must(t, err)
		if underWay, _ := ask(); underWay != 3 {
			t.Errorf("with room for two more %d are under way", underWay)
		}
		d.clock.pass(2 * time.Minute)
		if _, byOthers := ask(); byOthers != 0 {
			t.Errorf("%d were decided within a minute", byOthers)
		}
		spent = 0
		_, err = pacer.Step(t.Context(), 5)
		must(t, err)
		again, err := pacer.Step(t.Context(), 5)
		if must(t, err); !again.IsZero() {
			t.Errorf("nothing is left, and it goes on at %s", again)
		}
	})
}
