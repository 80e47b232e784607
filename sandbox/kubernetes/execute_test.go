package kubernetes

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// created is a sandbox in a cluster of its own.
func created(t *testing.T, change ...func(*sandbox.Spec)) (*api, *Kubernetes) {
	t.Helper()
	a := newAPI(t, time.Now)
	k := a.boxes()
	if _, err := k.Create(t.Context(), spec(change...)); err != nil {
		t.Fatal(err)
	}
	return a, k
}

// I6, I7: when Execute returns, nothing of the command runs, also where the sandbox had to
// be destroyed for that.
func TestI6NothingIsLeftOfACommand(t *testing.T) {
	for name, c := range map[string]struct {
		command sandbox.Command
		cancel  bool
		refuses bool
	}{
		"its time is over":               {command: sandbox.Command{Argv: []string{probe, "wait", "1h"}, Timeout: 300 * time.Millisecond}},
		"nobody waits":                   {command: sandbox.Command{Argv: []string{probe, "wait", "1h"}}, cancel: true},
		"it floods":                      {command: sandbox.Command{Argv: []string{probe, "pour", "1073741824"}, MaxOutput: 1024}},
		"its time is over, and it stays": {command: sandbox.Command{Argv: []string{probe, "wait", "1h"}, Timeout: 300 * time.Millisecond}, refuses: true},
		"nobody waits, and it stays":     {command: sandbox.Command{Argv: []string{probe, "wait", "1h"}}, cancel: true, refuses: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, k := created(t)
			a.node.refuseKill = c.refuses
			ctx := t.Context()
			if c.cancel {
				short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
				ctx = short
			}
			result, err := k.Execute(ctx, "pc-1", c.command)
			if n := a.node.commands(); n != 0 {
				t.Errorf("%d commands run on", n)
			}
			if c.cancel != errors.Is(err, context.DeadlineExceeded) || !c.cancel && err != nil {
				t.Errorf("%+v, %v", result, err)
			}
			if result.TimedOut != (c.command.Timeout != 0) || result.ExitCode != 137 {
				t.Errorf("%+v", result)
			}
			_, err = k.Status(t.Context(), "pc-1")
			if gone := errors.Is(err, sandbox.ErrUnknown); gone != c.refuses {
				t.Errorf("after that: %v", err)
			}
		})
	}
}

// The connection ends before the command does, in whatever way: that is an error and never
// an exit code, and the command, which nobody sees the end of any more, is ended.
func TestI6NothingIsLeftOfACommandThatNobodyHears(t *testing.T) {
	waits := sandbox.Command{Argv: []string{probe, "wait", "1h"}}
	for _, speaks := range []string{"WebSocket", "SPDY"} {
		for _, ends := range []error{errCut, errHushed, errClaimed} {
			t.Run(speaks+" "+ends.Error(), func(t *testing.T) {
				a, k := created(t)
				a.set(func() { a.onlySPDY, a.ends = speaks == "SPDY", ends })
				a.node.stuck.Store(true)
				if got, err := k.Execute(t.Context(), "pc-1", waits); err == nil || got != (sandbox.Result{}) || a.node.commands() != 0 {
					t.Errorf("%+v, %v, and %d commands run", got, err, a.node.commands())
				}
				files := sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "a"})
				if err := k.Put(t.Context(), "pc-1", sandbox.Workspace, files); err == nil {
					t.Error("files went in")
				}
				if err := k.Get(t.Context(), "pc-1", sandbox.Workspace, new(bytes.Buffer)); err == nil {
					t.Error("files came out")
				}
				if n := a.node.commands(); n != 0 {
					t.Errorf("%d copies run", n)
				}
				a.set(func() { a.ends = nil })
				if got, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "say", "here"}}); err != nil || got != (sandbox.Result{Stdout: "here"}) {
					t.Errorf("after that: %+v, %v", got, err)
				}
				// If it is not known either that it was ended, the sandbox is.
				a.set(func() { a.ends, a.killsToo = ends, true })
				if got, err := k.Execute(t.Context(), "pc-1", waits); err == nil || a.node.commands() != 0 {
					t.Errorf("%+v, %v, and %d commands run", got, err, a.node.commands())
				}
				if _, err := k.Status(t.Context(), "pc-1"); !errors.Is(err, sandbox.ErrUnknown) {
					t.Errorf("after that: %v", err)
				}
			})
		}
	}
}

// The word by which a command ends is found wherever it is cut, and nowhere in the output.
func TestTheWordByWhichACommandEnds(t *testing.T) {
	word := inside.Done("TOKEN")
	for name, c := range map[string]struct {
		written, kept string
		said          bool
	}{
		"nothing else":         {word, "", true},
		"after a line":         {"a\n" + word, "a\n", true},
		"in one":               {"a" + word, "a", true},
		"something comes last": {"a" + word + "b", "ab", true},
		"a beginning before":   {"portcullis TOK" + word, "portcullis TOK", true},
		"twice":                {word + word, word, true},
		"only its beginning":   {"a" + word[:len(word)-1], "a" + word[:len(word)-1], false},
		"another's":            {inside.Done("OTHER"), inside.Done("OTHER"), false},
		"nothing":              {"", "", false},
	} {
		for size := range len(c.written) + 1 {
			var kept bytes.Buffer
			e := &ending{to: &kept, word: []byte(word)}
			for part := range slices.Chunk([]byte(c.written), size+1) {
				if n, err := e.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := e.flush(); err != nil || kept.String() != c.kept || e.said != c.said {
				t.Errorf("%s, in parts of %d: %q, %t", name, size+1, kept.String(), e.said)
			}
		}
	}
}

func TestOneCommandAtATime(t *testing.T) {
	a, k := created(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			got, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "say", fmt.Sprint(n)}})
			if err != nil || got.Stdout != fmt.Sprint(n) {
				t.Errorf("%d: %+v, %v", n, got, err)
			}
		})
	}
	all.Wait()
	if a.node.most != 1 {
		t.Errorf("%d at once", a.node.most)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release, err := k.turns.Take(t.Context(), "pc-1")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	cancel()
	if _, err := k.Execute(ctx, "pc-1", sandbox.Command{Argv: []string{probe, "exit", "0"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("while another runs, and nobody waits: %v", err)
	}
}

// I10, as far as a cluster tells.
func TestI10OutOfMemory(t *testing.T) {
	a, k := created(t)
	a.node.noMemory = true
	if got, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "exit", "137"}}); err != nil || !got.OOM || got.ExitCode != 137 {
		t.Errorf("%+v, %v", got, err)
	}
	if there, err := k.Status(t.Context(), "pc-1"); err != nil || there.Status != sandbox.StatusTerminated || there.Reason != "OOMKilled" {
		t.Errorf("%+v, %v", there, err)
	}
}

// An API server of before WebSockets speaks SPDY. It buffers more of a flood.
func TestExecuteBySPDY(t *testing.T) {
	a, k := created(t)
	a.onlySPDY = true
	for name, c := range map[string]struct {
		command sandbox.Command
		want    sandbox.Result
	}{
		"streams apart":  {sandbox.Command{Argv: []string{probe, "say", "out", "err", "3"}}, sandbox.Result{Stdout: "out", Stderr: "err", ExitCode: 3}},
		"standard input": {sandbox.Command{Argv: []string{probe, "copy"}, Stdin: strings.NewReader("a\x00b")}, sandbox.Result{Stdout: "a\x00b"}},
		"its time":       {sandbox.Command{Argv: []string{probe, "wait", "1h"}, Timeout: 300 * time.Millisecond}, sandbox.Result{Stdout: "waiting\n", ExitCode: 137, TimedOut: true}},
		"a flood":        {sandbox.Command{Argv: []string{probe, "pour", "1073741824"}, MaxOutput: 4}, sandbox.Result{Stdout: "0123", ExitCode: 137, Truncated: true}},
	} {
		if got, err := k.Execute(t.Context(), "pc-1", c.command); err != nil || got != c.want || a.node.commands() != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if err := k.Put(t.Context(), "pc-1", sandbox.Workspace, sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "a"})); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := k.Get(t.Context(), "pc-1", sandbox.Workspace, &out); err != nil || out.Len() == 0 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

// A program cannot claim by chance that it was not started.
func TestWhatOnlyLooksLikeNotStarted(t *testing.T) {
	_, k := created(t)
	said := "portcullis AAAA not started: no\n"
	if got, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "say", "", said, "127"}}); err != nil || got.Stderr != said || got.ExitCode != 127 {
		t.Errorf("%+v, %v", got, err)
	}
}

// I21: what comes out is not believed, and files go where the workload may not write by
// a container of their own.
func TestI21FilesGoByTheirOwnContainer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sandbox.Spec)
		want   string
	}{
		"all may be written":  {func(*sandbox.Spec) {}, workload},
		"some may be written": {func(s *sandbox.Spec) { s.Constraints.AllowedPaths = []string{"/workspace/out"} }, files},
	} {
		t.Run(name, func(t *testing.T) {
			a, k := created(t, c.change)
			if err := k.Put(t.Context(), "pc-1", "/workspace/src", sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "a"})); err != nil {
				t.Error(err)
			}
			var out bytes.Buffer
			if err := k.Get(t.Context(), "pc-1", "/workspace/src", &out); err != nil {
				t.Error(err)
			}
			if _, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "exit", "0"}}); err != nil {
				t.Error(err)
			}
			if a.node.used["unpack"] != c.want || a.node.used["pack"] != c.want || a.node.used["run"] != workload {
				t.Errorf("%q", a.node.used)
			}
			for _, folder := range []string{"/etc", "/workspace/../etc", "workspace"} {
				_, invalid := errors.AsType[*sandbox.InvalidError](k.Put(t.Context(), "pc-1", folder, sandboxtest.Files()))
				_, invalidToo := errors.AsType[*sandbox.InvalidError](k.Get(t.Context(), "pc-1", folder, &out))
				if !invalid || !invalidToo {
					t.Errorf("%s is a folder", folder)
				}
			}
		})
	}
}

func TestI21AHostileArchiveComesOut(t *testing.T) {
	a, k := created(t)
	for name, packed := range map[string][]byte{
		"a link": sandboxtest.Files(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc/passwd"}).Bytes(),
		"up":     sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "../a"}).Bytes(),
	} {
		a.node.packed = packed
		var out bytes.Buffer
		err := k.Get(t.Context(), "pc-1", sandbox.Workspace, &out)
		if _, refused := errors.AsType[*sandbox.ArchiveError](err); !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.node.packed = slices.Repeat([]byte("x"), 4096)
	if err := k.Get(t.Context(), "pc-1", sandbox.Workspace, new(bytes.Buffer)); err == nil {
		t.Error("what is no archive was copied")
	}
	a.node.packed = nil
	err := k.Get(t.Context(), "pc-1", "/workspace/nothing", new(bytes.Buffer))
	if refused, is := errors.AsType[*sandbox.ArchiveError](err); !is || refused.Name != "/workspace/nothing" || !strings.Contains(refused.Why, "no such file") {
		t.Errorf("%v", err)
	}
}

// I25, with a cluster that takes no time.
func TestI25TwentyAtOnce(t *testing.T) {
	a := newAPI(t, time.Now)
	k := a.boxes()
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			s := spec(func(s *sandbox.Spec) { s.ID = fmt.Sprintf("pc-%d", n) })
			if _, err := k.Create(t.Context(), s); err != nil {
				t.Error(err)
				return
			}
			if got, err := k.Execute(t.Context(), s.ID, sandbox.Command{Argv: []string{probe, "say", s.ID}}); err != nil || got.Stdout != s.ID {
				t.Errorf("%+v, %v", got, err)
			}
			if err := k.Destroy(t.Context(), s.ID); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if left, err := k.List(t.Context()); len(left) != 0 || err != nil {
		t.Errorf("%+v, %v", left, err)
	}
}
