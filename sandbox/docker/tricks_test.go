package docker_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not as it was, %v; look at it, and if that is meant run the test with -update:\n%s", file, err, got)
	}
}

// create creates one that ends with the test.
func (w *world) create(t testing.TB, s sandbox.Spec) sandbox.Instance {
	t.Helper()
	created, err := w.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Destroy(context.Background(), s.ID); err != nil {
			t.Error(err)
		}
	})
	return created
}

func (w *world) run(t testing.TB, id string, command sandbox.Command) sandbox.Result {
	t.Helper()
	result, err := w.Execute(t.Context(), id, command)
	if err != nil {
		t.Fatalf("%q: %v", command.Argv, err)
	}
	return result
}

// I6 and I7: whatever a command has left behind, nothing of it is there two seconds after
// its time is over, and the sandbox is there still.
func TestI6NothingIsLeftRunning(t *testing.T) {
	w := newWorld(t)
	for name, argv := range map[string][]string{
		"a session of its own, no child of anybody's, deaf": {"/probe", "stay"},
		"a fork bomb": {"/probe", "bomb"},
	} {
		for _, ends := range []string{"its time is over", "nobody waits"} {
			t.Run(name+", "+ends, func(t *testing.T) {
				s := spec()
				s.Constraints.MemoryMB = 1024 // so that the limit of processes is reached first
				w.create(t, s)
				command := sandbox.Command{Argv: argv, Timeout: 2 * time.Second}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if ends == "nobody waits" {
					command.Timeout = time.Hour
					defer time.AfterFunc(2*time.Second, cancel).Stop()
				}
				begun := time.Now()
				result, err := w.Execute(ctx, s.ID, command)
				took := time.Since(begun)
				if result.TimedOut != (ends == "its time is over") || (err != nil) != (ends == "nobody waits") || took > 3*time.Second+slack {
					t.Errorf("%+v, %v after %s", result, err, took)
				}
				t.Logf("what was left running was ended %s after the time was over", (took - 2*time.Second).Round(time.Millisecond))
				left, err := w.Execute(t.Context(), s.ID, sandbox.Command{Argv: []string{"/probe", "processes"}})
				if err != nil || left.Stdout != "0\n" {
					t.Errorf("what is left: %+v, %v", left, err)
				}
			})
		}
	}
}

// slack is what a busy machine may take longer.
const slack = 2 * time.Second

// I10: memory is a hard limit, that it was over is told, and the sandbox goes on.
func TestI10MemoryIsOver(t *testing.T) {
	w := newWorld(t)
	s := spec()
	w.create(t, s)
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "hog", "500"}}); !got.OOM || got.ExitCode != 137 || got.TimedOut {
		t.Errorf("%+v", got)
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "hog", "20"}}); got.OOM || got.ExitCode != 0 {
		t.Errorf("afterwards: %+v", got)
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "exit", "137"}}); got.OOM {
		t.Errorf("what only looks like it: %+v", got)
	}
}

func TestADiskThatIsFullEndsNothingElse(t *testing.T) {
	w := newWorld(t)
	s := spec()
	w.create(t, s)
	for _, folder := range []string{"/workspace", "/tmp", "/dev/shm"} {
		got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "fill", folder}})
		if got.ExitCode != 1 || !strings.Contains(got.Stdout, "no space left") {
			t.Errorf("%s: %+v", folder, got)
		}
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "say", "here"}}); got.Stdout != "here" {
		t.Errorf("when all is full: %+v", got)
	}
}

// I14 and what else cannot be enforced on an engine; I3, it is refused before the engine
// is asked to change anything.
func TestI14WhatAnEngineRefuses(t *testing.T) {
	var writes atomic.Int64
	w := newWorld(t, func(c *docker.Config) {
		c.Host = before(t, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				writes.Add(1)
			}
			return false
		})
	})
	for _, c := range []struct {
		field  string
		change func(*sandbox.Spec)
	}{
		{"disk_mb", func(s *sandbox.Spec) { s.Constraints.DiskMB = 128 * 60 / 100 }},
		{"disk_mb", func(s *sandbox.Spec) { s.Constraints.DiskMB = 3 }},
		{"disk_mb", func(s *sandbox.Spec) {
			for i := range 30 {
				s.Constraints.AllowedPaths = append(s.Constraints.AllowedPaths, "/workspace/"+string(rune('a'+i)))
			}
		}},
		{"memory_mb", func(s *sandbox.Spec) { s.Constraints.MemoryMB = 8 }},
		{"memory_mb", func(s *sandbox.Spec) { s.Constraints.MemoryMB = sandbox.MaxMB }},
		{"cpu_percent", func(s *sandbox.Spec) { s.Constraints.CPUPercent = sandbox.MaxCPUPercent }},
		{"network", func(s *sandbox.Spec) { s.Constraints.Network = sandbox.NetworkFull }},
		{"network", func(s *sandbox.Spec) {
			s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"example.com"}
		}},
		{"credentials", func(s *sandbox.Spec) {
			s.Constraints.Network, s.Constraints.Egress, s.Constraints.Credentials = sandbox.NetworkEgressOnly, []string{"example.com"}, map[string]string{"example.com": "model"}
		}},
		{"runtime", func(s *sandbox.Spec) { s.Constraints.Runtime = "runsc" }},
		{"image", func(s *sandbox.Spec) { s.Image = "probe" }},
		{"image", func(s *sandbox.Spec) { s.Image = "probe:latest" }},
		{"image", func(s *sandbox.Spec) { s.Image = "" }},
		{"image", func(s *sandbox.Spec) { s.Image = "sha256:" + strings.Repeat("0", 64) }},
		{"image", func(s *sandbox.Spec) { s.Image = "example.com/none@sha256:" + strings.Repeat("0", 64) }},
	} {
		s := spec()
		c.change(&s)
		_, err := w.Create(t.Context(), s)
		refusal, refused := errors.AsType[*sandbox.UnsupportedError](err)
		if !refused || refusal.Field != c.field {
			t.Errorf("%+v: %v; want a refusal of %s", s, err, c.field)
		}
		if n := writes.Swap(0); n != 0 {
			t.Errorf("%s: the engine was asked to change something %d times", c.field, n)
		}
	}
	w.create(t, spec())
	if writes.Load() == 0 {
		t.Error("what changes something is not counted")
	}
}

// I25: many at once, and nothing is left.
func TestI25TwentyAtOnce(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	begun := time.Now()
	for range 20 {
		all.Go(func() {
			s := spec()
			if _, err := w.Create(t.Context(), s); err != nil {
				t.Error(err)
				return
			}
			if got, err := w.Execute(t.Context(), s.ID, sandbox.Command{Argv: []string{"/probe", "say", "here"}}); err != nil || got.Stdout != "here" {
				t.Errorf("%+v, %v", got, err)
			}
			if err := w.Destroy(t.Context(), s.ID); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, label := range []string{"portcullis.tools", sandbox.LabelApp} {
		left, err := w.engine.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", label+"="+strconv.FormatInt(w.config.App, 10))})
		if err != nil || len(left.Items) != 0 {
			t.Errorf("by %s there are left: %+v, %v", label, left.Items, err)
		}
	}
	t.Logf("20 sandboxes came and went in %s", time.Since(begun).Round(time.Millisecond))
}

// I16: a stop ends what another process has started too, in its scope and nowhere else.
func TestI16AStopEndsWhatOthersStarted(t *testing.T) {
	w := newWorld(t)
	elsewhere := spec()
	elsewhere.For.Repository.ID, elsewhere.For.Repository.Name = 99, "stall"
	w.create(t, elsewhere)
	other := w.another(t)
	for range 3 {
		if _, err := other.Create(t.Context(), spec()); err != nil {
			t.Fatal(err)
		}
	}
	place := spec().For
	place.Number, place.Agents = 0, false
	guard := sandbox.Guard{Sandbox: w.another(t)}
	if ended, err := guard.Stop(t.Context(), place); ended != 3 || err != nil {
		t.Errorf("%d ended, %v", ended, err)
	}
	if left, err := w.List(t.Context()); err != nil || len(left) != 1 || left[0].ID != elsewhere.ID {
		t.Errorf("left are %+v, %v", left, err)
	}
}

// I19: nothing of the server's is in a sandbox, nor is what it was only told in what the
// engine keeps and tells of it, or in our log.
func TestI19NothingOfTheServersIsThere(t *testing.T) {
	const canary = "canary-4b1d"
	t.Setenv("PORTCULLIS_SECRET_DEPLOY", canary)
	begun := time.Now()
	var logged bytes.Buffer
	w := newWorld(t, func(c *docker.Config) { c.Log = zerolog.New(&logged) })
	s := spec()
	w.create(t, s)
	got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "environment"}, Stdin: strings.NewReader(canary)})
	if want := "HOME=/workspace\nHOSTNAME=sandbox\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nTMPDIR=/tmp\n"; got.Stdout != want {
		t.Errorf("a program finds\n%s, want\n%s", got.Stdout, want)
	}
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "copy"}, Stdin: strings.NewReader(canary)}); got.Stdout != canary {
		t.Fatalf("%+v", got)
	}
	found, err := w.engine.ContainerInspect(t.Context(), w.container(t, s.ID), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string][]byte{"what the engine says of it": found.Raw, "the engine's events": w.events(t, begun)}
	folder := os.DirFS(filepath.Dir(found.Container.HostnamePath))
	err = fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			kept["the engine's "+name], err = fs.ReadFile(folder, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range kept {
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s have what was only standard input", what)
		}
	}
	for _, what := range []string{"the engine's events", "the engine's config.v2.json"} {
		if !bytes.Contains(kept[what], []byte(s.ID)) { // so they are what they are taken for
			t.Errorf("%s do not even have its id: %d bytes", what, len(kept[what]))
		}
	}
	if bytes.Contains(logged.Bytes(), []byte(canary)) {
		t.Errorf("it is in the log: %s", &logged)
	}
}

// events is what the engine has told since then.
func (w *world) events(t *testing.T, since time.Time) []byte {
	t.Helper()
	told := w.engine.Events(t.Context(), client.EventsListOptions{Since: since.Format(time.RFC3339Nano), Until: time.Now().Format(time.RFC3339Nano)})
	var all bytes.Buffer
	for {
		select {
		case one := <-told.Messages:
			fmt.Fprintf(&all, "%+v\n", one)
		case err := <-told.Err:
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return all.Bytes()
		}
	}
}

// container is what the engine calls the sandbox.
func (w *world) container(t testing.TB, id string) string {
	t.Helper()
	found, err := w.engine.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", "portcullis.id="+id)})
	if err != nil || len(found.Items) != 1 {
		t.Fatalf("%d containers, %v", len(found.Items), err)
	}
	return found.Items[0].ID
}

// Whoever tidies up an engine may delete a volume that nobody uses.
func TestTheProgramsAreCopiedAgain(t *testing.T) {
	w := newWorld(t)
	w.create(t, spec())
	for _, is := range must(w.List(t.Context())) {
		if err := w.Destroy(t.Context(), is.ID); err != nil {
			t.Fatal(err)
		}
	}
	volumes, err := w.engine.VolumeList(t.Context(), client.VolumeListOptions{})
	if err != nil || len(volumes.Items) == 0 {
		t.Fatalf("%d volumes, %v", len(volumes.Items), err)
	}
	for _, volume := range volumes.Items {
		if !strings.HasPrefix(volume.Name, "portcullis-tools-") {
			continue
		}
		if _, err := w.engine.VolumeRemove(t.Context(), volume.Name, client.VolumeRemoveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s := spec()
	w.create(t, s)
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "say", "here"}}); got.Stdout != "here" {
		t.Errorf("%+v", got)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// What a process leaves behind that dies while it copies the programs is taken away by the
// next that does.
func TestAHelperThatIsLeftBehindIsTakenAway(t *testing.T) {
	later := func() time.Time { return time.Now().Add(time.Hour) }
	w := newWorld(t, func(c *docker.Config) { c.Now = later })
	left, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &container.Config{
		Image: built.image, Entrypoint: []string{"/probe"}, Labels: map[string]string{"portcullis.tools": strconv.FormatInt(w.config.App, 10)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.create(t, spec())
	if _, err := w.engine.ContainerInspect(t.Context(), left.ID, client.ContainerInspectOptions{}); !cerrdefs.IsNotFound(err) {
		t.Errorf("it is there still: %v", err)
	}
}

// A policy takes nobody's runtime away.
func TestTheOperatorsRuntimeHolds(t *testing.T) {
	const other = "io.containerd.runc.v2"
	w := newWorld(t, func(c *docker.Config) { c.Runtime = "runc" })
	s := spec()
	s.Constraints.Runtime = other
	_, err := w.Create(t.Context(), s)
	if refused, is := errors.AsType[*sandbox.UnsupportedError](err); !is || refused.Field != "runtime" || !strings.Contains(refused.Why, "the operator has every sandbox run with") {
		t.Errorf("with another: %v", err)
	}
	free := newWorld(t)
	free.create(t, s) // it is one that the engine has
	s.ID, s.Constraints.Runtime = sandbox.NewID(), "runc"
	w.create(t, s)
	if err := w.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	missing := newWorld(t, func(c *docker.Config) { c.Runtime = "runsc" })
	if refused, is := errors.AsType[*sandbox.UnsupportedError](missing.Ready(t.Context())); !is || refused.Field != "runtime" {
		t.Errorf("one that the engine does not have: %v", refused)
	}
}
