package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
)

const (
	// callTimeout bounds one call, answer read.
	callTimeout = 10 * time.Second
	// answerSize is how much of an answer is read.
	answerSize = 1 << 20
	// toldSize is how much of what the server says of a failure is logged.
	toldSize = 500
	// limitWait is how long a limit lasts for which the server does not say, and mostWait
	// how long one lasts at most.
	limitWait = time.Minute
	mostWait  = time.Hour
)

// newClient follows nobody: with what it is led elsewhere by, the token would be sent
// there as well.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call is one call.
type call struct {
	// operation is what is being done.
	operation    string
	method, path string
	body         map[string]any
}

// answer is the server's, as far as it is looked at.
type answer struct {
	LeaseID       string         `json:"lease_id"`
	LeaseDuration int64          `json:"lease_duration"`
	Data          map[string]any `json:"data"`
	Auth          struct {
		ClientToken   string `json:"client_token"`
		LeaseDuration int64  `json:"lease_duration"`
	} `json:"auth"`
	Errors []string `json:"errors"`
}

// ask makes a call as the role, with a token that lives until then, if logging in gives
// one: it returns which. If the one at hand is refused it is made once more with a new
// one, since what is refused was not done.
func (p *Provider) ask(ctx context.Context, c call, until time.Time) (answer, token, error) {
	used, fresh, err := p.login(ctx, until, token{})
	if err != nil {
		return answer{}, token{}, err
	}
	a, err := p.send(ctx, c, used.value)
	if failure, is := errors.AsType[*Error](err); !is || failure.Status != http.StatusForbidden || fresh {
		return a, used, err
	}
	if used, _, err = p.login(ctx, until, used); err != nil {
		return answer{}, token{}, err
	}
	a, err = p.send(ctx, c, used.value)
	return a, used, err
}

// login returns the token there is, or logs in: if there is none, if it is the one that
// was refused, if it is old, or if it ends before what is to be made with it. fresh is
// true of a new one.
func (p *Provider) login(ctx context.Context, until time.Time, refused token) (t token, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now()
	known := !p.token.value.IsZero() && p.token.value.Reveal() != refused.value.Reveal()
	if known && !p.token.old(now) && !p.token.endsBefore(until) {
		return p.token, false, nil
	}
	a, err := p.send(ctx, call{
		operation: "log in at Vault", method: http.MethodPost, path: "auth/approle/login",
		body: map[string]any{"role_id": p.config.RoleID, "secret_id": p.config.SecretID.Reveal()},
	}, credential.Secret{})
	if err != nil {
		return token{}, false, err
	}
	if a.Auth.ClientToken == "" {
		return token{}, false, &Error{Operation: "log in at Vault", why: "it gave no token"}
	}
	p.token = token{value: credential.NewSecret(a.Auth.ClientToken), madeAt: now}
	if a.Auth.LeaseDuration > 0 {
		p.token.endsAt = now.Add(seconds(a.Auth.LeaseDuration))
	}
	return p.token, true, nil
}

// old reports whether less than a third of its life is left.
func (t token) old(now time.Time) bool {
	return !t.endsAt.IsZero() && now.After(t.madeAt.Add(t.endsAt.Sub(t.madeAt)*2/3))
}

func (t token) endsBefore(until time.Time) bool {
	return !t.endsAt.IsZero() && t.endsAt.Before(until)
}

// send makes one call.
func (p *Provider) send(ctx context.Context, c call, as credential.Secret) (answer, error) {
	request, err := p.request(ctx, c, as)
	if err != nil {
		return answer{}, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		// The error has the address in it, which is nobody's who asks for a credential.
		zerolog.Ctx(ctx).Warn().Err(err).Str("event", "vault.unreached").Msg("Vault could not be reached")
		return answer{}, &Error{Operation: c.operation, why: "it could not be reached"}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerSize))
	if err != nil {
		return answer{}, &Error{Operation: c.operation, Status: response.StatusCode, why: "its answer broke off"}
	}
	var a answer
	parsed := len(bytes.TrimSpace(body)) == 0 || json.Unmarshal(body, &a) == nil
	if response.StatusCode/100 != 2 {
		return answer{}, p.failure(ctx, c, response, a.Errors)
	}
	if !parsed {
		// The parser's error would show what it read.
		return answer{}, &Error{Operation: c.operation, Status: response.StatusCode, why: "its answer cannot be read"}
	}
	return a, nil
}

func (p *Provider) request(ctx context.Context, c call, as credential.Secret) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.operation, err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, p.config.Address+"/v1/"+c.path, body)
	if err != nil {
		return nil, fmt.Errorf("read credentials.vault.address: %w", err)
	}
	request.Header.Set("X-Vault-Request", "true") // so that an agent in between takes it
	if c.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if p.config.Namespace != "" {
		request.Header.Set("X-Vault-Namespace", p.config.Namespace)
	}
	if !as.IsZero() {
		request.Header.Set("X-Vault-Token", as.Reveal())
	}
	return request, nil
}

// failure makes an error of an answer. What the server says of it goes to the log alone:
// engines tell of hosts and accounts there, and the error is shown on a pull request.
func (p *Provider) failure(ctx context.Context, c call, response *http.Response, told []string) error {
	said := strings.Join(strings.Fields(strings.Join(told, "; ")), " ")
	zerolog.Ctx(ctx).Warn().Str("event", "vault.refused").Str("operation", c.operation).Int("status", response.StatusCode).Str("said", said[:min(len(said), toldSize)]).
		Msg("Vault did not do what it was asked")
	if response.StatusCode == http.StatusTooManyRequests {
		wait := limitWait
		if n, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && n > 0 {
			wait = min(time.Duration(min(n, int(mostWait/time.Second)))*time.Second, mostWait)
		}
		return &LimitError{Operation: c.operation, RetryAt: p.config.Now().Add(wait)}
	}
	failure := &Error{Operation: c.operation, Status: response.StatusCode}
	switch {
	case response.StatusCode/100 == 3:
		failure.why = "it leads elsewhere, and is not followed: credentials.vault.address must be that of the active server, or of one that forwards"
	case response.StatusCode == http.StatusBadRequest:
		failure.gone = strings.Contains(said, "invalid lease") || strings.Contains(said, "lease not found")
	case response.StatusCode == http.StatusForbidden:
		failure.why = "the role may not do that"
	case response.StatusCode == http.StatusNotFound:
		failure.why = "there is nothing"
	case response.StatusCode == http.StatusServiceUnavailable:
		failure.why = "it is sealed, or not up"
	}
	return failure
}

// Error says what could not be done at Vault. It holds nothing that is secret.
type Error struct {
	// Operation is what was being done, as "read database/creds/deploy at Vault".
	Operation string
	// Status is the server's answer; 0 if there was none.
	Status int

	why string
	// gone is true if what was to be ended is not there.
	gone bool
}

func (e *Error) Error() string {
	text := e.Operation
	if e.Status != 0 {
		text += fmt.Sprintf(": it answered %d", e.Status)
	}
	if e.why != "" {
		text += ": " + e.why
	}
	return text
}

// LimitError is returned for a call that a quota of the server's does not allow yet.
type LimitError struct {
	Operation string
	RetryAt   time.Time
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: its limit is reached until %s", e.Operation, e.RetryAt.UTC().Format(time.RFC3339))
}

// RetryTime is when to ask again.
func (e *LimitError) RetryTime() time.Time { return e.RetryAt }
