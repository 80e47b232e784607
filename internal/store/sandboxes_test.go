package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// box is the record of a sandbox that somebody asked for on a pull request of the shop's.
func (d *database) box(id string, number int, by int64) sandbox.Record {
	place := shopScope
	place.Number = number
	now := d.clock.Now()
	return sandbox.Record{Instance: sandbox.Instance{
		ID: id, Provider: "docker", For: place, HeadSHA: "abc", RequestedBy: policy.Actor{ID: by, Login: fmt.Sprint("person-", by)}, CreatedAt: now, Deadline: now.Add(time.Hour),
	}}
}

func (d *database) asked(id string) audit.Entry {
	return audit.Entry{At: d.clock.Now(), Actor: "ann", Action: "sandbox.asked", Subject: id}
}

var roomy = sandbox.Caps{PerRepository: 100, PerPerson: 100, Total: 100}

// I26: caps hold however many ask at once, and what has ended counts no more.
func TestI26CapsHoldUnderABurst(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		caps := sandbox.Caps{PerRepository: 4, PerPerson: 2, Total: 100}
		var all sync.WaitGroup
		var mu sync.Mutex
		opened, full := map[int64]int{}, 0
		for i := range 30 {
			all.Go(func() {
				record := d.box(fmt.Sprint("pc-", i), i, int64(i%3+1))
				err := d.OpenSandbox(t.Context(), record, caps, d.asked(record.ID))
				over, is := errors.AsType[*sandbox.FullError](err)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					opened[record.RequestedBy.ID]++
				case is && (over.Max == 4 || over.Max == 2):
					full++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := opened[1] + opened[2] + opened[3]; n != 4 || full != 26 || max(opened[1], opened[2], opened[3]) > 2 {
			t.Errorf("opened %v, refused %d", opened, full)
		}
		live, err := d.Sandboxes(t.Context(), killswitch.Scope{})
		must(t, err)
		must(t, d.ChangeSandbox(t.Context(), live[0].ID, func(r *sandbox.Record) []audit.Entry {
			r.EndedAt = d.clock.Now()
			return []audit.Entry{{At: d.clock.Now(), Actor: "ann", Action: "sandbox.ended", Subject: r.ID}}
		}))
		record := d.box("pc-more", 99, live[0].RequestedBy.ID)
		must(t, d.OpenSandbox(t.Context(), record, caps, d.asked(record.ID)))
		// Whoever asks twice is not counted twice.
		must(t, d.OpenSandbox(t.Context(), record, sandbox.Caps{}, d.asked(record.ID)))
		if live, err := d.Sandboxes(t.Context(), killswitch.Scope{}); err != nil || len(live) != 4 {
			t.Errorf("%d are live, %v", len(live), err)
		}
	})
}

// I26: the cap of all holds over repositories and people.
func TestI26TheCapOfAll(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		caps := sandbox.Caps{PerRepository: 2, PerPerson: 2, Total: 2}
		for i := range 3 {
			record := d.box(fmt.Sprint("pc-", i), 7, int64(i+1))
			record.For.Repository.ID = int64(i + 1)
			err := d.OpenSandbox(t.Context(), record, caps, d.asked(record.ID))
			full, is := errors.AsType[*sandbox.FullError](err)
			if is != (i == 2) || is && (full.Max != 2 || full.Of != "this server") {
				t.Errorf("the sandbox %d: %v", i, err)
			}
		}
	})
}

// I26: the cap of a person holds over repositories.
func TestI26TheCapOfAPerson(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		caps := sandbox.Caps{PerRepository: 100, PerPerson: 2, Total: 100}
		for i := range 4 {
			record := d.box(fmt.Sprint("pc-", i), 7, 1)
			if i == 3 {
				record = d.box("pc-others", 7, 2)
			}
			record.For.Repository.ID = int64(i + 1)
			err := d.OpenSandbox(t.Context(), record, caps, d.asked(record.ID))
			full, is := errors.AsType[*sandbox.FullError](err)
			if is != (i == 2) || !is && err != nil || is && (full.Max != 2 || full.Of != record.RequestedBy.String()) {
				t.Errorf("the sandbox %d: %v", i, err)
			}
		}
	})
}

// What has ended is not started again, and what was said while it had a person's rights is
// remembered to have been.
func TestWhatHasEndedIsRemembered(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		record := d.box("pc-bobs", 7, 1)
		record.ActsAs = record.RequestedBy
		for _, r := range []sandbox.Record{record, d.box("pc-nobodys", 7, 1)} {
			must(t, d.OpenSandbox(t.Context(), r, roomy, d.asked(r.ID)))
		}
		must(t, d.ChangeSandbox(t.Context(), record.ID, func(r *sandbox.Record) []audit.Entry {
			r.EndedAt = d.clock.Now().Add(time.Minute)
			return nil
		}))
		if err := d.OpenSandbox(t.Context(), record, roomy, d.asked(record.ID)); !errors.Is(err, sandbox.ErrEnded) {
			t.Errorf("it is started again: %v", err)
		}
		d.clock.pass(30 * 24 * time.Hour)
		for {
			more, err := d.Prune(t.Context(), d.clock.Now())
			must(t, err)
			if !more {
				break
			}
		}
		all, err := d.Deputies(t.Context(), record.For.Repository, record.CreatedAt.Add(time.Minute))
		if err != nil || len(all) != 1 || all[0].For.ID != 1 || all[0].Sandbox != "pc-bobs" || !all[0].From.Equal(record.CreatedAt) || !all[0].Until.Equal(record.CreatedAt.Add(time.Minute)) {
			t.Errorf("%+v, %v", all, err)
		}
		for where, c := range map[string]struct {
			in    policy.Repository
			since time.Time
		}{
			"elsewhere":          {policy.Repository{ID: 99}, record.CreatedAt},
			"after it had ended": {record.For.Repository, record.CreatedAt.Add(time.Minute + time.Millisecond)},
		} {
			if all, err := d.Deputies(t.Context(), c.in, c.since); err != nil || len(all) != 0 {
				t.Errorf("%s: %+v, %v", where, all, err)
			}
		}
	})
}

func TestSandboxesByTheirPlace(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		agents := d.box("pc-agents", 8, 1)
		agents.For.Agents = true
		elsewhere := d.box("pc-elsewhere", 7, 1)
		elsewhere.For.Repository.ID, elsewhere.For.Repository.Owner = 99, "Other"
		for _, record := range []sandbox.Record{d.box("pc-seven", 7, 1), agents, elsewhere} {
			must(t, d.OpenSandbox(t.Context(), record, roomy, d.asked(record.ID)))
		}
		must(t, d.ChangeSandbox(t.Context(), "pc-nobody", func(*sandbox.Record) []audit.Entry { t.Error("changed"); return nil }))
		seven, allAgents := shopScope, shopScope
		seven.Number, allAgents.Agents = 7, true
		for _, c := range []struct {
			scope killswitch.Scope
			want  string
		}{
			{killswitch.Scope{}, "[pc-agents pc-elsewhere pc-seven]"}, {shopScope, "[pc-agents pc-seven]"}, {seven, "[pc-seven]"}, {allAgents, "[pc-agents]"},
			{killswitch.Organization("OTHER", 0), "[pc-elsewhere]"}, {killswitch.Organization(shopScope.Repository.Owner, 0), "[pc-agents pc-seven]"},
		} {
			found, err := d.Sandboxes(t.Context(), c.scope)
			must(t, err)
			var ids []string
			for _, record := range found {
				ids = append(ids, record.ID)
			}
			if fmt.Sprint(ids) != c.want {
				t.Errorf("%s: %v, want %s", c.scope, ids, c.want)
			}
		}
		// What was found again after its end is on record anew.
		must(t, d.ChangeSandbox(t.Context(), "pc-seven", func(r *sandbox.Record) []audit.Entry { r.EndedAt = d.clock.Now(); return nil }))
		must(t, d.AdoptSandbox(t.Context(), d.box("pc-seven", 7, 1), audit.Entry{At: d.clock.Now(), Actor: "portcullis", Action: "sandbox.found", Subject: "pc-seven"}))
		if found, err := d.Sandboxes(t.Context(), seven); err != nil || len(found) != 1 || d.lastEntry(t) != "portcullis sandbox.found pc-seven: " {
			t.Errorf("%+v, %v, %s", found, err, d.lastEntry(t))
		}
	})
}

func TestNothingIsOpenedWhereASwitchIsOn(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		d.throw(t, shopScope)
		record := d.box("pc-1", 7, 1)
		if err := d.OpenSandbox(t.Context(), record, roomy, d.asked("pc-1")); !errors.Is(err, sandbox.ErrStopped) {
			t.Errorf("opened: %v", err)
		}
	})
}

func TestTasksAreWork(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		on := policy.PullRequestRef{Repository: shopScope.Repository, Number: 7}
		task := sandbox.Task{ID: "comment:1:0", Kind: sandbox.TaskStart, On: on, State: sandbox.TaskAsked}
		due := func(want bool) {
			t.Helper()
			work, claimed, err := d.Claim(t.Context(), sandbox.WorkKey(task.ID))
			if err != nil || claimed != want {
				t.Errorf("it is due: %t, %v", claimed, err)
			}
			if claimed {
				must(t, d.Done(t.Context(), work, nil))
			}
		}
		must(t, d.PutTask(t.Context(), task))
		due(true)
		due(false)
		other := task
		other.Kind = sandbox.TaskStop
		must(t, d.PutTask(t.Context(), other))
		if kept, err := d.Task(t.Context(), task.ID); err != nil || kept.Kind != sandbox.TaskStart {
			t.Errorf("asked for again under the same id: %+v, %v", kept, err)
		}
		due(false)
		change := func(state sandbox.TaskState, again time.Time) {
			t.Helper()
			_, err := d.ChangeTask(t.Context(), task.ID, func(k *sandbox.Task) (time.Time, error) {
				k.State = state
				if state == sandbox.TaskDone {
					k.DoneAt = d.clock.Now()
				}
				return again, nil
			})
			must(t, err)
		}
		change(sandbox.TaskBegun, d.clock.Now().Add(30*time.Second))
		due(false)
		d.clock.pass(31 * time.Second)
		due(true)
		change(sandbox.TaskBegun, d.clock.Now().Add(time.Hour))
		change(sandbox.TaskDone, time.Time{})
		due(true)
		must(t, d.TaskTold(t.Context(), task.ID))
		d.clock.pass(2 * time.Hour)
		due(false)
		if _, err := d.Task(t.Context(), "nobody's"); !errors.Is(err, sandbox.ErrUnknown) {
			t.Error(err)
		}
		// It is kept as long as GitHub may deliver what asked for it once more.
		for _, c := range []struct {
			passes time.Duration
			kept   bool
		}{{6 * 24 * time.Hour, true}, {24 * time.Hour, false}} {
			d.clock.pass(c.passes)
			_, err := d.Prune(t.Context(), d.clock.Now().Add(-time.Hour))
			must(t, err)
			if _, err := d.Task(t.Context(), task.ID); (err == nil) != c.kept {
				t.Errorf("kept: %v, want %t", err, c.kept)
			}
		}
	})
}
