package app

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/remote"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// reaped serves sandboxes on a socket, as a reaper does.
func reaped(t *testing.T, boxes sandbox.Sandbox) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := listenOn(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: remote.NewHandler(boxes, nil, zerolog.Nop()), ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return socket
}

func TestSandboxCommands(t *testing.T) {
	t.Parallel()
	boxes := sandbox.NewMemorySandbox(time.Now, program)
	tw := newTestWorld(t)
	tw.sandbox = defaultSandboxConfig()
	tw.sandbox.Docker.Reaper = reaped(t, boxes)
	add := func(id string, number int, name string) {
		spec := sandboxtest.Spec("")
		spec.ID, spec.For.Number, spec.For.Repository.Name = id, number, name
		_, err := boxes.Create(t.Context(), spec)
		tw.must(err)
	}
	runs := func(want int, code int, args []string, says ...string) {
		t.Helper()
		got, out, errs := tw.command(append([]string{"sandbox"}, args...)...)
		if got != code {
			t.Errorf("%v: exit code %d, %s%s", args, got, out, errs)
		}
		wantText(t, out+errs, says...)
		if n := running(t, boxes); n != want {
			t.Errorf("%v: %d run, want %d", args, n, want)
		}
	}
	runs(0, exitOK, []string{"list"}, "no sandbox is there")
	runs(0, exitOK, []string{"list", "--json"}, "[]")
	for n, id := range []string{"pc-one", "pc-two", "pc-three"} {
		add(id, n+1, "shop")
	}
	add("pc-four", 1, "stall")
	runs(4, exitOK, []string{"list"}, "pc-one", "docker", "running", "agents in acme/shop#1", "abababa", "ann", "pc-four")
	runs(4, exitOK, []string{"list", "--scope", "ACME/shop#2", "--json"}, `"id": "pc-two"`, `"repository": "acme/shop"`, `"number": 2`, `"by_agent": true`)
	runs(4, exitError, []string{"list", "--scope", "acme/shop/x"}, "--scope is OWNER, OWNER/REPO or OWNER/REPO#NUMBER")
	runs(4, exitError, []string{"destroy"}, "name one sandbox by its ID")
	runs(4, exitError, []string{"destroy", "--all"}, "name one sandbox by its ID")
	runs(4, exitError, []string{"destroy", "pc-one", "--scope", "acme"}, "name one sandbox by its ID")
	runs(4, exitError, []string{"destroy", "pc-nobody"}, "there is no such sandbox", "pc-nobody")
	runs(3, exitOK, []string{"destroy", "pc-one"}, "1 of 1 destroyed")
	runs(1, exitOK, []string{"destroy", "--all", "--scope", "acme/shop"}, "2 of 2 destroyed")
	tw.sandbox.Docker.Reaper = ""
	runs(1, exitError, []string{"list"}, "has no place where sandboxes run")
}

func TestDoctorLooksAtSandboxes(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	tw.sandbox = defaultSandboxConfig()
	tw.sandbox.Docker.Reaper = reaped(t, sandbox.NewMemorySandbox(time.Now, program))
	if _, out := tw.doctor(); !strings.Contains(out, "ok       sandboxes can be started on docker") {
		t.Error(out)
	}
	tw.sandbox.Docker.Reaper = filepath.Join(t.TempDir(), "nobody")
	if code, out := tw.doctor(); code == exitOK || !strings.Contains(out, "problem  no sandbox can be started on docker: ") || !strings.Contains(out, "ask the reaper of sandboxes") {
		t.Error(code, out)
	}
}

// A reaper does not take a socket away from another, and takes one that is left over.
func TestASocketIsOneReapers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	first, err := listenOn(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if second, err := listenOn(t.Context(), path); err == nil {
		t.Error("two listen", second.Close())
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := listenOn(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}
