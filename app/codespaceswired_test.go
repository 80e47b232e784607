package app

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
	"github.com/portcullis-app/portcullis/web"
)

// withCodespacesOn is a world whose server has codespaces, as the change says.
func withCodespacesOn(t *testing.T, tw *testWorld, change func(*codespaces.Config)) {
	t.Helper()
	tw.must(tw.server.Stop(t.Context()))
	tw.sandbox, tw.publicURL, tw.options.codespaces = defaultSandboxConfig(), "http://127.0.0.1:1", change
	tw.sandbox.Codespaces.GH = "/usr/bin/gh"
	tw.must(tw.serve(t.Context()))
	tw.hook.SetWebhookURL(tw.server.URL() + "/api/github/hook") // nobody is at the public address
	for _, permission := range []string{"codespaces", "codespaces_lifecycle_admin", "organization_codespaces"} {
		tw.installation.SetPermission(permission, "write")
	}
	tw.installation.SetPermission("codespaces_metadata", "read")
	tw.set(switchPolicy + "sandbox: {provider: codespaces, tier: auto, constraints: {network: full, timeout: 30m}}\n")
	tw.settled()
}

// A server with codespaces says where people let the App act for them, and is there.
func TestAServerWithCodespaces(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	withCodespacesOn(t, tw, nil)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/sandbox start")
	wantText(t, answered(pr), "@bob Bob has to let the App act for them", "http://127.0.0.1:1"+web.AuthorizePath)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(tw.server.URL() + web.AuthorizePath)
	tw.must(err)
	tw.must(answer.Body.Close())
	if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || !strings.HasPrefix(to, tw.github.URL()+"/login/oauth/authorize?") {
		t.Errorf("%d, %s", answer.StatusCode, to)
	}
	client.CloseIdleConnections()
	if left := tw.github.Codespaces(); len(left) != 0 {
		t.Errorf("%d codespaces", len(left))
	}
}

// The doctor says what is missing before anybody asks for one in vain.
func TestDoctorLooksAtCodespaces(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	tw.sandbox, tw.publicURL = defaultSandboxConfig(), "http://127.0.0.1:1"
	tw.sandbox.Codespaces.Connect = connectByTunnel
	if code, out := tw.doctor(); code == exitOK || !strings.Contains(out, "problem  no sandbox can be started on codespaces: the App could end none; in no organization it has Organization codespaces: write") {
		t.Error(code, out)
	}
	for _, permission := range []string{"codespaces", "codespaces_lifecycle_admin", "organization_codespaces"} {
		tw.installation.SetPermission(permission, "write")
	}
	if _, out := tw.doctor(); !strings.Contains(out, "ok       sandboxes can be started on codespaces") {
		t.Error(out)
	}
	tw.sandbox.Codespaces = CodespacesConfig{GH: filepath.Join(t.TempDir(), "gh")}
	if code, out := tw.doctor(); code == exitOK || !strings.Contains(out, "problem  no sandbox can be started on codespaces: gh: ") || !strings.Contains(out, "no such file or directory") {
		t.Error(code, out)
	}
}

// handed is a GitHub whose code is good for that token.
type handed struct {
	userTokens

	token githubsim.UserToken
}

func (h handed) Redeem(context.Context, string, string, string) (usertoken.Grant, error) {
	return usertoken.Grant{Access: h.token.AccessToken, Refresh: h.token.RefreshToken, ExpiresAt: h.token.ExpiresAt, RefreshExpiresAt: h.token.RefreshExpiresAt}, nil
}

// lets has somebody let the App act for them.
func (tw *testWorld) lets(login string) {
	tw.t.Helper()
	client, err := githubapi.New(tw.config().GitHub, clientOptions(tw.config(), time.Now))
	tw.must(err)
	sealed, err := newHandles(tw.config().GitHub.App.PrivateKey)
	tw.must(err)
	people := usertoken.NewKeeper(usertoken.Config{
		GitHub: handed{userTokens{client}, tw.hook.CreateUserToken(tw.github.User(login))}, Store: tw.server.store, Cipher: sealed, Now: time.Now, Wait: wait, Log: tw.options.Log,
	})
	_, err = people.Accept(tw.t.Context(), "code", "verifier", "https://portcullis.example")
	tw.must(err)
}

// A whole server, from webhooks to codespaces and back: what is started by a comment takes
// commands and ends by the kill switch, with its pull request, and not by words alone.
func TestAServersCodespacesFromTheCommentToTheEnd(t *testing.T) {
	tw := newTestWorld(t)
	tw.github.SetCodespaceKnobs(fast)
	inside := newShells(t, tw.github)
	withCodespacesOn(t, tw, func(c *codespaces.Config) {
		c.Dialer, c.Folder, c.PollEvery = inside, inside.workspaces(), 10*time.Millisecond
	})
	tw.lets("bob")
	opened := 0
	started := func() (*githubsim.PullRequest, string) {
		t.Helper()
		opened++
		pr := tw.opened("ann", fmt.Sprintf("typo-%d", opened), map[string]string{"README.md": fmt.Sprintf("# Shop %d\n", opened)})
		inside.mu.Lock()
		inside.heads[""] = pr.HeadSHA()
		inside.mu.Unlock()
		id := tw.started(pr)
		wantText(t, answered(pr), "runs on codespaces with the files of "+pr.HeadSHA()[:7])
		if all := tw.github.Codespaces(); len(all) != 1 || all[0].Owner().Login() != "bob" || all[0].Payer() != "acme" {
			t.Fatalf("%d codespaces", len(all))
		}
		return pr, id
	}
	ended := func(id, why string) {
		t.Helper()
		tw.settled()
		if left := tw.github.Codespaces(); len(left) != 0 {
			t.Errorf("%d codespaces are left", len(left))
		}
		wantText(t, tw.entries("sandbox.ended"), id+" at ", why)
		if left, err := tw.server.store.Sandboxes(t.Context(), killswitch.Scope{}); err != nil || len(left) != 0 {
			t.Errorf("on record there is %+v, %v", left, err)
		}
	}
	pr, id := started()
	tw.comment(pr, "bob", "/sandbox exec "+id+" cat README.md")
	wantText(t, answered(pr), "ended with exit code 0 in `"+id+"`", " # Shop 1")
	tw.comment(pr, "lee", "/sandbox exec "+id+" cat README.md")
	wantText(t, answered(pr), "@lee What runs in it has the rights of bob")
	if deputies, err := tw.server.store.Deputies(t.Context(), tw.refOf(pr).Repository, time.Now()); err != nil || len(deputies) != 1 || deputies[0].For.Login != "bob" {
		t.Errorf("%+v, %v", deputies, err)
	}
	tw.must(pr.AddLabel(tw.github.User("lee"), switchLabel))
	ended(id, "") // by the switch itself, or because it is judged anew: whichever is first

	pr, id = started()
	tw.must(pr.Close(tw.github.User("ann")))
	ended(id, "closed")

	// What GitHub says of who has taken it back ends what they may do there.
	pr, id = started()
	tw.comment(pr, "bob", "/sandbox exec "+id+" pwd")
	wantText(t, answered(pr), inside.workspaces()+"/shop")
	if !inside.soonConnected(1) {
		t.Error("his codespace has no connection")
	}
	tw.github.User("bob").RevokeApp(tw.hook)
	tw.settled()
	if !inside.soonConnected(0) {
		t.Error("the connection to his codespace is open still")
	}
	if kept, err := tw.server.store.UserToken(t.Context(), tw.github.User("bob").ID()); err != nil || len(kept.Sealed) != 0 {
		t.Errorf("%+v, %v", kept, err)
	}
	tw.comment(pr, "bob", "/sandbox stop "+id)
	ended(id, "bob stopped it")

	// Where the App was, nothing is left that it would have to see.
	tw.installation.Delete()
	tw.settled()
	if all, err := tw.server.sandboxes.Everywhere(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// An organization that the App is taken from keeps its codespace, which the App cannot end
// any more: nobody is told that it has.
func TestUninstalledFromUnderACodespace(t *testing.T) {
	options := atOnce
	options.Backoff = func(int) time.Duration { return time.Hour } // of what cannot be done any more
	tw := newTestWorldWith(t, options)
	tw.github.SetCodespaceKnobs(fast)
	inside := newShells(t, tw.github)
	withCodespacesOn(t, tw, func(c *codespaces.Config) {
		c.Dialer, c.Folder, c.PollEvery = inside, inside.workspaces(), 10*time.Millisecond
	})
	tw.lets("bob")
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	inside.heads[""] = pr.HeadSHA()
	id := tw.started(pr)
	tw.installation.Delete()
	tw.settled()
	all, err := tw.server.sandboxes.Everywhere(t.Context())
	if len(all) != 0 || err == nil || !strings.Contains(err.Error(), "codespaces of acme may run until") {
		t.Errorf("%+v, %v", all, err)
	}
	if told := tw.entries("sandbox.ended"); told != "" || len(tw.github.Codespaces()) != 1 {
		t.Errorf("%s is said to have ended: %s", id, told)
	}
}
