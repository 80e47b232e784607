package site_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/githubsim/site"
)

const policyPath = ".github/policy.yml"

// scene is a simulated GitHub with the site in front, and a browser without scripts.
type scene struct {
	t      *testing.T
	sim    *githubsim.Sim
	shop   *githubsim.Repository
	app    *githubsim.App
	client *http.Client

	installation *githubsim.Installation
}

// newScene has ann and bob, who may write, and rob, who may only read. main demands nothing unless the test adds rules.
func newScene(t *testing.T) *scene {
	t.Helper()
	sim, err := githubsim.Start(githubsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, sim: sim, client: &http.Client{Jar: jar}}
	t.Cleanup(func() { s.client.CloseIdleConnections(); sim.Close() })
	acme := sim.CreateOrganization("acme")
	people := []*githubsim.User{sim.CreateUser("ann"), sim.CreateUser("bob"), sim.CreateUser("rob")}
	acme.CreateTeam("security", people[1])
	s.shop = acme.CreateRepository("shop", map[string]string{"README.md": "# Shop\n\nOld words.\n", policyPath: "version: 1\n"})
	s.shop.SetRole(people[0], "write")
	s.shop.SetRole(people[1], "write")
	s.app = sim.CreateApp(githubsim.AppSpec{Slug: "gate", Permissions: map[string]string{"checks": "write"}})
	s.installation = s.app.Install(acme)
	sim.ServePages(site.New(site.Options{
		Sim: sim, Home: s.shop, People: people, About: "# About <script>alert(1)</script>", Policy: policyPath, Commands: []string{"/approve"},
		Stories: []site.Story{{
			Title: "A story", Scene: "version: 2\n", As: "bob", Branch: "tale", Name: "Tell a tale", Files: map[string]string{"tale.md": "Once.\n"},
			Steps: []site.Step{{Says: "bob tells it.", State: "success", Check: "fine", Merge: true}, {Says: "The end.", State: "failure", Check: "over"}},
		}},
		Settle: func(ctx context.Context) error { return sim.WaitForDeliveries(ctx) },
	}))
	return s
}

// answer is a page, or what came instead.
type answer struct {
	t      *testing.T
	status int
	path   string // where the redirects ended
	body   string
}

func (s *scene) get(path string) answer {
	s.t.Helper()
	return s.send(http.MethodGet, path, nil, nil)
}

// post sends a form as somebody; pairs are fields and values.
func (s *scene) post(as, path string, pairs ...string) answer {
	s.t.Helper()
	form := url.Values{"as": {as}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return s.send(http.MethodPost, path, form, nil)
}

func (s *scene) send(method, path string, form url.Values, header map[string]string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.sim.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	if host := header["Host"]; host != "" {
		r.Host = host
	}
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{s.t, response.StatusCode, response.Request.URL.RequestURI(), string(body)}
}

// shows fails the test unless the answer has this status and these texts.
func (a answer) shows(status int, texts ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("%s answered %d, want %d", a.path, a.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Errorf("%s does not show %q:\n%s", a.path, text, content(a.body))
		}
	}
	return a
}

func (a answer) hides(texts ...string) {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Errorf("%s shows %q", a.path, text)
		}
	}
}

// content is the page without its head.
func content(body string) string {
	_, main, _ := strings.Cut(body, "<main")
	return main
}

// opened opens pull request 1 by ann.
func (s *scene) opened() *githubsim.PullRequest {
	s.t.Helper()
	ann := s.sim.User("ann")
	if _, err := s.shop.Push(ann, "topic", githubsim.Commit{Message: "New words", Files: map[string]string{"README.md": "# Shop\n\nNew words.\n"}}); err != nil {
		s.t.Fatal(err)
	}
	pr, err := s.shop.Open(ann, githubsim.PullRequestSpec{Title: "Say it anew", Head: "topic"})
	if err != nil {
		s.t.Fatal(err)
	}
	return pr
}

func TestPagesAndWhatTheyEscape(t *testing.T) {
	s := newScene(t)
	evil := `<script>alert("x")</script>`
	ann := s.sim.User("ann")
	if _, err := s.shop.Push(ann, "evil", githubsim.Commit{Message: evil, Files: map[string]string{"a&b.md": evil + "\n"}}); err != nil {
		t.Fatal(err)
	}
	pr, err := s.shop.Open(ann, githubsim.PullRequestSpec{Title: evil, Body: evil + "\n\n[x](javascript:alert(1)) **bold**", Head: "evil"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pr.Comment(ann, evil); err != nil {
		t.Fatal(err)
	}
	if err := pr.AddLabel(ann, evil); err != nil {
		t.Fatal(err)
	}
	commit := pr.HeadSHA()
	for path, text := range map[string]string{
		"/":                                     "Open now",
		"/acme/shop":                            "README.md",
		"/acme/shop/tree/evil":                  "a&amp;b.md",
		"/acme/shop/blob/" + commit + "/a&b.md": "&lt;script&gt;",
		"/acme/shop/commit/" + commit:           "&lt;script&gt;",
		"/acme/shop/pulls":                      "&lt;script&gt;",
		"/acme/shop/pull/1":                     "<strong>bold</strong>",
		"/acme/shop/pull/1/files":               "&lt;script&gt;",
		"/acme/shop/pull/1/checks":              "No check run",
		"/acme/shop/pull/1/push":                "&lt;script&gt;",
		"/acme/shop/compare":                    "README.md",
		"/acme/shop/rules":                      "version: 1",
	} {
		s.get(path).shows(http.StatusOK, text).hides("<script>alert", "javascript:alert")
	}
	s.get("/bob").shows(http.StatusOK, "Who is who")
	s.get("/orgs/acme/teams/security").shows(http.StatusOK, "Who is who")
	for _, path := range []string{"/nobody", "/acme/none", "/acme/shop/pull/9", "/acme/shop/pull/x", "/acme/shop/pull/1/none", "/acme/shop/runs/7", "/acme/shop/commit/0", "/-/none.css", "/a/b/c/d/e"} {
		s.get(path).shows(http.StatusNotFound)
	}
}

func TestStaticFilesAndHeaders(t *testing.T) {
	s := newScene(t)
	s.get("/-/style.css").shows(http.StatusOK, "prefers-color-scheme")
	s.get("/-/page.js").shows(http.StatusOK, "fetch")
	response, err := s.client.Get(s.sim.URL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", policy)
	}
}

func TestOnlyItsOwnFormsOnItsOwnHostCount(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	form := url.Values{"as": {"bob"}, "body": {"from elsewhere"}}
	for name, header := range map[string]map[string]string{
		"another site":   {"Sec-Fetch-Site": "cross-site"},
		"another origin": {"Origin": "http://evil.example"},
		"another host":   {"Host": "evil.example"},
	} {
		if got := s.send(http.MethodPost, "/acme/shop/pull/1/comment", form, header); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if got := pr.Comments(); len(got) != 0 {
		t.Errorf("there are comments: %v", got)
	}
	s.send(http.MethodPost, "/acme/shop/pull/1/comment", form, map[string]string{"Sec-Fetch-Site": "same-origin"}).shows(http.StatusOK, "from elsewhere")
}

func TestThePersonIsKept(t *testing.T) {
	s := newScene(t)
	s.opened()
	s.get("/acme/shop/pull/1").shows(http.StatusOK, "Say something as ann")
	if got := s.get("/acme/shop/pull/1?as=bob").shows(http.StatusOK, "Say something as bob"); got.path != "/acme/shop/pull/1" {
		t.Errorf("the address is %s", got.path)
	}
	s.get("/acme/shop/pull/1").shows(http.StatusOK, "Say something as bob")
	s.get("/acme/shop/pull/1?as=mallory").shows(http.StatusOK, "Say something as ann")
}
