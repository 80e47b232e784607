package store_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// decided is a decision with something in every field.
func decided(reviewAt time.Time) policy.Decision {
	approval := vote("review:1", "alice", "a", 1)
	approval.Verdict = policy.VerdictApprove
	rejection := vote("comment:1:0", "bob", "", 2)
	rejection.Verdict, rejection.Reason = policy.VerdictReject, "no tests"
	return policy.Decision{
		Outcome: policy.OutcomeWaiting, HeadSHA: "a",
		Assessment: policy.Assessment{
			Tier: policy.TierTeamLead,
			Requirements: []policy.Requirement{{Approvals: 2, From: policy.Who{
				Permission: policy.PermissionMaintain, Teams: []string{"acme/leads"}, Users: []string{"carol"},
			}}},
			Score:   policy.Score{Value: 7, Factors: []policy.Factor{{Name: "files touched", Points: 3, Detail: "22"}}},
			Reasons: []policy.Reason{{Tier: policy.TierTeamLead, Why: "complexity 7 of 10"}},
		},
		Tally: policy.Tally{
			Status: policy.StatusRejected, Counted: []policy.CountedVote{{Vote: approval, ExpiresAt: seconds(3600)}},
			Discounted: []policy.DiscountedVote{{Vote: approval, Why: "alice is the author"}},
			Rejections: []policy.Vote{rejection}, Missing: []int{1}, Among: [][]int64{{1}}, ReviewAt: reviewAt,
		},
		Fault: "none", Policy: ".github/portcullis.yml on main",
	}
}

func posted(generation int64, reviewAt time.Time) gate.Posted {
	return gate.Posted{Generation: generation, Decision: decided(reviewAt), CheckRunID: 99, Digest: "digest", At: start, ReviewAt: reviewAt}
}

var decisionEntry = audit.Entry{At: start, Actor: "portcullis", Action: "decision.waiting", Subject: "acme/shop#7", Commit: "a"}

// post posts as the newest generation.
func (d *database) post(t *testing.T, ref policy.PullRequestRef, reviewAt time.Time) gate.Posted {
	t.Helper()
	generation, err := d.NextGeneration(t.Context(), ref)
	must(t, err)
	p := posted(generation, reviewAt)
	must(t, d.PutPosted(t.Context(), ref, p, decisionEntry))
	return p
}

func TestPostedDecision(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		for when := range 2 {
			last, err := d.LastPosted(t.Context(), ref)
			must(t, err)
			if !reflect.DeepEqual(last, gate.Posted{}) {
				t.Errorf("%d: before anything was posted: %+v", when, last)
			}
			_, err = d.NextGeneration(t.Context(), ref)
			must(t, err)
		}
		put := d.post(t, ref, seconds(3600))
		last, err := d.LastPosted(t.Context(), ref)
		must(t, err)
		if !reflect.DeepEqual(last, put) {
			t.Errorf("put  %+v\nread %+v", put, last)
		}
	})
}

func TestGenerations(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		older, err := d.NextGeneration(t.Context(), ref)
		must(t, err)
		newer, err := d.NextGeneration(t.Context(), ref)
		must(t, err)
		other, err := d.NextGeneration(t.Context(), pullRequest(8))
		must(t, err)
		if older != 1 || newer != 2 || other != 1 {
			t.Errorf("the generations are %d, %d and %d", older, newer, other)
		}
		for generation, want := range map[int64]bool{0: false, older: false, newer: true, newer + 1: false} {
			current, err := d.Current(t.Context(), ref, generation)
			must(t, err)
			if current != want {
				t.Errorf("generation %d is current: %v", generation, current)
			}
		}
		if err := d.PutPosted(t.Context(), ref, posted(older, seconds(60)), decisionEntry); !errors.Is(err, gate.ErrSuperseded) {
			t.Errorf("the older generation was kept: %v", err)
		}
		if err := d.PutPosted(t.Context(), ref, posted(newer+1, seconds(60)), decisionEntry); err == nil || errors.Is(err, gate.ErrSuperseded) {
			t.Errorf("a generation that was never handed out was kept: %v", err)
		}
		last, err := d.LastPosted(t.Context(), ref)
		must(t, err)
		entries, err := d.AuditEntries(t.Context(), 0, 10)
		must(t, err)
		_, timer, err := d.NextDue(t.Context(), d.clock.Now())
		must(t, err)
		if last.Generation != 0 || len(entries) != 0 || timer {
			t.Errorf("something was kept: %+v, %v, %v", last, entries, timer)
		}
		must(t, d.PutPosted(t.Context(), ref, posted(newer, time.Time{}), decisionEntry))
	})
}

func TestForgetPosted(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		put := d.post(t, ref, time.Time{})
		generation, err := d.NextGeneration(t.Context(), ref)
		must(t, err)
		must(t, d.ForgetPosted(t.Context(), ref))
		if err := d.PutPosted(t.Context(), ref, posted(generation, time.Time{}), decisionEntry); !errors.Is(err, gate.ErrSuperseded) {
			t.Errorf("what was under way was kept: %v", err)
		}
		last, err := d.LastPosted(t.Context(), ref)
		must(t, err)
		put.Digest = ""
		if !reflect.DeepEqual(last, put) {
			t.Errorf("last posted is %+v", last)
		}
		must(t, d.ForgetPosted(t.Context(), pullRequest(8)))
	})
}

func TestAtHead(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for _, number := range []int{8, 7, 9} {
			must(t, d.Evaluate(t.Context(), pullRequest(number)))
		}
		elsewhere := pullRequest(7)
		elsewhere.Repository.ID = 12
		must(t, d.Evaluate(t.Context(), elsewhere))
		d.post(t, pullRequest(8), time.Time{})
		d.post(t, pullRequest(7), time.Time{})
		d.post(t, elsewhere, time.Time{})
		must(t, d.PutMergeGroup(t.Context(), pullRequest(9), gate.MergeGroup{Repository: pullRequest(9).Repository, HeadSHA: "a", Number: 9}))
		found, err := d.AboutHead(t.Context(), pullRequest(7).Repository, "a")
		must(t, err)
		if !reflect.DeepEqual(found, []policy.PullRequestRef{pullRequest(7), pullRequest(8), pullRequest(9)}) {
			t.Errorf("about the head are %v", found)
		}
		for ref, want := range map[policy.PullRequestRef][]policy.PullRequestRef{
			pullRequest(7): {pullRequest(8)}, pullRequest(8): {pullRequest(7)}, pullRequest(9): {pullRequest(7), pullRequest(8)},
		} {
			others, err := d.OthersAtHead(t.Context(), ref, "a")
			must(t, err)
			var refs []policy.PullRequestRef
			for _, other := range others {
				refs = append(refs, other.Ref)
				if !reflect.DeepEqual(other.Decision, decided(time.Time{})) {
					t.Errorf("beside %s is decided %+v", ref, other.Decision)
				}
			}
			if !reflect.DeepEqual(refs, want) {
				t.Errorf("beside %s are %v", ref, refs)
			}
		}
		found, err = d.AboutHead(t.Context(), pullRequest(7).Repository, "")
		must(t, err)
		if len(found) != 0 {
			t.Errorf("at no head are %v", found)
		}
	})
}

func TestMergeGroups(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		group := gate.MergeGroup{Repository: ref.Repository, HeadSHA: "q", HeadRef: "refs/heads/gh-readonly-queue/main/pr-7-q", Number: 7, CheckRunID: 5, Digest: "d"}
		other := group
		other.HeadSHA = "r"
		for range 2 {
			must(t, d.PutMergeGroup(t.Context(), ref, group))
		}
		must(t, d.PutMergeGroup(t.Context(), ref, other))
		d.wantGroups(t, ref, group, other)
		must(t, d.ForgetPosted(t.Context(), ref))
		group.Digest, other.Digest = "", ""
		d.wantGroups(t, ref, group, other)
		must(t, d.DropMergeGroup(t.Context(), ref, "q"))
		d.wantGroups(t, ref, other)
		must(t, d.PutClosed(t.Context(), ref))
		d.wantGroups(t, ref)
	})
}

func (d *database) wantGroups(t *testing.T, ref policy.PullRequestRef, want ...gate.MergeGroup) {
	t.Helper()
	got, err := d.MergeGroups(t.Context(), ref)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Errorf("the groups are %+v, want %+v", got, want)
	}
}

// TestEvaluateOpenAsksForWhatIsInScope selects by owner, repository and voter,
// and leaves out what is closed.
func TestEvaluateOpenAsksForWhatIsInScope(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		elsewhere := pullRequest(3)
		elsewhere.Repository.ID, elsewhere.Repository.Name = 12, "other"
		stranger := pullRequest(4)
		stranger.Repository.ID, stranger.Repository.Owner = 13, "rival"
		here := pullRequest(1).Repository
		for name, c := range map[string]struct {
			scope gate.Scope
			want  []int
		}{
			"owner":      {gate.Scope{Owner: "ACME"}, []int{1, 3}},
			"repository": {gate.Scope{Owner: here.Owner, RepositoryID: here.ID}, []int{1}},
			"voter":      {gate.Scope{Owner: here.Owner, Voter: 77}, []int{1}},
			"nobody":     {gate.Scope{Owner: here.Owner, Voter: 78}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				d := newDatabase(t)
				for _, ref := range []policy.PullRequestRef{pullRequest(1), pullRequest(2), elsewhere, stranger} {
					must(t, d.Evaluate(t.Context(), ref))
					d.post(t, ref, time.Time{})
					must(t, d.Done(t.Context(), d.claim(t), nil))
				}
				must(t, d.PutClosed(t.Context(), pullRequest(2)))
				must(t, d.Request(t.Context(), gate.ApprovalRequest{ID: pullRequest(1).Key()}))
				must(t, d.Approve(t.Context(), pullRequest(1).Key(), policy.Vote{Source: "review:1", By: policy.Actor{ID: 77}, At: start}))
				must(t, d.EvaluateOpen(t.Context(), c.scope))
				var got []int
				for {
					work, ok, err := d.claimNext(t.Context())
					must(t, err)
					if !ok {
						break
					}
					got = append(got, work.Ref.Number)
				}
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					t.Errorf("asked for %v, want %v", got, c.want)
				}
			})
		}
	})
}

func TestTimer(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.post(t, ref, start.Add(time.Hour+time.Nanosecond))
		d.noWork(t, "its time has not come")
		due, ok, err := d.NextDue(t.Context(), d.clock.Now())
		must(t, err)
		if want := start.Add(time.Hour + time.Millisecond); !ok || !due.Equal(want) {
			t.Errorf("due at %v (%v), want %v", due, ok, want)
		}
		d.clock.pass(time.Hour + time.Millisecond)
		work := d.claim(t)
		must(t, d.Done(t.Context(), work, nil))
		d.noWork(t, "the timer has rung")
	})
}

func TestTimerThatFailedIsTriedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.post(t, ref, seconds(60))
		d.clock.pass(time.Minute)
		must(t, d.Retry(t.Context(), d.claim(t), seconds(120), "no", nil))
		d.noWork(t, "it backs off")
		d.clock.pass(time.Minute)
		d.claim(t)
		d.takeOver(t)
		d.claim(t)
	})
}

// A timer that comes while the work is claimed was not seen by whoever works.
func TestTimerDuringClaimIsNotLost(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.post(t, ref, seconds(60))
		must(t, d.Evaluate(t.Context(), ref))
		work := d.claim(t)
		d.clock.pass(time.Minute)
		must(t, d.Done(t.Context(), work, nil))
		d.claim(t)
	})
}

func TestEarlierTimerStaysAndLaterOneFollows(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.post(t, ref, seconds(60))
		d.post(t, ref, seconds(120)) // alice approved anew
		for range 2 {
			d.noWork(t, "its time has not come")
			d.clock.pass(time.Minute)
			// The evaluation finds nothing new to post.
			must(t, d.Done(t.Context(), d.claim(t), nil))
		}
		d.noWork(t, "both timers have rung")
	})
}

func TestTimerSetWhileTheLastOneIsWorkedOff(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		d.post(t, ref, seconds(60))
		d.clock.pass(time.Minute)
		work := d.claim(t)
		d.post(t, ref, seconds(120))
		must(t, d.Done(t.Context(), work, nil))
		d.noWork(t, "the new timer has not come")
		d.clock.pass(time.Minute)
		d.claim(t)
	})
}

// TestBeginPostForgetsWhatTheCheckSays keeps the intent to write a check: until
// the write is known to be done, no digest says that there is nothing to write.
func TestBeginPostForgetsWhatTheCheckSays(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		put := d.post(t, ref, seconds(3600))
		newer, err := d.NextGeneration(t.Context(), ref)
		must(t, err)
		if err := d.BeginPost(t.Context(), ref, put, nil); !errors.Is(err, gate.ErrSuperseded) {
			t.Errorf("an older generation begins to write: %v", err)
		}
		put.Generation = newer
		must(t, d.BeginPost(t.Context(), ref, put, nil))
		must(t, d.BeginPost(t.Context(), ref, put, []policy.PullRequestRef{pullRequest(8)}))
		if work := d.claim(t); work.Ref != pullRequest(8) {
			t.Errorf("claimed %+v", work)
		}
		last, err := d.LastPosted(t.Context(), ref)
		must(t, err)
		put.Digest = ""
		if !reflect.DeepEqual(last, put) {
			t.Errorf("kept %+v, want %+v", last, put)
		}
	})
}

func TestFloors(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		want := func(owner string, want bool) {
			t.Helper()
			if has, err := d.HasFloor(t.Context(), owner); err != nil || has != want {
				t.Errorf("%s has a floor: %t, %v", owner, has, err)
			}
		}
		want("acme", false)
		for range 2 {
			must(t, d.PutFloor(t.Context(), "acme", true))
		}
		want("ACME", true)
		want("rival", false)
		must(t, d.PutFloor(t.Context(), "Acme", false))
		want("acme", false)
	})
}
