package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// leeway is how far GitHub's clock may be from ours.
	leeway = 30 * time.Second
	// issuerTime is how long the issuer may take to answer, and maxKeys how much it may
	// say.
	issuerTime = 5 * time.Second
	maxKeys    = 1 << 20
	// askAgain is how long an answer of the issuer's holds: whoever makes tokens up, each
	// with a key of another name, does not have it asked for each.
	askAgain = 10 * time.Second
	// maxID is how long the id of a token is, beyond which its hash stands for it.
	maxID = 128
)

// IDTokens tells by an id-token which job of GitHub Actions shows it. It may be used by
// several goroutines.
type IDTokens struct {
	issuer, audience string
	now              func() time.Time
	client           *http.Client

	mu sync.Mutex
	// keys are the issuer's; nil until it was asked where they are.
	keys oidc.KeySet
}

// NewIDTokens takes the tokens that the issuer signed for the audience. It asks the issuer
// nothing before the first token.
func NewIDTokens(issuer, audience string, now func() time.Time) *IDTokens {
	fetch := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	return &IDTokens{
		issuer: issuer, audience: audience, now: now,
		client: &http.Client{Timeout: issuerTime, Transport: &remembered{next: fetch, now: now, answers: map[string]answered{}}},
	}
}

// Verify returns the job that the token was given to. why says what is wrong with a token
// that is not valid, for the log; an error means that it could not be judged. Neither has
// anything of the token in it.
func (t *IDTokens) Verify(ctx context.Context, token string) (job credential.Job, why string, _ error) {
	keys, err := t.keySet(ctx)
	if err != nil {
		return job, "", err
	}
	signed := &signature{keys: keys}
	config := &oidc.Config{
		ClientID: t.audience, SupportedSigningAlgs: []string{oidc.RS256},
		Now: func() time.Time { return t.now().Add(-leeway) },
	}
	verified, err := oidc.NewVerifier(t.issuer, signed, config).Verify(ctx, token)
	switch {
	case signed.unjudged != nil:
		return job, "", fmt.Errorf("verify an id-token: %w", signed.unjudged)
	case err != nil:
		why = signed.fault(err)
	default:
		job, why = t.job(verified)
	}
	return job, why, nil
}

// claims are those of GitHub's that are looked at. Its numbers are texts. The claim sub is
// not among them: what it is made of can be configured.
type claims struct {
	ID           string  `json:"jti"`
	NotBefore    float64 `json:"nbf"`
	Repository   string  `json:"repository"`
	RepositoryID int64   `json:"repository_id,string"`
	OwnerID      int64   `json:"repository_owner_id,string"`
	Run          int64   `json:"run_id,string"`
	Attempt      int     `json:"run_attempt,string"`
	Job          int64   `json:"check_run_id,string"` // since November 2025
	Event        string  `json:"event_name"`
	Ref          string  `json:"ref"`
	Environment  string  `json:"environment"`
	Workflow     string  `json:"job_workflow_ref"`
	Actor        string  `json:"actor"`
	ActorID      int64   `json:"actor_id,string"`
}

// job takes the job from a token whose signature, issuer, audience and end are right.
func (t *IDTokens) job(token *oidc.IDToken) (job credential.Job, why string) {
	var c claims
	var all json.RawMessage
	if err := errors.Join(token.Claims(&c), token.Claims(&all)); err != nil {
		return job, "its claims are not those of a job"
	}
	latest := t.now().Add(leeway)
	switch {
	case token.IssuedAt.IsZero() || token.IssuedAt.After(latest) || time.Unix(int64(c.NotBefore), 0).After(latest):
		return job, "it is not valid yet"
	case c.RepositoryID <= 0 || c.OwnerID <= 0 || c.Run <= 0 || c.Attempt <= 0 || c.ActorID <= 0 || c.Repository == "" || c.Event == "":
		return job, "it lacks claims of a job"
	}
	if c.ID == "" || len(c.ID) > maxID {
		sum := sha256.Sum256(all)
		c.ID = hex.EncodeToString(sum[:])
	}
	return credential.Job{
		Token: c.ID, Repository: c.Repository, RepositoryID: c.RepositoryID, OwnerID: c.OwnerID, Run: c.Run, Attempt: c.Attempt, ID: c.Job,
		Event: c.Event, Ref: c.Ref, Environment: c.Environment, Workflow: c.Workflow, By: policy.Actor{ID: c.ActorID, Login: c.Actor},
	}, ""
}

// keySet asks the issuer where its keys are, unless that is known. The keys themselves are
// fetched with the first token, and again for one that names a key that is new.
func (t *IDTokens) keySet(ctx context.Context) (oidc.KeySet, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys != nil {
		return t.keys, nil
	}
	// That who asked hangs up is no answer of the issuer's.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), t.client)
	provider, err := oidc.NewProvider(ctx, t.issuer)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its configuration: %w", t.issuer, err)
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", t.issuer, err)
	}
	at, err := url.Parse(found.Keys)
	of, issuerErr := url.Parse(t.issuer)
	if err := errors.Join(err, issuerErr); err != nil || at.Scheme != of.Scheme {
		return nil, errors.Join(err, fmt.Errorf("%s has its keys at an address that is not %s", t.issuer, of.Scheme))
	}
	t.keys = oidc.NewRemoteKeySet(ctx, found.Keys)
	return t.keys, nil
}

// signature checks the signature of one token, and keeps what the verifier does not tell:
// whether it was good, and whether that could be judged.
type signature struct {
	keys     oidc.KeySet
	good     bool
	unjudged error
}

// VerifySignature checks it.
func (s *signature) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := s.keys.VerifySignature(ctx, token)
	if failure, is := errors.AsType[*issuerError](err); is {
		s.unjudged = failure
	} else if err != nil && ctx.Err() != nil {
		s.unjudged = context.Cause(ctx)
	}
	s.good = err == nil
	return payload, err
}

// fault says what the verifier found wrong. Its own words have parts of the token in them.
func (s *signature) fault(err error) string {
	_, expired := errors.AsType[*oidc.TokenExpiredError](err)
	switch {
	case !s.good:
		return "it is not signed by the issuer with RS256"
	case expired:
		return "it is expired"
	default:
		return "it is not of the issuer, or for another audience"
	}
}

// issuerError is returned if the issuer could not be asked, or did not answer as it
// should.
type issuerError struct{ cause error }

func (e *issuerError) Error() string { return e.cause.Error() }

func (e *issuerError) Unwrap() error { return e.cause }

// remembered is a way to the issuer on which an answer holds for a while, also one that
// there was none. It follows no redirection.
type remembered struct {
	next http.RoundTripper
	now  func() time.Time

	mu sync.Mutex
	// answers are by address, of which there are two.
	answers map[string]answered
}

type answered struct {
	at   time.Time
	body []byte
	err  error
}

// RoundTrip asks, or repeats the last answer.
func (r *remembered) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	address := request.URL.String()
	last, is := r.answers[address]
	if !is || r.now().Sub(last.at) >= askAgain {
		last.at = r.now()
		last.body, last.err = r.ask(request)
		r.answers[address] = last
	}
	if last.err != nil {
		return nil, &issuerError{last.err}
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(last.body)), ContentLength: int64(len(last.body)),
	}, nil
}

func (r *remembered) ask(request *http.Request) (body []byte, err error) {
	response, err := r.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer of id-tokens answered %s", response.Status)
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, maxKeys))
	if err == nil && !json.Valid(body) {
		err = errors.New("the issuer of id-tokens did not answer with JSON")
	}
	return body, err
}
