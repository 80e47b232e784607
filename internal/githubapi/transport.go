package githubapi

import "net/http"

// maxCalls is how many requests are under way at once. GitHub documents a limit
// of 100, REST and GraphQL together; the rest is for whoever else uses the App.
const maxCalls = 90

// transport keeps calls waiting that would be one too many.
type transport struct {
	next http.RoundTripper
	// slots has room for maxCalls.
	slots chan struct{}
}

// newTransport keeps as many connections open as there may be calls: Go's own
// keeps two to a host, and makes the others anew each time.
func newTransport() transport {
	next := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // so it is documented
	next.MaxIdleConns, next.MaxIdleConnsPerHost = maxCalls, maxCalls
	return transport{next: next, slots: make(chan struct{}, maxCalls)}
}

// RoundTrip counts a call as long as GitHub takes to begin its answer.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case t.slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	defer func() { <-t.slots }()
	return t.next.RoundTrip(r)
}
