package githubapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNoMoreCallsAtOnceThanGitHubAllows asks for more than may be under way.
func TestNoMoreCallsAtOnceThanGitHubAllows(t *testing.T) {
	var now, most atomic.Int64
	full, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		if n == maxCalls {
			close(full)
		}
		<-answer
	}))
	defer server.Close()
	transport := newTransport()
	defer transport.next.(*http.Transport).CloseIdleConnections()
	call := func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	var all sync.WaitGroup
	for range maxCalls + 20 {
		all.Go(func() {
			if err := call(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	<-full
	// Whoever waits for a turn waits no longer than they have time.
	hurried, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := call(hurried); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one call too many: %v", err)
	}
	close(answer)
	all.Wait()
	if got := most.Load(); got != maxCalls {
		t.Errorf("%d calls at once, want %d", got, maxCalls)
	}
}

// closing is a body that tells whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// TestACallThatIsNotMadeClosesItsBody gives up on a call that waits for its turn.
func TestACallThatIsNotMadeClosesItsBody(t *testing.T) {
	full := transport{slots: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := &closing{Reader: strings.NewReader("x")}
	for _, sent := range []io.ReadCloser{body, nil} {
		request := (&http.Request{Method: http.MethodPost, URL: &url.URL{}, Body: sent}).WithContext(ctx)
		if _, err := full.RoundTrip(request); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that was given up: %v", err)
		}
	}
	if !body.closed {
		t.Error("the body was left open")
	}
}

// late is a context whose deadline is past and whose timer has not fired, as in a
// process that stood still.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

// TestWhoeverRanOutOfTimeWritesNothing sends writes and reads too late.
func TestWhoeverRanOutOfTimeWritesNothing(t *testing.T) {
	given, giveUp := context.WithCancel(t.Context())
	giveUp()
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		name, method string
		ctx          context.Context
		want         error
	}{
		{"in time", http.MethodPost, soon, nil},
		{"without a deadline", http.MethodPatch, t.Context(), nil},
		{"given up", http.MethodPost, given, context.Canceled},
		{"late, the timer has not fired", http.MethodPost, late{t.Context()}, context.DeadlineExceeded},
		{"late, to delete", http.MethodDelete, late{t.Context()}, context.DeadlineExceeded},
		{"late, to read", http.MethodGet, late{t.Context()}, nil},
		{"late, to query", http.MethodPost, asRead(late{t.Context()}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := false
			send := timely{roundTripper(func(*http.Request) (*http.Response, error) {
				sent = true
				return &http.Response{}, nil
			})}
			body := &closing{Reader: strings.NewReader("x")}
			_, err := send.RoundTrip((&http.Request{Method: c.method, Body: body}).WithContext(c.ctx))
			if !errors.Is(err, c.want) || sent != (c.want == nil) || body.closed != (c.want != nil) {
				t.Errorf("got %v, sent is %t, the body's being closed is %t", err, sent, body.closed)
			}
		})
	}
}

// TestWhatIsUrgentDoesNotWait finds all places taken by others, and has its own. A
// token, for which it may have to wait, takes whichever is free.
func TestWhatIsUrgentDoesNotWait(t *testing.T) {
	calls := newTransport()
	sent := make(chan string, 2*maxUrgentCalls)
	answer := make(chan struct{})
	calls.next = roundTripper(func(r *http.Request) (*http.Response, error) {
		sent <- r.URL.Path
		<-answer
		return &http.Response{}, nil
	})
	for range maxCalls {
		calls.slots <- struct{}{}
	}
	var all sync.WaitGroup
	call := func(ctx context.Context, method, path string) {
		all.Go(func() {
			if _, err := calls.RoundTrip((&http.Request{Method: method, URL: &url.URL{Path: path}}).WithContext(ctx)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	call(t.Context(), http.MethodGet, "/waits")
	call(t.Context(), http.MethodPost, "/app/installations/7/access_tokens")
	for range maxUrgentCalls - 1 {
		call(Urgent(Background(t.Context())), http.MethodGet, "/urgent")
	}
	for range maxUrgentCalls {
		if path := <-sent; path == "/waits" {
			t.Error("what is not urgent took an urgent place")
		}
	}
	soon, cancel := context.WithTimeout(Urgent(t.Context()), 10*time.Millisecond)
	defer cancel()
	if _, err := calls.RoundTrip((&http.Request{Method: http.MethodGet, URL: &url.URL{}}).WithContext(soon)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("more that is urgent than there are places: %v", err)
	}
	close(answer)
	<-calls.slots
	all.Wait()
	if len(calls.urgent) != 0 || len(calls.slots) != maxCalls-1 {
		t.Errorf("%d and %d places are still taken", len(calls.slots), len(calls.urgent))
	}
}

// TestNoWriteIsLedElsewhere is answered that the thing was moved.
func TestNoWriteIsLedElsewhere(t *testing.T) {
	for _, c := range []struct {
		method string
		ctx    context.Context
		status int
		passes bool
	}{
		{http.MethodPatch, t.Context(), http.StatusMovedPermanently, false},
		{http.MethodPost, t.Context(), http.StatusFound, false},
		{http.MethodPut, t.Context(), http.StatusTemporaryRedirect, true}, // made again as it is
		{http.MethodPut, t.Context(), http.StatusOK, true},
		{http.MethodGet, t.Context(), http.StatusMovedPermanently, true},
		{http.MethodPost, asRead(t.Context()), http.StatusFound, true},
	} {
		body := &closing{Reader: strings.NewReader("x")}
		send := straight{roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: c.status, Body: body}, nil
		})}
		_, err := send.RoundTrip((&http.Request{Method: c.method, URL: &url.URL{Path: "/x"}}).WithContext(c.ctx))
		failed, ok := errors.AsType[*Error](err)
		if ok == c.passes || ok && (failed.Status != c.status || !body.closed) {
			t.Errorf("%s answered %d: %v", c.method, c.status, err)
		}
	}
}
