package app

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palantir/go-githubapp/githubapp"
)

// balancer stands before the replicas, as a load balancer does: each webhook goes
// to the next one, and to another if that one cannot be connected to. It notes
// what was answered.
type balancer struct {
	server *httptest.Server
	client *http.Client

	mu       sync.Mutex
	replicas []string
	next     int
	// acknowledged counts the 2xx by delivery.
	acknowledged map[string]int
	attempts     int
	refused      int // answered 503 by a replica
	unanswered   int
	slowest      time.Duration
}

func newBalancer(t testing.TB) *balancer {
	b := &balancer{acknowledged: map[string]int{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	b.server = httptest.NewServer(b)
	t.Cleanup(func() {
		b.server.Close()
		b.client.CloseIdleConnections()
	})
	return b
}

// url is where GitHub sends webhooks.
func (b *balancer) url() string { return b.server.URL + githubapp.DefaultWebhookRoute }

// serve sends webhooks there from now on.
func (b *balancer) serve(replicas ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = replicas
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // GitHub went away
	}
	begun := time.Now()
	status := b.forward(r, body)
	b.mu.Lock()
	b.attempts++
	b.slowest = max(b.slowest, time.Since(begun))
	switch {
	case status/100 == 2:
		b.acknowledged[r.Header.Get("X-Github-Delivery")]++
	case status == http.StatusServiceUnavailable:
		b.refused++
	case status == 0:
		b.unanswered++
		status = http.StatusBadGateway
	}
	b.mu.Unlock()
	w.WriteHeader(status)
}

// forward returns the answer's status, and 0 if there was none.
func (b *balancer) forward(r *http.Request, body []byte) int {
	b.mu.Lock()
	list, first := b.replicas, b.next
	b.next++
	b.mu.Unlock()
	for i := range list {
		request, err := http.NewRequestWithContext(r.Context(), r.Method, list[(first+i)%len(list)], bytes.NewReader(body))
		if err != nil {
			return 0
		}
		request.Header = r.Header.Clone()
		response, err := b.client.Do(request)
		if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
			continue
		}
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		return response.StatusCode
	}
	return 0
}

// replica is one of those that webhooks are sent to; empty: there is none.
func (b *balancer) replica() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.replicas) == 0 {
		return ""
	}
	return strings.TrimSuffix(b.replicas[0], githubapp.DefaultWebhookRoute)
}

// known are the deliveries that were answered 2xx.
func (b *balancer) known() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.acknowledged)
}

// refusals is how often a replica answered that it cannot keep a webhook.
func (b *balancer) refusals() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}
