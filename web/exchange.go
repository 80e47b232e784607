package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// Lender lends to jobs. [credential.Exchange] fits.
type Lender interface {
	// Lend returns a [*credential.RefusedError] for what may not be lent,
	// [credential.ErrExchanged] for a token that was shown before, and a
	// [credential.Limit] where GitHub's limits are in the way.
	Lend(ctx context.Context, job credential.Job, loan policy.LoanRequest) (credential.JITCredential, error)
}

// exchange gives a job a credential for its id-token.
type exchange struct {
	tokens *IDTokens
	lender Lender
	now    func() time.Time
	log    zerolog.Logger
}

const (
	// maxWish is how large what is asked for may be.
	maxWish = 8 << 10
	// exchangeTime is how long it may take, which is less than the server has to answer:
	// a credential whose answer is cut off is nobody's, and lives on.
	exchangeTime = 12 * time.Second
)

var errExchangeTime = fmt.Errorf("an exchange took longer than %s", exchangeTime)

// NewExchange returns the handler of POST /api/v1/exchange.
func NewExchange(tokens *IDTokens, lender Lender, now func() time.Time, log zerolog.Logger) http.Handler {
	return &exchange{tokens: tokens, lender: lender, now: now, log: log}
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(e.log.WithContext(r.Context()), exchangeTime, errExchangeTime)
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	job, why, err := e.tokens.Verify(ctx, bearer(r))
	if err != nil {
		e.refuse(w, job, "", err)
		return
	}
	if why != "" {
		e.log.Info().Str("event", "exchange.bad_token").Str("reason", why).Msg("an id-token was refused")
		w.Header().Set("WWW-Authenticate", `Bearer realm="portcullis", error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	loan, err := wish(w, r)
	if err != nil {
		e.reply(w, http.StatusBadRequest, refusal{Error: "invalid_request", Description: err.Error()})
		return
	}
	lent, err := e.lender.Lend(ctx, job, loan)
	if err != nil {
		e.refuse(w, job, loan.Credential, err)
		return
	}
	e.about(job, loan.Credential).Info().Str("event", "exchange.lent").Str("lease", lent.ID).Msg("a credential was lent for an id-token")
	e.reply(w, http.StatusOK, handed(lent, loan.Credential))
}

// bearer is the token that is shown, or empty.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 {
		return ""
	}
	return strings.TrimSpace(token)
}

// wish is what is asked for; an error says what is wrong with it.
func wish(w http.ResponseWriter, r *http.Request) (policy.LoanRequest, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return policy.LoanRequest{}, errors.New("what is asked for is sent as application/json")
	}
	var asked struct {
		Credential string   `json:"credential"`
		TTL        string   `json:"ttl"`
		Scope      []string `json:"scope"`
	}
	reader := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxWish))
	reader.DisallowUnknownFields()
	if err := reader.Decode(&asked); err != nil {
		return policy.LoanRequest{}, fmt.Errorf("what is asked for is one JSON object of credential, ttl and scope, of at most %d bytes", maxWish)
	}
	if _, err := reader.Token(); !errors.Is(err, io.EOF) {
		return policy.LoanRequest{}, errors.New("there is something after the JSON object")
	}
	if !policy.IsCredentialName(asked.Credential) {
		return policy.LoanRequest{}, errors.New("credential is to be the name of one in the policy")
	}
	return policy.LoanRequest{Credential: asked.Credential, TTL: asked.TTL, Scope: asked.Scope}, nil
}

// grant is the answer to whom something is lent.
type grant struct {
	ID         string            `json:"id"`
	Token      string            `json:"token,omitempty"`
	Values     map[string]string `json:"values,omitempty"`
	Scope      []string          `json:"scope"`
	ExpiresAt  time.Time         `json:"expires_at"`
	Credential string            `json:"credential"`
}

// handed reveals the credential: nowhere else does a secret go into an answer.
func handed(c credential.JITCredential, name string) grant {
	g := grant{ID: c.ID, Token: c.Token.Reveal(), Scope: c.Scope, ExpiresAt: c.ExpiresAt.UTC(), Credential: name}
	for ending, value := range c.Values {
		if g.Values == nil {
			g.Values = map[string]string{}
		}
		g.Values[ending] = value.Reveal()
	}
	return g
}

// refusal is the answer to whom nothing is lent.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	// Waits is true if it is worth asking again: approvals are missing, or a kill switch
	// is on.
	Waits bool `json:"waits,omitempty"`
}

// refuse says why nothing is lent. What went wrong here is told in the log alone.
func (e *exchange) refuse(w http.ResponseWriter, job credential.Job, name string, err error) {
	refused, isRefused := errors.AsType[*credential.RefusedError](err)
	limit, isLimit := errors.AsType[credential.Limit](err)
	log := e.about(job, name)
	switch {
	case isRefused:
		log.Info().Str("event", "exchange.refused").Str("reason", refused.Why).Msg("nothing was lent for an id-token")
		e.reply(w, http.StatusForbidden, refusal{Error: "access_denied", Description: refused.Why, Waits: refused.Waits})
	case errors.Is(err, credential.ErrExchanged):
		log.Info().Str("event", "exchange.repeated").Msg("an id-token was shown again")
		e.reply(w, http.StatusConflict, refusal{Error: "already_exchanged", Description: credential.ErrExchanged.Error()})
	case isLimit:
		log.Info().Str("event", "exchange.limited").Time("next", limit.RetryTime()).Msg("nothing was lent for an id-token: GitHub's limits are in the way")
		wait := math.Ceil(limit.RetryTime().Sub(e.now()).Seconds())
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, wait))))
		e.reply(w, http.StatusTooManyRequests, refusal{Error: "slow_down", Description: "GitHub's limits are in the way: ask again later, with another id-token"})
	default:
		log.Error().Err(err).Str("event", "exchange.failed").Msg("whether something is lent for an id-token could not be judged")
		e.reply(w, http.StatusServiceUnavailable, refusal{Error: "temporarily_unavailable", Description: "it could not be judged: ask again, with another id-token"})
	}
}

// about is a log about the job and what it asks for.
func (e *exchange) about(job credential.Job, name string) *zerolog.Logger {
	log := e.log.With().Str("repository", job.Repository).Int64("run", job.Run).Int("attempt", job.Attempt).Str("workflow", job.Workflow).Str("credential", name).Logger()
	return &log
}

func (e *exchange) reply(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		e.log.Info().Err(err).Str("event", "exchange.unheard").Msg("who showed an id-token went away before the answer")
	}
}
