package githubsim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v4"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// read fetches a document of the issuer's, without any credentials.
func (w *world) read(address string) map[string]any {
	w.t.Helper()
	response, err := http.Get(address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s, %v", address, response.Status, err)
	}
	return out
}

// A job gets an id-token if its workflow asks for one, and anybody can check it by what the issuer publishes.
func TestIDTokens(t *testing.T) {
	w := newWorld(t)
	w.repo.CreateEnvironment("production")
	pr := w.pull("topic")
	run := pr.StartWorkflowRun(w.alice)
	job := run.StartJob("deploy", "production")
	if _, err := job.IDToken("portcullis"); err == nil {
		t.Error("a job without the permission gets a token")
	}
	token, err := job.PermitIDToken().IDToken("portcullis")
	if err != nil {
		t.Fatal(err)
	}

	found := w.read(w.sim.Issuer() + "/.well-known/openid-configuration")
	equal(t, "issuer", found["issuer"], any(w.sim.Issuer()))
	keys := w.read(found["jwks_uri"].(string))
	modulus, err := base64.RawURLEncoding.DecodeString(at(keys, "keys", 0, "n").(string))
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	parsed, err := jwt.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		equal(t, "kid", token.Header["kid"], at(keys, "keys", 0, "kid"))
		public := w.sim.IssuerKey().PublicKey
		equal(t, "modulus", public.N.Cmp(new(big.Int).SetBytes(modulus)), 0)
		return &public, nil
	}, jwt.WithValidMethods([]string{"RS256"}))
	if err != nil || !parsed.Valid {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"aud": "portcullis", "iss": w.sim.Issuer(), "repository": "acme/castle", "repository_id": fmt.Sprint(w.repo.ID()), "run_id": fmt.Sprint(run.ID()), "check_run_id": fmt.Sprint(job.ID()),
		"run_attempt": "1", "event_name": "pull_request", "ref": fmt.Sprintf("refs/pull/%d/merge", pr.Number()), "head_ref": "topic", "base_ref": "main",
		"environment": "production", "sub": "repo:acme/castle:environment:production", "actor": "alice", "actor_id": fmt.Sprint(w.alice.ID()),
	} {
		equal(t, name, claims[name], want)
	}
	if claims["sha"] == pr.HeadSHA() {
		t.Error("a run for a pull request is on the head itself, and not on the commit that merges it for a try")
	}
	equal(t, "life", claims["exp"].(float64)-claims["iat"].(float64), 300)

	run.Complete("success")
	if _, err := job.IDToken("portcullis"); err == nil {
		t.Error("a job that has ended gets a token")
	}
	pushed := w.repo.StartWorkflowRun(w.alice, "topic").StartJob("deploy", "").PermitIDToken()
	if token, err = pushed.IDToken("portcullis"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil || claims["ref"] != "refs/heads/topic" || claims["sha"] != pr.HeadSHA() {
		t.Errorf("of a push: %v %v, %v", claims["ref"], claims["sha"], err)
	}
}

// A job on a pull request from a fork gets no id-token, whatever its workflow asks for.
func TestAForkGetsNoIDToken(t *testing.T) {
	w := newWorld(t)
	fork := w.repo.Fork(w.eve)
	if _, err := fork.Push(w.eve, "main", githubsim.Commit{Message: "change", Files: map[string]string{"README.md": "theirs"}}); err != nil {
		t.Fatal(err)
	}
	pr, err := w.repo.Open(w.eve, githubsim.PullRequestSpec{Title: "theirs", Head: "eve:main"})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := pr.StartWorkflowRun(w.eve).StartJob("deploy", "").PermitIDToken().IDToken("portcullis"); err == nil {
		t.Errorf("it got one of %d bytes", len(token))
	}
}

// That a run has ended is told, and it may run again as another attempt.
func TestARunThatEnds(t *testing.T) {
	w := newWorld(t)
	app := w.sim.CreateApp(githubsim.AppSpec{Slug: "listener", Permissions: map[string]string{"actions": "read"}, Events: []string{"workflow_run"}})
	app.Install(w.org)
	run := w.repo.StartWorkflowRun(w.alice, "main")
	run.Complete("success")
	var told []string
	for _, d := range w.sim.Deliveries() {
		if d.Event == "workflow_run" {
			told = append(told, d.Action)
		}
	}
	equal(t, "told", strings.Join(told, " "), "completed")
	run.Rerun()
	one := w.must(200, w.eve, "GET", fmt.Sprintf("/repos/acme/castle/actions/runs/%d", run.ID()), "")
	equal(t, "again", fmt.Sprint(at(one, "status"), at(one, "run_attempt")), "in_progress2")
}
