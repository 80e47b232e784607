package docker_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/dockertest"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
)

// Who waits for a turn does so as long as it likes, and does not lose the command's time.
func TestWaitingForATurn(t *testing.T) {
	w := newWorld(t)
	s := spec()
	w.create(t, s)
	var all sync.WaitGroup
	all.Go(func() {
		got, err := w.Execute(t.Context(), s.ID, sandbox.Command{Argv: []string{"/probe", "wait", "4s"}})
		if err != nil || got.ExitCode != 0 {
			t.Errorf("the first: %+v, %v", got, err)
		}
	})
	<-time.After(time.Second)
	all.Go(func() {
		got, err := w.Execute(t.Context(), s.ID, sandbox.Command{Argv: []string{"/probe", "say", "here"}, Timeout: 2 * time.Second})
		if err != nil || got.Stdout != "here" || got.TimedOut {
			t.Errorf("one with less time than it waits: %+v, %v", got, err)
		}
	})
	for name, do := range map[string]func(ctx context.Context) error{
		"a command": func(ctx context.Context) error {
			_, err := w.Execute(ctx, s.ID, sandbox.Command{Argv: []string{"/probe", "say", "here"}})
			return err
		},
		"files": func(ctx context.Context) error { return w.Put(ctx, s.ID, sandbox.Workspace, files("a")) },
	} {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 2*time.Second {
				t.Errorf("%s that nobody waits for: %v after %s", name, err, time.Since(begun))
			}
		})
	}
	all.Wait()
}

// before puts somebody before the engine who answers what that is asked.
func before(t *testing.T, answers func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	engine := strings.TrimPrefix(dockertest.Host(t), "unix://")
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", engine)
	}}
	proxy.Transport, proxy.FlushInterval = transport, -1
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answers(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done; transport.CloseIdleConnections() })
	return "unix://" + socket
}

// A command's result is its result, whatever the engine says of memory and of the time.
func TestWhetherMemoryWasOverTakesNoResult(t *testing.T) {
	hog := sandbox.Command{Argv: []string{"/probe", "hog", "500"}}
	t.Run("a clock that is ahead", func(t *testing.T) {
		w := newWorld(t, func(c *docker.Config) { c.Now = func() time.Time { return time.Now().Add(time.Hour) } })
		s := spec()
		w.create(t, s)
		if got := w.run(t, s.ID, hog); !got.OOM || got.ExitCode != 137 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an engine that does not tell", func(t *testing.T) {
		w := newWorld(t, func(c *docker.Config) {
			c.Host = before(t, func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/events") {
					w.WriteHeader(http.StatusInternalServerError)
					return true
				}
				return false
			})
		})
		s := spec()
		w.create(t, s)
		if got := w.run(t, s.ID, hog); got.OOM || got.ExitCode != 137 {
			t.Errorf("%+v", got)
		}
	})
}
