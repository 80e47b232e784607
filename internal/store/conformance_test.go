package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

var scenarios = []struct {
	name string
	run  func(workflow)
}{
	{"nobody asked", func(w workflow) {
		ctx := w.Context()
		_, status := w.Status(ctx, id)
		_, state := w.State(ctx, id)
		for what, err := range map[string]error{
			"approve":  w.Approve(ctx, id, vote("review:1", "alice", "a", 1)),
			"reject":   w.Reject(ctx, id, vote("review:1", "alice", "a", 1)),
			"withdraw": w.Withdraw(ctx, id, "review:1", policy.Actor{}),
			"status":   status,
			"state":    state,
		} {
			if !errors.Is(err, gate.ErrUnknownRequest) {
				w.Errorf("%s returned %v, want ErrUnknownRequest", what, err)
			}
		}
	}},
	{"a vote without giver, time or source is refused and not recorded", func(w workflow) {
		w.ask("a", 0)
		for lacks, spoil := range map[string]func(*policy.Vote){
			"source": func(v *policy.Vote) { v.Source = "" },
			"giver":  func(v *policy.Vote) { v.By = policy.Actor{} },
			"time":   func(v *policy.Vote) { v.At = time.Time{} },
		} {
			spoiled := vote("review:1", "alice", "a", 1)
			spoil(&spoiled)
			for _, err := range []error{w.Approve(w.Context(), id, spoiled), w.Reject(w.Context(), id, spoiled)} {
				var invalid *gate.InvalidVoteError
				if !errors.As(err, &invalid) || invalid.Lacks != lacks {
					w.Errorf("a vote without a %s returned %v", lacks, err)
				}
			}
		}
		if votes := w.state().Votes; len(votes) != 0 {
			w.Errorf("recorded %v", votes)
		}
	}},
	{"an approval approves", func(w workflow) {
		w.ask("a", 0)
		w.is(policy.StatusPending)
		w.approve("review:1", "alice", "a", 1)
		w.is(policy.StatusApproved)
	}},
	{"two are needed and two people count, not two votes", func(w workflow) {
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.Required = 2 })
		w.approve("review:1", "alice", "a", 1)
		w.approve("review:2", "alice", "a", 2)
		w.is(policy.StatusPending)
		w.approve("review:3", "bob", "a", 3)
		w.is(policy.StatusApproved)
	}},
	{"a rejection outweighs approvals", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "alice", "a", 1)
		w.reject("review:2", "bob", 2)
		w.approve("review:3", "carol", "a", 3)
		w.is(policy.StatusRejected)
		w.approve("review:4", "bob", "a", 4)
		w.is(policy.StatusApproved)
	}},
	{"a withdrawal does not bring back an older vote", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "alice", "a", 1)
		w.approve("review:2", "alice", "a", 2)
		w.withdraw("review:2")
		w.is(policy.StatusPending)
	}},
	{"a withdrawal that comes first holds for the vote that comes after", func(w workflow) {
		w.ask("a", 0)
		w.withdraw("review:1")
		w.approve("review:1", "alice", "a", 1)
		w.is(policy.StatusPending)
		if votes := w.state().Votes; len(votes) != 1 || votes[0].Verdict != policy.VerdictWithdrawn || votes[0].By.Login != "alice" {
			w.Errorf("the votes are %+v", votes)
		}
	}},
	{"a source that comes again is one vote", func(w workflow) {
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.Required = 2 })
		for range 3 {
			w.approve("review:1", "alice", "a", 1)
		}
		if votes := w.state().Votes; len(votes) != 1 {
			w.Errorf("the votes are %+v", votes)
		}
		w.reject("review:1", "alice", 1)
		w.is(policy.StatusRejected)
	}},
	{"what is withdrawn stays withdrawn", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "alice", "a", 1)
		w.withdraw("review:1")
		w.withdraw("review:1")
		w.approve("review:1", "alice", "a", 1)
		w.reject("review:1", "alice", 1)
		w.is(policy.StatusPending)
	}},
	{"a text that was withdrawn brings nothing", func(w workflow) {
		w.ask("a", 0)
		w.withdraw("comment:1")
		w.approve("comment:1:0", "alice", "a", 1)
		w.approve("comment:1:1", "alice", "a", 1)
		w.is(policy.StatusPending)
		w.approve("comment:10:0", "alice", "a", 2)
		w.is(policy.StatusApproved)
	}},
	{"a vote keeps the commit it was first recorded for", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "alice", "a", 1)
		w.ask("b", 2)
		w.approve("review:1", "alice", "b", 1)
		w.is(policy.StatusPending)
		if commit := w.state().Votes[0].Commit; commit != "a" {
			w.Errorf("the commit is now %s", commit)
		}
	}},
	{"a push makes approvals stale and leaves rejections", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "alice", "a", 1)
		w.approve("comment:1:0", "bob", "", 1)
		w.is(policy.StatusApproved)
		w.ask("b", 2)
		w.is(policy.StatusPending)
		w.reject("review:2", "carol", 1)
		w.ask("c", 3)
		w.is(policy.StatusRejected)
	}},
	{"late news of an older head does not move the request back", func(w workflow) {
		w.ask("b", 10)
		w.approve("comment:1:0", "alice", "", 7)
		w.ask("a", 5)
		state := w.state()
		if state.Request.Commit != "b" || len(state.Heads) != 2 {
			w.Errorf("the state is %+v", state)
		}
		w.is(policy.StatusPending) // alice saw a
		w.approve("comment:2:0", "alice", "", 11)
		w.is(policy.StatusApproved)
	}},
	{"an approval expires in the second it says", func(w workflow) {
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.ExpiresAfter = time.Hour })
		w.approve("review:1", "alice", "a", 0)
		w.clock.pass(time.Hour - time.Nanosecond)
		w.is(policy.StatusApproved)
		w.clock.pass(time.Nanosecond)
		w.is(policy.StatusExpired)
		w.approve("review:2", "alice", "a", 3600)
		w.is(policy.StatusApproved)
	}},
	{"whoever is excluded does not count, whichever way", func(w workflow) {
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.Excluded = map[int64]string{1: "alice is the author", 2: ""} })
		w.approve("review:1", "alice", "a", 1)
		w.is(policy.StatusPending)
		w.reject("review:2", "alice", 2)
		w.is(policy.StatusPending)
		if why := w.state().Request.Excluded[1]; why != "alice is the author" {
			w.Errorf("the reason is %q", why)
		}
	}},
	{"of two votes in one second the stricter wins", func(w workflow) {
		w.ask("a", 0)
		w.reject("comment:1:0", "alice", 1)
		w.approve("comment:2:0", "alice", "a", 1)
		w.is(policy.StatusRejected)
		w.approve("review:1", "bob", "a", 1)
		w.withdraw("comment:1:0")
		w.is(policy.StatusApproved)
	}},
	{"a rejection that somebody else takes back stands, with their name on it", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "bob", "a", 1)
		w.reject("review:2", "alice", 2)
		must(w.T, w.Withdraw(w.Context(), id, "review:2", policy.Actor{ID: 9, Login: "zoe"}))
		w.is(policy.StatusRejected)
		if by := w.state().Votes[1].LiftedBy; by.ID != 9 || by.Login != "zoe" {
			w.Errorf("it was taken back by %+v", by)
		}
		must(w.T, w.Withdraw(w.Context(), id, "review:2", policy.Actor{}))
		w.reject("review:2", "alice", 2)
		if by := w.state().Votes[1].LiftedBy; by.ID != 9 {
			w.Errorf("heard of again, it was taken back by %+v", by)
		}
		w.withdraw("review:2")
		w.is(policy.StatusApproved)
	}},
	{"so does one that was taken back before it came", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "bob", "a", 1)
		must(w.T, w.Withdraw(w.Context(), id, "review:2", policy.Actor{ID: 9, Login: "zoe"}))
		w.reject("review:2", "alice", 2)
		w.is(policy.StatusRejected)
		must(w.T, w.Withdraw(w.Context(), id, "review:3", policy.Actor{ID: 3, Login: "carol"}))
		w.withdraw("review:2")
		w.reject("review:3", "carol", 3)
		w.is(policy.StatusApproved)
	}},
	{"so does one that only came to be known after it was taken back", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "bob", "a", 1)
		zoe := policy.Actor{ID: 9, Login: "zoe"}
		must(w.T, w.Withdraw(w.Context(), id, "review:2", zoe))
		w.approve("review:2", "alice", "a", 2)
		w.is(policy.StatusApproved)
		w.reject("review:2", "alice", 2)
		w.is(policy.StatusRejected)
		if by := w.state().Votes[1].LiftedBy; by != zoe {
			w.Errorf("it was taken back by %+v", by)
		}
		w.withdraw("review:2")
		w.reject("review:2", "alice", 2)
		w.is(policy.StatusApproved)
	}},
	{"who pushed a head is remembered, also if it is told later", func(w workflow) {
		w.ask("a", 0)
		w.ask("a", 5, func(r *gate.ApprovalRequest) { r.By = policy.Actor{ID: 9, Login: "zoe"} })
		w.ask("a", 6)
		if heads := w.state().Heads; len(heads) != 1 || heads[0].By.ID != 9 {
			w.Errorf("the heads are %+v", heads)
		}
	}},
	{"so is which head it replaced, and that one came back", func(w workflow) {
		replacing := func(commit string) func(*gate.ApprovalRequest) {
			return func(r *gate.ApprovalRequest) { r.Replaced = commit }
		}
		w.ask("a", 0)
		w.ask("b", 9, replacing(policy.UnknownCommit))
		w.ask("b", 9, replacing("a"))
		w.ask("b", 10, replacing("a"))
		w.ask("b", 20, replacing("c"))
		var got []string
		for _, head := range w.state().Heads {
			got = append(got, head.SHA+" for "+head.Replaced)
		}
		if want := []string{"a for ", "b for a", "b for c"}; !slices.Equal(got, want) {
			w.Errorf("the heads are %q, want %q", got, want)
		}
	}},
	{"several kinds of people may be needed", func(w workflow) {
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.Quorums = []gate.Quorum{{Required: 1, Among: []int64{2, 3}}} })
		w.approve("review:1", "alice", "a", 1)
		w.is(policy.StatusPending)
		w.approve("review:2", "bob", "a", 2)
		w.is(policy.StatusApproved)
	}},
	{"approvals of a commit with the same change count", func(w workflow) {
		w.ask("a", 0)
		w.approve("review:1", "alice", "a", 1)
		w.ask("b", 5)
		w.is(policy.StatusPending)
		w.ask("b", 5, func(r *gate.ApprovalRequest) { r.Alike = []string{"a"} })
		w.is(policy.StatusApproved)
	}},
	{"an unknown tier is pending whatever the votes are", func(w workflow) {
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.Tier, r.Required = "", 0 })
		w.approve("review:1", "alice", "a", 1)
		w.reject("review:2", "bob", 1)
		w.is(policy.StatusPending)
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.Tier, r.Required = policy.TierAuto, 0 })
		w.is(policy.StatusRejected)
	}},
	{"votes that come at the same time are all recorded", func(w workflow) {
		w.ask("a", 0)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 3 {
					if err := w.Approve(w.Context(), id, vote(fmt.Sprintf("review:%d", i), "alice", "a", 1)); err != nil {
						w.Error(err)
					}
				}
			})
		}
		all.Wait()
		if votes := w.state().Votes; len(votes) != 8 {
			w.Errorf("%d votes, want 8", len(votes))
		}
		w.is(policy.StatusApproved)
	}},
	{"two requests know nothing of each other", func(w workflow) {
		w.ask("a", 0)
		w.ask("a", 0, func(r *gate.ApprovalRequest) { r.ID = "11#8" })
		w.approve("review:1", "alice", "a", 1)
		status, err := w.Status(w.Context(), "11#8")
		must(w.T, err)
		if status != policy.StatusPending {
			w.Errorf("the other request is %s", status)
		}
	}},
}

func TestApprovalWorkflow(t *testing.T) {
	for name, open := range implementations {
		for _, scenario := range scenarios {
			t.Run(name+"/"+scenario.name, func(t *testing.T) {
				c := newClock()
				scenario.run(workflow{ApprovalWorkflow: open(t, c), T: t, clock: c})
			})
		}
	}
}
