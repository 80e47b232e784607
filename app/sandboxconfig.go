package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
	"github.com/portcullis-app/portcullis/sandbox/egress"
	"github.com/portcullis-app/portcullis/sandbox/kubernetes"
	"github.com/portcullis-app/portcullis/sandbox/remote"
)

// SandboxConfig says where sandboxes run, and how many.
type SandboxConfig struct {
	// MaxPerRepository, MaxPerPerson and MaxTotal are how many there may be at once.
	MaxPerRepository int `yaml:"max_per_repository" env:"MAX_PER_REPOSITORY"`
	MaxPerPerson     int `yaml:"max_per_person"     env:"MAX_PER_PERSON"`
	MaxTotal         int `yaml:"max_total"          env:"MAX_TOTAL"`

	Docker     DockerConfig     `yaml:"docker"     envPrefix:"DOCKER_"`
	Kubernetes KubernetesConfig `yaml:"kubernetes" envPrefix:"KUBERNETES_"`
	Codespaces CodespacesConfig `yaml:"codespaces" envPrefix:"CODESPACES_"`
}

// DockerConfig is a Docker engine. Whoever reaches it is root on its machine: give
// Portcullis one of its own.
type DockerConfig struct {
	// Host is where it is, as unix:///var/run/docker.sock; empty: there is none.
	Host string `yaml:"host" env:"HOST"`
	// Reaper is the socket of a `portcullis sandbox reaper` that holds the engine, so that
	// this process does not; then all of the fields here but this one are its flags.
	Reaper string `yaml:"reaper" env:"REAPER"`
	// Program is the path of a Portcullis that is linked statically, which is PID 1 in
	// sandboxes. Empty: this one.
	Program string `yaml:"program" env:"PROGRAM"`
	// Runtime isolates every sandbox, as runsc; empty: the engine's default.
	Runtime string `yaml:"runtime" env:"RUNTIME"`
	// EgressFolder is where the sockets are through which sandboxes reach the outside,
	// which this process and the engine must both see. Empty: they reach nothing.
	EgressFolder string `yaml:"egress_folder" env:"EGRESS_FOLDER"`
	// FullNetwork allows policies to let sandboxes reach any public address.
	FullNetwork bool `yaml:"full_network" env:"FULL_NETWORK"`
	// DeniedNetworks are never reached by a sandbox, whatever the policy says, as
	// 192.0.2.0/24: those of yours that have public addresses. What is not public is not
	// reached anyway, nor what the machine's interfaces have.
	DeniedNetworks []string `yaml:"denied_networks" env:"DENIED_NETWORKS"`
}

// has reports whether anything is set but the reaper.
func (c DockerConfig) has() bool {
	c.Reaper = ""
	if len(c.DeniedNetworks) == 0 {
		c.DeniedNetworks = nil
	}
	return !reflect.DeepEqual(c, DockerConfig{})
}

// denied are the networks that are never reached; the error is a sentence on the first
// that is none.
func (c DockerConfig) denied() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range c.DeniedNetworks {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() || network.Addr().Is4In6() {
			return nil, fmt.Errorf("names %q, which is no network such as 192.0.2.0/24 or 2001:db8::/32", text)
		}
		all = append(all, network)
	}
	return all, nil
}

func defaultSandboxConfig() SandboxConfig {
	return SandboxConfig{MaxPerRepository: 5, MaxPerPerson: 3, MaxTotal: 20, Docker: DockerConfig{DeniedNetworks: []string{}}, Kubernetes: defaultKubernetesConfig()}
}

func (c SandboxConfig) caps() sandbox.Caps {
	return sandbox.Caps{PerRepository: c.MaxPerRepository, PerPerson: c.MaxPerPerson, Total: c.MaxTotal}
}

// validate tells the faults of the block.
func (c SandboxConfig) validate(fault func(field, problem string)) {
	for _, most := range []struct {
		field string
		n     int
	}{{"max_per_repository", c.MaxPerRepository}, {"max_per_person", c.MaxPerPerson}, {"max_total", c.MaxTotal}} {
		if most.n < 1 {
			fault("sandbox."+most.field, "is not 1 or more; to have no sandboxes, name no place where they run")
		}
	}
	d := c.Docker
	switch scheme, _, _ := strings.Cut(d.Host, "://"); scheme {
	case "", "unix", "tcp", "http", "https":
	default:
		fault("sandbox.docker.host", "is no address such as unix:///var/run/docker.sock")
	}
	switch {
	case d.Reaper != "" && d.has():
		fault("sandbox.docker.reaper", "is set beside other fields of sandbox.docker, which are the reaper's own flags then")
	case d.Host == "" && d.has():
		fault("sandbox.docker.host", "is empty, and other fields of sandbox.docker are not")
	}
	if _, err := d.denied(); err != nil {
		fault("sandbox.docker.denied_networks", err.Error())
	}
	c.Kubernetes.validate(fault)
	if d.EgressFolder != "" && !filepath.IsAbs(d.EgressFolder) {
		fault("sandbox.docker.egress_folder", "is not an absolute path; the engine and Portcullis must mean the same folder")
	}
}

// gives is the credential of that name for a sandbox, when there is a request that needs
// it; nil: none is given.
type gives func(is sandbox.Instance, credential string) func(context.Context) (string, error)

// newProvidersOfSandboxes are what sandboxes run on, by the names of the policy file, and
// what gives them up.
func newProvidersOfSandboxes(config Config, options Options, give gives) (map[string]sandbox.Sandbox, func() error, error) {
	if options.sandboxes != nil {
		return options.sandboxes, func() error { return nil }, nil
	}
	providers := map[string]sandbox.Sandbox{}
	closing := func() error { return nil }
	switch of := config.Sandbox.Docker; {
	case of.Reaper != "":
		reaper := remote.NewRemoteSandbox(of.Reaper)
		providers[docker.Provider], closing = reaper, reaper.Close
	case of.Host != "":
		engine, err := newDocker(of, config.GitHub.App.IntegrationID, options.Now, options.Log, give)
		if err != nil {
			return nil, nil, err
		}
		providers[docker.Provider], closing = engine, engine.Close
	}
	if of := config.Sandbox.Kubernetes; of.Namespace != "" {
		cluster, err := newKubernetes(of, config.GitHub.App.IntegrationID, options.Now)
		if err != nil {
			return nil, nil, errors.Join(err, closing())
		}
		providers[kubernetes.Provider] = cluster
	}
	return providers, closing, nil
}

// newDocker is the engine of the configuration.
func newDocker(of DockerConfig, app int64, now func() time.Time, log zerolog.Logger, give gives) (*docker.Docker, error) {
	if of.Program == "" {
		var err error
		if of.Program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	denied, err := of.denied()
	if err != nil {
		return nil, fmt.Errorf("what sandboxes are denied %w", err)
	}
	return docker.NewDockerSandbox(docker.Config{
		Host: of.Host, App: app, Program: of.Program, Runtime: of.Runtime, Now: now, Log: log,
		Egress: docker.Egress{Folder: of.EgressFolder, Full: of.FullNetwork, Lends: give != nil, Serve: serveEgress(denied, now, log, give)},
	})
}

// serveEgress answers for the outside what one sandbox says. Where that cannot be, it
// reaches nothing.
func serveEgress(denied []netip.Prefix, now func() time.Time, log zerolog.Logger, give gives) func(net.Listener, sandbox.Instance, docker.Reach) {
	return func(listener net.Listener, is sandbox.Instance, reach docker.Reach) {
		proxy, err := newEgress(is, reach, denied, now, log, give)
		if err != nil {
			err = errors.Join(err, listener.Close())
		} else {
			err = proxy.Serve(context.Background(), listener)
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			log.Error().Err(err).Str("event", "egress.ended").Str("sandbox", is.ID).Msg("nobody answers for the outside of a sandbox: it reaches nothing")
		}
	}
}

func newEgress(is sandbox.Instance, reach docker.Reach, denied []netip.Prefix, now func() time.Time, log zerolog.Logger, give gives) (*egress.Proxy, error) {
	out := egress.Policy{Any: reach.Network == sandbox.NetworkFull, Deny: denied}
	for _, text := range reach.Hosts {
		host, err := policy.ParseEgressHost(text)
		if err != nil {
			return nil, err
		}
		out.Hosts = append(out.Hosts, host)
	}
	for host, name := range reach.Credentials {
		if give == nil {
			return nil, fmt.Errorf("%s is to be given %s, and this process gives nothing", host, name)
		}
		out.Injections = append(out.Injections, egress.Injection{Host: host, Header: "Authorization", Prefix: "Bearer ", Secret: give(is, name)})
	}
	return egress.New(egress.Config{Sandbox: is.ID, Policy: out, Now: now, Log: log})
}

// places is GitHub as sandboxes need it.
type places struct{ *githubapi.Client }

var (
	_ sandbox.GitHub = places{}
)

// Reach finds a repository by its number. One that is archived is out of reach: nothing
// can be merged there. So is all of an installation that is suspended or gone.
func (p places) Reach(ctx context.Context, repository policy.Repository) (policy.Repository, bool, error) {
	now, archived, found, err := p.Locate(ctx, repository)
	if err == nil {
		return now, found && !archived && strings.EqualFold(now.Owner, repository.Owner), nil
	}
	_, suspended, asked := p.InstallationPermissions(ctx, repository.Installation)
	failure, is := errors.AsType[*githubapi.Error](asked)
	if suspended || is && failure.Status == http.StatusNotFound {
		return policy.Repository{}, false, nil
	}
	return policy.Repository{}, false, err
}
