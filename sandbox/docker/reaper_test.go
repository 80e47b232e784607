package docker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
	"github.com/portcullis-app/portcullis/sandbox/remote"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// reaper is the built binary, holding the engine.
type reaper struct {
	*remote.Remote

	process *exec.Cmd
}

func (w *world) reaper(t testing.TB, flags ...string) *reaper {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "reaper.sock")
	args := append([]string{"sandbox", "reaper", "--app", strconv.FormatInt(w.config.App, 10), "--docker", w.config.Host, "--listen", socket}, flags...)
	r := &reaper{Remote: remote.NewRemoteSandbox(socket), process: exec.Command(built.program, args...)}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	r.process.Stderr = log
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.process.Process.Signal(os.Interrupt)
		_ = r.process.Wait()
		_ = r.Close()
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the reaper said:\n%s", said)
		}
		_ = log.Close()
	})
	for late := time.After(30 * time.Second); ; {
		if _, err := r.List(t.Context()); err == nil {
			return r
		}
		select {
		case <-late:
			t.Fatal("the reaper does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// gone waits until the engine knows nothing of the sandbox, and returns when that was.
func (w *world) gone(t testing.TB, id string, within time.Duration) time.Time {
	t.Helper()
	for late := time.After(within); ; {
		found, err := w.engine.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", "portcullis.id="+id)})
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Items) == 0 {
			return time.Now()
		}
		select {
		case <-late:
			t.Fatalf("%s is there still: %s", id, found.Items[0].State)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The reaper is held to the contract as whole processes are.
func TestReaper(t *testing.T) {
	w := newWorld(t)
	r := w.reaper(t)
	sandboxtest.Conform(t, sandboxtest.Subject{
		Boxes: r, Fresh: w, Spec: sandboxtest.Spec(built.image), Probe: []string{"/probe"}, Slack: slack,
		Unsupported: map[string]func(*sandbox.Spec){"runtime": func(s *sandbox.Spec) { s.Constraints.Runtime = "runsc" }},
	})
}

// I1: whoever created it is killed, and it ends at its deadline with all that runs in it.
func TestI1ADeadlineOutlivesWhoeverCreatedIt(t *testing.T) {
	w := newWorld(t)
	r := w.reaper(t)
	s := spec()
	s.Constraints.Timeout = 5 * time.Second
	is, err := r.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan error, 1)
	go func() {
		_, err := r.Execute(context.WithoutCancel(t.Context()), s.ID, sandbox.Command{Argv: []string{"/probe", "stay"}})
		running <- err
	}()
	<-time.After(time.Second)
	if err := r.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-running; err == nil {
		t.Error("the command ended")
	}
	late := w.gone(t, s.ID, 20*time.Second).Sub(is.Deadline)
	if late < -500*time.Millisecond || late > 3*time.Second {
		t.Errorf("it was gone %s after its deadline", late)
	}
	t.Logf("gone %s after its deadline", late.Round(time.Millisecond))
}

// I2: one that was created and not started does not stay, whoever is there to see it.
func TestI2WhatWasNeverStartedGoes(t *testing.T) {
	w := newWorld(t)
	left := func() string {
		s := spec()
		is := s.Instance(docker.Provider, time.Now().Add(-2*time.Minute))
		_, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Name:   "left-" + s.ID,
			Config: &container.Config{Image: built.image, Entrypoint: []string{"/probe", "wait", "1h"}, Labels: is.Labels(w.config.App)}, HostConfig: &container.HostConfig{AutoRemove: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	id := left()
	t.Run("by whoever asks", func(t *testing.T) {
		ended, err := sandbox.Reap(t.Context(), w, time.Now())
		if err != nil || ended[id] != "it was not started, or has ended" {
			t.Errorf("%v, %v", ended, err)
		}
		w.gone(t, id, time.Second)
	})
	t.Run("by the reaper alone", func(t *testing.T) {
		w.reaper(t)
		begun := time.Now()
		t.Logf("gone after %s", w.gone(t, left(), 10*time.Second).Sub(begun).Round(time.Millisecond))
	})
}

// I5: one that somebody else created and did not come to start is that sandbox, and is
// started.
func TestI5WhatWasCreatedAndNotStartedIsTaken(t *testing.T) {
	w := newWorld(t)
	s := spec()
	is := s.Instance(docker.Provider, time.Now())
	made, err := w.engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name:   "portcullis-" + strconv.FormatInt(w.config.App, 10) + "-" + s.ID,
		Config: &container.Config{Image: built.image, Entrypoint: []string{"/probe", "wait", "1h"}, Labels: is.Labels(w.config.App)}, HostConfig: &container.HostConfig{AutoRemove: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.create(t, s); got.ID != s.ID || got.Status != sandbox.StatusRunning || !got.CreatedAt.Equal(is.CreatedAt) || !got.Deadline.Equal(is.Deadline) {
		t.Errorf("%+v, want %+v", got, is)
	}
	if id := w.container(t, s.ID); id != made.ID {
		t.Errorf("it is %s, want %s", id, made.ID)
	}
}

func TestReaperRunsOnlyTheImagesThatItWasGiven(t *testing.T) {
	w := newWorld(t)
	r := w.reaper(t, "--image", "sha256:"+"0000000000000000000000000000000000000000000000000000000000000000")
	_, err := r.Create(t.Context(), spec())
	if refusal, refused := errors.AsType[*sandbox.UnsupportedError](err); !refused || refusal.Field != "image" {
		t.Error(err)
	}
}
