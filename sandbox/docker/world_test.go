package docker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/dockertest"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	code := dockertest.Main(m)
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// built are the programs that run in sandboxes, linked statically, and the image that has
// nothing but the probe.
var built struct {
	sync.Once

	folder, program, probe string
	image                  string
	err                    error
}

func build(host string) error {
	built.Do(func() { built.err = buildOnce(host) })
	return built.err
}

func buildOnce(host string) (err error) {
	if built.folder, err = os.MkdirTemp("", "sandbox-"); err != nil {
		return err
	}
	built.program, built.probe = filepath.Join(built.folder, "portcullis"), filepath.Join(built.folder, "probe")
	for to, from := range map[string]string{built.program: "../..", built.probe: "../sandboxtest/probe"} {
		command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, from)
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", from, err, out)
		}
	}
	content, err := os.ReadFile(built.probe)
	if err != nil {
		return err
	}
	d, err := docker.NewDockerSandbox(docker.Config{Host: host, Now: time.Now})
	if err != nil {
		return err
	}
	built.image, err = d.Import(context.Background(), map[string][]byte{"/probe": content})
	return errors.Join(err, d.Close())
}

// world is an engine with a Portcullis on it.
type world struct {
	*docker.Docker

	engine *client.Client
	config docker.Config
}

// app numbers worlds: each sees its own sandboxes alone.
var app struct {
	sync.Mutex

	last int64
}

func newWorld(t testing.TB, change ...func(*docker.Config)) *world {
	t.Helper()
	host := dockertest.Host(t)
	if err := build(host); err != nil {
		t.Fatal(err)
	}
	app.Lock()
	app.last++
	config := docker.Config{Host: host, App: int64(os.Getpid())*1000 + app.last, Program: built.program, Now: time.Now, Log: zerolog.New(zerolog.NewTestWriter(t))}
	app.Unlock()
	for _, c := range change {
		c(&config)
	}
	w := &world{config: config}
	w.Docker = w.another(t)
	var err error
	if w.engine, err = client.New(client.WithHost(host)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := w.List(context.Background())
		if err != nil || len(left) != 0 {
			t.Errorf("%d sandboxes are left: %+v, %v", len(left), left, err)
		}
		for _, is := range left {
			_ = w.Destroy(context.Background(), is.ID)
		}
		_ = w.engine.Close()
	})
	return w
}

// another is a Portcullis that knows nothing of the first.
func (w *world) another(t testing.TB) *docker.Docker {
	t.Helper()
	d, err := docker.NewDockerSandbox(w.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func spec() sandbox.Spec {
	s := sandboxtest.Spec(built.image)
	s.ID = sandbox.NewID()
	return s
}

func TestDocker(t *testing.T) {
	w := newWorld(t)
	sandboxtest.Conform(t, sandboxtest.Subject{
		Boxes: w, Fresh: w.another(t), Spec: sandboxtest.Spec(built.image), Probe: []string{"/probe"}, Slack: 2 * time.Second,
		Unsupported: map[string]func(*sandbox.Spec){
			"runtime": func(s *sandbox.Spec) { s.Constraints.Runtime = "runsc" },
			"image":   func(s *sandbox.Spec) { s.Image = "debian:12" },
		},
	})
}
