package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/palantir/go-githubapp/githubapp"

	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
	"github.com/portcullis-app/portcullis/web"
)

// CodespacesConfig is about sandboxes as GitHub Codespaces. With nothing set there are
// none.
type CodespacesConfig struct {
	// Connect is how codespaces are connected to: "gh", by GitHub's command line, which is
	// the default, or "tunnel", by their tunnels without it.
	Connect string `yaml:"connect" env:"CONNECT"`
	// GH is the path of GitHub's command line.
	GH string `yaml:"gh" env:"GH"`
	// User is who the SSH server of a codespace lets in, as "vscode"; empty: each is asked.
	User string `yaml:"user" env:"USER"`
	// MachineToken is a token of a machine user's, whose all codespaces are then; empty:
	// each is that of the person who asks for it, who lets the App act for them at
	// /sandbox/authorize.
	MachineToken string `yaml:"machine_token" env:"MACHINE_TOKEN"`
	// Idle is after how long without anything happening GitHub stops a codespace and
	// deletes it, also with no server running: 5m to 240m, in whole minutes. The default is
	// 10m.
	Idle time.Duration `yaml:"idle" env:"IDLE"`
}

// validate tells the faults of the block. server and github are the other blocks that it
// depends on.
func (c CodespacesConfig) validate(fault func(field, problem string), server ServerConfig, github githubapp.Config) {
	if c == (CodespacesConfig{}) {
		return
	}
	const block = "sandbox.codespaces."
	switch {
	case c.Connect != "" && c.Connect != connectByGH && c.Connect != connectByTunnel:
		fault(block+"connect", "is neither gh nor tunnel")
	case c.Connect == connectByTunnel && c.GH != "":
		fault(block+"gh", "is not used with "+block+"connect: tunnel; leave out one of the two")
	case c.Connect != connectByTunnel && !filepath.IsAbs(c.GH):
		fault(block+"gh", "is not the absolute path of GitHub's command line, gh, without which "+block+"connect: tunnel is due")
	}
	if c.User != "" && !codespaces.IsUserName(c.User) {
		fault(block+"user", "is no name of a user")
	}
	if c.MachineToken != strings.TrimSpace(c.MachineToken) {
		fault(block+"machine_token", "begins or ends with white space")
	}
	if c.Idle != 0 && (c.Idle < 5*time.Minute || c.Idle > 240*time.Minute || c.Idle%time.Minute != 0) {
		fault(block+"idle", "is not between 5m and 240m in whole minutes")
	}
	if c.MachineToken != "" {
		return
	}
	if github.OAuth.ClientID == "" || github.OAuth.ClientSecret == "" {
		fault("github.oauth", "needs client_id and client_secret, which are on the App's settings page, so that people can let the App act for them; or else "+block+"machine_token is due")
	}
	if public, err := url.Parse(server.PublicURL); err != nil || public.Host == "" || public.Scheme != "https" && !isLoopback(public.Hostname()) {
		fault("server.public_url", "is not an address that begins with https://, to which people could be sent back; or else "+block+"machine_token is due")
	}
}

// The ways into codespaces.
const (
	connectByGH     = "gh"
	connectByTunnel = "tunnel"
)

// wayIn is a way into codespaces that is to be closed.
type wayIn interface {
	codespaces.Dialer
	io.Closer
}

// newWayIn is the one that the configuration says.
func (c CodespacesConfig) newWayIn(github githubapp.Config, client *githubapi.Client) (wayIn, error) {
	if c.Connect == connectByTunnel {
		return tunnel.NewTunnelDialer(tunnel.Config{GitHub: codespacePeople{client}, User: c.User})
	}
	at, err := url.Parse(github.WebURL)
	if err != nil {
		return nil, fmt.Errorf("read github.web_url: %w", err)
	}
	return codespaces.NewGH(codespaces.GHConfig{Program: c.GH, Host: at.Host, User: c.User})
}

// authorizer sends people to GitHub, and keeps what they come back with.
type authorizer struct {
	*usertoken.Keeper

	client *githubapi.Client
}

var _ web.Authorizer = authorizer{}

// AuthorizeURL is where at GitHub people let the App act for them.
func (a authorizer) AuthorizeURL(redirect, state, challenge string) string {
	return a.client.AuthorizeURL(redirect, state, challenge)
}

// codespaceParts are what a server with codespaces has.
type codespaceParts struct {
	// boxes are to be closed.
	boxes  toldCodespaces
	people *usertoken.Keeper
	// authorization is nil if a machine user's token is there.
	authorization *web.Authorization
	in            wayIn
}

// newPeople are those who let the App act for them.
func newPeople(settings Config, client *githubapi.Client, kept usertoken.Store, sealed usertoken.Cipher, options Options) *usertoken.Keeper {
	return usertoken.NewKeeper(usertoken.Config{
		GitHub: userTokens{client}, Store: kept, Cipher: sealed, SettingsURL: strings.TrimSuffix(settings.GitHub.WebURL, "/") + "/settings/apps/authorizations",
		Now: options.Now, Wait: wait, Log: options.Log,
	})
}

// newCodespaces makes the parts. It asks GitHub whose the machine user's token is, if
// there is one.
func newCodespaces(ctx context.Context, config CodespacesConfig, settings Config, client *githubapi.Client, kept usertoken.Store, dialer codespaces.Dialer, options Options) (parts codespaceParts, err error) {
	sealed, err := newHandles(settings.GitHub.App.PrivateKey)
	if err != nil {
		return codespaceParts{}, err
	}
	parts.people = newPeople(settings, client, kept, sealed, options)
	var machine usertoken.Token
	var link string
	if config.MachineToken != "" {
		owner, err := client.TokenOwner(ctx, config.MachineToken)
		if err != nil {
			return codespaceParts{}, fmt.Errorf("sandbox.codespaces.machine_token: %w", err)
		}
		machine = usertoken.New(owner, config.MachineToken)
	} else if parts.authorization, err = web.NewAuthorization(authorizer{parts.people, client}, sealed, settings.Server.PublicURL, options.Now, options.Log); err != nil {
		return codespaceParts{}, err
	} else {
		link = strings.TrimSuffix(settings.Server.PublicURL, "/") + web.AuthorizePath
	}
	made := codespaces.Config{
		App: settings.GitHub.App.IntegrationID, Platform: codespacePlatform{client}, People: codespacePeople{client}, Tokens: parts.people, Dialer: dialer,
		Machine: machine, Idle: config.Idle, Now: options.Now, Log: options.Log,
	}
	if options.codespaces != nil {
		options.codespaces(&made)
	}
	boxes, err := codespaces.NewCodespacesSandbox(made)
	parts.boxes = toldCodespaces{boxes, link}
	return parts, err
}

// withCodespaces adds codespaces to the providers, if the configuration has them and no
// test brings its own.
func withCodespaces(ctx context.Context, providers map[string]sandbox.Sandbox, config Config, client *githubapi.Client, kept usertoken.Store, options Options) (codespaceParts, error) {
	of := config.Sandbox.Codespaces
	if of == (CodespacesConfig{}) || options.sandboxes != nil {
		return codespaceParts{}, nil
	}
	in, err := of.newWayIn(config.GitHub, client)
	if err != nil {
		return codespaceParts{}, err
	}
	parts, err := newCodespaces(ctx, of, config, client, kept, in, options)
	if err != nil {
		return codespaceParts{}, errors.Join(err, in.Close())
	}
	providers[codespaces.Provider], parts.in = parts.boxes, in
	return parts, nil
}

// tokens are those of people; nil: there are none, and none to forget.
func (p codespaceParts) tokens() handlers.UserTokens {
	if p.people == nil {
		return nil
	}
	return revocations{p.people, p.boxes}
}

// revocations forget people with the connections to their codespaces.
type revocations struct {
	people *usertoken.Keeper
	boxes  toldCodespaces
}

// Forget does so. What runs over a connection ends with it, whatever the database says.
func (f revocations) Forget(ctx context.Context, person policy.Actor) error {
	err := f.people.Forget(ctx, person)
	f.boxes.Forget(person.ID) // after it: until then somebody might have opened another
	return err
}

// close gives up the connections to codespaces.
func (p codespaceParts) close() error {
	if p.in == nil {
		return nil
	}
	p.boxes.Close()
	return p.in.Close()
}
