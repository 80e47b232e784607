package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// world is a simulated GitHub with an organization in it, and a server that is
// installed there: all on loopback, nothing on disk.
type world struct {
	github *githubsim.Sim
	server *App
	hook   *githubsim.App
	acme   *githubsim.Organization
	shop   *githubsim.Repository
	// installation is the App's in the organization.
	installation *githubsim.Installation

	// database and options are what the server is started with, and started again.
	database string
	options  Options
	// killSwitch is what the server is told of custom properties.
	killSwitch KillSwitchConfig
	// vault is the Vault that the server reads at.
	vault VaultConfig
	// sandbox is where the server has its sandboxes, where options do not say.
	sandbox SandboxConfig
	// publicURL is where people reach the server; empty: nowhere.
	publicURL string
}

// demoSecret signs webhooks that never leave the machine.
const demoSecret = "a secret for the demo only"

// The program that is told of tokens in a simulated world.
const (
	demoClient       = "deployer"
	demoClientSecret = "a secret of the deployer's"
)

// demoAudience is whom the id-tokens in a simulated world must be for.
const demoAudience = "https://portcullis.example.com"

// demoPolicy is the policy file of the simulated repository.
const demoPolicy = `version: 1
classify:
  security_sensitive: {paths: ["**/auth/**"], labels: [security]}
  infrastructure:     {paths: ["deploy/**"]}
tiers:
  peer-review:     {approvals: 1, from: {permission: write}}
  team-lead:       {approvals: 1, from: {teams: [acme/leads]}}
  security-review: {approvals: 2, from: {teams: [acme/security]}}
`

var demoFiles = map[string]string{
	".github/portcullis.yml": demoPolicy,
	"README.md":              "# Shop\n\nAn exampel shop.\n",
	"catalogue/list.go":      "package catalogue\n",
	"auth/login.go":          "package auth\n\nconst attempts = 5\n",
}

// newWorld starts a simulated GitHub and a server that works for it. The caller
// must call stop.
func newWorld(ctx context.Context, database string, options Options) (*world, error) {
	github, err := githubsim.Start(githubsim.Options{Now: options.Now, TokenNow: options.tokenNow, Wrap: options.around})
	if err != nil {
		return nil, fmt.Errorf("start the simulated GitHub: %w", err)
	}
	w := &world{github: github, database: database, options: options}
	w.populate()
	if err := w.serve(ctx); err != nil {
		return nil, errors.Join(err, w.stop(ctx))
	}
	return w, nil
}

// populate makes the organization acme with its people, teams, repository and
// App, and requires the App's check on the default branch.
func (w *world) populate() {
	acme := w.github.CreateOrganization("acme")
	w.acme = acme
	for _, login := range []string{"ann", "bob", "lee", "sam", "sue"} {
		acme.AddMember(w.github.CreateUser(login))
	}
	claude := w.github.CreateBot("claude[bot]", 209825114)
	acme.CreateTeam("leads", w.github.User("lee"))
	acme.CreateTeam("security", w.github.User("sam"), w.github.User("sue"))

	w.shop = acme.CreateRepository("shop", demoFiles)
	for _, login := range []string{"ann", "bob", "lee"} {
		w.shop.SetRole(w.github.User(login), "write")
	}
	for _, login := range []string{"sam", "sue"} {
		w.shop.SetRole(w.github.User(login), "maintain")
	}
	w.shop.SetRole(claude, "write")

	w.hook = w.github.CreateApp(githubsim.AppSpec{
		Slug: "portcullis",
		Permissions: map[string]string{
			"metadata": "read", "contents": "read", "pull_requests": "write", "issues": "write", "checks": "write",
			"members": "read", "merge_queues": "read", "administration": "write", "organization_administration": "write",
			"secrets": "write", "environments": "write", "actions": "read", "deployments": "write",
		},
		Events: []string{
			"pull_request", "pull_request_review", "issue_comment", "issues", "repository_ruleset", "check_run", "check_suite", "merge_group",
			"push", "repository", "label", "deployment_protection_rule", "workflow_job", "workflow_run", "membership", "member", "team", "organization",
		},
		WebhookSecret: demoSecret,
	})
	w.installation = w.hook.Install(acme)
	w.shop.CreateRuleset(githubsim.Ruleset{
		Name: "portcullis is required", Enforcement: "active", Branches: []string{"~DEFAULT_BRANCH"},
		RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: w.hook.ID()}},
	})
}

// set writes the policy file on the default branch past all rules; an empty one
// leaves it as it is.
func (w *world) set(scene string) {
	if scene != "" {
		w.shop.SetFiles(w.shop.DefaultBranch(), map[string]string{w.config().Policy.Path: scene})
	}
}

// config is the configuration of a server in this world.
func (w *world) config() Config {
	config := defaultConfig()
	config.GitHub.WebURL = w.github.URL()
	config.GitHub.V3APIURL = w.github.APIURL()
	config.GitHub.V4APIURL = w.github.URL() + "/api/graphql"
	config.GitHub.App.IntegrationID = w.hook.ID()
	config.GitHub.App.PrivateKey = w.hook.PrivateKeyPEM()
	config.GitHub.App.WebhookSecret = demoSecret
	config.GitHub.OAuth.ClientID, config.GitHub.OAuth.ClientSecret = w.hook.ClientID(), w.hook.ClientSecret()
	config.Server = ServerConfig{Address: "127.0.0.1", Port: 0, PublicURL: w.publicURL}
	config.Database.URL = w.database
	config.KillSwitch = w.killSwitch
	config.Credentials.Vault = w.vault
	if !reflect.ValueOf(w.sandbox).IsZero() {
		config.Sandbox = w.sandbox
	}
	config.Credentials.Introspection.Clients = []IntrospectionClient{{ID: demoClient, Secret: demoClientSecret}}
	config.Credentials.Exchange = ExchangeConfig{Audience: demoAudience, Issuer: w.github.Issuer()}
	return config
}

// serve starts the server and tells the simulated GitHub where it is.
func (w *world) serve(ctx context.Context) error {
	server, err := New(ctx, w.config(), w.options)
	if err != nil {
		return err
	}
	w.server = server
	if err := server.Start(ctx); err != nil {
		return err
	}
	w.hook.SetWebhookURL(server.webhookURL())
	return nil
}

// settle waits until GitHub has delivered everything and the server has done
// what follows from it. What the server does is delivered in turn.
func (w *world) settle(ctx context.Context) error {
	const rounds = 2
	for range rounds {
		if err := w.github.WaitForDeliveries(ctx); err != nil {
			return fmt.Errorf("wait for the webhooks: %w", err)
		}
		if err := w.server.Settle(ctx); err != nil {
			return fmt.Errorf("wait for the server: %w", err)
		}
	}
	return nil
}

func (w *world) stop(ctx context.Context) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var err error
	if w.server != nil {
		err = w.server.Stop(stopping)
	}
	w.github.Close()
	return err
}
