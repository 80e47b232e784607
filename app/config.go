package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
	"github.com/golang-jwt/jwt/v4"
	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/policy"
)

// Config is the server's configuration: a YAML file, each field of which can be
// set by an environment variable as well, which then wins. config.example.yml
// shows all of it. An unknown field refuses to start.
type Config struct {
	// GitHub is go-githubapp's block with its own variables, GITHUB_APP_PRIVATE_KEY
	// and so on. private_key is the key itself in PEM, not a path.
	GitHub githubapp.Config `yaml:"github"`
	// The variables of everything below are PORTCULLIS_ and the path, as
	// PORTCULLIS_DATABASE_URL.
	Server   ServerConfig   `yaml:"server"   envPrefix:"SERVER_"`
	Log      LogConfig      `yaml:"log"      envPrefix:"LOG_"`
	Database DatabaseConfig `yaml:"database" envPrefix:"DATABASE_"`
	Policy   PolicyConfig   `yaml:"policy"   envPrefix:"POLICY_"`
	Check    CheckConfig    `yaml:"check"    envPrefix:"CHECK_"`

	KillSwitch  KillSwitchConfig  `yaml:"kill_switch" envPrefix:"KILL_SWITCH_"`
	Credentials CredentialsConfig `yaml:"credentials" envPrefix:"CREDENTIALS_"`
	Sandbox     SandboxConfig     `yaml:"sandbox"     envPrefix:"SANDBOX_"`
}

// ServerConfig says where the server listens.
type ServerConfig struct {
	// Address is the interface to listen on; empty: all of them.
	Address string `yaml:"address" env:"ADDRESS"`
	// Port is the TCP port; 0 takes a free one. The default is 8080.
	Port int `yaml:"port" env:"PORT"`
	// PublicURL is how GitHub reaches the server, for the line in the log that says
	// which webhook URL to enter. Empty: the address it listens on.
	PublicURL string `yaml:"public_url" env:"PUBLIC_URL"`
	// PreviousWebhookSecret is accepted beside github.app.webhook_secret while that is
	// being changed. Empty: only the one is.
	PreviousWebhookSecret string `yaml:"previous_webhook_secret" env:"PREVIOUS_WEBHOOK_SECRET"`
	// Drain is how long webhooks are still taken after a signal to stop, while
	// /readyz already fails: as long as a load balancer needs to notice.
	Drain time.Duration `yaml:"drain" env:"DRAIN"`
}

// LogConfig says what is logged, to standard error.
type LogConfig struct {
	// Level is trace, debug, info, warn or error; the default is info.
	Level string `yaml:"level" env:"LEVEL"`
	// Format is json, the default, or console, for people.
	Format string `yaml:"format" env:"FORMAT"`
}

// DatabaseConfig says where facts are kept.
type DatabaseConfig struct {
	// URL is sqlite:PATH, for one process, or postgres://…, for any number; the
	// default is sqlite:portcullis.db in the working folder.
	URL string `yaml:"url" env:"URL"`
	// KeepDeliveries is how long webhooks are kept after they were worked off. GitHub
	// may be asked for those of the last three days again, which must be known.
	KeepDeliveries time.Duration `yaml:"keep_deliveries" env:"KEEP_DELIVERIES"`
}

// PolicyConfig says where policies are.
type PolicyConfig struct {
	// Path is the policy file's path in each repository.
	Path string `yaml:"path" env:"PATH"`
	// OrganizationRepository is the name of the repository in which an organization
	// keeps its own policy file, under the same path: the floor of all others.
	OrganizationRepository string `yaml:"organization_repository" env:"ORGANIZATION_REPOSITORY"`
}

// CheckConfig names the check.
type CheckConfig struct {
	// Name is the check run's name, which branch protection must require.
	Name string `yaml:"name" env:"NAME"`
}

// KillSwitchConfig names the custom properties of an organization's repositories by
// which the kill switch locks where the App may not write rulesets: a ruleset of the
// same name, which an owner makes, holds where the property is true. Empty: none.
type KillSwitchConfig struct {
	// RepositoryProperty is set while a repository is stopped.
	RepositoryProperty string `yaml:"repository_property" env:"REPOSITORY_PROPERTY"`
	// OrganizationProperty is set while an organization is. It is another one, so that
	// starting one again does not start the other.
	OrganizationProperty string `yaml:"organization_property" env:"ORGANIZATION_PROPERTY"`
}

// CredentialsConfig says who is told of credentials that are lent, what makes them beside
// GitHub and Portcullis itself, and to whose jobs they are given.
type CredentialsConfig struct {
	Introspection IntrospectionConfig `yaml:"introspection" envPrefix:"INTROSPECTION_"`
	Vault         VaultConfig         `yaml:"vault"         envPrefix:"VAULT_"`
	Exchange      ExchangeConfig      `yaml:"exchange"      envPrefix:"EXCHANGE_"`
}

// VaultConfig is where a HashiCorp Vault or an OpenBao is, and the AppRole that reads
// there. All of it empty: there is none.
type VaultConfig struct {
	// Address begins with https://, unless it is this machine's.
	Address string `yaml:"address" env:"ADDRESS"`
	// Namespace is empty where there are none.
	Namespace string `yaml:"namespace" env:"NAMESPACE"`
	RoleID    string `yaml:"role_id"   env:"ROLE_ID"`
	// SecretID must be good for more than one login.
	SecretID string `yaml:"secret_id" env:"SECRET_ID"`
}

// ExchangeConfig is about POST /api/v1/exchange, where jobs are lent credentials for their
// id-tokens.
type ExchangeConfig struct {
	// Audience is whom an id-token must be for, best the address of this server; empty:
	// nothing is exchanged.
	Audience string `yaml:"audience" env:"AUDIENCE"`
	// Issuer is who signs the id-tokens of GitHub Actions. On GitHub Enterprise Server it is
	// https://HOST/_services/token.
	Issuer string `yaml:"issuer" env:"ISSUER"`
}

// IntrospectionConfig is about POST /api/v1/introspect.
type IntrospectionConfig struct {
	// Clients are the programs that may ask whether a token is accepted; none: nobody
	// may. From the environment, the first is PORTCULLIS_CREDENTIALS_INTROSPECTION_CLIENTS_0_ID
	// and …_0_SECRET.
	Clients []IntrospectionClient `yaml:"clients" envPrefix:"CLIENTS_"`
}

// IntrospectionClient is one of them, by HTTP Basic.
type IntrospectionClient struct {
	ID     string `yaml:"id"     env:"ID"`
	Secret string `yaml:"secret" env:"SECRET"`
}

const (
	// minClientSecret is how long the secret of a client is at least.
	minClientSecret = 16

	defaultPort = 8080
	maxDrain    = time.Minute
	// minKeepDeliveries is the three days for which GitHub delivers again, and one.
	minKeepDeliveries = 4 * 24 * time.Hour
)

func defaultConfig() Config {
	c := Config{
		Server:   ServerConfig{Port: defaultPort},
		Log:      LogConfig{Level: "info", Format: "json"},
		Database: DatabaseConfig{URL: "sqlite:portcullis.db", KeepDeliveries: 7 * 24 * time.Hour},
		Policy:   PolicyConfig{Path: policy.DefaultPath, OrganizationRepository: ".github"},
		Check:    CheckConfig{Name: "portcullis"},
	}
	c.Sandbox = defaultSandboxConfig()
	c.Credentials.Introspection.Clients = []IntrospectionClient{}
	c.Credentials.Exchange.Issuer = "https://token.actions.githubusercontent.com"
	c.GitHub.WebURL = "https://github.com"
	c.GitHub.V3APIURL = "https://api.github.com/"
	c.GitHub.V4APIURL = "https://api.github.com/graphql"
	return c
}

// LoadConfig reads the file, lays the environment over it and validates. An
// empty path means the environment alone. The error names every fault, one a
// line, and holds no value of a field.
func LoadConfig(path string) (Config, error) {
	config := defaultConfig()
	if path != "" {
		content, err := os.ReadFile(path) //nolint:gosec // the path is the user's own
		if err != nil {
			return Config{}, fmt.Errorf("read the configuration: %w", err)
		}
		if err := decodeConfig(path, content, &config); err != nil {
			return Config{}, err
		}
	}
	config.GitHub.SetValuesFromEnv("")
	if err := env.ParseWithOptions(&config, env.Options{Prefix: "PORTCULLIS_"}); err != nil {
		return Config{}, fmt.Errorf("read the configuration from the environment: %w", err)
	}
	return config, config.validate()
}

// decodeConfig reports a fault with its place alone: the parser's own message
// would show the lines around it, and secrets stand in them.
func decodeConfig(path string, content []byte, config *Config) error {
	err := yaml.NewDecoder(bytes.NewReader(content), yaml.Strict()).Decode(config)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	place, fault := path, "is not valid YAML, or sets a field twice"
	if positioned, ok := errors.AsType[yaml.Error](err); ok {
		if token := positioned.GetToken(); token != nil && token.Position != nil {
			place = fmt.Sprintf("%s:%d:%d", path, token.Position.Line, token.Position.Column)
		}
	}
	var unknown *yaml.UnknownFieldError
	var mistyped *yaml.TypeError
	switch {
	case errors.As(err, &unknown):
		fault = unknown.Message + "; see config.example.yml for the fields there are"
	case errors.As(err, &mistyped):
		fault = "the value has the wrong type; a " + mistyped.DstType.String() + " is due"
	}
	return fmt.Errorf("%s: %s", place, fault)
}

// validate lists everything that would keep the server from doing its work.
func (c Config) validate() error {
	var faults []error
	fault := func(field, problem string) { faults = append(faults, fmt.Errorf("%s %s", field, problem)) }

	if c.GitHub.App.IntegrationID <= 0 {
		fault("github.app.integration_id", "is not set; it is the App ID on the App's settings page")
	}
	if value, set := os.LookupEnv("GITHUB_APP_INTEGRATION_ID"); set {
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			fault("GITHUB_APP_INTEGRATION_ID", "is not a number")
		}
	}
	if c.GitHub.App.WebhookSecret == "" {
		faults = append(faults, handlers.ErrNoSecret)
	}
	if _, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(c.GitHub.App.PrivateKey)); err != nil {
		fault("github.app.private_key", "is not an RSA private key in PEM; it is the key itself, not a path")
	}
	for _, u := range []struct{ field, value string }{
		{"github.web_url", c.GitHub.WebURL}, {"github.v3_api_url", c.GitHub.V3APIURL}, {"github.v4_api_url", c.GitHub.V4APIURL},
	} {
		if parsed, err := url.Parse(u.value); err != nil || parsed.Host == "" {
			fault(u.field, "is not a URL")
		}
	}
	if c.Server.Port < 0 || c.Server.Port > 65535 {
		fault("server.port", "is not between 0 and 65535")
	}
	if c.Server.Drain < 0 || c.Server.Drain > maxDrain {
		fault("server.drain", "is not between 0s and "+maxDrain.String())
	}
	if c.Database.KeepDeliveries < minKeepDeliveries {
		fault("database.keep_deliveries", "is shorter than "+minKeepDeliveries.String()+", so that what GitHub delivers again might be done again")
	}
	if _, err := zerolog.ParseLevel(c.Log.Level); err != nil || c.Log.Level == "" {
		fault("log.level", "is not one of trace, debug, info, warn, error")
	}
	if c.Log.Format != "json" && c.Log.Format != "console" {
		fault("log.format", "is neither json nor console")
	}
	if c.Policy.Path == "" || strings.HasPrefix(c.Policy.Path, "/") {
		fault("policy.path", "is not a path relative to the repository's root")
	}
	if c.Check.Name == "" {
		fault("check.name", "is empty")
	}
	c.KillSwitch.validate(fault)
	c.Credentials.validate(fault)
	c.Sandbox.validate(fault)
	c.Sandbox.Codespaces.validate(fault, c.Server, c.GitHub)
	return errors.Join(faults...)
}

// validate tells the faults of the block.
func (c KillSwitchConfig) validate(fault func(field, problem string)) {
	for _, p := range []struct{ field, name string }{
		{"kill_switch.repository_property", c.RepositoryProperty}, {"kill_switch.organization_property", c.OrganizationProperty},
	} {
		if !propertyName.MatchString(p.name) {
			fault(p.field, "is no name of a custom property: letters, digits, _, -, $ and #, at most 75")
		}
	}
	if c.RepositoryProperty != "" && strings.EqualFold(c.RepositoryProperty, c.OrganizationProperty) {
		fault("kill_switch.organization_property", "is kill_switch.repository_property, so that starting a repository again would start what the organization's switch stops")
	}
}

// validate tells the faults of the block.
func (c CredentialsConfig) validate(fault func(field, problem string)) {
	known := map[string]bool{}
	for i, client := range c.Introspection.Clients {
		field := fmt.Sprintf("credentials.introspection.clients[%d]", i)
		switch {
		case client.ID == "" || strings.Contains(client.ID, ":"):
			fault(field+".id", "is empty, or has a colon in it, which HTTP Basic does not allow")
		case known[client.ID]:
			fault(field+".id", "is there twice")
		case len(client.Secret) < minClientSecret:
			fault(field+".secret", fmt.Sprintf("is shorter than %d characters", minClientSecret))
		}
		known[client.ID] = true
	}
	c.Vault.validate(fault)
	c.Exchange.validate(fault)
}

// validate tells the faults of the block.
func (c ExchangeConfig) validate(fault func(field, problem string)) {
	issuer, err := url.Parse(c.Issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "":
		fault("credentials.exchange.issuer", "is not an address such as https://token.actions.githubusercontent.com")
	case issuer.Scheme != "https" && (issuer.Scheme != "http" || !isLoopback(issuer.Hostname())):
		fault("credentials.exchange.issuer", "does not begin with https://, so that whoever is on the way could make id-tokens")
	}
}

// validate tells the faults of the block.
func (c VaultConfig) validate(fault func(field, problem string)) {
	if c == (VaultConfig{}) {
		return
	}
	address, err := url.Parse(c.Address)
	switch {
	case err != nil || address.Host == "" || address.User != nil || address.RawQuery != "" || address.Fragment != "":
		fault("credentials.vault.address", "is not an address such as https://vault.example.com:8200")
	case address.Scheme != "https" && (address.Scheme != "http" || !isLoopback(address.Hostname())):
		fault("credentials.vault.address", "does not begin with https://, so that what is lent could be read on its way")
	}
	if c.RoleID == "" || c.SecretID == "" {
		fault("credentials.vault", "needs both role_id and secret_id")
	}
	if strings.ContainsFunc(c.Namespace, unicode.IsControl) {
		fault("credentials.vault.namespace", "has control characters in it")
	}
}

// isLoopback reports whether the host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// propertyName is what GitHub lets a custom property be called, and nothing.
var propertyName = regexp.MustCompile(`^[A-Za-z0-9_$#-]{0,75}$`)

func newLogger(config LogConfig, out io.Writer) zerolog.Logger {
	out = credential.Filter(out)
	if config.Format == "console" {
		out = zerolog.ConsoleWriter{Out: out}
	}
	level, err := zerolog.ParseLevel(config.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}
