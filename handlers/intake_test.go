package handlers_test

import (
	"context"
	"crypto/sha256"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// While the secret is being changed, GitHub signs with the one or the other.
func TestTwoSecretsWhileOneIsChanged(t *testing.T) {
	for _, c := range []struct {
		name, previous, signedWith string
		status                     int
	}{
		{"the new one", "the old secret", secret, 202},
		{"the old one", "the old secret", "the old secret", 202},
		{"neither", "the old secret", "a guess", 401},
		{"nothing, where there is no old one", "", "", 401},
		{"the old one, after it was removed", "", "the old secret", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			inbox := &keeper{}
			door, err := handlers.New(handlers.Config{
				Secret: secret, PreviousSecret: c.previous, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Inbox: inbox, Log: zerolog.New(io.Discard),
				PolicyPath: policy.DefaultPath, OrganizationRepository: ".github",
			})
			if err != nil {
				t.Fatal(err)
			}
			r, w := delivery("pull_request", labeled), httptest.NewRecorder()
			r.Header.Set("X-Hub-Signature-256", sign(sha256.New, "sha256", labeled, c.signedWith))
			door.ServeHTTP(w, r)
			if w.Code != c.status || (len(inbox.accepted) == 1) != (c.status == 202) {
				t.Errorf("answered %d, kept %v", w.Code, inbox.accepted)
			}
		})
	}
}

// hangs is an inbox whose database does not answer.
type hangs struct{}

func (hangs) Accept(ctx context.Context, _, _ string, _ policy.PullRequestRef, _ gate.Urgency, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h hangs) AcceptSwitch(ctx context.Context, _, _ string, _ killswitch.Scope, _ []byte) error {
	return h.Accept(ctx, "", "", policy.PullRequestRef{}, 0, nil)
}

// I3: GitHub hears that a delivery was not kept before it stops listening.
func TestADatabaseThatHangsIsAnsweredInNineSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, began := delivery("pull_request", labeled), httptest.NewRecorder(), time.Now()
		newDoor(t, hangs{}, io.Discard).ServeHTTP(w, r)
		if took := time.Since(began); w.Code != 503 || took > 9*time.Second {
			t.Errorf("answered %d after %s", w.Code, took)
		}
	})
}

// What may be the switch overtakes the rest.
func TestUrgency(t *testing.T) {
	comment := func(body string) string {
		return `{"action":"created","issue":{"number":7,"pull_request":{"url":"x"}},"comment":{"id":1,"body":"` + body + `","user":{"id":1,"login":"ann","type":"User"}},
			"repository":{"id":11,"name":"shop","owner":{"login":"acme"}},"installation":{"id":5},"sender":{"id":1,"login":"ann","type":"User"}}`
	}
	label := func(name string) string {
		return strings.Replace(labeled, `"number":7,"pull`, `"label":{"name":"`+name+`"},"number":7,"pull`, 1)
	}
	for _, c := range []struct {
		name, event, body string
		want              gate.Urgency
	}{
		{"any label", "pull_request", label("bug"), gate.UrgencyPeople},
		{"the switch's label", "pull_request", label("killswitch"), gate.UrgencySwitch},
		{"the agents' switch", "pull_request", label("killswitch-agents"), gate.UrgencySwitch},
		{"taken off", "pull_request", strings.Replace(label("killswitch"), `"labeled"`, `"unlabeled"`, 1), gate.UrgencySwitch},
		{"a command", "issue_comment", comment("/approve"), gate.UrgencyPeople},
		{"the switch's command", "issue_comment", comment("/KillSwitch repo a leak"), gate.UrgencySwitch},
	} {
		t.Run(c.name, func(t *testing.T) {
			inbox, w := &keeper{}, httptest.NewRecorder()
			newDoor(t, inbox, io.Discard).ServeHTTP(w, delivery(c.event, c.body))
			if len(inbox.urgencies) != 1 || inbox.urgencies[0] != c.want {
				t.Errorf("answered %d, urgencies %v, want %d", w.Code, inbox.urgencies, c.want)
			}
		})
	}
}
