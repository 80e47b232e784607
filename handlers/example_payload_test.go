package handlers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim/contract"
)

// example is one of GitHub's example payloads.
type example struct {
	name, event string
	payload     map[string]json.RawMessage
}

// outdated examples have dates in a form that GitHub gave up, as both its schemas
// say; the event has no other examples, so that they are made from one of
// check_run.completed.
var outdated = []string{"check_run 7", "check_run 8"}

// made are payloads of actions of which there is no usable example, by the
// example that they are made from.
var made = []struct {
	from    string
	actions []string
}{
	{"check_run 1", []string{"rerequested"}},
	{"pull_request 17", []string{"edited", "enqueued", "dequeued", "auto_merge_enabled", "auto_merge_disabled", "merged"}},
	{"pull_request_review 2", []string{"edited"}},
	{"merge_group 1", []string{"destroyed"}},
}

// examples reads GitHub's example payloads of all events, and makes those that
// are missing.
func examples(t *testing.T) []example {
	t.Helper()
	file := os.Getenv(contract.WebhookExamplesVariable)
	if file == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set; .ci/run sets it", contract.WebhookExamplesVariable)
		}
		t.Skipf("NOT TRIED: GitHub's example payloads are not at hand; %s does not say where they are (.ci/run fetches them)", contract.WebhookExamplesVariable)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var events []struct {
		Name     string
		Examples []map[string]json.RawMessage
	}
	if err := json.Unmarshal(content, &events); err != nil {
		t.Fatal(err)
	}
	var list []example
	byName := map[string]example{}
	for _, event := range events {
		for i, payload := range event.Examples {
			e := example{fmt.Sprintf("%s %d", event.Name, i), event.Name, payload}
			byName[e.name] = e
			if !slices.Contains(outdated, e.name) {
				list = append(list, e)
			}
		}
	}
	for _, m := range made {
		from, ok := byName[m.from]
		if !ok {
			t.Fatalf("there is no example %s", m.from)
		}
		for _, action := range m.actions {
			list = append(list, example{m.from + " as " + action, from.event, with(from.payload, "action", `"`+action+`"`)})
		}
	}
	return list
}

func with(payload map[string]json.RawMessage, key, value string) map[string]json.RawMessage {
	changed := map[string]json.RawMessage{key: json.RawMessage(value)}
	for k, v := range payload {
		if k != key {
			changed[k] = v
		}
	}
	return changed
}

// TestExamplePayloads posts every example payload that GitHub publishes to the
// door. Some lack the installation, which every delivery to an App has: the door
// may refuse those, and with it they are all accepted.
func TestExamplePayloads(t *testing.T) {
	kept := map[string]int{}
	for _, e := range examples(t) {
		inbox := &keeper{}
		door := newDoor(t, inbox, io.Discard)
		post := func() (int, string) {
			body, err := json.Marshal(e.payload)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			door.ServeHTTP(w, delivery(e.event, string(body)))
			return w.Code, w.Body.String()
		}
		if e.payload["installation"] == nil {
			if code, said := post(); code != http.StatusAccepted && code != http.StatusBadRequest {
				t.Errorf("%s, without an installation: answered %d %q", e.name, code, said)
			}
			e.payload["installation"] = json.RawMessage(`{"id":5,"node_id":"MDIz"}`)
		}
		if code, said := post(); code != http.StatusAccepted {
			t.Errorf("%s: answered %d %q", e.name, code, said)
		}
		kept[e.event] += len(inbox.accepted)
	}
	for _, event := range []string{"pull_request", "pull_request_review", "check_suite", "merge_group", "label", "member", "team"} {
		if kept[event] == 0 {
			t.Errorf("no example of %s was kept", event)
		}
	}
}
