package kubernetes

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// forge stands in for GitHub, the gate and the kill switch, of which a test changes what
// they say.
type forge struct {
	mu      sync.Mutex
	launch  policy.Launch
	stopped bool
}

func (f *forge) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// LaunchSandbox judges the pull request 7 as the test says, and grants every other.
func (f *forge) LaunchSandbox(_ context.Context, on policy.PullRequestRef, _ policy.LaunchRequest) (policy.Launch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if on.Number != 7 {
		return granted(), nil
	}
	return f.launch, nil
}

func (f *forge) MayWrite(context.Context, policy.Repository, policy.Actor) (bool, error) {
	return true, nil
}

func (f *forge) IsActive(_ context.Context, scope killswitch.Scope) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped && scope.Number == 7, nil
}

func (f *forge) Archive(_ context.Context, _ policy.Repository, commit string, to io.Writer) error {
	w := gzip.NewWriter(to)
	if _, err := w.Write(sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "shop-" + commit + "/README.md"}).Bytes()); err != nil {
		return err
	}
	return w.Close()
}

func (f *forge) Reach(_ context.Context, repository policy.Repository) (policy.Repository, bool, error) {
	return repository, true, nil
}

// granted is a launch on a head, for an hour.
func granted() policy.Launch {
	return policy.Launch{
		Granted: true, HeadSHA: strings.Repeat("ab", 20), Policy: "the default",
		Rule: policy.SandboxRules{Provider: Provider, Image: image, Constraints: policy.SandboxConstraints{Timeout: time.Hour}},
	}
}

var ann = policy.Actor{ID: 42, Login: "ann", Kind: policy.KindUser}

// on is a pull request of the tests' repository.
func on(number int) policy.PullRequestRef {
	return policy.PullRequestRef{Repository: sandboxtest.Spec(image).For.Repository, Number: number}
}

// lives is the life of sandboxes in the API's cluster, with a database of its own.
func lives(t *testing.T, a *api, f *forge) (*sandbox.Lifecycle, *store.Store) {
	t.Helper()
	records, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "portcullis.db"), a.now)
	if err != nil {
		t.Fatal(err)
	}
	l := sandbox.NewLifecycle(sandbox.Config{
		Providers: map[string]sandbox.Sandbox{Provider: a.boxes()}, Switch: f, Judge: f, GitHub: f, Records: records,
		Caps: sandbox.Caps{PerRepository: 9, PerPerson: 9, Total: 9}, Now: a.now, Log: zerolog.Nop(),
	})
	t.Cleanup(func() {
		l.Close(context.Background())
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, records
}

// start starts a sandbox on the pull request, as somebody asks for one.
func start(t *testing.T, l *sandbox.Lifecycle, number int) sandbox.Instance {
	t.Helper()
	task := sandbox.Task{ID: "comment:" + on(number).Key(), Kind: sandbox.TaskStart, On: on(number), By: ann}
	if err := l.Ask(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	var came sandbox.Outcome
	for range 2 {
		if _, err := l.Step(t.Context(), task.ID, func(_ context.Context, done sandbox.Task) error { came = done.Outcome; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := l.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if came.Refused != "" || came.Instance.Status != sandbox.StatusRunning {
		t.Fatalf("%+v", came)
	}
	return came.Instance
}

// I16, I17, I24: whatever ends a sandbox deletes its Job with its Pod, and no other.
func TestWhateverEndsASandboxDeletesItsJob(t *testing.T) {
	review := func(ctx context.Context, l *sandbox.Lifecycle) error { return l.Review(ctx, on(7)) }
	sweep := func(ctx context.Context, l *sandbox.Lifecycle) error { _, err := l.Sweep(ctx); return err }
	for name, c := range map[string]struct {
		happens func(*api, *forge, *clock)
		then    func(context.Context, *sandbox.Lifecycle) error
		reason  string
	}{
		"the kill switch is thrown": {func(_ *api, f *forge, _ *clock) { f.stopped = true }, func(ctx context.Context, l *sandbox.Lifecycle) error {
			_, err := l.Stop(ctx, killswitch.PullRequest(on(7)))
			return err
		}, "the kill switch"},
		"the kill switch, and nobody told": {func(_ *api, f *forge, _ *clock) { f.stopped = true }, sweep, "the kill switch"},
		"the pull request is closed":       {func(_ *api, f *forge, _ *clock) { f.launch = policy.Launch{Why: "it is closed"} }, review, "it is closed"},
		"it is closed, and nobody told": {func(_ *api, f *forge, c *clock) {
			f.launch = policy.Launch{Why: "it is closed"}
			c.move(3 * time.Minute)
		}, sweep, "it is closed"},
		"the head moves":                       {func(_ *api, f *forge, _ *clock) { f.launch.HeadSHA = strings.Repeat("cd", 20) }, review, "the head is now cdcdcdc"},
		"its time is over, and nobody ends it": {func(a *api, _ *forge, c *clock) { a.set(func() { a.deaf = true }); c.move(59 * time.Minute) }, sweep, "its time was over"},
	} {
		t.Run(name, func(t *testing.T) {
			clock, f := newClock(), &forge{launch: granted()}
			a := newAPI(t, clock.now)
			l, records := lives(t, a, f)
			is := start(t, l, 7)
			clock.move(time.Minute)
			other := start(t, l, 8)
			f.set(func() { c.happens(a, f, clock) })
			if err := c.then(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			a.mu.Lock()
			if a.objects["jobs"][is.ID] != nil || len(a.objects["jobs"]) != 1 || len(a.objects["pods"]) != 1 {
				t.Errorf("%d Jobs and %d Pods are there", len(a.objects["jobs"]), len(a.objects["pods"]))
			}
			a.mu.Unlock()
			if !slices.Contains(a.calls(), call{"delete", "batch", "jobs"}) {
				t.Error("nobody deleted a Job")
			}
			left, err := records.Sandboxes(t.Context(), killswitch.Scope{})
			if err != nil || len(left) != 1 || left[0].ID != other.ID {
				t.Errorf("on record: %+v, %v", left, err)
			}
			entries, err := records.AuditEntries(t.Context(), 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			why := ""
			for _, entry := range entries {
				if entry.Action == "sandbox.ended" {
					why += entry.Detail
				}
			}
			if !strings.HasPrefix(why, c.reason) {
				t.Errorf("it ended because %q", why)
			}
		})
	}
}

// A cluster may take its time to start one, also while nobody waits for it, and not for
// ever.
func TestASandboxHasItsTimeToStart(t *testing.T) {
	sweep := func(t *testing.T, l *sandbox.Lifecycle) {
		t.Helper()
		if _, err := l.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		takes time.Duration
		ended bool
	}{
		"three minutes":               {3 * time.Minute, false},
		"as long as it may":           {createTime, false},
		"a second longer than it may": {createTime + time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			clock, f := newClock(), &forge{launch: granted()}
			a := newAPI(t, clock.now)
			l, _ := lives(t, a, f)
			a.node.slow.Store(true)
			s, k := spec(func(s *sandbox.Spec) { s.Constraints.Timeout = time.Hour }), a.boxes()
			planned, err := k.plan(s, s.Instance(Provider, clock.now()))
			if err != nil {
				t.Fatal(err)
			}
			// Whoever began it has died since.
			if _, err := k.begin(t.Context(), planned); err != nil {
				t.Fatal(err)
			}
			sandboxtest.Eventually(t, "its Pod waits", func() bool {
				there, err := k.Status(t.Context(), s.ID)
				return err == nil && strings.Contains(there.Reason, "does not run yet")
			})
			for took := time.Duration(0); took < c.takes; {
				step := min(sandbox.SweepEvery, c.takes-took)
				clock.move(step)
				took += step
				sweep(t, l)
			}
			if c.ended {
				if left := a.there("jobs"); left != 0 {
					t.Errorf("%d Jobs are left", left)
				}
				return
			}
			a.node.slow.Store(false)
			sandboxtest.Eventually(t, "it runs", func() bool {
				there, err := k.Status(t.Context(), s.ID)
				return err == nil && there.Status == sandbox.StatusRunning
			})
			clock.move(time.Minute)
			sweep(t, l)
			if there, err := k.Status(t.Context(), s.ID); err != nil || there.Status != sandbox.StatusRunning || !there.StartBy.IsZero() {
				t.Errorf("%+v, %v", there, err)
			}
		})
	}
}
