package githubapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// UserToken is what lets the App act for a person who has authorized it.
type UserToken struct {
	Access string
	// Refresh is good for one renewal; empty: the token does not end by itself.
	Refresh string
	// The times by the clock of Options.Now; zero: it does not end by itself.
	ExpiresAt, RefreshExpiresAt time.Time
}

// DeviceCode is one round of the device flow: the person enters UserCode at
// VerificationURI, and meanwhile it is asked for the token with Code, no more often than
// once in Interval.
type DeviceCode struct {
	Code, UserCode  string
	VerificationURI string
	ExpiresAt       time.Time
	Interval        time.Duration
}

// LoginError is how GitHub says that there is no token.
type LoginError struct {
	// Code is GitHub's, as "bad_refresh_token"; Sentence is what GitHub says of it.
	Code, Sentence string
	// Interval is how long to wait from now on, if the code is "slow_down".
	Interval time.Duration
}

func (e *LoginError) Error() string { return "GitHub gives no user access token: " + e.Code }

// Pending reports whether the person has not decided yet.
func (e *LoginError) Pending() bool {
	return e.Code == "authorization_pending" || e.Code == "slow_down"
}

// Over reports whether what was shown is good for nothing any more: a person has to
// authorize the App once more.
func (e *LoginError) Over() bool {
	switch e.Code {
	case "bad_refresh_token", "bad_verification_code", "expired_token", "access_denied", "incorrect_device_code":
		return true
	default:
		return false
	}
}

// The ways to a user access token.
const (
	deviceGrant  = "urn:ietf:params:oauth:grant-type:device_code"
	refreshGrant = "refresh_token"
)

// BeginDevice begins the device flow. It is a [*LoginError] if the App's settings do not
// have it.
func (c *Client) BeginDevice(ctx context.Context) (DeviceCode, error) {
	var told struct {
		Code     string `json:"device_code"`
		UserCode string `json:"user_code"`
		URI      string `json:"verification_uri"`
		Expires  int    `json:"expires_in"`
		Interval int    `json:"interval"`
	}
	asked := c.options.Now()
	if err := c.login(ctx, "begin the device flow", "login/device/code", url.Values{}, &told); err != nil {
		return DeviceCode{}, err
	}
	if told.Code == "" || told.UserCode == "" {
		return DeviceCode{}, &Error{Operation: "begin the device flow: read GitHub's answer", Status: http.StatusOK}
	}
	return DeviceCode{
		Code: told.Code, UserCode: told.UserCode, VerificationURI: told.URI,
		ExpiresAt: asked.Add(time.Duration(told.Expires) * time.Second), Interval: time.Duration(told.Interval) * time.Second,
	}, nil
}

// PollDevice asks whether the person has entered the user code. A [*LoginError] that is
// Pending says that they have not.
func (c *Client) PollDevice(ctx context.Context, code string) (UserToken, error) {
	return c.obtain(ctx, "ask for the token of a device", url.Values{"grant_type": {deviceGrant}, "device_code": {code}})
}

// AuthorizeURL is where a person lets the App act for them. GitHub sends them back to
// redirect with a code and the state. challenge is the SHA-256 of what [Client.RedeemCode]
// has to show, in Base64 for URLs.
func (c *Client) AuthorizeURL(redirect, state, challenge string) string {
	query := url.Values{
		"client_id": {c.creator.config.OAuth.ClientID}, "redirect_uri": {redirect}, "state": {state},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	return c.loginURL("login/oauth/authorize") + "?" + query.Encode()
}

// RedeemCode trades the code that a person came back with, which is good once.
func (c *Client) RedeemCode(ctx context.Context, code, verifier, redirect string) (UserToken, error) {
	return c.obtain(ctx, "trade the code of a person who has authorized the App", url.Values{
		"client_secret": {c.creator.config.OAuth.ClientSecret}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirect},
	})
}

// RenewUserToken trades what renews a token, which is good once: from then on the token
// that it was of is over, and if the answer is lost, so is the next.
func (c *Client) RenewUserToken(ctx context.Context, refresh string) (UserToken, error) {
	return c.obtain(ctx, "renew a user access token", url.Values{
		"client_secret": {c.creator.config.OAuth.ClientSecret}, "grant_type": {refreshGrant}, "refresh_token": {refresh},
	})
}

// TokenOwner is whose a user access token is.
func (c *Client) TokenOwner(ctx context.Context, token string) (policy.Actor, error) {
	var told struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
		Type  string `json:"type"`
	}
	if _, err := c.asPerson(ctx, Person{Token: token}, "ask whose a user access token is", http.MethodGet, "user", nil, &told); err != nil {
		return policy.Actor{}, err
	}
	if told.ID == 0 || told.Type != "User" {
		return policy.Actor{}, &Error{Operation: "ask whose a user access token is: it is no person's", Status: http.StatusOK}
	}
	return policy.Actor{ID: told.ID, Login: told.Login, Kind: policy.KindUser}, nil
}

// RevokeGrant takes back that the App may act for the person whose token it is, with all
// tokens. The token must be good still: one that is not is no error, and revokes nothing.
func (c *Client) RevokeGrant(ctx context.Context, token string) error {
	const operation = "take back that the App may act for a person"
	base, err := url.Parse(c.creator.config.V3APIURL)
	if err != nil {
		return fmt.Errorf("read github.v3_api_url: %w", err)
	}
	id := c.creator.config.OAuth.ClientID
	body, err := json.Marshal(map[string]string{"access_token": token})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, base.JoinPath("applications", id, "grant").String(), strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	request.SetBasicAuth(id, c.creator.config.OAuth.ClientSecret)
	request.Header.Set("Accept", "application/vnd.github+json")
	status, _, err := c.send(request, operation, c.creator.outgoing(0))
	if err != nil {
		return err
	}
	if status == http.StatusUnprocessableEntity || status == http.StatusNotFound || status < http.StatusMultipleChoices {
		return nil
	}
	return &Error{Operation: operation, Status: status}
}

// obtain asks for a user access token.
func (c *Client) obtain(ctx context.Context, operation string, shown url.Values) (UserToken, error) {
	var told struct {
		Access         string `json:"access_token"`
		Expires        int    `json:"expires_in"`
		Refresh        string `json:"refresh_token"`
		RefreshExpires int    `json:"refresh_token_expires_in"`
	}
	asked := c.options.Now()
	if err := c.login(ctx, operation, "login/oauth/access_token", shown, &told); err != nil {
		return UserToken{}, err
	}
	if told.Access == "" || (told.Expires > 0) != (told.Refresh != "") {
		return UserToken{}, &Error{Operation: operation + ": read GitHub's answer", Status: http.StatusOK}
	}
	token := UserToken{Access: told.Access, Refresh: told.Refresh}
	if told.Expires > 0 {
		token.ExpiresAt = asked.Add(time.Duration(told.Expires) * time.Second)
		token.RefreshExpiresAt = asked.Add(time.Duration(told.RefreshExpires) * time.Second)
	}
	return token, nil
}

// login asks where people sign in, which is beside the API and has none of its limits.
// GitHub says no with a 200, most of the time.
func (c *Client) login(ctx context.Context, operation, path string, shown url.Values, into any) error {
	shown.Set("client_id", c.creator.config.OAuth.ClientID)
	// What is sent has secrets in it, and no error may have the request.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.loginURL(path), strings.NewReader(shown.Encode()))
	if err != nil {
		return fmt.Errorf("read github.web_url: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	status, answer, err := c.send(request, operation, c.creator.beside())
	if err != nil {
		return err
	}
	var no struct {
		Error    string `json:"error"`
		Sentence string `json:"error_description"`
		Interval int    `json:"interval"`
	}
	// The error of the parser would show what it read.
	readable := json.Unmarshal(answer, &no) == nil
	if readable && no.Error != "" && status < http.StatusInternalServerError {
		return &Error{Operation: operation, Status: status, cause: &LoginError{Code: no.Error, Sentence: no.Sentence, Interval: time.Duration(no.Interval) * time.Second}}
	}
	if status != http.StatusOK || !readable || json.Unmarshal(answer, into) != nil {
		return &Error{Operation: operation, Status: status}
	}
	return nil
}

func (c *Client) loginURL(path string) string {
	return strings.TrimSuffix(c.creator.config.WebURL, "/") + "/" + path
}

// send makes a call whose request no error may show, and reads its answer, as far as
// there is room for it.
func (c *Client) send(request *http.Request, operation string, by http.RoundTripper) (status int, answer []byte, err error) {
	request.Header.Set("User-Agent", c.options.UserAgent)
	response, err := (&http.Client{Transport: by, Timeout: callTimeout, CheckRedirect: stay}).Do(request)
	if err != nil {
		cause := limitIn(err)
		if cause == nil {
			cause = context.Cause(request.Context())
		}
		return 0, nil, &Error{Operation: operation, cause: cause}
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(response.Body, answerSize+1))
	if err != nil {
		return response.StatusCode, nil, &Error{Operation: operation + ": read GitHub's answer"}
	}
	if len(answer) > answerSize {
		return response.StatusCode, nil, &Error{Operation: operation + ": GitHub's answer is too long", Status: response.StatusCode}
	}
	return response.StatusCode, answer, nil
}

// stay follows no redirect: a token goes nowhere but where it was sent.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
