package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

func (d *database) entries(t *testing.T) []audit.Entry {
	t.Helper()
	entries, err := d.AuditEntries(t.Context(), 0, 1000)
	must(t, err)
	return entries
}

func TestEveryFactIsAudited(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.live(t, pullRequest(7))
		var got []string
		for _, e := range d.entries(t) {
			got = append(got, fmt.Sprintf("%s %d %s %s %s: %s", e.Actor, e.ActorID, e.Action, e.Subject, e.Commit, e.Detail))
		}
		want := []string{
			"portcullis 0 approval.request acme/shop#7 a: team-lead: 2 approvals",
			"alice 1 approval.approve acme/shop#7 a: by review:1",
			"bob 2 approval.reject acme/shop#7 : by comment:1:0: no tests",
			"lee 99 approval.lift acme/shop#7 : comment:1:0 of bob: no tests",
			"lee 99 approval.withdraw acme/shop#7 : comment:2:0 of unknown account",
			"bob 2 command.refused acme/shop#7 : /approve: bob is the author",
			"portcullis 0 decision.waiting acme/shop#7 a: ",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the entries are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestRequestIsAuditedWhenItAsksForSomethingElse(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		request := gate.ApprovalRequest{ID: "11#7", Subject: "acme/shop#7", Commit: "a", Since: seconds(10), Tier: policy.TierPeerReview, Required: 1}
		for _, step := range []struct {
			name    string
			change  func(*gate.ApprovalRequest)
			audited bool
		}{
			{"first", func(*gate.ApprovalRequest) {}, true},
			{"again", func(*gate.ApprovalRequest) {}, false},
			{"seen later", func(r *gate.ApprovalRequest) { r.Since = seconds(11) }, false},
			{"seen earlier", func(r *gate.ApprovalRequest) { r.Since = seconds(9) }, false},
			{"somebody is excluded", func(r *gate.ApprovalRequest) { r.Excluded = map[int64]string{1: "author"} }, false},
			{"another tier", func(r *gate.ApprovalRequest) { r.Tier = policy.TierTeamLead }, true},
			{"more approvals", func(r *gate.ApprovalRequest) { r.Required = 2 }, true},
			{"an older commit", func(r *gate.ApprovalRequest) { r.Commit, r.Since = "0", seconds(1) }, false},
			{"a push", func(r *gate.ApprovalRequest) { r.Commit, r.Since = "b", seconds(20) }, true},
			{"the tier is not known", func(r *gate.ApprovalRequest) { r.Tier, r.Required = "", 0 }, true},
		} {
			before := len(d.entries(t))
			step.change(&request)
			must(t, d.Request(t.Context(), request))
			if audited := len(d.entries(t)) > before; audited != step.audited {
				t.Errorf("%s: audited is %v", step.name, audited)
			}
		}
	})
}

func TestVoteFromWithdrawnSourceIsAuditedAsWithdrawn(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		must(t, d.Request(t.Context(), gate.ApprovalRequest{ID: ref.Key(), Subject: ref.String(), Commit: "a", Since: start, Tier: policy.TierAuto}))
		must(t, d.Withdraw(t.Context(), ref.Key(), "review:1", lee))
		must(t, d.Approve(t.Context(), ref.Key(), vote("review:1", "alice", "a", 1)))
		entries := d.entries(t)
		if last := entries[len(entries)-1]; last.Action != "approval.withdraw" || last.Actor != "alice" {
			t.Errorf("the last entry is %+v", last)
		}
	})
}

// TestAWithdrawalIsAuditedUnderWhoMadeIt deletes somebody else's comment: the
// trail names who did it, and whose vote went.
func TestAWithdrawalIsAuditedUnderWhoMadeIt(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		must(t, d.Request(t.Context(), gate.ApprovalRequest{ID: ref.Key(), Subject: ref.String(), Commit: "a", Since: start, Tier: policy.TierAuto}))
		must(t, d.Approve(t.Context(), ref.Key(), vote("comment:1:0", "alice", "a", 1)))
		must(t, d.Withdraw(t.Context(), ref.Key(), "comment:1:0", lee))
		entries := d.entries(t)
		if last := entries[len(entries)-1]; last.Action != "approval.withdraw" || last.Actor != "lee" || last.ActorID != lee.ID || last.Detail != "comment:1:0 of alice" {
			t.Errorf("the last entry is %+v", last)
		}
	})
}

func TestAuditEntriesInPages(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		for i := range 5 {
			must(t, d.Audit(t.Context(), audit.Entry{Actor: "alice", Action: "test.act", Subject: fmt.Sprint(i)}))
		}
		var read []audit.Entry
		for {
			page, err := d.AuditEntries(t.Context(), int64(len(read)), 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			read = append(read, page...)
		}
		if !reflect.DeepEqual(read, d.entries(t)) || len(read) != 5 || !read[0].At.Equal(start) {
			t.Errorf("read %+v", read)
		}
	})
}

// What is sealed is what is kept, whatever precision the caller's clock has.
func TestChainVerifiesWithFractionsOfAMillisecond(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.clock.pass(1234567 * time.Nanosecond)
		must(t, d.Audit(t.Context(), audit.Entry{Action: "by the store's clock"}))
		must(t, d.Audit(t.Context(), audit.Entry{At: start.Add(7 * time.Nanosecond), Action: "by the caller's"}))
		must(t, audit.Verify(audit.Entry{}, d.entries(t)))
	})
}

func TestChainVerifiesAcrossReopen(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.live(t, pullRequest(7))
		d.reopen(t)
		d.live(t, pullRequest(8))
		d.reopen(t)
		entries := d.entries(t)
		if len(entries) < 12 {
			t.Errorf("%d entries", len(entries))
		}
		must(t, audit.Verify(audit.Entry{}, entries))
		must(t, audit.Verify(entries[4], entries[5:]))
	})
}

func TestTamperingWithTheDatabaseIsFound(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		for name, statement := range map[string]string{
			"at":        `UPDATE audit_entries SET at = at + 1 WHERE sequence = 3`,
			"actor":     `UPDATE audit_entries SET actor = 'mallory' WHERE sequence = 3`,
			"actor id":  `UPDATE audit_entries SET actor_id = 9 WHERE sequence = 3`,
			"action":    `UPDATE audit_entries SET action = 'approval.approve' WHERE sequence = 3`,
			"subject":   `UPDATE audit_entries SET subject = 'acme/shop#8' WHERE sequence = 3`,
			"commit":    `UPDATE audit_entries SET commit_sha = 'b' WHERE sequence = 3`,
			"detail":    `UPDATE audit_entries SET detail = '' WHERE sequence = 3`,
			"previous":  `UPDATE audit_entries SET previous_hash = hash WHERE sequence = 3`,
			"hash":      `UPDATE audit_entries SET hash = previous_hash WHERE sequence = 3`,
			"sequence":  `UPDATE audit_entries SET sequence = 33 WHERE sequence = 3`,
			"removed":   `DELETE FROM audit_entries WHERE sequence = 3`,
			"beheaded":  `DELETE FROM audit_entries WHERE sequence = 1`,
			"all later": `DELETE FROM audit_entries WHERE sequence > 1 AND sequence < 5`,
		} {
			t.Run(name, func(t *testing.T) {
				d := newDatabase(t)
				d.live(t, pullRequest(7))
				must(t, audit.Verify(audit.Entry{}, d.entries(t)))
				d.edit(t, statement)
				var broken *audit.BrokenChainError
				if err := audit.Verify(audit.Entry{}, d.entries(t)); !errors.As(err, &broken) {
					t.Errorf("it was not found: %v", err)
				}
			})
		}
	})
}

// What cannot be recorded did not happen.
func TestNoFactWithoutItsAuditEntry(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		must(t, d.Request(t.Context(), gate.ApprovalRequest{ID: ref.Key(), Subject: ref.String(), Commit: "a", Since: start, Tier: policy.TierAuto}))
		generation, err := d.NextGeneration(t.Context(), ref)
		must(t, err)
		d.edit(t, `ALTER TABLE audit_entries RENAME TO hidden`)
		if err := d.Approve(t.Context(), ref.Key(), vote("review:1", "alice", "a", 1)); err == nil {
			t.Error("the approval was recorded")
		}
		if err := d.PutPosted(t.Context(), ref, posted(generation, seconds(60)), decisionEntry); err == nil {
			t.Error("the decision was kept")
		}
		d.edit(t, `ALTER TABLE hidden RENAME TO audit_entries`)
		state, err := d.State(t.Context(), ref.Key())
		must(t, err)
		last, err := d.LastPosted(t.Context(), ref)
		must(t, err)
		_, timer, err := d.NextDue(t.Context(), d.clock.Now())
		must(t, err)
		if len(state.Votes) != 0 || last.Generation != 0 || timer {
			t.Errorf("kept without an audit entry: %+v, %+v, %v", state.Votes, last, timer)
		}
	})
}
