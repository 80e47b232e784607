package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/policy"
)

var start = time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC)

// fake is a GitHub and a book.
type fake struct {
	now func() time.Time
	// pages are what is answered to each cursor: the failed, and the next cursor.
	pages        map[string]page
	asked        []time.Time
	redelivered  []int64
	repositories int
	unreadable   int64

	known     map[string]bool
	due       map[string]int64
	unaskable int64
	nextDue   time.Time
	progress  map[string]recovery.Progress
	compared  []int64
	wanted    []string
	flags     map[int64][]policy.Flag
	woken     []int64
	swept     map[int64]int
	pruned    []time.Time
	failing   error
	reached   []time.Time

	// overdue are when the secrets of each of the repositories are, sweptAfter where each
	// step of their sweep began.
	overdue    []time.Time
	sweptAfter []int64
}

type page struct {
	failed    map[string]int64
	delivered map[string]bool
	next      string
}

func (f *fake) FailedDeliveries(_ context.Context, since time.Time, cursor string) (map[string]int64, map[string]bool, string, error) {
	f.asked = append(f.asked, since)
	if f.failing != nil {
		return f.pages[cursor].failed, nil, "where it failed", f.failing
	}
	return f.pages[cursor].failed, f.pages[cursor].delivered, f.pages[cursor].next, nil
}

func (f *fake) Redeliver(_ context.Context, attempt int64) error {
	f.redelivered = append(f.redelivered, attempt)
	if attempt == f.unaskable {
		return errAway
	}
	return f.failing
}

func (f *fake) Flagged(_ context.Context, repositories []policy.Repository) (map[int64][]policy.Flag, error) {
	found := map[int64][]policy.Flag{}
	for _, r := range repositories {
		if r.ID != f.unreadable {
			found[r.ID] = f.flags[r.ID]
		}
	}
	return found, f.failing
}

func (f *fake) WakeSwitches(_ context.Context, installation int64) error {
	f.woken = append(f.woken, installation)
	return nil
}

func (f *fake) Known(context.Context) (map[string]bool, error) { return map[string]bool{}, nil }

func (f *fake) Swept(_ context.Context, repository policy.Repository, found []policy.Flag, _ map[string]bool) error {
	if f.swept == nil {
		f.swept = map[int64]int{}
	}
	f.swept[repository.ID] = len(found)
	return nil
}

func (f *fake) Installations(context.Context) (active, suspended []policy.Repository, err error) {
	return []policy.Repository{{Installation: 5}, {Installation: 6}}, []policy.Repository{{Installation: 7}}, f.failing
}

func (f *fake) PutReach(_ context.Context, at time.Time, active, suspended []policy.Repository) ([]policy.Repository, error) {
	if len(active) != 2 || len(suspended) != 1 {
		return nil, fmt.Errorf("%v are active, %v suspended", active, suspended)
	}
	f.reached = append(f.reached, at)
	return suspended, nil
}

func (f *fake) Repositories(_ context.Context, installation int64) (all []policy.Repository, err error) {
	for i := range f.repositories {
		all = append(all, policy.Repository{Installation: installation, ID: int64(i + 1), Owner: "acme", Name: "shop"})
	}
	return all, f.failing
}

func (f *fake) OpenPullRequests(_ context.Context, repositories []policy.Repository) (map[int64]map[int]string, error) {
	listed := map[int64]map[int]string{}
	for _, r := range repositories {
		if r.ID != f.unreadable {
			listed[r.ID] = map[int]string{}
		}
	}
	return listed, f.failing
}

func (f *fake) Want(_ context.Context, key string) error {
	f.wanted = append(f.wanted, key)
	p := f.progress[key]
	p.Wanted = f.now()
	f.progress[key] = p
	return nil
}

func (f *fake) Progress(_ context.Context, key string) (recovery.Progress, error) {
	return f.progress[key], nil
}

func (f *fake) PutProgress(_ context.Context, key string, p recovery.Progress) error {
	f.progress[key] = p
	return nil
}

func (f *fake) PutUndelivered(_ context.Context, failed map[string]int64, delivered map[string]bool) error {
	for id, attempt := range failed {
		if !f.known[id] {
			f.due[id] = attempt
		}
	}
	maps.DeleteFunc(f.due, func(id string, _ int64) bool { return delivered[id] })
	return nil
}

func (f *fake) Undelivered(context.Context) (map[string]int64, time.Time, error) {
	return maps.Clone(f.due), f.nextDue, nil
}

func (f *fake) PutAsked(_ context.Context, id string) error {
	delete(f.due, id)
	return nil
}

func (f *fake) PutListing(_ context.Context, r policy.Repository, _ map[int]string) (int, error) {
	f.compared = append(f.compared, r.ID)
	return 1, nil
}

func (f *fake) Prune(_ context.Context, before time.Time) (bool, error) {
	f.pruned = append(f.pruned, before)
	return len(f.pruned) == 1, nil
}

func newSweeper() (*fake, *recovery.Sweeper, *time.Time) {
	now := start
	clock := func() time.Time { return now }
	f := &fake{now: clock, pages: map[string]page{}, known: map[string]bool{}, due: map[string]int64{}, progress: map[string]recovery.Progress{}}
	return f, &recovery.Sweeper{GitHub: f, Book: f, Switches: f, Secrets: f, Now: clock, KeepDeliveries: 24 * time.Hour}, &now
}

func sweep(t *testing.T, s *recovery.Sweeper, key string) time.Time {
	t.Helper()
	again, err := s.Sweep(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestDeliveriesAreLookedThroughInSteps(t *testing.T) {
	f, s, now := newSweeper()
	f.pages[""] = page{map[string]int64{"a": 1, "b": 2, "d": 4}, nil, "older"}
	f.pages["older"] = page{map[string]int64{"c": 3}, nil, ""}
	f.known["b"] = true // it came all the same
	if again := sweep(t, s, recovery.KeyDeliveries); !again.Equal(start) {
		t.Errorf("there is more, and it goes on at %s", again)
	}
	*now = start.Add(20 * time.Second) // or another process does
	if again := sweep(t, s, recovery.KeyDeliveries); !again.Equal(now.Add(5 * time.Minute)) {
		t.Errorf("it goes on at %s", again)
	}
	if !slices.Equal(f.redelivered, []int64{1, 4, 3}) {
		t.Errorf("asked for the attempts %v", f.redelivered)
	}
	// The first time three days back; then to where the last one began, and a bit.
	sweep(t, s, recovery.KeyDeliveries)
	if want := []time.Time{start.Add(-72 * time.Hour), now.Add(-72 * time.Hour), start.Add(-10 * time.Minute)}; !slices.Equal(f.asked, want) {
		t.Errorf("looked back to %v, want %v", f.asked, want)
	}
}

// A process that is killed in a sweep leaves what it began, and what got lost with it
// came after that: whoever starts goes on, and looks again from the top at once.
func TestASweepThatBeganBeforeItWasWantedIsFollowedByAnother(t *testing.T) {
	f, s, now := newSweeper()
	f.pages[""] = page{map[string]int64{"a": 1}, nil, "older"}
	f.pages["older"] = page{map[string]int64{"b": 2}, nil, ""}
	f.repositories = 60
	sweep(t, s, recovery.KeyDeliveries)
	sweep(t, s, recovery.KeyResync(5))
	*now = start.Add(20 * time.Second)
	if err := errors.Join(s.Begin(t.Context()), f.Want(t.Context(), recovery.KeyResync(5))); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{recovery.KeyDeliveries, recovery.KeyResync(5)} {
		if again := sweep(t, s, key); !again.Equal(*now) {
			t.Errorf("%s: what began before it was wanted is at its end, and it goes on at %s", key, again)
		}
	}
	f.pages[""] = page{map[string]int64{"lost": 3}, nil, ""}
	if again := sweep(t, s, recovery.KeyDeliveries); !again.Equal(now.Add(5 * time.Minute)) {
		t.Errorf("it goes on at %s", again)
	}
	if !slices.Equal(f.redelivered, []int64{1, 2, 3}) {
		t.Errorf("asked for the attempts %v", f.redelivered)
	}
	sweep(t, s, recovery.KeyResync(5))
	if again := sweep(t, s, recovery.KeyResync(5)); !again.IsZero() {
		t.Errorf("a resync that began afterwards is followed by one at %s", again)
	}
}

func TestAResyncIsMadeInSteps(t *testing.T) {
	f, s, _ := newSweeper()
	f.repositories, f.unreadable = 120, 60
	for step := 1; ; step++ {
		if again := sweep(t, s, recovery.KeyResync(5)); again.IsZero() {
			if step != 3 {
				t.Errorf("it took %d steps", step)
			}
			break
		}
	}
	// What cannot be read is not taken for empty, and nothing is compared twice.
	if slices.Contains(f.compared, 60) || len(f.compared) != 119 || !slices.IsSorted(f.compared) {
		t.Errorf("compared %v", f.compared)
	}
	if again := sweep(t, s, recovery.KeyInstallations); again.Before(start.Add(30*time.Minute)) || again.After(start.Add(time.Hour)) {
		t.Errorf("the next resync is at %s", again)
	}
	if !slices.Equal(f.wanted, []string{"switches:5", "resync:5", "switches:6", "resync:6"}) {
		t.Errorf("asked for %v", f.wanted)
	}
}

// What a sweep found before GitHub failed is not looked for again, and one delivery
// that cannot be asked for does not keep the others.
func TestWhatAFailingSweepFoundIsKept(t *testing.T) {
	f, s, _ := newSweeper()
	f.pages[""] = page{failed: map[string]int64{"a": 1, "b": 2}}
	f.pages["where it failed"] = page{failed: map[string]int64{"c": 3}}
	f.failing = errAway
	if _, err := s.Sweep(t.Context(), recovery.KeyDeliveries); !errors.Is(err, errAway) {
		t.Errorf("the sweep ended with %v", err)
	}
	f.failing, f.redelivered, f.unaskable, f.nextDue = nil, nil, 1, start.Add(20*time.Second)
	if _, err := s.Sweep(t.Context(), recovery.KeyDeliveries); !errors.Is(err, errAway) || !slices.Equal(f.redelivered, []int64{1, 2, 3}) {
		t.Errorf("the sweep ended with %v, and asked for %v", err, f.redelivered)
	}
	f.redelivered, f.unaskable = nil, 0
	if again := sweep(t, s, recovery.KeyDeliveries); !again.Equal(f.nextDue) || !slices.Equal(f.redelivered, []int64{1, 2}) {
		t.Errorf("it asked for %v and goes on at %s", f.redelivered, again)
	}
}

var errAway = errors.New("GitHub is away")

func TestAStepThatFailsIsMadeAgain(t *testing.T) {
	f, s, _ := newSweeper()
	f.repositories, f.failing = 3, errAway
	for _, key := range []string{recovery.KeyDeliveries, recovery.KeyInstallations, recovery.KeyResync(5)} {
		if _, err := s.Sweep(t.Context(), key); !errors.Is(err, f.failing) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if through := f.progress[recovery.KeyDeliveries].Through; len(f.progress) != 1 || !through.IsZero() {
		t.Errorf("it is kept how far they came: %v", f.progress)
	}
	for _, key := range []string{"sweep:nothing", "resync:everything", "pr:1#2"} {
		if _, err := s.Sweep(t.Context(), key); err == nil {
			t.Errorf("%s was done", key)
		}
	}
}

func TestBeginAndPrune(t *testing.T) {
	f, s, _ := newSweeper()
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range f.wanted {
		if !recovery.Owns(key) {
			t.Errorf("%s is nobody's", key)
		}
	}
	if len(f.wanted) != 6 || recovery.Owns("pr:1#2") {
		t.Errorf("begun with %v", f.wanted)
	}
	if first, then := sweep(t, s, recovery.KeyPrune), sweep(t, s, recovery.KeyPrune); !first.Equal(start) || !then.Equal(start.Add(time.Hour)) {
		t.Errorf("pruned again at %s and %s", first, then)
	}
	if want := start.Add(-24 * time.Hour); !f.pruned[0].Equal(want) {
		t.Errorf("pruned what was before %s", f.pruned[0])
	}
}

func TestWhereTheAppIsInstalled(t *testing.T) {
	f, s, now := newSweeper()
	var logged bytes.Buffer
	again, err := s.Sweep(zerolog.New(&logged).WithContext(t.Context()), recovery.KeyReach)
	if wait := again.Sub(*now); err != nil || wait <= 0 || wait > time.Minute || !slices.Equal(f.reached, []time.Time{*now}) {
		t.Errorf("kept at %v, and again in %s: %v", f.reached, wait, err)
	}
	if said := logged.String(); !strings.Contains(said, `"level":"error"`) || !strings.Contains(said, `"installation":7`) || !strings.Contains(said, "nothing is enforced there") {
		t.Errorf("of the one that was lost it says %q", said)
	}
	f.failing = errAway
	if _, err := s.Sweep(t.Context(), recovery.KeyReach); !errors.Is(err, errAway) || len(f.reached) != 1 {
		t.Errorf("GitHub is away: %v, kept %v", err, f.reached)
	}
}

func TestLabelsOfWhichNothingWasTold(t *testing.T) {
	f, s, now := newSweeper()
	f.repositories, f.unreadable = 60, 7
	f.flags = map[int64][]policy.Flag{3: {{Number: 1}, {Number: 2}}}
	again := sweep(t, s, recovery.KeySwitches(5))
	if f.swept[3] != 2 || len(f.swept) != 59 || !slices.Equal(f.woken, []int64{5}) {
		t.Errorf("swept %d repositories, %d labels in the third, woke %v", len(f.swept), f.swept[3], f.woken)
	}
	if _, read := f.swept[7]; read {
		t.Error("a repository that could not be read counts as one without labels")
	}
	if wait := again.Sub(*now); wait <= 0 || wait > time.Minute {
		t.Errorf("the next look is in %s", wait)
	}
	f.failing = errAway
	if _, err := s.Sweep(t.Context(), recovery.KeySwitches(5)); !errors.Is(err, errAway) {
		t.Errorf("GitHub is away: %v", err)
	}
}
