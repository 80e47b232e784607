package app

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// post sends a webhook that GitHub does not know of, and returns the status.
func (tw *testWorld) post(event, delivery, signature string, body io.Reader) int {
	tw.report.Helper()
	request, err := http.NewRequestWithContext(tw.t.Context(), http.MethodPost, tw.server.webhookURL(), body)
	tw.must(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", event)
	request.Header.Set("X-GitHub-Delivery", delivery)
	if signature != "" {
		request.Header.Set("X-Hub-Signature-256", signature)
	}
	// A connection of its own, which nothing outlives.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		// The server need not read to its end what it has refused.
		return 0
	}
	tw.must(answer.Body.Close())
	return answer.StatusCode
}

func signed(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// endless is a body of that many bytes which counts what is taken of it.
type endless struct {
	left  int64
	taken *atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := min(int64(len(p)), e.left)
	if n == 0 {
		return 0, io.EOF
	}
	e.left -= n
	e.taken.Add(n)
	clear(p[:n])
	return int(n), nil
}

// TestAttack17WebhookThatGitHubDidNotSend comes to the webhook address with what
// GitHub did not send, or not so.
func TestAttack17WebhookThatGitHubDidNotSend(t *testing.T) {
	t.Parallel()
	tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
	pr := tw.opened("ann", "search", searchFiles())

	t.Run("200 MB", func(t *testing.T) {
		for name, signature := range map[string]string{"without a signature": "", "with a wrong one": signed(nil, "a guess")} {
			var taken atomic.Int64
			status := tw.post("pull_request", "big", signature, &endless{200 << 20, &taken})
			if status == http.StatusAccepted || taken.Load() > 32<<20 {
				t.Errorf("%s: answered %d after %d MB", name, status, taken.Load()>>20)
			}
		}
	})
	t.Run("no secret", func(t *testing.T) {
		config := tw.config()
		config.GitHub.App.WebhookSecret = ""
		server, err := New(t.Context(), config, Options{})
		if err == nil {
			t.Error("a server without a webhook secret starts")
			_ = server.Stop(t.Context())
		}
		for _, secret := range []string{"", "a guess"} {
			body := []byte(fmt.Sprintf(`{"action":"opened","number":%d}`, pr.Number()))
			if status := tw.post("pull_request", "forged", signed(body, secret), bytes.NewReader(body)); status != http.StatusUnauthorized {
				t.Errorf("signed with %q: answered %d, want 401", secret, status)
			}
		}
	})
	// What GitHub signed is replayed: an approval that was taken back, as it was, as
	// a new delivery, and as every other event, since only the body is signed.
	approval := tw.comment(pr, "bob", "/approve")
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, true)
	tw.must(pr.DeleteComment(tw.github.User("bob"), approval.ID))
	tw.review(pr, "bob", "REQUEST_CHANGES")
	tw.wantMerge(pr, false)
	sent := tw.github.Deliveries()
	events := map[string]bool{}
	for _, d := range sent {
		events[d.Event] = true
	}
	for _, c := range []struct {
		name     string
		delivery func(d githubsim.Delivery, i int) string
		as       func(d githubsim.Delivery) []string
	}{
		{"as it was", func(d githubsim.Delivery, _ int) string { return d.GUID }, func(d githubsim.Delivery) []string { return []string{d.Event} }},
		{"as a new delivery", func(_ githubsim.Delivery, i int) string { return fmt.Sprint("again-", i) }, func(d githubsim.Delivery) []string { return []string{d.Event} }},
		{"as every event", func(_ githubsim.Delivery, i int) string { return fmt.Sprint("other-", i) }, func(githubsim.Delivery) []string {
			var all []string
			for event := range events {
				all = append(all, event)
			}
			return all
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			comments := len(pr.Comments())
			for i, d := range sent {
				for j, event := range c.as(d) {
					id := c.delivery(d, i)
					if j > 0 {
						id = fmt.Sprint(id, "-", j)
					}
					if status := tw.post(event, id, signed(d.Payload, demoSecret), bytes.NewReader(d.Payload)); status != http.StatusAccepted && status != http.StatusBadRequest {
						t.Errorf("%s as %s: answered %d", d.Event, event, status)
					}
				}
			}
			tw.settled()
			tw.wantCheck(pr, "failure: rejected by bob")
			tw.wantMerge(pr, false)
			// Under its own name a delivery is done once; under another one its words may
			// be answered again, and change nothing.
			if now := len(pr.Comments()); c.name == "as it was" && now != comments {
				t.Errorf("%d more comments: a command was answered twice", now-comments)
			}
		})
	}
	t.Run("control", func(t *testing.T) {
		tw.review(pr, "bob", "APPROVE")
		tw.wantMerge(pr, true)
	})
}

// TestAttack18CallbackWithoutASession comes with a code that somebody else was
// given, and without a session: there is no sign-in to be had that way.
func TestAttack18CallbackWithoutASession(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{"/api/github/auth?code=stolen", "/api/github/auth?code=stolen&state=", "/login?code=stolen", "/?code=stolen"} {
			status, header := tw.visit(method, path)
			found := method == http.MethodGet && path == "/?code=stolen" // the dashboard, which knows nobody
			if found != (status == http.StatusOK) || len(header.Values("Set-Cookie")) > 0 || header.Get("Location") != "" {
				t.Errorf("%s %s: answered %d, %v", method, path, status, header)
			}
		}
	}
	if status, _ := tw.visit(http.MethodGet, "/healthz"); status != http.StatusOK {
		t.Errorf("the server does not answer at all: %d", status)
	}
}

// TestAttack19PageThatCostsGitHubCalls visits every page that there is, over and
// over: none asks GitHub for anything.
func TestAttack19PageThatCostsGitHubCalls(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	before := len(tw.github.Requests())
	for range 20 {
		for _, path := range []string{"/", "/api/v1/status", "/healthz", "/readyz", "/details/acme/shop/1", "/api/github/hook"} {
			tw.visit(http.MethodGet, path)
		}
	}
	tw.settled()
	if asked := len(tw.github.Requests()) - before; asked != 0 {
		t.Errorf("pages led to %d calls to GitHub", asked)
	}
	if tw.comment(pr, "bob", "/tier"); len(tw.github.Requests()) == before {
		t.Error("calls are not counted")
	}
}

// visit asks the server for a page.
func (tw *testWorld) visit(method, path string) (status int, header http.Header) {
	tw.report.Helper()
	request, err := http.NewRequestWithContext(tw.t.Context(), method, tw.server.URL()+path, strings.NewReader(""))
	tw.must(err)
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(request)
	tw.must(err)
	tw.must(answer.Body.Close())
	return answer.StatusCode, answer.Header
}
