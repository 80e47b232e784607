package contract_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim/contract"
)

func webhooks(t *testing.T) *contract.Webhooks {
	t.Helper()
	w, err := contract.WebhooksFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if w == nil {
		t.Skipf("NOT JUDGED: no test holds webhooks to GitHub's schemas; %s does not say where they are (.ci/run fetches them)", contract.WebhookSchemasVariable)
	}
	return w
}

// examples are GitHub's example payloads by event.
func examples(t *testing.T) map[string][]json.RawMessage {
	t.Helper()
	file := os.Getenv(contract.WebhookExamplesVariable)
	if file == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set; .ci/run sets it", contract.WebhookExamplesVariable)
		}
		t.Skipf("NOT JUDGED: GitHub's example payloads are not at hand; %s does not say where they are (.ci/run fetches them)", contract.WebhookExamplesVariable)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var events []struct {
		Name     string
		Examples []json.RawMessage
	}
	if err := json.Unmarshal(content, &events); err != nil {
		t.Fatal(err)
	}
	byName := map[string][]json.RawMessage{}
	for _, e := range events {
		byName[e.Name] = e.Examples
	}
	return byName
}

// since are properties that are newer than some of the examples, or that have
// another form now.
var since = []string{"has_discussions", "verified_at", "disabled", "app_slug", "created_at", "updated_at"}

// TestExamplesPass holds both judges to GitHub's own examples: they must not find
// fault with what GitHub sends. The first example of an event is mostly of 2019
// and outdated.
func TestExamplesPass(t *testing.T) {
	closed, newest, byName := webhooks(t), judge(t), examples(t)
	passed := 0
	for _, event := range []string{
		"check_run", "check_suite", "create", "delete", "installation", "issue_comment", "issues", "label", "member", "membership", "merge_group",
		"organization", "ping", "pull_request", "pull_request_review", "push", "repository", "status", "team",
	} {
		for i, payload := range byName[event] {
			if i == 0 || strings.Contains(string(payload), `"rerequested"`) {
				continue // those of check_run.rerequested are all as old
			}
			passed++
			found := closed.Judge(event, payload)
			for _, v := range newest.Webhook(event, payload) {
				if last := v.Where[strings.LastIndex(v.Where, "/")+1:]; !slices.Contains(since, last) {
					found = append(found, v)
				}
			}
			for _, v := range found {
				t.Errorf("example %d: %s", i, v)
			}
		}
	}
	if passed < 100 {
		t.Errorf("only %d examples were looked at", passed)
	}
}

func TestWebhooks(t *testing.T) {
	closed, newest := webhooks(t), judge(t)
	good := string(examples(t)["label"][1])
	for _, c := range []struct {
		name, event, payload        string
		where                       string
		byTheClosed, byTheNewestOne bool
	}{
		{"an example", "label", good, "", false, false},
		{"a property that is missing", "label", strings.Replace(good, `"color"`, `"x"`, 1), "body /label/color", true, true},
		{"an invented property", "label", strings.Replace(good, `"color"`, `"hue":1,"color"`, 1), "body /label/hue", true, false},
		{"a number in words", "label", strings.Replace(good, `"sender":`, `"sender":{"id":"one"},"x":`, 1), "body /sender/id", true, true},
		{"an action that does not exist", "label", strings.Replace(good, `"created"`, `"painted"`, 1), "event", true, true},
		{"an event that does not exist", "gate", good, "event", true, true},
		{"an event without a schema", "repository_ruleset", `{"action":"created"}`, "body /repository_ruleset", false, true},
		{"no JSON", "label", `{"action":`, "body", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect := func(flagged bool) string {
				if flagged {
					return c.where
				}
				return ""
			}
			holds(t, closed.Judge(c.event, []byte(c.payload)), contract.Webhook, expect(c.byTheClosed))
			holds(t, newest.Webhook(c.event, []byte(c.payload)), contract.Webhook, expect(c.byTheNewestOne))
		})
	}
}
