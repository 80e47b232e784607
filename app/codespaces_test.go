package app

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/tunnel/tunneltest"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
	"github.com/portcullis-app/portcullis/web"
)

// tokens are people's, in memory.
type tokens struct {
	app *githubsim.App

	mu       sync.Mutex
	of       map[int64]usertoken.Token
	expected map[int64]usertoken.Expectation
}

func (k *tokens) Token(_ context.Context, person policy.Actor) (usertoken.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if token, has := k.of[person.ID]; has {
		return token, nil
	}
	return usertoken.Token{}, &usertoken.NeededError{Person: person, Why: "they never did"}
}

func (k *tokens) Expect(_ context.Context, person policy.Actor, _ time.Time, pays bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expected[person.ID] = usertoken.Expectation{Person: person, Pays: pays || k.expected[person.ID].Pays}
	return nil
}

func (k *tokens) ExpectIn(context.Context, policy.Repository, time.Time) error     { return nil }
func (k *tokens) ExpectNoMore(context.Context, policy.Repository, time.Time) error { return nil }

func (k *tokens) Expected(context.Context) (all []usertoken.Expectation, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range k.expected {
		all = append(all, one)
	}
	return all, nil
}

// cloud is a simulated GitHub with codespaces.
type cloud struct {
	*codespaces.Codespaces

	t       *testing.T
	sim     *githubsim.Sim
	acme    *githubsim.Organization
	shop    *githubsim.Repository
	hook    *githubsim.App
	install *githubsim.Installation
	ann     *githubsim.User
	pull    *githubsim.PullRequest
	tokens  *tokens
	shells  *shells
	config  codespaces.Config
	// held is how much of an output may be on its way.
	held uint64
}

// fast are codespaces that take no longer than they must.
var fast = githubsim.CodespaceKnobs{Create: 50 * time.Millisecond, Start: 20 * time.Millisecond, Stop: 20 * time.Millisecond, Delete: 30 * time.Millisecond}

func newCloud(t *testing.T, change ...func(*cloud)) *cloud {
	return newCloudAt(t, "https://portcullis.example"+web.AuthorizedPath, change...)
}

// newCloudAt is one whose App sends people back to an address.
func newCloudAt(t *testing.T, callback string, change ...func(*cloud)) *cloud {
	t.Helper()
	witness := newWitness(t)
	sim, err := githubsim.Start(githubsim.Options{Wrap: witness.around})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		witness.testify(t, sim)
		sim.Close()
	})
	sim.SetCodespaceKnobs(fast)
	c := &cloud{t: t, sim: sim, acme: sim.CreateOrganization("acme"), ann: sim.CreateUser("ann"), held: 4 * sshWindow}
	c.acme.AddMember(c.ann)
	c.shop = c.acme.CreateRepository("shop", map[string]string{"README.md": "x\n"})
	c.shop.SetRole(c.ann, "write")
	c.hook = sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", DeviceFlow: true, CallbackURLs: []string{callback}, Permissions: map[string]string{
		"contents": "read", "pull_requests": "read", "codespaces": "write", "codespaces_lifecycle_admin": "write", "codespaces_metadata": "read", "organization_codespaces": "write",
	}})
	c.install = c.hook.Install(c.acme)
	sim.SetRateLimit(c.install.ID(), 1_000_000, time.Now().Add(time.Hour))
	if _, err := c.shop.Push(c.ann, "topic", githubsim.Commit{Files: map[string]string{"x": "x\n"}}); err != nil {
		t.Fatal(err)
	}
	if c.pull, err = c.shop.Open(c.ann, githubsim.PullRequestSpec{Title: "x", Head: "topic"}); err != nil {
		t.Fatal(err)
	}
	c.tokens = &tokens{app: c.hook, of: map[int64]usertoken.Token{c.ann.ID(): c.token(c.ann)}, expected: map[int64]usertoken.Expectation{}}
	c.shells = newShells(t, sim)
	c.shells.heads[""] = c.pull.HeadSHA()
	client := c.client()
	c.config = codespaces.Config{
		App: c.hook.ID(), Platform: codespacePlatform{client}, People: codespacePeople{client}, Tokens: c.tokens, Dialer: c.shells,
		Folder: c.shells.workspaces(), SweepEvery: 500 * time.Millisecond, PollEvery: 10 * time.Millisecond,
		Now: time.Now, Log: zerolog.New(zerolog.NewTestWriter(t)),
	}
	for _, f := range change {
		f(c)
	}
	c.Codespaces = c.another()
	t.Cleanup(func() {
		for _, cs := range sim.Codespaces() {
			t.Errorf("a codespace is left: %s of %s, %s", cs.Name(), cs.Owner().Login(), cs.State())
		}
	})
	return c
}

func (c *cloud) token(u *githubsim.User) usertoken.Token {
	return usertoken.New(policy.Actor{ID: u.ID(), Login: u.Login()}, c.hook.CreateUserToken(u).AccessToken)
}

// settings are those of a server on this GitHub.
func (c *cloud) settings() Config {
	config := defaultConfig()
	config.GitHub.WebURL, config.GitHub.V3APIURL, config.GitHub.V4APIURL = c.sim.URL(), c.sim.APIURL(), c.sim.GraphQLURL()
	config.GitHub.App.IntegrationID, config.GitHub.App.PrivateKey = c.hook.ID(), c.hook.PrivateKeyPEM()
	config.GitHub.OAuth.ClientID, config.GitHub.OAuth.ClientSecret = c.hook.ClientID(), c.hook.ClientSecret()
	return config
}

func (c *cloud) client() *githubapi.Client { return c.clientAt(time.Now) }

func (c *cloud) clientAt(now func() time.Time) *githubapi.Client {
	c.t.Helper()
	config := c.settings()
	client, err := githubapi.New(config.GitHub, clientOptions(config, now))
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// another is a provider that knows nothing of the first.
func (c *cloud) another() *codespaces.Codespaces {
	c.t.Helper()
	made, err := codespaces.NewCodespacesSandbox(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(made.Close)
	return made
}

// sweeping has a provider sweep until the test ends.
func (c *cloud) sweeping(boxes *codespaces.Codespaces) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			_, _ = sandbox.Reap(ctx, boxes, time.Now()) // what it cannot end is there when the test ends
			_ = wait(ctx, c.config.SweepEvery)
		}
	})
	c.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// spec is one that can be created.
func (c *cloud) spec() sandbox.Spec {
	return sandbox.Spec{
		ID: sandbox.NewID(), HeadSHA: c.pull.HeadSHA(), Policy: ".github/portcullis.yml on main at 0123abc",
		For: killswitch.Scope{
			Repository: policy.Repository{Installation: c.install.ID(), ID: c.shop.ID(), Owner: "acme", Name: "shop"}, Number: c.pull.Number(), Agents: true,
		},
		RequestedBy: policy.Actor{ID: c.ann.ID(), Login: "ann"},
		Constraints: sandbox.SandboxConstraints{Network: sandbox.NetworkFull, Timeout: 5 * time.Minute},
	}
}

// writes counts what GitHub was asked to change.
func (c *cloud) writes() (n int64) {
	for _, r := range c.sim.Requests() {
		if r.Method != http.MethodGet && !strings.HasSuffix(r.Path, "/access_tokens") && !strings.HasSuffix(r.Path, "/graphql") { // of that there are queries alone
			n++
		}
	}
	return n
}

// sshWindow is how much of an output may be on its way: twice, because the server is here
// as well, and twice as much garbage.
const sshWindow = 2 << 20

// byTunnels has codespaces be connected to by their tunnels.
func byTunnels(c *cloud) {
	tunnels := tunneltest.Start(c.t)
	tunnels.SSH = c.shells.listen.Addr().String()
	knobs := fast
	knobs.Tunnel = func(name string) map[string]any {
		at := tunneltest.Properties(name)
		return map[string]any{
			"serviceUri": at.ServiceURI, "tunnelId": at.TunnelID, "clusterId": at.ClusterID, "connectAccessToken": at.ConnectToken, "managePortsAccessToken": at.PortsToken, "domain": "app.github.dev",
		}
	}
	c.sim.SetCodespaceKnobs(knobs)
	dialer, err := tunnel.NewTunnelDialer(tunnel.Config{GitHub: codespacePeople{c.client()}, Transport: tunnels.Transport()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = dialer.Close() })
	c.config.Dialer = dialer
	c.held += 4 * sshWindow // there are two more SSH connections on the way
}

func TestCodespacesConform(t *testing.T) {
	for name, change := range map[string]func(*cloud){
		"with the tokens of those who ask": func(*cloud) {},
		"with a machine user's": func(c *cloud) {
			robot := c.sim.CreateUser("robot")
			c.acme.AddMember(robot)
			c.config.Machine = c.token(robot)
		},
		"by their tunnels":   byTunnels,
		"paid for by people": func(c *cloud) { c.acme.SetCodespacePolicy(githubsim.CodespacePolicy{PaidByUsers: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, change)
			fresh := c.another()
			c.sweeping(fresh)
			probe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			sandboxtest.Conform(t, sandboxtest.Subject{
				Boxes: c, Fresh: fresh, Spec: c.spec(), Probe: []string{probe}, Writes: c.writes, Slack: 2 * time.Second,
				Held: c.held,
				Unsupported: map[string]func(*sandbox.Spec){
					"memory_mb":     func(s *sandbox.Spec) { s.Constraints.MemoryMB = 512 },
					"cpu_percent":   func(s *sandbox.Spec) { s.Constraints.CPUPercent = 150 },
					"disk_mb":       func(s *sandbox.Spec) { s.Constraints.DiskMB = 64 },
					"network":       func(s *sandbox.Spec) { s.Constraints.Network = "" },
					"allowed_paths": func(s *sandbox.Spec) { s.Constraints.AllowedPaths = []string{"/workspace/out"} },
					"credentials":   func(s *sandbox.Spec) { s.Constraints.Credentials = map[string]string{"api.example.com": "deploy"} },
					"runtime":       func(s *sandbox.Spec) { s.Constraints.Runtime = "runsc" },
					"image":         func(s *sandbox.Spec) { s.Image = "debian:12" },
					"timeout":       func(s *sandbox.Spec) { s.Constraints.Timeout = 700 * time.Millisecond },
				},
			})
		})
	}
}
