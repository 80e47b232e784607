package githubapi

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxCalls is how many requests are under way at once, and maxUrgentCalls how many
// more that are urgent. GitHub documents a limit of 100, REST and GraphQL together;
// what is left is for whoever else uses the App.
const (
	maxCalls       = 90
	maxUrgentCalls = 8
)

// transport keeps calls waiting that would be one too many.
type transport struct {
	next http.RoundTripper
	// slots has room for maxCalls, urgent for maxUrgentCalls.
	slots, urgent chan struct{}
	// allowed says whether there is any use in waiting; nil is yes.
	allowed func(*http.Request) error
}

// newTransport keeps as many connections open as there may be calls: Go's own
// keeps two to a host, and makes the others anew each time. How long a call may
// take as a whole is the client's to say.
func newTransport() transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return transport{
		next: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			ForceAttemptHTTP2:     true, // a dialer of one's own turns it off
			TLSHandshakeTimeout:   10 * time.Second,
			ExpectContinueTimeout: time.Second,
			MaxIdleConns:          maxCalls + maxUrgentCalls,
			MaxIdleConnsPerHost:   maxCalls + maxUrgentCalls,
			IdleConnTimeout:       90 * time.Second,
		},
		slots:  make(chan struct{}, maxCalls),
		urgent: make(chan struct{}, maxUrgentCalls),
	}
}

// RoundTrip counts a call as long as GitHub takes to begin its answer. It closes
// the request's body also if the call is not made.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.allowed != nil {
		if err := t.allowed(r); err != nil {
			return nil, notSent(r, err)
		}
	}
	slots, others := t.slots, chan struct{}(nil)
	switch {
	case isUrgent(r.Context()):
		slots = t.urgent
	case forToken(r):
		others = t.urgent // who is urgent may wait for the same token
	}
	select {
	case slots <- struct{}{}:
	case others <- struct{}{}:
		slots = others
	case <-r.Context().Done():
		return nil, notSent(r, r.Context().Err())
	}
	defer func() { <-slots }()
	return t.next.RoundTrip(r)
}

// forToken reports whether a request is the one for an installation's token.
func forToken(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/access_tokens")
}

// timely lets no write go whose time is over. A process that stood still finds its
// deadlines past before their timers have fired, and whoever claimed the work since
// must not be written over.
type timely struct{ next http.RoundTripper }

// RoundTrip sends a write if there is time for it.
func (t timely) RoundTrip(r *http.Request) (*http.Response, error) {
	if changes(r) {
		if err := r.Context().Err(); err != nil {
			return nil, notSent(r, err)
		}
		if deadline, ok := r.Context().Deadline(); ok && time.Until(deadline) <= 0 {
			return nil, notSent(r, context.DeadlineExceeded)
		}
	}
	return t.next.RoundTrip(r)
}

// straight lets no write be led elsewhere by GitHub's 301: http.Client would make a
// read of it, whose answer looks as if it had been done. GitHub answers so for an
// issue that was moved to another repository.
type straight struct{ next http.RoundTripper }

// RoundTrip makes an [*Error] of such an answer.
func (s straight) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err != nil || !changes(r) {
		return response, err
	}
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		_ = response.Body.Close()
		return nil, &Error{Operation: r.Method + " " + r.URL.Path, Status: response.StatusCode}
	default:
		return response, nil
	}
}
