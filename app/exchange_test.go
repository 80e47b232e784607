package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// exchangePolicy lends to any job, and to those of an environment.
const exchangePolicy = switchPolicy + `credentials:
  deploy:  {secret: JIT_1H_DEPLOY, scope: ["deploy:staging", "deploy:production"], ttl: 30m, tier: team-lead}
  release: {secret: JIT_1H_RELEASE, environment: production, ttl: 10m, tier: team-lead}
  git:     {secret: JIT_1H_GIT, provider: installation-token, scope: ["contents:read"], ttl: 1h, tier: team-lead}
  db:      {secret: JIT_1H_DB, provider: lend, source: db-password, environment: production, ttl: 10m, tier: team-lead}
`

const wantsDeploy, wantsRelease = `{"credential": "deploy"}`, `{"credential": "release"}`

// exchanges is a world in which lee, a lead, has approved ann's change.
func exchanges(t *testing.T) (*testWorld, *githubsim.PullRequest) {
	t.Helper()
	tw := newTestWorld(t)
	tw.set(exchangePolicy)
	for _, environment := range []string{"production", "staging"} {
		tw.shop.CreateEnvironment(environment)
	}
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.review(pr, "lee", "APPROVE")
	return tw, pr
}

// exchanged is the answer to an exchange.
type exchanged struct {
	status int
	header http.Header
	text   string
	Token  string    `json:"token"`
	ID     string    `json:"id"`
	Scope  []string  `json:"scope"`
	Until  time.Time `json:"expires_at"`
	Waits  bool      `json:"waits"`
}

// exchange shows an id-token to the server.
func (tw *testWorld) exchange(token, wish string) exchanged {
	tw.report.Helper()
	request, err := http.NewRequestWithContext(tw.t.Context(), http.MethodPost, tw.server.URL()+"/api/v1/exchange", strings.NewReader(wish))
	tw.must(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	tw.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	tw.must(err)
	answer := exchanged{status: response.StatusCode, header: response.Header, text: string(body)}
	tw.must(json.Unmarshal(body, &answer))
	if answer.header.Get("Cache-Control") != "no-store" {
		tw.report.Errorf("the answer may be kept: %v", answer.header)
	}
	return answer
}

// idToken is an id-token for a new job of the run.
func (tw *testWorld) idToken(run *githubsim.WorkflowRun, environment string) string {
	tw.report.Helper()
	token, err := run.StartJob("deploy", environment).PermitIDToken().IDToken(demoAudience)
	tw.must(err)
	return token
}

// altered is the token with other claims, signed with the issuer's own key: what GitHub
// would say of another job.
func (tw *testWorld) altered(token string, claims jwt.MapClaims) string {
	tw.report.Helper()
	return tw.signed(token, claims, jwt.SigningMethodRS256, tw.github.IssuerKey())
}

// signed is the token with other claims, signed by anybody.
func (tw *testWorld) signed(token string, claims jwt.MapClaims, method jwt.SigningMethod, key any) string {
	tw.report.Helper()
	all := jwt.MapClaims{}
	read, _, err := jwt.NewParser().ParseUnverified(token, all)
	tw.must(err)
	maps.Copy(all, claims)
	made := jwt.NewWithClaims(method, all)
	made.Header["kid"] = read.Header["kid"]
	text, err := made.SignedString(key)
	tw.must(err)
	return text
}

func TestAJobIsLentACredentialForItsIDToken(t *testing.T) {
	t.Parallel()
	tw, pr := exchanges(t)
	run := pr.StartWorkflowRun(tw.github.User("ann"))
	token := tw.idToken(run, "")

	lent := tw.exchange(token, `{"credential": "deploy", "ttl": "PT10M", "scope": ["deploy:staging"]}`)
	if lent.status != http.StatusOK || lent.Token == "" || strings.Join(lent.Scope, " ") != "deploy:staging" || time.Until(lent.Until) > 10*time.Minute {
		t.Fatalf("%d %s", lent.status, lent.text)
	}
	wantText(t, tw.introspect(lent.Token), `"active":true`, `"scope":"deploy:staging"`, lent.ID)
	if stored := tw.shop.Secrets(); len(stored) != 0 {
		t.Errorf("GitHub stores %v", stored)
	}
	again := tw.exchange(token, wantsDeploy)
	if again.status != http.StatusConflict || again.Token != "" {
		t.Errorf("shown again: %d %s", again.status, again.text)
	}

	job := run.StartJob("release", "Production").PermitIDToken()
	token, err := job.IDToken(demoAudience)
	tw.must(err)
	released := tw.exchange(token, wantsRelease)
	wantText(t, tw.introspect(released.Token), `"active":true`)
	run.Complete("success")
	tw.settled()
	for _, token := range []string{lent.Token, released.Token} {
		if got := tw.introspect(token); got != `{"active":false}` {
			t.Errorf("after the run: %s", got)
		}
	}
	for _, secret := range []string{token, lent.Token, released.Token} {
		if strings.Contains(tw.log.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}

// What another provider makes is handed over and taken back in the same way.
func TestAJobIsLentAnInstallationToken(t *testing.T) {
	tw, pr := exchanges(t)
	run := pr.StartWorkflowRun(tw.github.User("ann"))
	lent := tw.exchange(tw.idToken(run, ""), `{"credential": "git"}`)
	reads := func() int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tw.github.APIURL()+"repos/acme/shop/contents/README.md", nil)
		tw.must(err)
		request.Header.Set("Authorization", "Bearer "+lent.Token)
		response, err := http.DefaultClient.Do(request)
		tw.must(err)
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode
	}
	if got := reads(); lent.status != http.StatusOK || got != http.StatusOK {
		t.Errorf("%d, and GitHub answers %d", lent.status, got)
	}
	run.Complete("success")
	tw.settled()
	if got := reads(); got != http.StatusUnauthorized {
		t.Errorf("after the run GitHub answers %d", got)
	}
}

// Of a token that is not valid nobody learns why.
func TestIDTokensThatAreNotValid(t *testing.T) {
	t.Parallel()
	tw, pr := exchanges(t)
	token := tw.idToken(pr.StartWorkflowRun(tw.github.User("ann")), "")
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	tw.must(err)
	public, err := x509.MarshalPKIXPublicKey(&tw.github.IssuerKey().PublicKey)
	tw.must(err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	now := time.Now()
	parts := strings.Split(token, ".")
	forged := strings.Split(tw.altered(token, jwt.MapClaims{"actor_id": "1"}), ".")

	first := ""
	for name, bad := range map[string]string{
		"none":                           "",
		"no token":                       "hello",
		"another audience":               tw.altered(token, jwt.MapClaims{"aud": "https://github.com/acme"}),
		"another issuer":                 tw.altered(token, jwt.MapClaims{"iss": "https://token.actions.githubusercontent.com"}),
		"expired":                        tw.altered(token, jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()}),
		"without an end":                 tw.altered(token, jwt.MapClaims{"exp": nil}),
		"not valid yet":                  tw.altered(token, jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}),
		"issued in the future":           tw.altered(token, jwt.MapClaims{"iat": now.Add(time.Minute).Unix()}),
		"without a time of issue":        tw.altered(token, jwt.MapClaims{"iat": nil}),
		"no algorithm":                   tw.signed(token, nil, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"HS256 with the public key":      tw.signed(token, nil, jwt.SigningMethodHS256, publicPEM),
		"RS512":                          tw.signed(token, nil, jwt.SigningMethodRS512, tw.github.IssuerKey()),
		"another key":                    tw.signed(token, nil, jwt.SigningMethodRS256, other),
		"other claims, signature kept":   parts[0] + "." + forged[1] + "." + parts[2],
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"a run that is no number":        tw.altered(token, jwt.MapClaims{"run_id": "*"}),
		"no run":                         tw.altered(token, jwt.MapClaims{"run_id": nil}),
		"a repository that is no number": tw.altered(token, jwt.MapClaims{"repository_id": 0}),
	} {
		got := tw.exchange(bad, wantsDeploy)
		if first == "" {
			first = got.text
		}
		if got.status != http.StatusUnauthorized || got.text != first || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	if got := tw.exchange(token, wantsDeploy); got.status != http.StatusOK {
		t.Errorf("the token itself: %d %s", got.status, got.text)
	}
}

// What is refused of a good token, and why.
func TestWhatIsNotLentForAnIDToken(t *testing.T) {
	t.Parallel()
	tw, pr := exchanges(t)
	ann := tw.github.User("ann")
	run := pr.StartWorkflowRun(ann)
	token := tw.idToken(run, "")
	with := func(claims jwt.MapClaims) string { return tw.altered(token, claims) }
	waiting := tw.opened("ann", "later", map[string]string{"README.md": "# Later\n"})
	tw.push("alone", map[string]string{"README.md": "# Alone\n"})
	_, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: "again", Head: "typo", Base: "alone"})
	tw.must(err)
	ended := pr.StartWorkflowRun(ann)
	endedToken := tw.idToken(ended, "")
	ended.Complete("success")
	outsider := tw.github.CreateUser("eve")
	fork := tw.shop.Fork(outsider)
	_, err = fork.Push(outsider, "main", githubsim.Commit{Message: "theirs", Files: map[string]string{"README.md": "theirs"}})
	tw.must(err)
	theirs, err := tw.shop.Open(outsider, githubsim.PullRequestSpec{Title: "theirs", Head: "eve:main"})
	tw.must(err)
	tw.settled()

	for _, c := range []struct{ name, token, wish, why string }{
		{"another repository of that name", with(jwt.MapClaims{"repository_id": "7"}), wantsDeploy, "the App is not installed in acme/shop"},
		{"another owner of that name", with(jwt.MapClaims{"repository_owner_id": "7"}), wantsDeploy, "the App is not installed in acme/shop"},
		{"a fork's repository", with(jwt.MapClaims{"repository": "eve/shop", "repository_id": strconv.FormatInt(fork.ID(), 10), "repository_owner_id": strconv.FormatInt(outsider.ID(), 10)}), wantsDeploy, "the App is not installed in eve/shop"},
		{"a pull request from a fork", with(jwt.MapClaims{"run_id": strconv.FormatInt(theirs.StartWorkflowRun(outsider).ID(), 10), "ref": fmt.Sprintf("refs/pull/%d/merge", theirs.Number())}), wantsDeploy, "nothing is lent to a pull request from a fork"},
		{"pull_request_target", with(jwt.MapClaims{"event_name": "pull_request_target"}), wantsDeploy, "has the rights of the default branch"},
		{"workflow_run", with(jwt.MapClaims{"event_name": "workflow_run"}), wantsDeploy, "has the rights of the default branch"},
		{"an event that was another", with(jwt.MapClaims{"event_name": "push"}), wantsDeploy, "started by pull_request, and not by push"},
		{"another attempt", with(jwt.MapClaims{"run_attempt": "2"}), wantsDeploy, "its run has ended"},
		{"a run that has ended", endedToken, wantsDeploy, "its run has ended"},
		{"no such run", with(jwt.MapClaims{"run_id": "1"}), wantsDeploy, "its run has ended"},
		{"another pull request's number", with(jwt.MapClaims{"ref": fmt.Sprintf("refs/pull/%d/merge", waiting.Number())}), wantsDeploy, "and the pull request's head is"},
		{"a branch on no pull request", tw.idToken(tw.shop.StartWorkflowRun(ann, "alone"), ""), wantsDeploy, "not the head of an open pull request"},
		{"the default branch", tw.idToken(tw.shop.StartWorkflowRun(ann, "main"), ""), wantsDeploy, "not the head of an open pull request"},
		{"a branch on two", tw.idToken(tw.shop.StartWorkflowRun(ann, "typo"), ""), wantsDeploy, "on the head of 2 open pull requests"},
		{"a job of no environment", token, wantsRelease, "lent to jobs of the environment production, and this one has none"},
		{"a job of another environment", tw.idToken(run, "staging"), wantsRelease, "and this one is of staging"},
		{"what cannot be taken back", tw.idToken(run, "production"), `{"credential": "db"}`, "cannot be taken back, and goes only into a secret"},
		{"too long", token, `{"credential": "deploy", "ttl": "1h"}`, "longer than the policy allows; ask for at most 30m"},
		{"another scope", token, `{"credential": "deploy", "scope": ["deploy:all"]}`, "the policy does not allow the scope"},
		{"no scope", token, `{"credential": "deploy", "scope": []}`, "asked for nothing"},
		{"another credential", token, `{"credential": "password"}`, "it names db, deploy, git, release"},
	} {
		got := tw.exchange(c.token, c.wish)
		if got.status != http.StatusForbidden || got.Waits || !strings.Contains(got.text, c.why) {
			t.Errorf("%s: %d %s, want %q", c.name, got.status, got.text, c.why)
		}
	}
	for name, wish := range map[string]string{
		"no JSON": `credential=deploy`, "an unknown field": `{"credential": "deploy", "audience": "x"}`, "no credential": `{}`, "two": wantsDeploy + wantsDeploy,
		"no name": `{"credential": "De Ploy"}`, "too much": `{"credential": "deploy", "ttl": "` + strings.Repeat("1", 9000) + `m"}`,
	} {
		if got := tw.exchange(token, wish); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	if got := tw.exchange(tw.idToken(waiting.StartWorkflowRun(ann), ""), wantsDeploy); got.status != http.StatusForbidden || !got.Waits || !strings.Contains(got.text, "acme/leads") {
		t.Errorf("not approved: %d %s", got.status, got.text)
	}

	// Nothing of all that used the token up; a push does, and so does a kill switch.
	if got := tw.exchange(token, wantsDeploy); got.status != http.StatusOK {
		t.Errorf("the token itself: %d %s", got.status, got.text)
	}
	tw.halts(tw.shop, "bob", "Stop", switchLabel)
	if got := tw.exchange(tw.idToken(run, "Production"), wantsRelease); got.status != http.StatusForbidden || !got.Waits || !strings.Contains(got.text, "stopped (acme/shop) by bob") {
		t.Errorf("while a kill switch is on: %d %s", got.status, got.text)
	}
	tw.push("typo", map[string]string{"README.md": "# A shop\n"})
	if got := tw.exchange(tw.idToken(run, ""), wantsDeploy); got.status != http.StatusForbidden {
		t.Errorf("on an old head: %d %s", got.status, got.text)
	}
}

// What cannot be judged is not lent, and says when to come back.
func TestAnExchangeThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	tw, pr := exchanges(t)
	token := tw.idToken(pr.StartWorkflowRun(tw.github.User("ann")), "")
	runs := tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/actions/runs/\d+$`), Status: http.StatusInternalServerError})
	if got := tw.exchange(token, wantsDeploy); got.status != http.StatusServiceUnavailable {
		t.Errorf("without a word on the run: %d %s", got.status, got.text)
	}
	runs()
	tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/actions/runs/\d+$`), Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "30"}})
	got := tw.exchange(token, wantsDeploy)
	if wait, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != http.StatusTooManyRequests || err != nil || wait < 1 {
		t.Errorf("at GitHub's limits: %d %v %s", got.status, got.header, got.text)
	}
}

// Without an audience any token would be for this server: nothing is exchanged then.
func TestNothingIsExchangedWithoutAnAudience(t *testing.T) {
	t.Parallel()
	config := defaultConfig()
	config.GitHub.App.IntegrationID, config.GitHub.App.WebhookSecret, config.GitHub.App.PrivateKey = 7, demoSecret, testKey()
	config.Database.URL = "sqlite::memory:"
	server, err := New(t.Context(), config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(t.Context()) }()
	w := httptest.NewRecorder()
	server.server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/exchange", strings.NewReader(wantsDeploy)))
	if w.Code != http.StatusNotFound {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}
