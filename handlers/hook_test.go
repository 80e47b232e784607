package handlers_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

const secret = "the webhook's secret"

// keeper is an inbox that remembers what it accepted.
type keeper struct {
	urgencies []gate.Urgency
	accepted  []string
	refs      []policy.PullRequestRef
	switches  []string
	err       error
}

func (k *keeper) Accept(_ context.Context, id, event string, about policy.PullRequestRef, urgency gate.Urgency, _ []byte) error {
	if k.err != nil {
		return k.err
	}
	k.accepted = append(k.accepted, event+" "+id)
	k.refs = append(k.refs, about)
	k.urgencies = append(k.urgencies, urgency)
	return nil
}

// AcceptSwitch keeps it as work on the place.
func (k *keeper) AcceptSwitch(ctx context.Context, id, event string, place killswitch.Scope, payload []byte) error {
	k.switches = append(k.switches, place.String())
	return k.Accept(ctx, id, event, place.Ref(), gate.UrgencySwitch, payload)
}

func newDoor(t *testing.T, inbox handlers.Inbox, log io.Writer) *handlers.Door {
	t.Helper()
	door, err := handlers.New(handlers.Config{Secret: secret, Inbox: inbox, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Log: zerolog.New(log), PolicyPath: policy.DefaultPath, OrganizationRepository: ".github"})
	if err != nil {
		t.Fatal(err)
	}
	return door
}

func sign(newHash func() hash.Hash, prefix, body, key string) string {
	mac := hmac.New(newHash, []byte(key))
	mac.Write([]byte(body))
	return prefix + "=" + hex.EncodeToString(mac.Sum(nil))
}

const labeled = `{"action":"labeled","number":7,"pull_request":{"number":7,"state":"open"},
	"repository":{"id":11,"name":"shop","owner":{"login":"acme"}},"installation":{"id":5},"sender":{"id":1,"login":"ann","type":"User"}}`

// delivery is a request as GitHub sends it.
func delivery(event, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/github/hook", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", event)
	r.Header.Set("X-GitHub-Delivery", "d-1")
	r.Header.Set("X-Hub-Signature-256", sign(sha256.New, "sha256", body, secret))
	return r
}

// unread fails the test when the body is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
func (unread) Close() error { return nil }

func TestHook(t *testing.T) {
	without := func(header string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(header) } }
	with := func(header, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(header, value) }
	}
	for _, c := range []struct {
		name        string
		event, body string
		change      func(*http.Request)
		status      int
		kept        bool
	}{
		{"a good delivery", "pull_request", labeled, func(*http.Request) {}, 202, true},
		{"a forged signature", "pull_request", labeled, with("X-Hub-Signature-256", sign(sha256.New, "sha256", labeled, "a guess")), 401, false},
		{"a changed body", "pull_request", labeled, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(labeled + " ")) }, 401, false},
		{"a signature that is no signature", "pull_request", labeled, with("X-Hub-Signature-256", "sha256=zz"), 401, false},
		{"no signature", "pull_request", labeled, without("X-Hub-Signature-256"), 401, false},
		{"a SHA-1 signature alone", "pull_request", labeled, func(r *http.Request) {
			r.Header.Del("X-Hub-Signature-256")
			r.Header.Set("X-Hub-Signature", sign(sha1.New, "sha1", labeled, secret))
		}, 401, false},
		{"SHA-1 in the header for SHA-256", "pull_request", labeled, with("X-Hub-Signature-256", sign(sha1.New, "sha1", labeled, secret)), 401, false},
		{"an unknown event", "sponsorship", `{"action":"created"}`, func(*http.Request) {}, 202, false},
		{"an action that changes nothing", "pull_request", strings.Replace(labeled, "labeled", "assigned", 1), func(*http.Request) {}, 202, false},
		{"no JSON", "pull_request", `{"action":`, func(*http.Request) {}, 400, false},
		{"another type than GitHub's", "pull_request", `{"action":7}`, func(*http.Request) {}, 400, false},
		{"no installation", "pull_request", strings.Replace(labeled, `"id":5`, `"id":0`, 1), func(*http.Request) {}, 400, false},
		{"no number", "pull_request", strings.Replace(labeled, `"pull_request":{"number":7`, `"pull_request":{"number":0`, 1), func(*http.Request) {}, 400, false},
		{"no event header", "pull_request", labeled, without("X-GitHub-Event"), 400, false},
		{"no delivery header", "pull_request", labeled, without("X-GitHub-Delivery"), 400, false},
		{"a form", "pull_request", labeled, with("Content-Type", "application/x-www-form-urlencoded"), 415, false},
		{"GET", "pull_request", labeled, func(r *http.Request) { r.Method = http.MethodGet }, 405, false},
		{"over 25 MB by its header", "pull_request", labeled, func(r *http.Request) {
			r.ContentLength, r.Body = handlers.MaxPayload+1, unread{t}
		}, 413, false},
		{"over 25 MB without saying so", "pull_request", labeled, func(r *http.Request) {
			r.ContentLength, r.Body = -1, io.NopCloser(io.LimitReader(zeros{}, handlers.MaxPayload+1))
		}, 413, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inbox, log := &keeper{}, &bytes.Buffer{}
			r, w := delivery(c.event, c.body), httptest.NewRecorder()
			c.change(r)
			newDoor(t, inbox, log).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("answered %d %q, want %d", w.Code, w.Body, c.status)
			}
			if kept := len(inbox.accepted) > 0; kept != c.kept {
				t.Errorf("kept: %t, want %t", kept, c.kept)
			}
			if refused := w.Code >= 400; refused != strings.Contains(log.String(), "webhook refused") {
				t.Errorf("a refusal must be logged, and only that: %s", log)
			}
			if strings.Contains(log.String()+w.Body.String(), secret) {
				t.Error("the secret is told")
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHookRefusesWhatItCannotKeep(t *testing.T) {
	w := httptest.NewRecorder()
	newDoor(t, &keeper{err: errors.New("disk full")}, io.Discard).ServeHTTP(w, delivery("pull_request", labeled))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("answered %d, want 503", w.Code)
	}
	if strings.Contains(w.Body.String(), "disk") {
		t.Errorf("the inside is told to the outside: %q", w.Body)
	}
}

func TestNoDoorWithoutASecret(t *testing.T) {
	if _, err := handlers.New(handlers.Config{Inbox: &keeper{}}); !errors.Is(err, handlers.ErrNoSecret) {
		t.Errorf("got %v, want ErrNoSecret", err)
	}
}
