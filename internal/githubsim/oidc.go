package githubsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // git's own hash
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// issuerPath is where GitHub Enterprise Server has the issuer of id-tokens.
const issuerPath = "/_services/token"

// How long an id-token is good, and since when: GitHub's clocks differ by ten minutes.
const (
	idTokenLife  = 5 * time.Minute
	idTokenSince = 10 * time.Minute
	issuerBits   = 2048
)

// Issuer is who signs the id-tokens of jobs, as their claim iss has it.
func (s *Sim) Issuer() string { return s.URL() + issuerPath }

// IssuerKey is the key that id-tokens are signed with: with it a test makes those that GitHub would not.
func (s *Sim) IssuerKey() *rsa.PrivateKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signer()
}

// signer is the issuer's key, which is made when it is first needed.
func (s *Sim) signer() *rsa.PrivateKey {
	if s.issuerKey == nil {
		key, err := rsa.GenerateKey(rand.Reader, issuerBits)
		if err != nil {
			panic("githubsim: making a key: " + err.Error())
		}
		s.issuerKey = key
	}
	return s.issuerKey
}

// issuerKeyID names the key in id-tokens and among the published keys.
const issuerKeyID = "1F2AB83404C08EC9EA0BB99DAED02186B091DBF4"

// asksIssuer reports whether the request is for the issuer, which asks nobody who they are.
func asksIssuer(req *http.Request) bool { return strings.HasPrefix(req.URL.Path, issuerPath+"/") }

// serveIssuer is OpenID Connect discovery and the keys.
func serveIssuer(c *call) error {
	if c.req.Method != http.MethodGet {
		return notFound()
	}
	at := c.sim.base + issuerPath
	switch c.path {
	case issuerPath + "/.well-known/openid-configuration":
		return c.reply(http.StatusOK, obj{
			"issuer": at, "jwks_uri": at + "/.well-known/jwks", "subject_types_supported": []string{"public", "pairwise"},
			"response_types_supported": []string{"id_token"}, "id_token_signing_alg_values_supported": []string{"RS256"}, "scopes_supported": []string{"openid"},
			"claims_supported": []string{
				"sub", "aud", "exp", "iat", "iss", "jti", "nbf", "ref", "sha", "repository", "repository_id", "repository_owner", "repository_owner_id",
				"run_id", "run_number", "run_attempt", "actor", "actor_id", "workflow", "head_ref", "base_ref", "event_name", "ref_type", "environment",
				"job_workflow_ref", "repository_visibility", "runner_environment",
			},
		})
	case issuerPath + "/.well-known/jwks":
		key := c.sim.signer().PublicKey
		text := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
		return c.reply(http.StatusOK, obj{"keys": []obj{
			{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": issuerKeyID, "n": text(key.N), "e": text(big.NewInt(int64(key.E)))},
		}})
	}
	return notFound()
}

// PermitIDToken gives the job `permissions: id-token: write`.
func (j *Job) PermitIDToken() *Job {
	j.run.repo.sim.mu.Lock()
	defer j.run.repo.sim.mu.Unlock()
	j.mayIDToken = true
	return j
}

// IDToken is what the job gets from GitHub to show to others who it is. A job that runs has one if its workflow asks for
// the permission, which those on pull requests from forks do in vain.
func (j *Job) IDToken(audience string) (string, error) {
	s := j.run.repo.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case j.status != "in_progress":
		return "", errors.New("the job does not run")
	case !j.mayIDToken, j.run.from != j.run.repo:
		return "", errors.New("unable to get ACTIONS_ID_TOKEN_REQUEST_URL env variable")
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, j.claims(audience))
	token.Header["kid"] = issuerKeyID
	return token.SignedString(s.signer())
}

// claims are those that GitHub documents; numbers of things are texts.
func (j *Job) claims(audience string) jwt.MapClaims {
	w, r := j.run, j.run.repo
	now := r.sim.valid()
	ref, sha, head, base := "refs/heads/"+w.branch, w.sha, "", ""
	if w.pull != nil {
		ref, sha, head, base = fmt.Sprintf("refs/pull/%d/merge", w.pull.number), w.pull.trial(), w.branch, w.pull.base
	}
	subject, workflow := "ref:"+ref, r.fullName()+"/.github/workflows/ci.yml@"+ref
	if w.pull != nil {
		subject = "pull_request"
	}
	claims := jwt.MapClaims{
		"jti": rand.Text(), "aud": audience, "iss": r.sim.base + issuerPath,
		"iat": now.Unix(), "nbf": now.Add(-idTokenSince).Unix(), "exp": now.Add(idTokenLife).Unix(),
		"repository": r.fullName(), "repository_id": decimal(r.id), "repository_owner": r.owner.login, "repository_owner_id": decimal(r.owner.id),
		"repository_visibility": r.visibility(), "actor": w.by.login, "actor_id": decimal(w.by.id),
		"run_id": decimal(w.id), "check_run_id": decimal(j.id), "run_number": strconv.Itoa(w.number), "run_attempt": strconv.Itoa(w.attempt), "event_name": w.event, "ref": ref, "ref_type": "branch", "sha": sha,
		"head_ref": head, "base_ref": base, "workflow": "CI", "workflow_ref": workflow, "workflow_sha": sha, "job_workflow_ref": workflow, "job_workflow_sha": sha,
		"runner_environment": "github-hosted",
	}
	if j.environment != nil {
		claims["environment"], subject = j.environment.name, "environment:"+j.environment.name
	}
	claims["sub"] = "repo:" + r.fullName() + ":" + subject
	return claims
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// trial is the commit that merges head and base for a try, on which runs for the pull request are: another than its head.
func (p *PullRequest) trial() string {
	sum := sha1.Sum([]byte("merge " + p.head + " into " + p.baseSHA)) //nolint:gosec // git's own hash
	return hex.EncodeToString(sum[:])
}
