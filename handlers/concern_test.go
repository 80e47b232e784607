package handlers_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	place = `"installation":{"id":5},"repository":{"id":11,"name":"shop","full_name":"acme/shop","owner":{"login":"acme"}},`
	floor = `"installation":{"id":5},"repository":{"id":12,"name":".github","full_name":"acme/.github","owner":{"login":"acme"}},`
	owner = `"installation":{"id":5},"organization":{"login":"acme"},`
	pull  = place + `"pull_request":{"number":7,"head":{"sha":"abc"},"updated_at":"2026-11-23T09:00:00Z"},`
	talk  = place + `"issue":{"number":7,"pull_request":{"url":"x"}},`
	ann   = `"sender":{"id":1,"login":"ann","type":"User"}`
	bot   = `"sender":{"id":2,"login":"bot[bot]","type":"Bot"}`
)

// Whose work a delivery is.
const (
	of7  = "acme/shop#7"
	own  = "its own"
	none = "none"
)

// concerns says for each event which pull request it is filed under; none at all
// for what cannot change a verdict.
var concerns = []struct{ name, event, body, want string }{
	{"a label", "pull_request", `{"action":"labeled",` + pull + ann + `}`, of7},
	{"a push", "pull_request", `{"action":"synchronize",` + pull + ann + `}`, of7},
	{"it becomes a draft", "pull_request", `{"action":"converted_to_draft",` + pull + ann + `}`, of7},
	{"it is a draft no more", "pull_request", `{"action":"ready_for_review",` + pull + ann + `}`, of7},
	{"an edited title", "pull_request", `{"action":"edited","changes":{"title":{"from":"x"}},` + pull + ann + `}`, none},
	{"another base branch", "pull_request", `{"action":"edited","changes":{"base":{"ref":{"from":"x"}}},` + pull + ann + `}`, of7},
	{"a person assigns", "pull_request", `{"action":"assigned",` + pull + ann + `}`, none},
	{"an agent assigns whom it works for", "pull_request", `{"action":"assigned",` + pull + bot + `}`, of7},
	{"a request for a review", "pull_request", `{"action":"review_requested",` + pull + ann + `}`, none},
	{"a review", "pull_request_review", `{"action":"submitted","review":{"id":1,"state":"approved","user":{"id":1,"login":"ann","type":"User"}},` + pull + ann + `}`, of7},
	{"a dismissal", "pull_request_review", `{"action":"dismissed","review":{"id":1,"state":"dismissed"},` + pull + ann + `}`, of7},
	{"a command", "issue_comment", `{"action":"created","comment":{"id":3,"body":"/approve","user":{"id":1,"login":"ann"}},` + talk + ann + `}`, of7},
	{"a call", "issue_comment", `{"action":"created","comment":{"body":"@bot do it"},` + talk + ann + `}`, of7},
	{"a comment without either", "issue_comment", `{"action":"created","comment":{"body":"nice"},` + talk + ann + `}`, none},
	{"an edited comment", "issue_comment", `{"action":"edited","comment":{"id":3,"body":"nice"},` + talk + ann + `}`, of7},
	{"a deleted comment", "issue_comment", `{"action":"deleted","comment":{"id":3,"body":"nice"},` + talk + ann + `}`, of7},
	{"a comment on an issue", "issue_comment", `{"action":"created","issue":{"number":7},"comment":{"body":"/approve"},` + place + ann + `}`, none},
	{"a re-run", "check_run", `{"action":"rerequested","check_run":{"external_id":"acme/shop#7"},` + place + ann + `}`, of7},
	{"a re-run of a run that is not ours", "check_run", `{"action":"rerequested","check_run":{"external_id":"build 12"},` + place + ann + `}`, none},
	{"a button pressed by a person", "check_run", `{"action":"requested_action","check_run":{"external_id":"acme/shop#7"},` + place + ann + `}`, of7},
	{"a button pressed by a bot", "check_run", `{"action":"requested_action","check_run":{"external_id":"acme/shop#7"},` + place + bot + `}`, none},
	{"our own run being written", "check_run", `{"action":"completed","check_run":{"external_id":"acme/shop#7"},` + place + bot + `}`, none},
	{"a re-run of a run without a pull request's number", "check_run", `{"action":"rerequested","check_run":{"external_id":"acme/shop#0"},` + place + ann + `}`, none},
	{"a re-run in the merge queue", "check_run", `{"action":"rerequested","check_run":{"external_id":"acme/shop#7@merge-group","check_suite":{"head_branch":"gh-readonly-queue/main/pr-7-abc"}},` + place + ann + `}`, of7},
	{"a re-run on a branch that is named like the queue's", "check_run", `{"action":"rerequested","check_run":{"external_id":"acme/shop#7","check_suite":{"head_branch":"gh-readonly-queue/main/pr-1-abc"}},` + place + ann + `}`, of7},
	{"a re-run of all checks", "check_suite", `{"action":"rerequested","check_suite":{"head_sha":"abc"},` + place + ann + `}`, own},
	{"a new suite", "check_suite", `{"action":"requested","check_suite":{"head_sha":"abc"},` + place + ann + `}`, none},
	{"a merge group", "merge_group", `{"action":"checks_requested","merge_group":{"head_sha":"abc","head_ref":"refs/heads/gh-readonly-queue/main/pr-7-abc"},` + place + ann + `}`, of7},
	{"a merge group that names no pull request", "merge_group", `{"action":"checks_requested","merge_group":{"head_sha":"abc"},` + place + ann + `}`, own},
	{"a merge group that left the queue", "merge_group", `{"action":"destroyed","merge_group":{"head_sha":"abc","head_ref":"gh-readonly-queue/main/pr-7-abc"},` + place + ann + `}`, of7},
	{"a push that touches the policy", "push", `{"ref":"refs/heads/main","commits":[{"modified":[".github/portcullis.yml"]}],` + place + ann + `}`, own},
	{"a push of something else", "push", `{"ref":"refs/heads/main","commits":[{"modified":["README.md"]}],` + place + ann + `}`, none},
	{"a forced push", "push", `{"ref":"refs/heads/main","forced":true,"commits":[{"modified":["README.md"]}],` + place + ann + `}`, own},
	{"a new branch", "push", `{"ref":"refs/heads/next","created":true,` + place + ann + `}`, none},
	{"a new branch of the organization's repository", "push", `{"ref":"refs/heads/main","created":true,` + floor + ann + `}`, own},
	{"a tag", "push", `{"ref":"refs/tags/v1","forced":true,` + place + ann + `}`, none},
	{"a branch that is gone", "push", `{"ref":"refs/heads/main","deleted":true,` + place + ann + `}`, none},
	{"a repository's settings", "repository", `{"action":"edited",` + place + ann + `}`, own},
	{"a repository's birth", "repository", `{"action":"created",` + place + ann + `}`, none},
	{"the birth of the organization's", "repository", `{"action":"created",` + floor + ann + `}`, own},
	{"the organization's gets another name", "repository", `{"action":"renamed","changes":{"repository":{"name":{"from":".github"}}},` + place + ann + `}`, own},
	{"another gets the name of the organization's", "repository", `{"action":"renamed","changes":{"repository":{"name":{"from":"shop"}}},` + floor + ann + `}`, own},
	{"another gets another name", "repository", `{"action":"renamed","changes":{"repository":{"name":{"from":"stall"}}},` + place + ann + `}`, none},
	{"a label that is renamed", "label", `{"action":"edited","changes":{"name":{"from":"x"}},"label":{"name":"y"},` + place + ann + `}`, own},
	{"a label that is gone", "label", `{"action":"deleted","label":{"name":"y"},` + place + ann + `}`, own},
	{"a new label", "label", `{"action":"created","label":{"name":"y"},` + place + ann + `}`, none},
	{"a job that waits for a word", "deployment_protection_rule", `{"action":"requested","environment":"production","deployment_callback_url":"https://x/actions/runs/3/deployment_protection_rule","deployment":{"id":4,"sha":"abc"},"pull_requests":[{"number":7,"head":{"sha":"abc"}}],` + place + ann + `}`, of7},
	{"one on no pull request", "deployment_protection_rule", `{"action":"requested","environment":"production","deployment_callback_url":"https://x/actions/runs/3/deployment_protection_rule","deployment":{"id":4,"sha":"abc"},` + place + ann + `}`, own},
	{"a job of an environment that ended", "workflow_job", `{"action":"completed","workflow_job":{"run_id":3},"deployment":{"id":4,"environment":"production"},` + place + ann + `}`, own},
	{"a job of no environment that ended, where none is handed anything", "workflow_job", `{"action":"completed","workflow_job":{"run_id":3},` + place + ann + `}`, none},
	{"a job that began", "workflow_job", `{"action":"in_progress","workflow_job":{"run_id":3},"deployment":{"id":4,"environment":"production"},` + place + ann + `}`, none},
	{"a run that ended", "workflow_run", `{"action":"completed","workflow_run":{"id":3},` + place + ann + `}`, own},
	{"a run that began", "workflow_run", `{"action":"requested","workflow_run":{"id":3},` + place + ann + `}`, none},
	{"a collaborator", "member", `{"action":"edited","member":{"id":1},` + place + ann + `}`, own},
	{"a team's member", "membership", `{"action":"removed","member":{"id":1},` + owner + ann + `}`, own},
	{"a team", "team", `{"action":"deleted","team":{"slug":"x"},` + owner + ann + `}`, own},
	{"somebody leaves the organization", "organization", `{"action":"member_removed","membership":{"user":{"id":1}},` + owner + ann + `}`, own},
	{"somebody is invited to it", "organization", `{"action":"member_invited",` + owner + ann + `}`, none},
}

func TestWhoseWorkADeliveryIs(t *testing.T) {
	for _, c := range concerns {
		t.Run(c.name, func(t *testing.T) {
			inbox, w := &keeper{}, httptest.NewRecorder()
			newDoor(t, inbox, io.Discard).ServeHTTP(w, delivery(c.event, c.body))
			if w.Code != http.StatusAccepted {
				t.Fatalf("answered %d %q", w.Code, w.Body)
			}
			got := none
			if len(inbox.refs) > 0 {
				got = own
				if inbox.refs[0].Number != 0 {
					got = inbox.refs[0].String()
				}
			}
			if got != c.want {
				t.Errorf("it is the work of %s, want %s", got, c.want)
			}
		})
	}
}

// newTaker is a door that takes deliveries too, in front of an empty database.
// GitHub is not there: facts are taken without asking it anything.
func newTaker(t testing.TB) (*handlers.Door, *keeper) {
	t.Helper()
	facts, err := store.Open(t.Context(), "sqlite::memory:", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := facts.Close(); err != nil {
			t.Error(err)
		}
	})
	inbox := &keeper{}
	door, err := handlers.New(handlers.Config{
		Secret: secret, Inbox: inbox, Switch: killswitch.NewGitHubKillSwitch(killswitch.Config{OrganizationRepository: ".github"}), Log: zerolog.Nop(), GitHub: silent{}, PolicyPath: policy.DefaultPath, OrganizationRepository: ".github",
		Gate: gate.New(gate.Config{Workflow: facts, Store: facts, GitHub: noGitHub{}, Now: time.Now, CheckName: "portcullis", PolicyPath: policy.DefaultPath}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return door, inbox
}

// silent answers nobody.
type silent struct{}

func (silent) React(context.Context, policy.Repository, int64, string) error { return nil }

func (silent) Reply(context.Context, policy.PullRequestRef, string, time.Time, string) error {
	return nil
}

// noGitHub only takes checks.
type noGitHub struct{ gate.GitHub }

func (noGitHub) PutCheck(context.Context, policy.Repository, int64, policy.Check) (int64, error) {
	return 1, nil
}

// FuzzPayload sends anything as the payload of each event, and takes what the
// door accepts. The door never falls; what it accepts can be taken, unless a part
// that it did not look at is not of the kind that GitHub sends.
func FuzzPayload(f *testing.F) {
	events := []string{}
	for i, c := range concerns {
		events = append(events, c.event)
		f.Add(i, c.body)
	}
	door, inbox := newTaker(f)
	f.Fuzz(func(t *testing.T, event int, body string) {
		name := events[uint(event)%uint(len(events))]
		w := httptest.NewRecorder()
		inbox.accepted = nil
		door.ServeHTTP(w, delivery(name, body))
		if w.Code != http.StatusAccepted && w.Code != http.StatusBadRequest {
			t.Errorf("answered %d %q", w.Code, w.Body)
		}
		if len(inbox.accepted) == 0 {
			return
		}
		answer, err := door.Take(t.Context(), name, []byte(body))
		if answer != nil && err == nil {
			err = answer(t.Context(), policy.Decision{}, nil)
		}
		if err != nil && !knownFault(err) {
			t.Errorf("%s %s: %v", name, body, err)
		}
	})
}

// knownFault is true of a payload that breaks GitHub's own description of it.
func knownFault(err error) bool {
	var invalid *gate.InvalidVoteError
	return errors.As(err, &invalid) || strings.HasPrefix(err.Error(), "parse: ")
}
