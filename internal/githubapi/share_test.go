package githubapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/singleflight"
)

// slowServer answers with the address once it may, and counts.
type slowServer struct {
	*httptest.Server

	calls, ended atomic.Int64
	begun        chan struct{}
	answer       chan struct{}
}

func newSlowServer(t *testing.T) *slowServer {
	s := &slowServer{begun: make(chan struct{}, 100), answer: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.begun <- struct{}{}
		select {
		case <-s.answer:
			_, _ = io.WriteString(w, r.URL.Path+r.Header.Get("Accept"))
		case <-r.Context().Done():
			s.ended.Add(1)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *slowServer) ask(ctx context.Context, next http.RoundTripper, method, path, accept string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", accept)
	response, err := next.RoundTrip(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	return string(body), errors.Join(err, response.Body.Close())
}

// TestReadsOfTheSameShareACall has many ask at once for the same, for something
// else, and for what changes something.
func TestReadsOfTheSameShareACall(t *testing.T) {
	server := newSlowServer(t)
	shared := sharing{server.Client().Transport, new(singleflight.Group)}
	var all sync.WaitGroup
	ask := func(ctx context.Context, method, path, accept, want string) {
		all.Go(func() {
			if got, err := server.ask(ctx, shared, method, path, accept); err != nil || got != want {
				t.Errorf("%s %s is %q, %v", method, path, got, err)
			}
		})
	}
	hurried, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := server.ask(hurried, shared, http.MethodGet, "/a", "x")
		left <- err
	}()
	<-server.begun
	for range 10 {
		ask(t.Context(), http.MethodGet, "/a", "x", "/ax")
	}
	// Whoever began the read leaves, and does not end it for the others.
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	ask(t.Context(), http.MethodGet, "/a", "y", "/ay")
	ask(t.Context(), http.MethodGet, "/b", "x", "/bx")
	ask(Background(t.Context()), http.MethodGet, "/a", "x", "/ax")
	for range 2 {
		ask(t.Context(), http.MethodPost, "/a", "x", "/ax")
	}
	for range 5 {
		<-server.begun
	}
	close(server.answer)
	all.Wait()
	// Only one that came late may have asked by itself.
	if calls := server.calls.Load(); calls < 6 || calls > 7 || server.ended.Load() != 0 {
		t.Errorf("%d calls, %d given up; want 6, none", calls, server.ended.Load())
	}
}

// TestALateReadIsNotJoined asks again when a read has been under way for a while:
// what it learns may have been so before the question.
func TestALateReadIsNotJoined(t *testing.T) {
	server := newSlowServer(t)
	shared := sharing{server.Client().Transport, new(singleflight.Group)}
	var all sync.WaitGroup
	ask := func() {
		all.Go(func() {
			if _, err := server.ask(t.Context(), shared, http.MethodGet, "/a", ""); err != nil {
				t.Error(err)
			}
		})
	}
	ask()
	<-server.begun
	<-time.After(2 * joinable)
	ask()
	<-server.begun // or this waits for ever
	close(server.answer)
	all.Wait()
}

// TestAFailedReadFailsForAll cuts the line.
func TestAFailedReadFailsForAll(t *testing.T) {
	failure := errors.New("cut")
	shared := sharing{roundTripper(func(*http.Request) (*http.Response, error) { return nil, failure }), new(singleflight.Group)}
	if _, err := (&slowServer{Server: &httptest.Server{URL: "http://x.invalid"}}).ask(t.Context(), shared, http.MethodGet, "/a", ""); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAReadThatIsAloneJoinsNobody asks by itself while another read of the same is
// under way, which began before; and so does one that is urgent.
func TestAReadThatIsAloneJoinsNobody(t *testing.T) {
	server := newSlowServer(t)
	shared := sharing{server.Client().Transport, new(singleflight.Group)}
	var all sync.WaitGroup
	for i, ctx := range []context.Context{t.Context(), alone(t.Context()), alone(t.Context()), Urgent(t.Context())} {
		all.Go(func() {
			if got, err := server.ask(ctx, shared, http.MethodGet, "/a", ""); err != nil || got != "/a" {
				t.Errorf("%d: %q, %v", i, got, err)
			}
		})
		<-server.begun // a call of its own
	}
	close(server.answer)
	all.Wait()
	if n := server.calls.Load(); n != 4 {
		t.Errorf("%d calls, want 4", n)
	}
}
