package githubsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v60/github"
	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one organization with a repository, an App that may do what Portcullis does, and four people.
type world struct {
	t       *testing.T
	sim     *githubsim.Sim
	clock   *clock
	org     *githubsim.Organization
	repo    *githubsim.Repository
	app     *githubsim.App
	install *githubsim.Installation
	gh      *github.Client // the App's installation

	alice *githubsim.User // writes code
	bob   *githubsim.User // reviews, has write
	root  *githubsim.User // admin
	eve   *githubsim.User // has nothing
}

var allPermissions = map[string]string{
	"checks": "write", "contents": "write", "pull_requests": "write", "issues": "write", "statuses": "write",
	"members": "read", "administration": "write", "merge_queues": "read", "organization_administration": "write",
}

var allEvents = []string{
	"pull_request", "pull_request_review", "issues", "issue_comment", "check_run", "check_suite", "push", "merge_group",
	"membership", "member", "team", "organization", "label", "status", "repository_ruleset", "create", "delete",
}

// clock is a wall clock that stands still until moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: time.Now()}} // ghinstallation signs with the real clock
	options, end := judged(t)
	options.Now = w.clock.Now
	sim, err := githubsim.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close(); end(sim) })
	w.sim = sim
	w.org = sim.CreateOrganization("acme")
	w.repo = w.org.CreateRepository("castle", map[string]string{"README.md": "hello\n", "src/main.go": "package main\n"})
	w.alice, w.bob, w.root, w.eve = sim.CreateUser("alice"), sim.CreateUser("bob"), sim.CreateUser("root"), sim.CreateUser("eve")
	w.repo.SetRole(w.alice, "write")
	w.repo.SetRole(w.bob, "write")
	w.repo.SetRole(w.root, "admin")
	w.app = sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", Permissions: allPermissions, Events: allEvents, WebhookSecret: "s3cret"})
	w.install = w.app.Install(w.org)
	w.gh = w.client(w.app, w.install)
	return w
}

// client is a real GitHub client of an installation.
func (w *world) client(app *githubsim.App, install *githubsim.Installation) *github.Client {
	w.t.Helper()
	transport, err := ghinstallation.New(w.transport(), app.ID(), install.ID(), []byte(app.PrivateKeyPEM()))
	must(w.t, err)
	transport.BaseURL = strings.TrimSuffix(w.sim.APIURL(), "/")
	return w.enterprise(&http.Client{Transport: transport})
}

// asApp is a real GitHub client of the App itself.
func (w *world) asApp(app *githubsim.App) *github.Client {
	w.t.Helper()
	transport, err := ghinstallation.NewAppsTransport(w.transport(), app.ID(), []byte(app.PrivateKeyPEM()))
	must(w.t, err)
	return w.enterprise(&http.Client{Transport: transport})
}

// as is a real GitHub client of a person.
func (w *world) as(u *githubsim.User) *github.Client {
	return w.enterprise(&http.Client{Transport: w.transport()}).WithAuthToken(u.Token())
}

func (w *world) transport() *http.Transport {
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func (w *world) enterprise(hc *http.Client) *github.Client {
	client, err := github.NewClient(hc).WithEnterpriseURLs(w.sim.APIURL(), w.sim.APIURL())
	must(w.t, err)
	return client
}

// pull opens a pull request by alice with one changed file.
func (w *world) pull(branch string) *githubsim.PullRequest {
	w.t.Helper()
	_, err := w.repo.Push(w.alice, branch, githubsim.Commit{Message: "Change", Files: map[string]string{branch + ".txt": "new\n"}})
	must(w.t, err)
	p, err := w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Change " + branch, Head: branch})
	must(w.t, err)
	return p
}

// check posts a completed check run as an App's installation.
func (w *world) check(client *github.Client, sha, name, conclusion string) *github.CheckRun {
	w.t.Helper()
	options := github.CreateCheckRunOptions{Name: name, HeadSHA: sha}
	if conclusion == "in_progress" || conclusion == "queued" {
		options.Status = &conclusion
	} else {
		options.Conclusion = &conclusion
	}
	run, _, err := client.Checks.CreateCheckRun(context.Background(), "acme", "castle", options)
	must(w.t, err)
	return run
}

// do sends a plain request below /api/v3 and decodes the answer into a map or a list.
func (w *world) do(method, path, authorization, body string, headers ...string) (*http.Response, any) {
	w.t.Helper()
	req, err := http.NewRequest(method, strings.TrimSuffix(w.sim.APIURL(), "/")+path, strings.NewReader(body))
	must(w.t, err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: w.transport()}).Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(w.t, err)
	var out any
	_ = json.Unmarshal(raw, &out) // some answers have no body
	return resp, out
}

func (w *world) bearer(u *githubsim.User) string { return "Bearer " + u.Token() }

// events lists the deliveries as "event.action".
func (w *world) events() []string {
	var list []string
	for _, d := range w.sim.Deliveries() {
		name := d.Event
		if d.Action != "" {
			name += "." + d.Action
		}
		list = append(list, name)
	}
	return list
}

// last is the payload of the newest delivery of an event.
func (w *world) last(event, action string) map[string]any {
	w.t.Helper()
	deliveries := w.sim.Deliveries()
	for _, deliverie := range slices.Backward(deliveries) {
		if deliverie.Event == event && deliverie.Action == action {
			return decoded(w.t, deliverie.Payload)
		}
	}
	w.t.Fatalf("no delivery %s.%s among %v", event, action, w.events())
	return nil
}

func decoded(t *testing.T, payload []byte) map[string]any {
	t.Helper()
	var out map[string]any
	must(t, json.Unmarshal(payload, &out))
	return out
}

// at digs into decoded JSON.
func at(v any, path ...any) any {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[key]
		case int:
			l, ok := v.([]any)
			if !ok || key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

// receiver is an App's webhook endpoint that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []*http.Request
	body [][]byte
	code int
}

func (w *world) receive(app *githubsim.App) *receiver {
	r := &receiver{code: http.StatusAccepted}
	r.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.body = append(r.got, req), append(r.body, body)
		rw.WriteHeader(r.code)
	}))
	w.t.Cleanup(r.Close)
	app.SetWebhookURL(r.URL)
	return r
}

func (r *receiver) list() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*http.Request{}, r.got...)
}

func (w *world) wait() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(w.t, w.sim.WaitForDeliveries(ctx))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks that an error is GitHub's "no" with a status and, if given, a part of its sentence.
func refused(t *testing.T, err error, status int, sentence string) {
	t.Helper()
	var refusal *githubsim.Refusal
	var response *github.ErrorResponse
	var limit *github.RateLimitError
	got, text := 0, ""
	switch {
	case errors.As(err, &refusal):
		got, text = refusal.Status, refusal.Error()
	case errors.As(err, &limit):
		got, text = limit.Response.StatusCode, limit.Message
	case errors.As(err, &response):
		got, text = response.Response.StatusCode, response.Error()
	}
	if got != status || !strings.Contains(text, sentence) {
		t.Fatalf("got error %v, want %d with %q", err, status, sentence)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}
