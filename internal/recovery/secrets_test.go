package recovery_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/recovery"
)

// SweepOn sweeps one repository a step, and fails in the one that is unreadable.
func (f *fake) SweepOn(_ context.Context, _, after int64) (last int64, next time.Time, err error) {
	f.sweptAfter = append(f.sweptAfter, after)
	switch {
	case int(after) == len(f.overdue):
		return 0, time.Time{}, nil
	case after+1 == f.unreadable:
		return after, time.Time{}, errAway
	default:
		return after + 1, f.overdue[after], nil
	}
}

func TestSecretsAreSweptInSteps(t *testing.T) {
	f, s, now := newSweeper()
	f.overdue, f.unreadable = []time.Time{start.Add(2 * time.Hour), start.Add(time.Hour), {}}, 3
	for range 2 {
		if again := sweep(t, s, "secrets:5"); !again.Equal(start) {
			t.Errorf("there is more, and it goes on at %s", again)
		}
	}
	if _, err := s.Sweep(t.Context(), "secrets:5"); !errors.Is(err, errAway) {
		t.Errorf("the step ended with %v", err)
	}
	f.unreadable = 0
	sweep(t, s, "secrets:5")
	if again := sweep(t, s, "secrets:5"); !again.Equal(start.Add(time.Hour)) {
		t.Errorf("the next one is overdue in an hour, and it goes on at %s", again)
	}
	if want := []int64{0, 1, 2, 2, 3}; !slices.Equal(f.sweptAfter, want) {
		t.Errorf("swept after %v, want %v", f.sweptAfter, want)
	}
	// It is looked for anew then, and never more often than every ten minutes.
	*now = start.Add(time.Hour)
	f.overdue = []time.Time{now.Add(time.Second)}
	sweep(t, s, "secrets:5")
	if again := sweep(t, s, "secrets:5"); !again.Equal(now.Add(10 * time.Minute)) {
		t.Errorf("it goes on at %s", again)
	}
	f.overdue = nil
	if again := sweep(t, s, "secrets:5"); !again.IsZero() {
		t.Errorf("nothing is there, and it goes on at %s", again)
	}
}

// A database that is new or was lost knows of no sweep; one that does is not swept again
// because a process starts.
func TestSecretsThatWereNeverSweptAreSweptAtOnce(t *testing.T) {
	f, s, now := newSweeper()
	sweep(t, s, "secrets:6")
	*now = start.Add(5 * time.Hour)
	if again := sweep(t, s, recovery.KeySecrets); !again.Equal(now.Add(time.Hour)) {
		t.Errorf("it asks again at %s", again)
	}
	if !slices.Equal(f.wanted, []string{"secrets:5"}) {
		t.Errorf("asked for %v", f.wanted)
	}
	sweep(t, s, "secrets:5")
	*now = start.Add(7 * time.Hour)
	f.wanted = nil
	sweep(t, s, recovery.KeySecrets)
	if !slices.Equal(f.wanted, []string{"secrets:6"}) {
		t.Errorf("after six hours it asked for %v", f.wanted)
	}
}
