package web_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/web"
)

const audience = "https://portcullis.example.com"

// lends lends the same to everybody.
type lends credential.JITCredential

func (l lends) Lend(context.Context, credential.Job, policy.LoanRequest) (credential.JITCredential, error) {
	return credential.JITCredential(l), nil
}

// issuing is a simulated issuer with an id-token of it, and a clock that can be put
// forward.
type issuing struct {
	github *githubsim.Sim
	token  string
	ahead  time.Duration
}

func newIssuing(t *testing.T) *issuing {
	t.Helper()
	github, err := githubsim.Start(githubsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(github.Close)
	shop := github.CreateOrganization("acme").CreateRepository("shop", map[string]string{"README.md": "# Shop\n"})
	token, err := shop.StartWorkflowRun(github.CreateUser("ann"), "main").StartJob("deploy", "").PermitIDToken().IDToken(audience)
	if err != nil {
		t.Fatal(err)
	}
	return &issuing{github: github, token: token}
}

func (i *issuing) now() time.Time { return time.Now().Add(i.ahead) }

func (i *issuing) exchange(lent credential.JITCredential, log *strings.Builder) http.Handler {
	return web.NewExchange(web.NewIDTokens(i.github.Issuer(), audience, i.now), lends(lent), i.now, zerolog.New(log))
}

func show(handler http.Handler, token string) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest(http.MethodPost, "/api/v1/exchange", strings.NewReader(`{"credential": "aws"}`)), httptest.NewRecorder()
	r.Header.Set("Authorization", "bearer "+token)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	handler.ServeHTTP(w, r)
	return w
}

// While the issuer does not answer nobody's token is called wrong, and it is asked again
// soon.
func TestAnIssuerThatDoesNotAnswer(t *testing.T) {
	i, log := newIssuing(t), &strings.Builder{}
	handler := i.exchange(credential.JITCredential{ID: "7", Values: map[string]credential.Secret{"ACCESS_KEY_ID": credential.NewSecret("AKIA"), "SECRET": credential.NewSecret("hush-hush")}}, log)
	for _, fault := range []githubsim.Fault{
		{Path: regexp.MustCompile("openid-configuration$"), Status: http.StatusBadGateway},
		{Path: regexp.MustCompile("openid-configuration$"), Status: http.StatusOK, Body: `{"issuer": "https://elsewhere.example.com", "jwks_uri": "https://elsewhere.example.com/jwks"}`},
		{Path: regexp.MustCompile("jwks$")},
		{Path: regexp.MustCompile("jwks$"), Status: http.StatusFound, Header: map[string]string{"Location": "https://elsewhere.example.com/jwks"}},
		{Path: regexp.MustCompile("jwks$"), Status: http.StatusOK, Body: "<html>"},
	} {
		mend := i.github.Inject(fault)
		if got := show(handler, i.token); got.Code != http.StatusServiceUnavailable {
			t.Errorf("%v %d: answered %d %s", fault.Path, fault.Status, got.Code, got.Body)
		}
		mend()
		i.ahead += 11 * time.Second
	}
	got := show(handler, i.token)
	if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), `"values":{"ACCESS_KEY_ID":"AKIA","SECRET":"hush-hush"}`) {
		t.Errorf("once it does: %d %s", got.Code, got.Body)
	}
	for _, secret := range []string{i.token, strings.Split(i.token, ".")[1], "hush-hush"} {
		if strings.Contains(log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// Whoever makes up tokens does not have the issuer asked for each.
func TestMadeUpTokensCostTheIssuerNothing(t *testing.T) {
	i, log := newIssuing(t), &strings.Builder{}
	handler := i.exchange(credential.JITCredential{Token: credential.NewSecret("jit_x")}, log)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		made := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": i.github.Issuer(), "aud": audience})
		made.Header["kid"] = fmt.Sprint(n)
		token, err := made.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(handler, token); got.Code != http.StatusUnauthorized {
			t.Errorf("answered %d %s", got.Code, got.Body)
		}
	}
	if got := show(handler, i.token); got.Code != http.StatusOK {
		t.Errorf("a good one amid them: %d %s", got.Code, got.Body)
	}
	if n := len(i.github.Requests()); n != 2 {
		t.Errorf("the issuer was asked %d times, for its configuration and its keys", n)
	}
}
