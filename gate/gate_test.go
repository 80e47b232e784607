package gate_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// TestWorkflowStatusIsTheDecisions holds the approval workflow, which is what
// the App runs on, to the decision: both say the same after each evaluation.
func TestWorkflowStatusIsTheDecisions(t *testing.T) {
	f := newFixture(t)
	g := gate.New(f.config)
	for _, step := range []struct {
		name string
		does func()
		want policy.ApprovalStatus
	}{
		{"opened", func() {}, policy.StatusPending},
		{"approved by the author", func() { f.must(g.Approve(t.Context(), f.ref, f.vote("ann"))) }, policy.StatusPending},
		{"approved by a peer", func() { f.review("bob", "APPROVE") }, policy.StatusApproved},
		{"rejected by another", func() { f.review("lee", "REQUEST_CHANGES") }, policy.StatusRejected},
		{"the rejection is dismissed", func() {
			reviews := f.pr.Reviews()
			f.must(f.pr.DismissReview(f.github.User("lee"), reviews[len(reviews)-1].ID, "settled"))
		}, policy.StatusApproved},
		{"pushed to", func() {
			_, err := f.repo.Push(f.github.User("ann"), "topic", githubsim.Commit{Message: "more", Files: map[string]string{"lib/d.go": "x\n"}})
			f.must(err)
		}, policy.StatusPending},
		{"the peer loses the right to write", func() {
			f.review("bob", "APPROVE")
			f.repo.SetRole(f.github.User("bob"), "read")
		}, policy.StatusPending},
	} {
		step.does()
		decision := f.evaluate(g)
		status, err := f.store.Status(t.Context(), f.ref.Key())
		f.must(err)
		if decision.Status != step.want || status != step.want {
			t.Errorf("%s: the decision is %s, the workflow %s, want %s", step.name, decision.Status, status, step.want)
		}
		if open := decision.Outcome == policy.OutcomeOpen; open != (step.want == policy.StatusApproved) {
			t.Errorf("%s: the gate is %s", step.name, decision.Outcome)
		}
	}
}

// overtaken is a store that lets something happen once, after an evaluation has
// decided and before it writes.
type overtaken struct {
	gate.Store
	meanwhile func()
}

func (o *overtaken) LastPosted(ctx context.Context, ref policy.PullRequestRef) (gate.Posted, error) {
	if happen := o.meanwhile; happen != nil {
		o.meanwhile = nil
		happen()
	}
	return o.Store.LastPosted(ctx, ref)
}

// TestAnOlderDecisionNeverOverwritesANewerOne lets two evaluations overlap. The
// one that began first and saw less ends last, and must not be what GitHub
// shows.
func TestAnOlderDecisionNeverOverwritesANewerOne(t *testing.T) {
	f := newFixture(t)
	f.evaluate(gate.New(f.config))
	slow := f.config
	slow.Store = &overtaken{Store: f.store, meanwhile: func() {
		f.review("bob", "APPROVE")
		if d := f.evaluate(gate.New(f.config)); d.Outcome != policy.OutcomeOpen {
			t.Fatalf("the newer decision is %s", d.Title())
		}
	}}
	if d := f.evaluate(gate.New(slow)); d.Outcome != policy.OutcomeWaiting {
		t.Fatalf("the older decision is %s", d.Title())
	}
	if got := f.check(); got != "completed success" {
		t.Errorf("the check is %s", got)
	}
	last, err := f.store.LastPosted(t.Context(), f.ref)
	f.must(err)
	if last.Decision.Outcome != policy.OutcomeOpen || last.Generation != 3 {
		t.Errorf("generation %d is kept, %s", last.Generation, last.Decision.Title())
	}
}

// TestUnchangedCostsNothing looks again though nothing happened: GitHub answers
// that nothing has changed, and nothing is written.
func TestUnchangedCostsNothing(t *testing.T) {
	f := newFixture(t)
	g := gate.New(f.config)
	f.review("bob", "APPROVE")
	f.evaluate(g)
	f.pass(time.Minute)
	f.evaluate(g)
	f.github.ResetRequests()
	decision, err := g.Recheck(t.Context(), f.ref)
	if err != nil || decision.Outcome != policy.OutcomeOpen {
		t.Errorf("rechecked, the gate is %s (%v)", decision.Title(), err)
	}
	for _, r := range f.github.Requests() {
		if r.Method != http.MethodGet || r.Billed {
			t.Errorf("%s %s was billed (%d)", r.Method, r.Path, r.Status)
		}
	}
}

// TestAMergeGroupThatNamesNoPullRequestIsClosed answers what it cannot
// understand.
func TestAMergeGroupThatNamesNoPullRequestIsClosed(t *testing.T) {
	f := newFixture(t)
	group := gate.MergeGroup{Repository: f.ref.Repository, HeadSHA: f.pr.HeadSHA(), HeadRef: "refs/heads/gh-readonly-queue/main/what"}
	f.must(gate.New(f.config).ObserveMergeGroup(t.Context(), group))
	if got := f.check(); got != "completed failure" {
		t.Errorf("the check is %s", got)
	}
}

func TestMergeGroupPullRequest(t *testing.T) {
	for ref, want := range map[string]int{
		"refs/heads/gh-readonly-queue/main/pr-104-0123456789abcdef":     104,
		"gh-readonly-queue/release/v1/pr-7-abc":                         7,
		"refs/heads/gh-readonly-queue/main/pr-x-abc":                    0,
		"refs/heads/pr-7-abc":                                           0,
		"refs/heads/gh-readonly-queue/main/pr-99999999999999999999-abc": 0,
	} {
		got, ok := gate.MergeGroup{HeadRef: ref}.PullRequest()
		if got.Number != want || ok != (want != 0) {
			t.Errorf("%s is %d, %t", ref, got.Number, ok)
		}
	}
}

// TestAnAccountIsItsNumber lets people change their names, take the names of
// others, and leave: a vote is the account's, whatever it is called.
func TestAnAccountIsItsNumber(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(f *fixture)
		want    policy.Outcome
	}{
		{"the approver is renamed", func(f *fixture) { f.github.User("bob").Rename("robert") }, policy.OutcomeOpen},
		{"the approver is renamed and somebody without rights takes the name", func(f *fixture) {
			f.github.User("bob").Rename("robert")
			f.github.CreateUser("bob")
		}, policy.OutcomeOpen},
		{"the approver loses the right and somebody with it takes the name", func(f *fixture) {
			f.repo.SetRole(f.github.User("bob"), "read")
			f.github.User("bob").Rename("robert")
			f.repo.SetRole(f.github.CreateUser("bob"), "admin")
		}, policy.OutcomeWaiting},
		{"the approver's account is deleted", func(f *fixture) { f.github.User("bob").Delete() }, policy.OutcomeWaiting},
		{"somebody else's account is deleted, with a review by it", func(f *fixture) {
			f.review("lee", "APPROVE")
			f.github.User("lee").Delete()
		}, policy.OutcomeOpen},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			g := gate.New(f.config)
			f.review("bob", "APPROVE")
			if d := f.evaluate(g); d.Outcome != policy.OutcomeOpen {
				t.Fatalf("before it the gate is %s", d.Title())
			}
			c.happens(f)
			if d := f.evaluate(g); d.Outcome != c.want {
				t.Errorf("the gate is %s: %s, %+v", d.Outcome, d.Title(), d.Discounted)
			}
		})
	}
}

// TestAnApprovalThatIsRenewedStillExpires approves again when the first approval
// is about to expire: the check says the same, but holds longer, and then ends.
func TestAnApprovalThatIsRenewedStillExpires(t *testing.T) {
	f := newFixture(t)
	now := time.Now()
	f.config.Now = func() time.Time { return now }
	g := gate.New(f.config)
	f.review("bob", "APPROVE")
	first := f.evaluate(g)
	f.review("bob", "APPROVE")
	renewed := f.evaluate(g)
	if !renewed.ReviewAt.After(first.ReviewAt) || renewed.Title() != first.Title() {
		t.Fatalf("renewing moves the end from %s to %s", first.ReviewAt, renewed.ReviewAt)
	}
	last, err := f.store.LastPosted(t.Context(), f.ref)
	f.must(err)
	if !last.Decision.ReviewAt.Equal(renewed.ReviewAt) {
		t.Errorf("the end that is kept is %s, want %s", last.Decision.ReviewAt, renewed.ReviewAt)
	}
	now = renewed.ReviewAt
	if d := f.evaluate(g); d.Outcome != policy.OutcomeWaiting || d.Status != policy.StatusExpired {
		t.Errorf("after its end the approval leaves the gate %s (%s)", d.Outcome, d.Status)
	}
}

// TestReconsiderHeadWritesTheCheckAnew asks for all checks on a commit, as
// "re-run all checks" does.
func TestReconsiderHeadWritesTheCheckAnew(t *testing.T) {
	f := newFixture(t)
	g := gate.New(f.config)
	f.must(f.store.Evaluate(t.Context(), f.ref))
	f.evaluate(g)
	before := f.repo.CheckRuns(f.pr.HeadSHA())[0].Updates
	f.must(g.ReconsiderHead(t.Context(), f.ref.Repository, f.pr.HeadSHA()))
	if n, err := f.store.Backlog(t.Context()); err != nil || n != 1 {
		t.Errorf("%d pieces of work are due, %v", n, err)
	}
	f.evaluate(g)
	if after := f.repo.CheckRuns(f.pr.HeadSHA())[0].Updates; after != before+1 {
		t.Errorf("the run was updated %d times, want once", after-before)
	}
	f.must(g.ReconsiderHead(t.Context(), f.ref.Repository, "a commit nobody knows"))
}

// lagging is a GitHub whose list of commits is behind for a number of readings.
type lagging struct {
	gate.GitHub
	readings int
}

func (l *lagging) Snapshot(ctx context.Context, ref policy.PullRequestRef, likely policy.Questions) (policy.Snapshot, map[int64]policy.Standing, error) {
	s, standings, err := l.GitHub.Snapshot(ctx, ref, likely)
	if l.readings--; l.readings >= 0 && len(s.Commits) > 0 {
		s.Commits = s.Commits[:len(s.Commits)-1]
	}
	return s, standings, err
}

// TestATornReadingIsReadAgain gives the gate lists that do not belong together,
// as GitHub does right after a push.
func TestATornReadingIsReadAgain(t *testing.T) {
	f := newFixture(t)
	lag := &lagging{GitHub: f.config.GitHub, readings: 1}
	f.config.GitHub = lag
	g := gate.New(f.config)
	if d := f.evaluate(g); d.Outcome != policy.OutcomeWaiting || d.Fault != "" {
		t.Errorf("after one torn reading the gate is %s: %s", d.Outcome, d.Title())
	}
	lag.readings = 100
	d, err := g.Evaluate(t.Context(), f.ref)
	if err == nil || d.Outcome != policy.OutcomeClosed || !strings.Contains(d.Title(), "GitHub lists 0 of the 1 commits") {
		t.Errorf("torn for good, the gate is %s: %s (%v)", d.Outcome, d.Title(), err)
	}
	lag.readings = 0
	if d := f.evaluate(g); d.Outcome != policy.OutcomeWaiting {
		t.Errorf("then the gate is %s: %s", d.Outcome, d.Title())
	}
}

// TestACheckThatWaitsForLongIsRenewed lets a check wait for nearly as long as
// GitHub lets one wait before it calls it stale: then there is a new one.
func TestACheckThatWaitsForLongIsRenewed(t *testing.T) {
	f := newFixture(t)
	f.evaluate(gate.New(f.config))
	posted, err := f.store.LastPosted(t.Context(), f.ref)
	f.must(err)
	const fortnight = 14 * 24 * time.Hour
	if wait := posted.ReviewAt.Sub(posted.At); wait <= 0 || wait >= fortnight {
		t.Errorf("it is looked at again after %s", wait)
	}
	for days, want := 12, 1; days <= 13; days, want = days+1, want+1 {
		later := f.config
		later.Now = func() time.Time { return posted.At.Add(time.Duration(days) * 24 * time.Hour) }
		f.evaluate(gate.New(later))
		if runs := f.repo.CheckRuns(f.pr.HeadSHA()); len(runs) != want {
			t.Errorf("after %d days there are %d runs, want %d", days, len(runs), want)
		}
	}
}

// unknown is a switch of which nobody knows whether it is on.
type unknown struct{ known bool }

func (u unknown) Known(context.Context) (map[string]bool, error) {
	if u.known {
		return map[string]bool{}, nil
	}
	return nil, errUnknown
}

func (unknown) Stops(context.Context, killswitch.Sighting) ([]policy.Stop, error) {
	return nil, errUnknown
}

var errUnknown = errors.New("the database is away")

// Failure closes: a gate does not open unless it is known that nothing stops it.
func TestASwitchThatCannotBeReadClosesTheGate(t *testing.T) {
	for name, broken := range map[string]killswitch.Guard{"nobody to ask": nil, "before the reading": unknown{}, "after it": unknown{known: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			_, err := f.pr.Review(f.github.User("bob"), "APPROVE", "")
			f.must(err)
			if d := f.evaluate(gate.New(f.config)); d.Outcome != policy.OutcomeOpen {
				t.Fatalf("with nothing that stops it, it is %s", d.Outcome)
			}
			f.config.Switch = broken
			if d, err := gate.New(f.config).Evaluate(t.Context(), f.ref); err == nil || d.Outcome != policy.OutcomeClosed {
				t.Errorf("it is %s, %v", d.Outcome, err)
			}
			runs := f.repo.CheckRuns(f.pr.HeadSHA())
			if last := runs[len(runs)-1]; last.Conclusion != "failure" {
				t.Errorf("the check says %q", last.Conclusion)
			}
		})
	}
}
