package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/remote"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves the sandboxes on a socket, as another process does.
func serve(t *testing.T, boxes sandbox.Sandbox, images ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: remote.NewHandler(boxes, images, zerolog.Nop()), ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-done); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return socket
}

func connect(t *testing.T, socket string) *remote.Remote {
	t.Helper()
	r := remote.NewRemoteSandbox(socket)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func memory() *sandbox.MemorySandbox {
	return sandbox.NewMemorySandbox(time.Now, sandboxtest.Program)
}

func TestRemote(t *testing.T) {
	socket := serve(t, memory())
	sandboxtest.Conform(t, sandboxtest.Subject{
		Boxes: connect(t, socket), Fresh: connect(t, socket), Spec: sandboxtest.Spec(""), Probe: []string{"probe"},
		Unsupported: map[string]func(*sandbox.Spec){"runtime": func(s *sandbox.Spec) { s.Constraints.Runtime = "runsc" }},
	})
}

func TestOnlyTheImagesThatTheReaperWasGiven(t *testing.T) {
	r := connect(t, serve(t, memory(), "good"))
	for image, allowed := range map[string]bool{"good": true, "bad": false, "": false} {
		spec := sandboxtest.Spec(image)
		spec.ID = sandbox.NewID()
		_, err := r.Create(t.Context(), spec)
		refusal, refused := errors.AsType[*sandbox.UnsupportedError](err)
		if refused == allowed || refused && refusal.Field != "image" {
			t.Errorf("%q: %v", image, err)
		}
	}
}

// failing fails as no provider should.
type failing struct{ sandbox.Sandbox }

func (failing) List(context.Context) ([]sandbox.Instance, error) {
	return nil, errors.New("the engine is down")
}

func (failing) Get(_ context.Context, _, _ string, w io.Writer) error {
	_, _ = io.WriteString(w, "half an arch")
	return errors.New("the engine went away")
}

func TestAFailureCrossesAsOne(t *testing.T) {
	r := connect(t, serve(t, failing{memory()}))
	if all, err := r.List(t.Context()); err == nil || !strings.Contains(err.Error(), "the engine is down") {
		t.Errorf("%v, %v", all, err)
	}
	var packed bytes.Buffer
	if err := r.Get(t.Context(), "pc-1", sandbox.Workspace, &packed); err == nil || !strings.Contains(err.Error(), "the engine went away") || packed.Len() != 0 {
		t.Errorf("%q, %v", packed.String(), err)
	}
	if all, err := connect(t, filepath.Join(t.TempDir(), "nobody")).List(t.Context()); err == nil || !strings.Contains(err.Error(), "ask the reaper of sandboxes") {
		t.Errorf("where nobody is: %v, %v", all, err)
	}
}

// What is asked for is bounded, and what a command reads is not.
func TestACommandIsBoundedAndItsStandardInputIsNot(t *testing.T) {
	socket := serve(t, memory())
	r := connect(t, socket)
	spec := sandboxtest.Spec("")
	spec.ID = sandbox.NewID()
	if _, err := r.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	input := strings.Repeat("0123456789abcde\n", 1<<18)
	got, err := r.Execute(t.Context(), spec.ID, sandbox.Command{Argv: []string{"probe", "copy"}, Stdin: strings.NewReader(input), MaxOutput: len(input)})
	if err != nil || got.Stdout != input {
		t.Errorf("%d bytes of %d, %v", len(got.Stdout), len(input), err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}, DisableKeepAlives: true}}
	for name, c := range map[string]struct{ body, refused string }{
		// So little too long that the server reads it to its end: the answer comes for certain.
		"words without end":             {`{"argv":["` + strings.Repeat("x", 1<<20) + `"]}`, `"field":"request"`},
		"output that nobody could keep": {`{"argv":["probe","say","x"],"max_output":1000000000}`, `"field":"command"`},
	} {
		answer, err := client.Post("http://reaper/v1/sandboxes/"+spec.ID+"/exec", "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(said), c.refused) || err != nil {
			t.Errorf("%s: %s %s, %v", name, answer.Status, said, err)
		}
	}
}

// FuzzRequests: whatever is said to the reaper, it answers and starts nothing that the
// contract does not allow.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "", `{"ID":"pc-1"}`)
	f.Add("POST", "/pc-1/exec", `{"argv":["probe","copy"],"stdin":true} x`)
	f.Add("PUT", "/../x/files?folder=/etc", "")
	boxes := memory()
	handler := remote.NewHandler(boxes, nil, zerolog.Nop())
	f.Fuzz(func(t *testing.T, method, path, body string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://reaper/v1/sandboxes"+path, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		handler.ServeHTTP(discard{}, request)
		all, err := boxes.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, is := range all {
			if !sandbox.ValidID(is.ID) || is.Deadline.Sub(is.CreatedAt) > sandbox.MaxTimeout {
				t.Errorf("%+v", is)
			}
			_ = boxes.Destroy(t.Context(), is.ID)
		}
	})
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// unready is a provider on which nothing could be started.
type unready struct{ sandbox.Sandbox }

func (unready) Ready(context.Context) error {
	return &sandbox.UnsupportedError{Provider: "docker", Field: "runtime", Why: "the engine has no runtime"}
}

func TestReady(t *testing.T) {
	if err := connect(t, serve(t, memory())).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if refused, is := errors.AsType[*sandbox.UnsupportedError](connect(t, serve(t, unready{memory()})).Ready(t.Context())); !is || refused.Field != "runtime" {
		t.Errorf("%+v", refused)
	}
	if err := connect(t, filepath.Join(t.TempDir(), "nobody")).Ready(t.Context()); err == nil {
		t.Error("nobody is there")
	}
}
