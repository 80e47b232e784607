// Package sandboxtest holds every implementation of [sandbox.Sandbox] to the contract.
package sandboxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// Subject is an implementation under test.
type Subject struct {
	Boxes sandbox.Sandbox
	// Fresh is the same backend as another process sees it, which knows nothing.
	Fresh sandbox.Sandbox
	// Spec is what can be created; the suite gives it an id.
	Spec sandbox.Spec
	// Probe calls [Probe] in a sandbox, as the first words of a command.
	Probe []string
	// Unsupported are changes to a spec, by the field that the implementation refuses
	// then.
	Unsupported map[string]func(*sandbox.Spec)
	// Writes counts what was asked of the backend that changes something; nil: nothing
	// can be counted.
	Writes func() int64
	// Held is how many bytes the implementation may hold on their way, beside the output
	// that is kept.
	Held uint64
	// Slack is how much longer than it is told to the backend may take for anything.
	Slack time.Duration
}

// Spec is one that any implementation takes, with the image.
func Spec(image string) sandbox.Spec {
	return sandbox.Spec{
		For: killswitch.Scope{
			Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}, Number: 7, Agents: true,
		},
		HeadSHA: strings.Repeat("ab", 20), Policy: ".github/portcullis.yml on main at 0123abc", Image: image,
		RequestedBy: policy.Actor{ID: 42, Login: "ann"},
		Constraints: sandbox.SandboxConstraints{MemoryMB: 128, CPUPercent: 100, Network: sandbox.NetworkNone, Timeout: 5 * time.Minute},
	}
}

// Conform runs the suite. Tests carry the numbers of the invariants they hold.
func Conform(t *testing.T, s Subject) {
	t.Run("I3 what cannot be enforced is refused before anything is done", s.unsupported)
	t.Run("I4 destroying", s.destroying)
	t.Run("I5 one id is one sandbox", s.once)
	t.Run("I7 a command that nobody waits for any more ends", s.canceled)
	t.Run("I8 what a command says and how it ends", s.commands)
	t.Run("I8 a program that is not there", s.missing)
	t.Run("I9 output", s.output)
	t.Run("I6 time", s.timeout)
	t.Run("I18 another process finds it as it is", s.found)
	t.Run("I20 ids", s.ids)
	t.Run("I21 archives", s.archives)
	t.Run("deadline", s.deadline)
}

// create creates one that the test destroys at its end.
func (s Subject) create(t *testing.T, change ...func(*sandbox.Spec)) sandbox.Instance {
	t.Helper()
	spec := s.Spec
	spec.ID = sandbox.NewID()
	for _, c := range change {
		c(&spec)
	}
	created, err := s.Boxes.Create(t.Context(), spec)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Boxes.Destroy(ctx, spec.ID); err != nil {
			t.Errorf("destroy: %v", err)
		}
	})
	if created.ID != spec.ID || created.Status != sandbox.StatusRunning {
		t.Fatalf("created %+v", created)
	}
	return created
}

func (s Subject) probe(argv ...string) []string { return append(slices.Clone(s.Probe), argv...) }

func (s Subject) run(t *testing.T, id string, command sandbox.Command) sandbox.Result {
	t.Helper()
	result, err := s.Boxes.Execute(t.Context(), id, command)
	if err != nil {
		t.Fatalf("%q: %v", command.Argv, err)
	}
	return result
}

func (s Subject) unsupported(t *testing.T) {
	for _, field := range slices.Sorted(maps.Keys(s.Unsupported)) {
		t.Run(field, func(t *testing.T) {
			spec := s.Spec
			spec.ID = sandbox.NewID()
			s.Unsupported[field](&spec)
			var before int64
			if s.Writes != nil {
				before = s.Writes()
			}
			_, err := s.Boxes.Create(t.Context(), spec)
			refusal, refused := errors.AsType[*sandbox.UnsupportedError](err)
			if !refused || refusal.Field != field {
				t.Errorf("%v; want a refusal of %s", err, field)
			}
			if s.Writes != nil && s.Writes() != before {
				t.Errorf("the backend was asked to change something %d times", s.Writes()-before)
			}
			if _, err := s.Boxes.Status(t.Context(), spec.ID); !errors.Is(err, sandbox.ErrUnknown) {
				t.Errorf("status: %v", err)
			}
		})
	}
}

func (s Subject) destroying(t *testing.T) {
	if err := s.Boxes.Destroy(t.Context(), sandbox.NewID()); err != nil {
		t.Errorf("one that never was: %v", err)
	}
	id := s.create(t).ID
	for range 2 {
		if err := s.Boxes.Destroy(t.Context(), id); err != nil {
			t.Errorf("destroy: %v", err)
		}
		if there, err := s.Boxes.Status(t.Context(), id); !errors.Is(err, sandbox.ErrUnknown) {
			t.Errorf("after its end: %+v, %v", there, err)
		}
	}
	if _, err := s.Boxes.Execute(t.Context(), id, sandbox.Command{Argv: s.probe("exit", "0")}); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("a command after its end: %v", err)
	}
	t.Run("while it is created", func(t *testing.T) {
		spec := s.Spec
		spec.ID = sandbox.NewID()
		var both sync.WaitGroup
		for n := range 6 {
			both.Go(func() {
				if n%2 == 0 {
					_, _ = s.Boxes.Create(t.Context(), spec) // it may have been destroyed meanwhile
				} else if err := s.Boxes.Destroy(t.Context(), spec.ID); err != nil {
					t.Errorf("destroy: %v", err)
				}
			})
		}
		both.Wait()
		if err := s.Boxes.Destroy(t.Context(), spec.ID); err != nil {
			t.Fatal(err)
		}
		if there, err := s.Boxes.Status(t.Context(), spec.ID); !errors.Is(err, sandbox.ErrUnknown) {
			t.Errorf("%+v, %v", there, err)
		}
	})
}

func (s Subject) once(t *testing.T) {
	first := s.create(t)
	spec := s.Spec
	spec.ID = first.ID
	for _, boxes := range []sandbox.Sandbox{s.Boxes, s.Fresh} {
		again, err := boxes.Create(t.Context(), spec)
		if err != nil || !again.CreatedAt.Equal(first.CreatedAt) || !again.Deadline.Equal(first.Deadline) {
			t.Errorf("%+v, %v, want %+v", again, err, first)
		}
	}
	if n := len(s.listed(t, s.Boxes, first.ID)); n != 1 {
		t.Errorf("%d of one id", n)
	}
}

func (s Subject) listed(t *testing.T, boxes sandbox.Sandbox, id string) []sandbox.Instance {
	t.Helper()
	all, err := boxes.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(i sandbox.Instance) bool { return i.ID != id })
}

func (s Subject) commands(t *testing.T) {
	id := s.create(t).ID
	for _, c := range []struct {
		name    string
		command sandbox.Command
		want    sandbox.Result
	}{
		{"streams apart", sandbox.Command{Argv: s.probe("say", "out", "err", "3")}, sandbox.Result{Stdout: "out", Stderr: "err", ExitCode: 3}},
		{"standard input", sandbox.Command{Argv: s.probe("copy"), Stdin: strings.NewReader("a\x00b\n")}, sandbox.Result{Stdout: "a\x00b\n"}},
		{"what is no text", sandbox.Command{Argv: s.probe("copy"), Stdin: strings.NewReader("\xff\xfe\x80\x00é\xe2\x82\r\n")}, sandbox.Result{Stdout: "\xff\xfe\x80\x00é\xe2\x82\r\n"}},
		{"no standard input", sandbox.Command{Argv: s.probe("copy")}, sandbox.Result{}},
		{"0", sandbox.Command{Argv: s.probe("exit", "0")}, sandbox.Result{}},
		{"1", sandbox.Command{Argv: s.probe("exit", "1")}, sandbox.Result{ExitCode: 1}},
		{"126", sandbox.Command{Argv: s.probe("exit", "126")}, sandbox.Result{ExitCode: 126}},
		{"127", sandbox.Command{Argv: s.probe("exit", "127")}, sandbox.Result{ExitCode: 127}},
		{"137", sandbox.Command{Argv: s.probe("exit", "137")}, sandbox.Result{ExitCode: 137}},
	} {
		if got := s.run(t, id, c.command); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	argv := []string{"", "a b", `"`, "'", "$(id)", "`id`", "; rm -rf /", "\n", "*", "-", "é", "${HOME}", "\\"}
	want, err := json.Marshal(argv)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.run(t, id, sandbox.Command{Argv: s.probe(append([]string{"arguments"}, argv...)...)}); strings.TrimSpace(got.Stdout) != string(want) {
		t.Errorf("the arguments arrive as %s, want %s", got.Stdout, want)
	}
	for _, command := range []sandbox.Command{{}, {Argv: []string{""}}, {Argv: []string{"a\x00b"}}, {Argv: []string{"a\xff"}}, {Argv: s.probe("exit"), Folder: "/workspace/../etc"}} {
		_, err := s.Boxes.Execute(t.Context(), id, command)
		if _, invalid := errors.AsType[*sandbox.InvalidError](err); !invalid {
			t.Errorf("%+v: %v", command, err)
		}
	}
}

func (s Subject) missing(t *testing.T) {
	result, err := s.Boxes.Execute(t.Context(), s.create(t).ID, sandbox.Command{Argv: []string{"/no/such/program"}})
	if started, is := errors.AsType[*sandbox.StartError](err); !is || started.Program != "/no/such/program" {
		t.Errorf("%+v, %v", result, err)
	}
}

func (s Subject) output(t *testing.T) {
	id := s.create(t).ID
	const limit = 64 << 10
	var got sandbox.Result
	for stream, want := range map[string][2]int{"stdout": {limit, 0}, "stderr": {0, limit}} {
		got = s.run(t, id, sandbox.Command{Argv: s.probe("pour", fmt.Sprint(3*limit), stream), MaxOutput: limit})
		if kept := [2]int{len(got.Stdout), len(got.Stderr)}; !got.Truncated || kept != want || got.ExitCode != 0 {
			t.Errorf("%s: %d bytes, truncated %t, exit code %d", stream, kept, got.Truncated, got.ExitCode)
		}
	}
	begun := time.Now()
	grown := peak(func() {
		got = s.run(t, id, sandbox.Command{Argv: s.probe("pour", fmt.Sprint(1<<30)), MaxOutput: limit})
	})
	if !got.Truncated || len(got.Stdout) != limit {
		t.Errorf("a flood: %d bytes, truncated %t", len(got.Stdout), got.Truncated)
	}
	if most := 4*limit + 1<<20 + s.Held; grown > most {
		t.Errorf("while a flood comes the heap grows by %d bytes, want %d at most", grown, most)
	}
	t.Logf("a flood of 1 GiB ended after %s, with %d KiB more of heap at its height", time.Since(begun).Round(time.Millisecond), grown>>10)
	if got := s.run(t, id, sandbox.Command{Argv: s.probe("say", "still here")}); got.Stdout != "still here" {
		t.Errorf("after a flood: %+v", got)
	}
}

// peak is how much the heap grows at most while something is done. Garbage is collected
// early meanwhile, so that what grows is what is held.
func peak(do func()) (grown uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		look := time.NewTicker(2 * time.Millisecond)
		defer look.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			grown = max(grown, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			select {
			case <-look.C:
			case <-done:
				return
			}
		}
	}()
	do()
	close(done)
	<-sampled
	return grown
}

func (s Subject) timeout(t *testing.T) {
	id := s.create(t).ID
	begun := time.Now()
	got := s.run(t, id, sandbox.Command{Argv: s.probe("wait", "1h"), Timeout: 500 * time.Millisecond})
	if took := time.Since(begun); !got.TimedOut || took > 1500*time.Millisecond+s.Slack {
		t.Errorf("%+v after %s", got, took)
	}
	s.next(t, id)
}

// next runs a command that could not begin if the one before it had not ended.
func (s Subject) next(t *testing.T, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if got, err := s.Boxes.Execute(ctx, id, sandbox.Command{Argv: s.probe("say", "next")}); err != nil || got.Stdout != "next" {
		t.Errorf("the next command: %+v, %v", got, err)
	}
}

func (s Subject) canceled(t *testing.T) {
	id := s.create(t).ID
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begun := time.Now()
	got, err := s.Boxes.Execute(ctx, id, sandbox.Command{Argv: s.probe("wait", "1h")})
	if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took > 1500*time.Millisecond+s.Slack {
		t.Errorf("%+v, %v after %s", got, err, took)
	}
	s.next(t, id)
}

func (s Subject) found(t *testing.T) {
	created := s.create(t)
	found := s.listed(t, s.Fresh, created.ID)
	if len(found) != 1 || !same(found[0], created) {
		t.Fatalf("%+v, want %+v", found, created)
	}
	if now, err := s.Fresh.Status(t.Context(), created.ID); err != nil || !same(now, created) {
		t.Errorf("%+v, %v", now, err)
	}
	got, err := s.Fresh.Execute(t.Context(), created.ID, sandbox.Command{Argv: s.probe("say", "found")})
	if err != nil || got.Stdout != "found" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Fresh.Destroy(t.Context(), created.ID); err != nil {
		t.Error(err)
	}
	if left := s.listed(t, s.Boxes, created.ID); len(left) != 0 {
		t.Errorf("%+v is left", left)
	}
}

// same compares all but the reason, and times as times.
func same(a, b sandbox.Instance) bool {
	times := a.CreatedAt.Equal(b.CreatedAt) && a.Deadline.Equal(b.Deadline)
	a.CreatedAt, a.Deadline, a.Reason = b.CreatedAt, b.Deadline, b.Reason
	return times && a == b
}

func (s Subject) ids(t *testing.T) {
	for _, id := range []string{"", "A", "a b", "../x", "a;rm -rf /", "$(id)", "a/b", "-a", strings.Repeat("a", 41), "é", "a\n", "a\x00"} {
		spec := s.Spec
		spec.ID = id
		_, err := s.Boxes.Create(t.Context(), spec)
		if _, invalid := errors.AsType[*sandbox.InvalidError](err); !invalid {
			t.Errorf("create %q: %v", id, err)
		}
		if _, err := s.Boxes.Status(t.Context(), id); !errors.Is(err, sandbox.ErrUnknown) {
			t.Errorf("status of %q: %v", id, err)
		}
		if _, err := s.Boxes.Execute(t.Context(), id, sandbox.Command{Argv: s.probe("exit", "0")}); !errors.Is(err, sandbox.ErrUnknown) {
			t.Errorf("a command in %q: %v", id, err)
		}
		if err := s.Boxes.Destroy(t.Context(), id); err != nil {
			t.Errorf("destroy %q: %v", id, err)
		}
	}
}

func (s Subject) deadline(t *testing.T) {
	created := s.create(t, func(spec *sandbox.Spec) { spec.Constraints.Timeout = 2 * time.Second })
	if got := created.Deadline.Sub(created.CreatedAt); got != 2*time.Second {
		t.Errorf("it is to run for %s", got)
	}
	<-time.After(time.Until(created.Deadline) + 3*time.Second)
	there, err := s.Boxes.Status(t.Context(), created.ID)
	if err == nil && there.Status == sandbox.StatusTerminated {
		return
	}
	if !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("3 s after its deadline: %+v, %v", there, err)
	}
}
