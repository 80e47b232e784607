package githubapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
)

const callback = "https://portcullis.example/sandbox/authorized"

// people is a fixture whose App people can authorize.
type people struct {
	*fixture

	app *githubsim.App
	ann *githubsim.User
	now time.Time
}

func newPeople(t *testing.T) *people {
	t.Helper()
	p := &people{now: time.Now()}
	clock := func() time.Time { return p.now }
	sim, err := githubsim.Start(githubsim.Options{TokenNow: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	f := &fixture{sim: sim, acme: sim.CreateOrganization("acme")}
	f.repo = f.acme.CreateRepository("shop", map[string]string{"README.md": "x\n"})
	p.app = sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", DeviceFlow: true, CallbackURLs: []string{callback}, Permissions: map[string]string{
		"contents": "read", "pull_requests": "read", "codespaces": "write", "codespaces_lifecycle_admin": "write", "codespaces_metadata": "read", "organization_codespaces": "write",
	}})
	f.installation = p.app.Install(f.acme)
	f.at.Installation, f.at.ID, f.at.Owner, f.at.Name = f.installation.ID(), f.repo.ID(), "acme", "shop"
	f.config.WebURL, f.config.V3APIURL, f.config.V4APIURL = sim.URL(), sim.APIURL(), sim.URL()+"/api/graphql"
	f.config.App.IntegrationID, f.config.App.PrivateKey = p.app.ID(), p.app.PrivateKeyPEM()
	f.config.OAuth.ClientID, f.config.OAuth.ClientSecret = p.app.ClientID(), p.app.ClientSecret()
	p.fixture = f
	f.client = f.replica(t, clock, nil)
	p.ann = sim.CreateUser("ann")
	f.acme.AddMember(p.ann)
	f.repo.SetRole(p.ann, "write")
	return p
}

// loginCode is GitHub's word in an error.
func loginCode(err error) string {
	if no, is := errors.AsType[*githubapi.LoginError](err); is {
		return no.Code
	}
	return fmt.Sprint(err)
}

func TestTheDeviceFlow(t *testing.T) {
	p := newPeople(t)
	began, err := p.client.BeginDevice(t.Context())
	if err != nil || began.UserCode == "" || !strings.HasSuffix(began.VerificationURI, "/login/device") || began.Interval != 5*time.Second || !began.ExpiresAt.Equal(p.now.Add(15*time.Minute)) {
		t.Fatalf("%+v, %v", began, err)
	}
	for _, want := range []string{"authorization_pending", "slow_down"} {
		_, err := p.client.PollDevice(t.Context(), began.Code)
		no, is := errors.AsType[*githubapi.LoginError](err)
		if !is || no.Code != want || !no.Pending() || no.Over() {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := p.ann.Authorize(began.UserCode); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(11 * time.Second)
	token, err := p.client.PollDevice(t.Context(), began.Code)
	if err != nil || !token.ExpiresAt.Equal(p.now.Add(8*time.Hour)) || token.Refresh == "" || !token.RefreshExpiresAt.After(token.ExpiresAt) {
		t.Fatalf("%v, %v", token.ExpiresAt, err)
	}
	if owner, err := p.client.TokenOwner(t.Context(), token.Access); err != nil || owner.ID != p.ann.ID() || owner.Login != "ann" {
		t.Errorf("%+v, %v", owner, err)
	}
	if _, err := p.client.PollDevice(t.Context(), began.Code); loginCode(err) != "incorrect_device_code" {
		t.Errorf("twice: %v", err)
	}
}

func TestTheWebFlow(t *testing.T) {
	p := newPeople(t)
	proof := sha256.Sum256([]byte("the verifier"))
	link := p.client.AuthorizeURL(callback, "the state", base64.RawURLEncoding.EncodeToString(proof[:]))
	code := func() string {
		back, err := p.ann.AuthorizeAt(link)
		if err != nil {
			t.Fatal(err)
		}
		at, err := url.Parse(back)
		if err != nil || at.Query().Get("state") != "the state" || !strings.HasPrefix(back, callback+"?") {
			t.Fatalf("%s, %v", back, err)
		}
		return at.Query().Get("code")
	}
	first := code()
	token, err := p.client.RedeemCode(t.Context(), first, "the verifier", callback)
	if err != nil || token.Access == "" {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"a code twice":     second(p.client.RedeemCode(t.Context(), first, "the verifier", callback)),
		"another verifier": second(p.client.RedeemCode(t.Context(), code(), "another", callback)),
		"an old renewal":   second(p.client.RenewUserToken(t.Context(), "ghr_old")),
	} {
		if no, is := errors.AsType[*githubapi.LoginError](err); !is || !no.Over() || strings.Contains(fmt.Sprint(err), first) {
			t.Errorf("%s: %v", name, err)
		}
	}
	renewed, err := p.client.RenewUserToken(t.Context(), token.Refresh)
	if err != nil || renewed.Access == token.Access {
		t.Fatal(err)
	}
	if _, err := p.client.TokenOwner(t.Context(), token.Access); err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), token.Access) {
		t.Errorf("the token that was renewed: %v", err)
	}
	for range 2 { // again: it is good no more
		if err := p.client.RevokeGrant(t.Context(), renewed.Access); err != nil {
			t.Fatal(err)
		}
	}
	if left := p.app.UserTokens(p.ann); len(left) != 0 {
		t.Errorf("%d tokens are left", len(left))
	}
}

func second[T any](_ T, err error) error { return err }

func TestWhatGitHubSaysIsBounded(t *testing.T) {
	p := newPeople(t)
	defer p.sim.Inject(githubsim.Fault{Path: regexp.MustCompile("/user$"), Status: http.StatusForbidden})()
	const secret = "ghu_secret"
	if _, err := p.client.TokenOwner(t.Context(), secret); err == nil || strings.Contains(fmt.Sprintf("%+v", errors.Unwrap(err)), secret) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.client.RenewUserToken(ctx, secret); !errors.Is(err, context.Canceled) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
		t.Error(err)
	}
}
