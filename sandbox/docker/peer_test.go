package docker_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// I12: a sandbox reaches no other one, and no other container of the engine's, though they
// can be reached.
func TestI12OtherSandboxes(t *testing.T) {
	const port = "7070"
	dials := map[string][]string{"by TCP": {"/probe", "dial", "127.0.0.1:" + port}, "by an abstract socket": {"/probe", "dial-unix", "@portcullis-" + port}}
	w := newWorld(t)
	s, other := spec(), spec()
	w.create(t, s)
	w.create(t, other)
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		if got, err := w.Execute(ctx, other.ID, sandbox.Command{Argv: []string{"/probe", "listen", port}}); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	inside := bare{w.engine, w.container(t, other.ID)}
	for name, argv := range dials {
		sandboxtest.Eventually(t, "the other sandbox answers itself "+name, func() bool {
			code, _ := inside.run(t, argv)
			return code == 0
		})
		if got := w.run(t, s.ID, sandbox.Command{Argv: argv}); got.ExitCode != 1 {
			t.Errorf("another sandbox, %s: %+v", name, got)
		}
	}
	cancel()
	listening.Wait()

	// A container that is none of ours has an address.
	neighbour, from := w.bare(t), w.bare(t)
	made, err := w.engine.ExecCreate(t.Context(), neighbour.id, client.ExecCreateOptions{Cmd: []string{"/probe", "listen", port}})
	if err == nil {
		_, err = w.engine.ExecStart(t.Context(), made.ID, client.ExecStartOptions{Detach: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	inspected, err := w.engine.ContainerInspect(t.Context(), neighbour.id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := inspected.Container.NetworkSettings.Networks["bridge"].IPAddress.String() + ":" + port
	sandboxtest.Eventually(t, "a container answers another", func() bool {
		code, _ := from.run(t, []string{"/probe", "dial", at})
		return code == 0
	})
	if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "dial", at}}); got.ExitCode != 1 {
		t.Errorf("another container: %+v", got)
	}
}
