package githubsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// Deliveries are signed and labelled as GitHub's, and a real client parses them.
func TestDeliveryOnTheWire(t *testing.T) {
	w := newWorld(t)
	hook := w.receive(w.app)
	p := w.pull("topic")
	_, err := p.Review(w.bob, "APPROVE", "fine")
	must(t, err)
	w.wait()
	seen := map[string]bool{}
	for i, req := range hook.list() {
		must(t, github.ValidateSignature(req.Header.Get("X-Hub-Signature-256"), hook.body[i], []byte("s3cret")))
		must(t, github.ValidateSignature(req.Header.Get("X-Hub-Signature"), hook.body[i], []byte("s3cret")))
		event := req.Header.Get("X-GitHub-Event")
		if _, err := github.ParseWebHook(event, hook.body[i]); err != nil {
			t.Errorf("%s: %v", event, err)
		}
		guid := req.Header.Get("X-GitHub-Delivery")
		if len(guid) != 36 || seen[guid] {
			t.Errorf("GUID %q is no GUID or not new", guid)
		}
		seen[guid] = true
		equal(t, "target", req.Header.Get("X-GitHub-Hook-Installation-Target-ID"), fmt.Sprint(w.app.ID()))
		equal(t, "target type", req.Header.Get("X-GitHub-Hook-Installation-Target-Type"), "integration")
		equal(t, "agent", strings.HasPrefix(req.UserAgent(), "GitHub-Hookshot/"), true)
	}
	if len(seen) < 4 {
		t.Fatalf("only %d deliveries", len(seen))
	}
	for _, d := range w.sim.Deliveries() {
		if d.Attempts == 1 {
			equal(t, "status of "+d.Event, d.StatusCode, 202)
		}
	}
}

// Each act sends its events, with the fields that an App may rely on.
func TestPayloads(t *testing.T) {
	tests := []struct {
		name          string
		act           func(w *world, p *githubsim.PullRequest) error
		event, action string
		path          []any
		want          any
	}{
		{"opened", nothing, "pull_request", "opened", []any{"pull_request", "head", "ref"}, "topic"},
		{"mergeable is not known yet", nothing, "pull_request", "opened", []any{"pull_request", "mergeable"}, nil},
		{"installation", nothing, "installation", "created", []any{"repositories", 0, "full_name"}, "acme/castle"},
		{"synchronize", func(w *world, p *githubsim.PullRequest) error {
			_, err := w.repo.Push(w.alice, "topic", githubsim.Commit{Files: map[string]string{"x": "y"}})
			return err
		}, "pull_request", "synchronize", []any{"pull_request", "commits"}, 2.0},
		{"forced push", func(w *world, p *githubsim.PullRequest) error {
			_, err := w.repo.ForcePush(w.alice, "topic", w.repo.Head("main"), githubsim.Commit{Files: map[string]string{"x": "y"}})
			return err
		}, "push", "", []any{"forced"}, true},
		{"closed", func(w *world, p *githubsim.PullRequest) error { return p.Close(w.alice) }, "pull_request", "closed", []any{"pull_request", "merged"}, false},
		{"reopened", func(w *world, p *githubsim.PullRequest) error {
			if err := p.Close(w.alice); err != nil {
				return err
			}
			return p.Reopen(w.alice)
		}, "pull_request", "reopened", []any{"pull_request", "state"}, "open"},
		{"title", func(w *world, p *githubsim.PullRequest) error { return p.SetTitle(w.alice, "New") }, "pull_request", "edited", []any{"changes", "title", "from"}, "Change topic"},
		{"retarget", func(w *world, p *githubsim.PullRequest) error {
			w.repo.SetFiles("next", map[string]string{"n": "n"})
			return p.Retarget(w.alice, "next")
		}, "pull_request", "edited", []any{"changes", "base", "ref", "from"}, "main"},
		{"labeled has the label", label, "pull_request", "labeled", []any{"pull_request", "labels", 0, "name"}, "Security"},
		{"label created", label, "label", "created", []any{"label", "name"}, "Security"},
		{"unlabeled has it no more", func(w *world, p *githubsim.PullRequest) error {
			if err := label(w, p); err != nil {
				return err
			}
			return p.RemoveLabel(w.bob, "security")
		}, "pull_request", "unlabeled", []any{"pull_request", "labels", 0}, nil},
		{"draft", func(w *world, p *githubsim.PullRequest) error { return p.SetDraft(w.alice, true) }, "pull_request", "converted_to_draft", []any{"pull_request", "draft"}, true},
		{"review, lower case", func(w *world, p *githubsim.PullRequest) error {
			_, err := p.Review(w.bob, "REQUEST_CHANGES", "no")
			return err
		}, "pull_request_review", "submitted", []any{"review", "state"}, "changes_requested"},
		{"review edited", func(w *world, p *githubsim.PullRequest) error {
			r, err := p.Review(w.bob, "COMMENT", "one")
			if err != nil {
				return err
			}
			return p.EditReview(w.bob, r.ID, "two")
		}, "pull_request_review", "edited", []any{"changes", "body", "from"}, "one"},
		{"review dismissed", func(w *world, p *githubsim.PullRequest) error {
			r, err := p.Review(w.bob, "APPROVE", "")
			if err != nil {
				return err
			}
			return p.DismissReview(w.root, r.ID, "no")
		}, "pull_request_review", "dismissed", []any{"review", "state"}, "dismissed"},
		{"comment", comment, "issue_comment", "created", []any{"issue", "pull_request", "url"}, "*"},
		{"comment edited by another", func(w *world, p *githubsim.PullRequest) error {
			if err := comment(w, p); err != nil {
				return err
			}
			return p.EditComment(w.root, p.Comments()[0].ID, "/approve all")
		}, "issue_comment", "edited", []any{"sender", "login"}, "root"},
		{"comment deleted", func(w *world, p *githubsim.PullRequest) error {
			if err := comment(w, p); err != nil {
				return err
			}
			return p.DeleteComment(w.bob, p.Comments()[0].ID)
		}, "issue_comment", "deleted", []any{"comment", "user", "login"}, "bob"},
		{"a comment on an issue", func(w *world, p *githubsim.PullRequest) error {
			issue, err := w.repo.OpenIssue(w.bob, "Stop", "", "killswitch")
			if err != nil {
				return err
			}
			_, err = issue.Comment(w.bob, "hi")
			return err
		}, "issue_comment", "created", []any{"issue", "pull_request"}, nil},
		{"an issue labeled", func(w *world, p *githubsim.PullRequest) error {
			_, err := w.repo.OpenIssue(w.bob, "Stop", "", "killswitch")
			return err
		}, "issues", "labeled", []any{"label", "name"}, "killswitch"},
		{"team", func(w *world, p *githubsim.PullRequest) error {
			w.org.CreateTeam("leads", w.alice).Remove(w.alice)
			return nil
		}, "membership", "removed", []any{"team", "slug"}, "leads"},
		{"collaborator", func(w *world, p *githubsim.PullRequest) error {
			w.repo.SetRole(w.alice, "admin")
			return nil
		}, "member", "edited", []any{"changes", "permission", "from"}, "write"},
		{"label renamed", func(w *world, p *githubsim.PullRequest) error {
			w.repo.CreateLabel("a")
			w.repo.RenameLabel("a", "b")
			return nil
		}, "label", "edited", []any{"changes", "name", "from"}, "a"},
		{"label deleted, silently", func(w *world, p *githubsim.PullRequest) error {
			if err := label(w, p); err != nil {
				return err
			}
			w.repo.DeleteLabel("security")
			if len(p.Labels()) > 0 || slices.Contains(w.events(), "pull_request.unlabeled") {
				return fmt.Errorf("labels are %v after %v", p.Labels(), w.events())
			}
			return nil
		}, "label", "deleted", []any{"label", "name"}, "Security"},
		{"ping", func(w *world, p *githubsim.PullRequest) error {
			w.app.Ping()
			return nil
		}, "ping", "", []any{"hook", "type"}, "App"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.pull("topic")
			must(t, test.act(w, p))
			payload := w.last(test.event, test.action)
			got := at(payload, test.path...)
			if test.want == "*" && got == nil || test.want != "*" && got != test.want {
				t.Fatalf("%v is %v, want %v", test.path, got, test.want)
			}
			if test.event == "ping" {
				return
			}
			equal(t, "installation", at(payload, "installation", "id"), any(float64(w.install.ID())))
			if at(payload, "sender", "id") == nil || at(payload, "sender", "type") == nil {
				t.Fatalf("sender is %v", payload["sender"])
			}
			raw, err := json.Marshal(payload)
			must(t, err)
			_, err = github.ParseWebHook(test.event, raw)
			must(t, err)
		})
	}
}

func nothing(*world, *githubsim.PullRequest) error { return nil }

func label(w *world, p *githubsim.PullRequest) error { return p.AddLabel(w.bob, "Security") }

func comment(w *world, p *githubsim.PullRequest) error {
	_, err := p.Comment(w.bob, "/approve")
	return err
}

// An event goes only to Apps that are installed, subscribed and permitted.
func TestWhoHears(t *testing.T) {
	tests := []struct {
		name string
		spec githubsim.AppSpec
		then func(*githubsim.Installation)
		want bool
	}{
		{"subscribed and permitted", githubsim.AppSpec{Permissions: map[string]string{"pull_requests": "read"}, Events: []string{"pull_request"}}, nil, true},
		{"not subscribed", githubsim.AppSpec{Permissions: map[string]string{"pull_requests": "read"}}, nil, false},
		{"not permitted", githubsim.AppSpec{Events: []string{"pull_request"}}, nil, false},
		{"permission taken away", githubsim.AppSpec{Permissions: map[string]string{"pull_requests": "read"}, Events: []string{"pull_request"}}, func(i *githubsim.Installation) { i.SetPermission("pull_requests", "") }, false},
		{"suspended", githubsim.AppSpec{Permissions: map[string]string{"pull_requests": "read"}, Events: []string{"pull_request"}}, (*githubsim.Installation).Suspend, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.spec.Slug = "listener"
			app := w.sim.CreateApp(test.spec)
			install := app.Install(w.org)
			if test.then != nil {
				test.then(install)
			}
			w.pull("topic")
			heard := slices.ContainsFunc(w.sim.Deliveries(), func(d githubsim.Delivery) bool {
				return d.AppID == app.ID() && d.Event == "pull_request"
			})
			equal(t, "heard", heard, test.want)
		})
	}
}

// Semantic 36: deliveries may be lost, repeated, held and reordered; they are listed and sent again only when asked.
func TestDeliveryKnobs(t *testing.T) {
	comments := func(d githubsim.Delivery) bool { return d.Event == "issue_comment" }
	say := func(w *world, p *githubsim.PullRequest, texts ...string) {
		for _, text := range texts {
			_, err := p.Comment(w.bob, text)
			must(w.t, err)
		}
	}
	setup := func(t *testing.T, k githubsim.DeliveryKnobs) (*world, *receiver, *githubsim.PullRequest) {
		w := newWorld(t)
		p := w.pull("topic")
		hook := w.receive(w.app)
		w.sim.SetDeliveryKnobs(k)
		return w, hook, p
	}
	t.Run("in order", func(t *testing.T) {
		w, hook, p := setup(t, githubsim.DeliveryKnobs{})
		say(w, p, "1", "2", "3")
		w.wait()
		equal(t, "order", bodies(t, hook), "1 2 3")
	})
	t.Run("lose and redeliver", func(t *testing.T) {
		w, hook, p := setup(t, githubsim.DeliveryKnobs{Lose: comments})
		say(w, p, "1")
		w.wait()
		equal(t, "received", len(hook.list()), 0)
		list, _, err := w.asApp(w.app).Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: 1})
		must(t, err)
		lost := list[0]
		equal(t, "status", lost.GetStatusCode(), 0)
		equal(t, "event", lost.GetEvent(), "issue_comment")
		one, _, err := w.asApp(w.app).Apps.GetHookDelivery(ctx, lost.GetID())
		must(t, err)
		if !strings.Contains(string(*one.Request.RawPayload), `"created"`) {
			t.Fatalf("payload is %s", *one.Request.RawPayload)
		}
		_, _, err = w.asApp(w.app).Apps.RedeliverHookDelivery(ctx, lost.GetID())
		if _, accepted := errors.AsType[*github.AcceptedError](err); !accepted { // go-github's word for 202
			t.Fatalf("got %v, want 202", err)
		}
		w.wait()
		equal(t, "received", bodies(t, hook), "1")
		equal(t, "GUID", hook.list()[0].Header.Get("X-GitHub-Delivery"), lost.GetGUID())
	})
	t.Run("repeat", func(t *testing.T) {
		w, hook, p := setup(t, githubsim.DeliveryKnobs{Repeat: func(githubsim.Delivery) int { return 2 }})
		say(w, p, "1")
		w.wait()
		equal(t, "received", bodies(t, hook), "1 1 1")
		list := hook.list()
		equal(t, "GUID", list[0].Header.Get("X-GitHub-Delivery"), list[2].Header.Get("X-GitHub-Delivery"))
	})
	t.Run("hold and reorder", func(t *testing.T) {
		w, hook, p := setup(t, githubsim.DeliveryKnobs{Hold: comments})
		say(w, p, "1", "2", "3")
		w.wait()
		equal(t, "received", len(hook.list()), 0)
		w.sim.ReleaseHeld(func(list []githubsim.Delivery) []githubsim.Delivery {
			slices.Reverse(list)
			return list[:2]
		})
		w.wait()
		equal(t, "order", bodies(t, hook), "3 2")
		w.sim.ReleaseHeld(nil)
		w.wait()
		equal(t, "order", bodies(t, hook), "3 2 1")
	})
	t.Run("a failed one is not sent again", func(t *testing.T) {
		w, hook, p := setup(t, githubsim.DeliveryKnobs{Parallel: 4})
		hook.code = 500
		say(w, p, "1")
		w.wait()
		d := w.sim.Deliveries()
		last := d[len(d)-1]
		equal(t, "attempts", last.Attempts, 1)
		equal(t, "status", last.StatusCode, 500)
		must(t, w.sim.Redeliver(last.GUID))
		w.wait()
		equal(t, "received", len(hook.list()), 2)
		refused(t, w.sim.Redeliver("nothing"), 404, "")
	})
}

func bodies(t *testing.T, hook *receiver) string {
	t.Helper()
	hook.mu.Lock()
	defer hook.mu.Unlock()
	var list []string
	for _, raw := range hook.body {
		var event github.IssueCommentEvent
		must(t, json.Unmarshal(raw, &event))
		list = append(list, event.GetComment().GetBody())
	}
	return strings.Join(list, " ")
}

// The list of deliveries is paged with a cursor, newest first.
func TestDeliveryPages(t *testing.T) {
	w := newWorld(t)
	w.receive(w.app)
	for i := range 35 {
		w.repo.CreateLabel(fmt.Sprint(i))
	}
	w.wait()
	client := w.asApp(w.app)
	first, resp, err := client.Apps.ListHookDeliveries(ctx, nil)
	must(t, err)
	equal(t, "first page", len(first), 30)
	second, resp, err := client.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{Cursor: resp.Cursor})
	must(t, err)
	equal(t, "second page", len(second), 5)
	equal(t, "cursor at the end", resp.Cursor, "")
	if first[29].GetID() <= second[0].GetID() {
		t.Fatal("not newest first")
	}
}

// Waiting ends with its context; Close ends what is in flight.
func TestWaitAndClose(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	hook := w.receive(w.app)
	hook.mu.Lock() // the receiver cannot answer
	w.repo.CreateLabel("slow")
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := w.sim.WaitForDeliveries(short); err == nil || !strings.Contains(err.Error(), "waiting for 1 webhook deliveries") {
		t.Fatalf("got %v", err)
	}
	go func() {
		defer close(release)
		w.sim.Close()
	}()
	<-release
	hook.mu.Unlock()
	w.sim.Close()
}
