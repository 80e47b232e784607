package app

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// lendsFrom is a world whose policy lends deploy so, on a pull request that lee has
// approved.
func lendsFrom(t *testing.T, rule string, options Options) (*testWorld, *githubsim.PullRequest) {
	t.Helper()
	tw := newTestWorldWith(t, options)
	tw.set(switchPolicy + "credentials:\n  deploy: {secret: JIT_1H_DEPLOY, ttl: 30m, tier: team-lead, " + rule + "}\n")
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.review(pr, "lee", "APPROVE")
	return tw, pr
}

// as asks GitHub with a token, as the job does that read it.
func (tw *testWorld) as(token, path string) (status int) {
	tw.report.Helper()
	request, err := http.NewRequestWithContext(tw.t.Context(), http.MethodGet, tw.github.APIURL()+path, nil)
	tw.must(err)
	request.Header.Set("Authorization", "token "+token)
	response, err := http.DefaultClient.Do(request)
	tw.must(err)
	_ = response.Body.Close()
	return response.StatusCode
}

// lastReply is what was said last on the pull request.
func lastReply(pr *githubsim.PullRequest) string {
	comments := pr.Comments()
	if len(comments) == 0 {
		return ""
	}
	return comments[len(comments)-1].Body
}

// TestAnInstallationTokenIsLentAndEndsAfterARestart lends one, and has another process
// end it, which knows of it only what is in the database.
func TestAnInstallationTokenIsLentAndEndsAfterARestart(t *testing.T) {
	t.Parallel()
	tw, pr := lendsFrom(t, `provider: installation-token, scope: ["contents:read"]`, atOnce)
	stall := tw.acme.CreateRepository("stall", map[string]string{"README.md": "x\n"})
	stall.SetPrivate(true)
	tw.comment(pr, "ann", "/credential issue deploy")
	token := tw.shop.Secrets()["JIT_1H_DEPLOY"]
	if !strings.HasPrefix(token, "ghs_") {
		t.Fatalf("no token; %s", lastReply(pr))
	}
	for path, want := range map[string]int{
		"repos/acme/shop/contents/README.md": http.StatusOK, "repos/acme/stall/contents/README.md": http.StatusNotFound, "repos/acme/shop/pulls": http.StatusForbidden,
	} {
		if got := tw.as(token, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	tw.must(tw.server.Stop(t.Context()))
	files, err := filepath.Glob(strings.TrimPrefix(tw.database, "sqlite:") + "*")
	tw.must(err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		tw.must(err)
		if bytes.Contains(content, []byte(token[:60])) {
			t.Errorf("the token is in %s", filepath.Base(file))
		}
	}
	tw.must(tw.serve(t.Context()))
	if got := tw.as(token, "repos/acme/shop/contents/README.md"); got != http.StatusOK {
		t.Errorf("after a restart: %d", got)
	}
	tw.comment(pr, "ann", "/credential revoke deploy")
	if got := tw.as(token, "repos/acme/shop/contents/README.md"); got != http.StatusUnauthorized {
		t.Errorf("after it was revoked: %d", got)
	}
	if left := tw.shop.Secrets(); len(left) != 0 {
		t.Errorf("after it was revoked: %v", left)
	}
	if strings.Contains(tw.log.String(), "ghs_") {
		t.Error("the token is in the log")
	}
}

// TestASecretIsLentIntoAnEnvironment lends what is kept elsewhere, and nothing else of
// the environment. Whoever asks is told what cannot be taken back.
func TestASecretIsLentIntoAnEnvironment(t *testing.T) {
	t.Parallel()
	options := atOnce
	options.environ = func() []string {
		return []string{"GITHUB_APP_PRIVATE_KEY=key", "PORTCULLIS_SECRET_DB_PASSWORD=of the database"}
	}
	tw, pr := lendsFrom(t, "provider: lend, source: db-password, environment: production", options)
	production := tw.shop.CreateEnvironment("production")
	tw.comment(pr, "ann", "/credential issue deploy")
	if got := production.Secrets()["JIT_1H_DEPLOY"]; got != "of the database" || len(tw.shop.Secrets()) != 0 {
		t.Fatalf("lent %q; %s", got, lastReply(pr))
	}
	wantText(t, lastReply(pr), "cannot be taken back once it is lent: change it at its source afterwards.")
	tw.comment(pr, "ann", "/credential revoke deploy")
	if left := production.Secrets(); len(left) != 0 {
		t.Errorf("after it was revoked: %v", left)
	}
}

// TestWhatAnApproverOfALoanIsTold has a job wait for a secret that cannot be taken back.
func TestWhatAnApproverOfALoanIsTold(t *testing.T) {
	t.Parallel()
	options := atOnce
	options.environ = func() []string { return []string{"PORTCULLIS_SECRET_DB_PASSWORD=x"} }
	tw := newTestWorldWith(t, options)
	tw.set(switchPolicy + "credentials:\n  deploy: {secret: JIT_1H_DEPLOY, ttl: 30m, tier: team-lead, provider: lend, source: db-password, environment: production}\n")
	production := tw.shop.CreateEnvironment("production")
	production.Protect(tw.hook)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	job := pr.StartWorkflowRun(tw.github.User("ann")).StartJob("deploy", "production")
	tw.settled()
	if said := job.Comments(); job.Status() != "waiting" || len(said) != 1 || !strings.Contains(said[0], "it cannot be taken back once it is lent") {
		t.Fatalf("the job is %s and was told %q", job.Status(), said)
	}
	tw.review(pr, "lee", "APPROVE")
	if job.Secret("JIT_1H_DEPLOY") != "x" {
		t.Errorf("the job is %s and was told %q", job.Status(), job.Comments())
	}
}

// TestALeaseAtVaultIsLentAndRevoked lends two fields of one, and has another process end
// it. What Vault says is tested in credential/vault.
func TestALeaseAtVaultIsLentAndRevoked(t *testing.T) {
	t.Parallel()
	var revoked atomic.Value
	answers := http.NewServeMux()
	answers.HandleFunc("POST /v1/auth/approle/login", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"auth":{"client_token":"hvs.x","lease_duration":3600}}`)
	})
	answers.HandleFunc("GET /v1/database/creds/deploy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"lease_id":"database/creds/deploy/1","lease_duration":3600,"data":{"username":"u","password":"p"}}`)
	})
	answers.HandleFunc("PUT /v1/sys/leases/revoke", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		revoked.Store(string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	server := httptest.NewServer(answers)
	defer server.Close()
	tw, pr := lendsFrom(t, `provider: vault, source: "database/creds/deploy#username,password"`, atOnce)
	tw.must(tw.server.Stop(t.Context()))
	tw.vault = VaultConfig{Address: server.URL, RoleID: "r", SecretID: "s"}
	tw.must(tw.serve(t.Context()))
	tw.comment(pr, "ann", "/credential issue deploy")
	if got := tw.shop.Secrets(); got["JIT_1H_DEPLOY_USERNAME"] != "u" || got["JIT_1H_DEPLOY_PASSWORD"] != "p" || len(got) != 2 {
		t.Fatalf("lent %v; %s", got, lastReply(pr))
	}
	wantText(t, lastReply(pr), "the repository secret `JIT_1H_DEPLOY_USERNAME`, `JIT_1H_DEPLOY_PASSWORD`")
	tw.must(tw.server.Stop(t.Context()))
	tw.must(tw.serve(t.Context()))
	tw.comment(pr, "ann", "/credential revoke deploy")
	if got := revoked.Load(); got != `{"lease_id":"database/creds/deploy/1","sync":true}` || len(tw.shop.Secrets()) != 0 {
		t.Errorf("revoked %v, left %v", got, tw.shop.Secrets())
	}
}

// TestWhatCannotBeMadeIsAnswered asks for what this server cannot make.
func TestWhatCannotBeMadeIsAnswered(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		`provider: vault, source: "database/creds/deploy#password"`:                "The provider vault is not configured on this server.",
		`provider: lend, source: db-password, environment: production`:             "The credential deploy could not be lent: make it: read what is lent: there is no such secret: \"db-password\"; ask again.",
		`provider: installation-token, scope: ["packages:write", "contents:read"]`: "with contents:read and packages:write, which the App must have itself: GitHub answered 422; ask again.",
	} {
		t.Run(rule, func(t *testing.T) {
			options := atOnce
			options.environ = func() []string { return nil }
			tw, pr := lendsFrom(t, rule, options)
			production := tw.shop.CreateEnvironment("production")
			tw.comment(pr, "ann", "/credential issue deploy")
			wantText(t, lastReply(pr), want)
			if n := len(tw.shop.Secrets()) + len(production.Secrets()); n != 0 {
				t.Errorf("%d secrets", n)
			}
		})
	}
}

// TestAWriteThatFailsIsAnswered: whoever asks is told at once that GitHub failed, and is
// lent something when they ask again.
func TestAWriteThatFailsIsAnswered(t *testing.T) {
	t.Parallel()
	tw, pr := lendsFrom(t, "provider: opaque", atOnce)
	tw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/secrets/public-key$`), Status: http.StatusBadGateway, Times: 1})
	tw.comment(pr, "ann", "/credential issue deploy")
	wantText(t, lastReply(pr), "@ann The credential deploy could not be lent: write JIT_1H_DEPLOY of acme/shop: fetch the key: read the public key of acme/shop: GitHub answered 502; ask again.")
	tw.comment(pr, "ann", "/credential issue deploy")
	if tw.shop.Secrets()["JIT_1H_DEPLOY"] == "" {
		t.Errorf("nothing was lent: %s", lastReply(pr))
	}
}
