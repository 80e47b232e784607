package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
	"github.com/portcullis-app/portcullis/web"
)

// browser goes where it is sent, and shows GitHub who it is.
func browser(t *testing.T, sim *githubsim.Sim, as *githubsim.User) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(sim.URL())
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(at, []*http.Cookie{as.Session()})
	return &http.Client{Jar: jar, Timeout: 10 * time.Second}
}

// From the first refusal over the link to a sandbox that works: ann lets the App act for
// her in her browser, and takes it back.
func TestCodespacesFromTheLinkToTheEnd(t *testing.T) {
	server := http.NewServeMux()
	pages := httptest.NewServer(server)
	t.Cleanup(pages.Close)
	c := newCloudAt(t, pages.URL+web.AuthorizedPath)
	facts, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/portcullis.db", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := facts.Close(); err != nil {
			t.Error(err)
		}
	})
	settings := c.settings()
	settings.Server.PublicURL = pages.URL
	client := c.client()
	parts, err := newCodespaces(t.Context(), CodespacesConfig{}, settings, client, facts, c.shells, Options{Now: time.Now, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(parts.boxes.Close)
	server.HandleFunc("GET "+web.AuthorizePath, parts.authorization.Begin)
	server.HandleFunc("GET "+web.AuthorizedPath, parts.authorization.End)
	c.config.Tokens = parts.people
	boxes := c.another()

	spec := c.spec()
	_, err = boxes.Create(t.Context(), spec)
	if needed, is := errors.AsType[*codespaces.NeedsUserTokenError](err); !is || needed.Person.Login != "ann" {
		t.Fatalf("before: %v", err)
	}
	_, err = toldCodespaces{boxes, parts.boxes.authorizeURL}.Create(t.Context(), spec)
	want := "ann has to let the App act for them: they have not done so, or have taken it back; that is done at " + pages.URL + web.AuthorizePath + ", and then"
	if refused, is := errors.AsType[*sandbox.RefusedError](err); !is || !strings.HasPrefix(refused.Why, want) {
		t.Errorf("what she is told: %v", err)
	}
	window := browser(t, c.sim, c.ann)
	visit := func(address string) (int, string) {
		t.Helper()
		response, err := window.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body := make([]byte, 64<<10)
		n, _ := response.Body.Read(body)
		return response.StatusCode, string(body[:n])
	}
	if status, page := visit(pages.URL + web.AuthorizePath); status != http.StatusOK || !strings.Contains(page, "Portcullis may act for ann") {
		t.Fatalf("%d: %s", status, page)
	}
	// Whoever is brought to the end with a code of their own changes nothing.
	other := c.sim.CreateUser("mallory")
	stolen, err := other.AuthorizeAt(client.AuthorizeURL(pages.URL+web.AuthorizedPath, "x", strings.Repeat("A", 43)))
	if err != nil {
		t.Fatal(err)
	}
	if status, page := visit(stolen); status != http.StatusBadRequest || !strings.Contains(page, "You did not come here") {
		t.Errorf("another's code: %d: %s", status, page)
	}
	c.install.SetPermission("organization_codespaces", "read")
	_, err = toldCodespaces{boxes, ""}.Create(t.Context(), spec)
	if refused, is := errors.AsType[*sandbox.RefusedError](err); !is || !strings.Contains(refused.Why, "it needs Organization codespaces: write") {
		t.Errorf("where nobody could end it: %v", err)
	}
	c.install.SetPermission("organization_codespaces", "write")
	gone := spec
	gone.HeadSHA = strings.Repeat("0", 40)
	_, err = toldCodespaces{boxes, ""}.Create(t.Context(), gone)
	if refused, is := errors.AsType[*sandbox.RefusedError](err); !is || !strings.Contains(refused.Why, "and not 000000000000") {
		t.Errorf("on another commit: %v", err)
	}
	is, err := boxes.Create(t.Context(), spec)
	if err != nil || is.RequestedBy.ID != c.ann.ID() {
		t.Fatalf("%+v, %v", is, err)
	}
	if result, err := boxes.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"echo", "hello"}}); err != nil || result.Stdout != "hello\n" {
		t.Errorf("%+v, %v", result, err)
	}
	if err := parts.people.Revoke(t.Context(), policy.Actor{ID: c.ann.ID(), Login: "ann"}, is.RequestedBy); err != nil {
		t.Error(err)
	}
	if left := c.hook.UserTokens(c.ann); len(left) != 0 {
		t.Errorf("%d tokens are left at GitHub", len(left))
	}
	spec.ID = sandbox.NewID()
	if _, err := boxes.Create(t.Context(), spec); err == nil {
		t.Error("created for somebody who has taken it back")
	}
	if err := boxes.Destroy(t.Context(), is.ID); err != nil || c.there() != 0 {
		t.Errorf("%v; %d are there", err, c.there())
	}
}

func TestAMachineUser(t *testing.T) {
	c := newCloud(t)
	robot := c.sim.CreateUser("robot")
	options := Options{Now: time.Now, Log: zerolog.Nop()}
	parts, err := newCodespaces(t.Context(), CodespacesConfig{MachineToken: robot.Token()}, c.settings(), c.client(), usertoken.NewMemoryStore(), c.shells, options)
	if err != nil || parts.authorization != nil {
		t.Fatalf("%+v, %v", parts, err)
	}
	parts.boxes.Close()
	const wrong = "ghp_wrong"
	if _, err := newCodespaces(t.Context(), CodespacesConfig{MachineToken: wrong}, c.settings(), c.client(), usertoken.NewMemoryStore(), c.shells, options); err == nil || strings.Contains(err.Error(), wrong) {
		t.Errorf("a token that is none: %v", err)
	}
}

func TestCodespacesConfig(t *testing.T) {
	good := CodespacesConfig{GH: "/usr/bin/gh"}
	server := ServerConfig{PublicURL: "https://portcullis.example"}
	var github githubapp.Config
	github.OAuth.ClientID, github.OAuth.ClientSecret = "Iv1.x", "secret"
	for name, c := range map[string]struct {
		change func(*CodespacesConfig, *ServerConfig, *githubapp.Config)
		want   string
	}{
		"good": {func(*CodespacesConfig, *ServerConfig, *githubapp.Config) {}, ""},
		"none": {func(c *CodespacesConfig, s *ServerConfig, g *githubapp.Config) {
			*c, *s, *g = CodespacesConfig{}, ServerConfig{}, githubapp.Config{}
		}, ""},
		"gh by its name": {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.GH = "gh" }, "sandbox.codespaces.gh"},
		"gh by default":  {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.GH, c.Idle = "", 10*time.Minute }, "sandbox.codespaces.gh"},
		"a tunnel":       {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.Connect, c.GH = "tunnel", "" }, ""},
		"both ways":      {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.Connect = "tunnel" }, "sandbox.codespaces.gh"},
		"another way":    {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.Connect = "ssh" }, "sandbox.codespaces.connect"},
		"an odd user":    {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.User = "-x" }, "sandbox.codespaces.user"},
		"a line in it":   {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.MachineToken = "ghp_x\n" }, "sandbox.codespaces.machine_token"},
		"idle too short": {func(c *CodespacesConfig, _ *ServerConfig, _ *githubapp.Config) { c.Idle = time.Minute }, "sandbox.codespaces.idle"},
		"no client":      {func(_ *CodespacesConfig, _ *ServerConfig, g *githubapp.Config) { g.OAuth.ClientSecret = "" }, "github.oauth"},
		"no address":     {func(_ *CodespacesConfig, s *ServerConfig, _ *githubapp.Config) { s.PublicURL = "" }, "server.public_url"},
		"without TLS": {func(_ *CodespacesConfig, s *ServerConfig, _ *githubapp.Config) {
			s.PublicURL = "http://portcullis.example"
		}, "server.public_url"},
		"a machine user": {func(c *CodespacesConfig, s *ServerConfig, g *githubapp.Config) {
			c.MachineToken, s.PublicURL, g.OAuth.ClientID = "ghp_x", "", ""
		}, ""},
	} {
		config, at, hub := good, server, github
		c.change(&config, &at, &hub)
		var faults []string
		config.validate(func(field, _ string) { faults = append(faults, field) }, at, hub)
		if got := strings.Join(faults, " "); got != c.want {
			t.Errorf("%s: faults in %q, want %q", name, got, c.want)
		}
	}
	for connect, want := range map[string]string{"": "*codespaces.GH", "gh": "*codespaces.GH", "tunnel": "*tunnel.Dialer"} {
		good.Connect = connect
		in, err := good.newWayIn(githubapp.Config{WebURL: "https://github.com"}, nil)
		if err != nil || fmt.Sprintf("%T", in) != want {
			t.Fatalf("%q: %T, %v", connect, in, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
}
