package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// live does a bit of everything.
func (d *database) live(t *testing.T, ref policy.PullRequestRef) gate.Posted {
	t.Helper()
	ctx := t.Context()
	request := gate.ApprovalRequest{
		ID: ref.Key(), Subject: ref.String(), Commit: "a", Since: seconds(0), Tier: policy.TierTeamLead, Required: 2,
		Excluded: map[int64]string{3: "carol is the author"}, ExpiresAfter: time.Hour,
	}
	must(t, d.Request(ctx, request))
	must(t, d.Request(ctx, request))
	must(t, d.Approve(ctx, ref.Key(), vote("review:1", "alice", "a", 1)))
	must(t, d.Approve(ctx, ref.Key(), vote("review:1", "alice", "a", 1)))
	rejection := vote("comment:1:0", "bob", "", 2)
	rejection.Reason = "no tests"
	must(t, d.Reject(ctx, ref.Key(), rejection))
	must(t, d.Withdraw(ctx, ref.Key(), "comment:1:0", lee))
	must(t, d.Withdraw(ctx, ref.Key(), "comment:1:0", lee))
	must(t, d.Withdraw(ctx, ref.Key(), "comment:2:0", lee))
	must(t, d.Audit(ctx, audit.Entry{Actor: "bob", ActorID: 2, Action: "command.refused", Subject: ref.String(), Detail: "/approve: bob is the author"}))
	must(t, d.Accept(ctx, "done", "pull_request", ref, gate.UrgencyPeople, []byte("1")))
	must(t, d.Accept(ctx, "undone", "pull_request", ref, gate.UrgencyPeople, []byte("2")))
	must(t, d.DeliveryDone(ctx, "done"))
	return d.post(t, ref, seconds(7200))
}

func TestSurvivesReopen(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		put := d.live(t, ref)
		before, err := d.State(t.Context(), ref.Key())
		must(t, err)
		work := d.claim(t)

		d.takeOver(t)
		after, err := d.State(t.Context(), ref.Key())
		must(t, err)
		if !reflect.DeepEqual(before, after) || len(after.Votes) != 3 {
			t.Errorf("before %+v\nafter  %+v", before, after)
		}
		last, err := d.LastPosted(t.Context(), ref)
		must(t, err)
		if !reflect.DeepEqual(last, put) {
			t.Errorf("last posted is %+v", last)
		}
		again := d.claim(t)
		if again.Key != work.Key || again.Ref != ref || again.Want != work.Want {
			t.Errorf("claimed %+v, before %+v", again, work)
		}
		deliveries, err := d.Deliveries(t.Context(), again.Key)
		must(t, err)
		if len(deliveries) != 1 || deliveries[0].ID != "undone" || string(deliveries[0].Payload) != "2" {
			t.Errorf("the deliveries are %+v", deliveries)
		}
		must(t, d.Retry(t.Context(), again, d.clock.Now().Add(time.Minute), "no", nil))

		d.reopen(t)
		d.noWork(t, "the back-off is kept")
		stuck, err := d.Stuck(t.Context())
		must(t, err)
		if len(stuck) != 1 || stuck[0].Reason != "no" {
			t.Errorf("stuck %+v", stuck)
		}
		next, err := d.NextGeneration(t.Context(), ref)
		must(t, err)
		if next != put.Generation+1 {
			t.Errorf("generation %d follows %d", next, put.Generation)
		}
		d.clock.pass(time.Minute)
		must(t, d.Done(t.Context(), d.claim(t), nil))
		due, ok, err := d.NextDue(t.Context(), d.clock.Now())
		must(t, err)
		if !ok || !due.Equal(seconds(7200)) {
			t.Errorf("the timer is at %v, %v", due, ok)
		}
	})
}

// What was acknowledged is in the files before the process has any chance to
// close them.
func TestSurvivesTheDeathOfTheProcess(t *testing.T) {
	d, ref := newFile(t), pullRequest(7)
	put := d.live(t, ref)
	dead := engines["sqlite"](t)
	dead.clock = d.clock
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(d.path + suffix)
		must(t, err)
		must(t, os.WriteFile(dead.path+suffix, content, 0o600))
	}
	dead.open(t)
	defer dead.close(t)
	if got := dead.ids(t, "pr:11#7"); !reflect.DeepEqual(got, []string{"undone"}) {
		t.Errorf("the deliveries are %v", got)
	}
	last, err := dead.LastPosted(t.Context(), ref)
	must(t, err)
	if !reflect.DeepEqual(last, put) {
		t.Errorf("last posted is %+v", last)
	}
	dead.claim(t)
	must(t, audit.Verify(audit.Entry{}, dead.entries(t)))
}

// A head is kept as later rather than earlier, and telling it again is nothing
// new.
func TestHeadSinceFractionOfAMillisecond(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d, ref := newDatabase(t), pullRequest(7)
		request := gate.ApprovalRequest{ID: ref.Key(), Commit: "a", Since: start.Add(time.Nanosecond), Tier: policy.TierAuto}
		for range 2 {
			must(t, d.Request(t.Context(), request))
		}
		state, err := d.State(t.Context(), ref.Key())
		must(t, err)
		if len(state.Heads) != 1 || !state.Heads[0].Since.Equal(start.Add(time.Millisecond)) {
			t.Errorf("the heads are %+v", state.Heads)
		}
	})
}

// docs/operations.md tells how to make a backup of a file that is being served.
func TestABackupIsMadeWhileItIsServed(t *testing.T) {
	d, ref := newFile(t), pullRequest(7)
	put := d.live(t, ref)
	backup := filepath.Join(t.TempDir(), "backup.db")
	beside, err := sql.Open("sqlite", "file:"+d.path)
	must(t, err)
	_, err = beside.ExecContext(t.Context(), `VACUUM INTO '`+backup+`'`)
	must(t, errors.Join(err, beside.Close()))
	must(t, d.Accept(t.Context(), "after the backup", "pull_request", ref, gate.UrgencyPeople, nil))

	restored := opened(t, &database{clock: newClock(), url: "sqlite:" + backup, path: backup})
	last, err := restored.LastPosted(t.Context(), ref)
	must(t, err)
	kept, err := restored.Deliveries(t.Context(), "pr:"+ref.Key())
	must(t, err)
	if !reflect.DeepEqual(last, put) || len(kept) != 1 || kept[0].ID != "undone" {
		t.Errorf("restored were %+v and the deliveries %v", last, kept)
	}
}
