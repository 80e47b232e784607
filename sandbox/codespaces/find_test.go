package codespaces

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// limitError is as GitHub's limits are told.
type limitError struct{ at time.Time }

func (*limitError) Error() string          { return "GitHub's limit is reached" }
func (e *limitError) RetryTime() time.Time { return e.at }

// One person of whom nothing can be seen hides nothing of others', and has nobody wait.
func TestOnePersonsFaultIsTheirs(t *testing.T) {
	limit := &limitError{}
	for name, s := range map[string]struct {
		cannot  error
		revoked bool
		pays    bool
		fault   string // empty: there is none
	}{
		"403, and acme pays":      {cannot: &AnswerError{Status: forbidden, Cause: errors.New("no")}},
		"401, and acme pays":      {cannot: &AnswerError{Status: unauthorized, Cause: errors.New("no")}},
		"403, and bob pays":       {cannot: &AnswerError{Status: forbidden, Cause: errors.New("no")}, pays: true, fault: "a codespace that bob pays for may run, and cannot be seen: no"},
		"a limit, and acme pays":  {cannot: &AnswerError{Cause: limit}, fault: "list the codespaces of bob: GitHub's limit"},
		"a limit, and bob pays":   {cannot: &AnswerError{Cause: limit}, pays: true, fault: "that bob pays for may run, and cannot be seen: GitHub's limit"},
		"taken back, acme pays":   {revoked: true},
		"taken back, and he pays": {revoked: true, pays: true, fault: "that bob pays for may run, and cannot be seen: bob has to let"},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := newWorld(t)
			mine, paid, spec := w.spec(), w.spec(), w.spec()
			w.has(mine, ann, "ann")
			w.has(paid, ann, "acme")
			w.expects(usertoken.Expectation{Person: bob, Until: w.now.Add(time.Hour), Pays: s.pays})
			w.expects(usertoken.Expectation{Person: ann, Until: w.now.Add(time.Hour), Pays: true})
			w.cannot["bob"] = s.cannot
			w.revoke(bob, s.revoked)
			all, err := c.List(t.Context())
			if len(all) != 2 || (err == nil) != (s.fault == "") || err != nil && !strings.Contains(err.Error(), s.fault) {
				t.Errorf("%d are seen, %v", len(all), err)
			}
			if waits, is := errors.AsType[*limitError](err); is {
				t.Errorf("everybody waits for bob's limit: %v", waits)
			}
			for _, is := range []sandbox.Spec{mine, paid} {
				if seen, err := c.Status(t.Context(), is.ID); err != nil || seen.ActsAs != ann {
					t.Errorf("%+v, %v", seen, err)
				}
			}
			if _, err := c.Status(t.Context(), sandbox.NewID()); errors.Is(err, sandbox.ErrUnknown) != (s.fault == "") {
				t.Errorf("what may be bob's: %v", err)
			}
			w.shell = w.onCommit(approved)
			if _, err := c.Create(t.Context(), spec); err != nil {
				t.Errorf("ann's creation fails by what bob has: %v", err)
			}
			for _, is := range []sandbox.Spec{mine, paid, spec} {
				if err := c.Destroy(t.Context(), is.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// An organization that cannot be asked any more hides nothing for as long as something may
// run there, and is no fault after that.
func TestAnOrganizationThatCannotBeAskedAnyMore(t *testing.T) {
	w, c := newWorld(t)
	w.shell = w.onCommit(approved)
	spec := w.spec()
	created, err := c.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	other := w.spec()
	w.places = append(w.places, policy.Repository{Installation: 8, Owner: "other"})
	w.has(other, bob, "other")
	w.cannot["ann"] = &AnswerError{Status: forbidden, Cause: errors.New("the App is not there")}
	gone := w.places[0]
	w.places = w.places[1:]
	const fault = "codespaces of acme may run until"
	if all, err := c.List(t.Context()); len(all) != 1 || all[0].ID != other.ID || err == nil || !strings.Contains(err.Error(), fault) {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := c.Status(t.Context(), spec.ID); err == nil || errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("its status: %v", err)
	}
	if err := c.Destroy(t.Context(), spec.ID); err == nil || !strings.Contains(err.Error(), fault) {
		t.Errorf("it is said to be gone: %v", err)
	}
	if _, err := c.Status(t.Context(), other.ID); err != nil {
		t.Errorf("another's: %v", err)
	}
	w.now = created.Deadline.Add(c.config.Idle - time.Second)
	if _, err := c.List(t.Context()); err == nil {
		t.Error("GitHub may not have ended it yet")
	}
	w.now = created.Deadline.Add(c.config.Idle + time.Second)
	if _, err := c.List(t.Context()); err != nil {
		t.Errorf("when it is certain: %v", err)
	}
	w.now = created.Deadline.Add(-time.Second)
	w.places = append(w.places, policy.Repository{Installation: 9, Owner: gone.Owner})
	if all, err := c.List(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("installed anew: %+v, %v", all, err)
	}
	w.expected = []usertoken.Expectation{{Place: acme, Until: created.Deadline}}
	w.places = []policy.Repository{{Installation: gone.Installation, Owner: "acme-inc"}}
	w.cannot["acme-inc"] = errors.New("not now")
	if _, err := c.List(t.Context()); err == nil || strings.Contains(err.Error(), fault) {
		t.Errorf("under another name: %v", err)
	}
	w.cannot = map[string]error{"ann": w.cannot["ann"]}
	// What is seen is expected, whatever was, and what was seen to end is not.
	w.places, w.expected = []policy.Repository{gone}, nil
	if _, err := c.List(t.Context()); err != nil || len(w.expected) != 1 || !w.expected[0].Until.Equal(created.Deadline.Add(c.config.Idle)) {
		t.Errorf("%v, %+v", err, w.expected)
	}
	if err := c.Destroy(t.Context(), spec.ID); err != nil || len(w.expected) != 0 {
		t.Errorf("%v, %+v", err, w.expected)
	}
	w.places = nil
	if _, err := c.List(t.Context()); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// A member who calls an older codespace of theirs as one of ours is called while that is
// created gets nothing to run, and costs it nothing.
func TestAForgedNameInTheMiddleOfACreation(t *testing.T) {
	w, c := newWorld(t)
	w.shell = w.onCommit(approved)
	spec := w.spec()
	forged := w.add("an older one", bob, "acme")
	w.creating = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all[0].DisplayName = w.all[1].DisplayName
		w.all[0].State = "Shutdown"
	}
	is, err := c.Create(t.Context(), spec)
	if err != nil || is.RequestedBy != ann || is.For != spec.For || is.Status != sandbox.StatusRunning {
		t.Errorf("%+v, %v", is, err)
	}
	if len(w.deleted) != 0 || len(w.all) != 2 {
		t.Errorf("deleted: %v", w.deleted)
	}
	if again, err := c.Create(t.Context(), spec); err != nil || again != is || len(w.deleted) != 0 {
		t.Errorf("asked again: %+v, %v, deleted: %v", again, err, w.deleted)
	}
	if _, err := c.Execute(t.Context(), spec.ID, sandbox.Command{Argv: []string{"true"}}); !errors.Is(err, sandbox.ErrNotRunning) {
		t.Errorf("a command, while it is not known in which: %v", err)
	}
	_ = w.remove(forged.Name)
}

// I22: a codespace that says that it has the commit is not believed where GitHub tells that
// the branch was elsewhere.
func TestI22TheHeadWasElsewhereInBetween(t *testing.T) {
	for name, s := range map[string]struct {
		after func(made time.Time) Head
		moved string // the head that is told; empty: it is created
	}{
		"never moved":           {func(time.Time) Head { return Head{SHA: approved} }, ""},
		"moved long before":     {func(made time.Time) Head { return Head{SHA: approved, MovedAt: made.Add(-2 * time.Second)} }, ""},
		"moved on":              {func(time.Time) Head { return Head{SHA: "f00"} }, "f00"},
		"there and back":        {func(made time.Time) Head { return Head{SHA: approved, MovedAt: made.Add(time.Second)} }, approved},
		"in the same second":    {func(made time.Time) Head { return Head{SHA: approved, MovedAt: made.Truncate(time.Second)} }, approved},
		"long after, by GitHub": {func(made time.Time) Head { return Head{SHA: approved, MovedAt: made.Add(time.Hour)} }, approved},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := newWorld(t)
			w.shell = w.onCommit(approved)
			spec := w.spec()
			w.creating = func() { w.heads = []Head{s.after(w.all[0].CreatedAt)} }
			_, err := c.Create(t.Context(), spec)
			moved, is := errors.AsType[*MovedError](err)
			if is != (s.moved != "") || is && moved.Head != s.moved || !is && err != nil {
				t.Errorf("%v", err)
			}
			if left := len(w.all); left != 1 && err == nil || left != 0 && err != nil {
				t.Errorf("%d are left", left)
			}
		})
	}
}

// onCommit is a shell in which that commit is checked out.
func (w *world) onCommit(sha string) func(string, ssh.Channel) {
	return func(line string, channel ssh.Channel) {
		begins(w.t, line, channel)
		script, _ := base64.StdEncoding.DecodeString(line[strings.LastIndex(line, " ")+1:])
		if strings.Contains(string(script), "rev-parse") {
			_, _ = io.WriteString(channel, sha+"\n")
		}
		exits(channel, 0)
	}
}
