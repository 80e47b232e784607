package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// testKey is one RSA key for all tests: making one takes a while.
var testKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
})

func indent(s string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n      ")
}

// validConfig is a configuration file that starts.
func validConfig() string {
	return "github:\n  app:\n    integration_id: 7\n    webhook_secret: hush-hush\n    private_key: |\n" + indent(testKey()) +
		"\nserver:\n  port: 0\n"
}

func writeConfig(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigFaults(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown field", "server:", "sever: 1\nserver:", `config.yml:`},
		{"unknown field inside", "  port: 0", "  prot: 0", `unknown field "prot"`},
		{"a field twice", "  port: 0", "  port: 0\n  port: 1", "sets a field twice"},
		{"a word for a number", "port: 0", "port: many", "the value has the wrong type"},
		{"no YAML", "server:", "server: [", "is not valid YAML"},
		{"empty webhook secret", "hush-hush", `""`, "github.app.webhook_secret is empty"},
		{"no App ID", "integration_id: 7", "integration_id: 0", "github.app.integration_id is not set"},
		{"no key", "BEGIN RSA", "BEGIN", "github.app.private_key is not an RSA private key"},
		{"a port too high", "port: 0", "port: 70000", "server.port is not between 0 and 65535"},
		{"a level that is none", "server:", "log: {level: loud}\nserver:", "log.level is not one of"},
		{"a format that is none", "server:", "log: {format: xml}\nserver:", "log.format is neither"},
		{"a URL that is none", "github:", "github:\n  v3_api_url: nowhere", "github.v3_api_url is not a URL"},
		{"an absolute policy path", "server:", "policy: {path: /etc/x}\nserver:", "policy.path is not a path relative"},
		{"no check name", "server:", "check: {name: \"\"}\nserver:", "check.name is empty"},
		{"a property that is none", "server:", "kill_switch: {repository_property: \"a b\"}\nserver:", "kill_switch.repository_property is no name"},
		{"a Vault without a login", "server:", "credentials: {vault: {address: \"https://vault.example.com:8200\", role_id: x}}\nserver:", "credentials.vault needs both role_id and secret_id"},
		{"a Vault without an address", "server:", "credentials: {vault: {role_id: x, secret_id: hush-hush}}\nserver:", "credentials.vault.address is not an address"},
		{"a Vault in the clear", "server:", "credentials: {vault: {address: \"http://vault.example.com\", role_id: x, secret_id: hush-hush}}\nserver:", "credentials.vault.address does not begin with https://"},
		{"a Vault with a password", "server:", "credentials: {vault: {address: \"https://a:hush-hush@vault.example.com\", role_id: x, secret_id: hush-hush}}\nserver:", "credentials.vault.address is not an address"},
		{"a denied network that is none", "server:", "sandbox: {docker: {host: \"unix:///x\", denied_networks: [192.0.2.0/24, 192.0.2.1]}}\nserver:", "sandbox.docker.denied_networks names \"192.0.2.1\", which is no network"},
		{"a denied network with a host's bits", "server:", "sandbox: {docker: {host: \"unix:///x\", denied_networks: [192.0.2.1/24]}}\nserver:", "sandbox.docker.denied_networks names \"192.0.2.1/24\", which is no network"},
		{"denied networks of nobody", "server:", "sandbox: {docker: {denied_networks: [192.0.2.0/24]}}\nserver:", "sandbox.docker.host is empty"},
		{"denied networks beside a reaper", "server:", "sandbox: {docker: {reaper: /x, denied_networks: [192.0.2.0/24]}}\nserver:", "sandbox.docker.reaper is set beside"},
		{"one property for both", "server:", "kill_switch: {repository_property: x, organization_property: X}\nserver:", "kill_switch.organization_property is kill_switch.repository_property"},
		{"an issuer over plain HTTP", "server:", "credentials: {exchange: {issuer: \"http://tokens.example.com\"}}\nserver:", "credentials.exchange.issuer does not begin with https://"},
		{"an issuer that is none", "server:", "credentials: {exchange: {issuer: token}}\nserver:", "credentials.exchange.issuer is not an address"},
		{"a database that is none", "server:", "database: {url: \"mysql://x\"}\nserver:", "database"},
		{"a database in no folder", "server:", "database: {url: \"sqlite:/no/such/folder/x.db\"}\nserver:", "database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeConfig(t, strings.Replace(validConfig(), c.from, c.to, 1))
			var out, errs bytes.Buffer
			code := Main(t.Context(), []string{"serve", "--config", path}, Stdio{Out: &out, Err: &errs})
			if code != exitError || !strings.Contains(errs.String(), c.want) {
				t.Errorf("exit %d, %q; want %q", code, errs.String(), c.want)
			}
			if n := strings.Count(strings.TrimSpace(errs.String()), "\n"); n != 0 {
				t.Errorf("%d lines, want one:\n%s", n+1, errs.String())
			}
			for _, hidden := range []string{"hush-hush", strings.Split(testKey(), "\n")[1]} {
				if strings.Contains(errs.String(), hidden) {
					t.Errorf("a secret is told: %s", errs.String())
				}
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := LoadConfig(writeConfig(t, "server: {port: -1}\n"))
		for _, field := range []string{"integration_id", "webhook_secret", "private_key", "server.port"} {
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%s is not told: %v", field, err)
			}
		}
	})
	t.Run("a port that is taken", func(t *testing.T) {
		taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = taken.Close() }()
		path := writeConfig(t, strings.Replace(validConfig(), "port: 0", "address: 127.0.0.1\n  port: "+strings.Split(taken.Addr().String(), ":")[1], 1)+
			"database: {url: \"sqlite::memory:\"}\n")
		var errs bytes.Buffer
		if code := Main(t.Context(), []string{"serve", "--config", path}, Stdio{Out: &errs, Err: &errs}); code != exitError || !strings.Contains(errs.String(), "address already in use") {
			t.Errorf("exit %d: %s", code, errs.String())
		}
	})
	t.Run("no file", func(t *testing.T) {
		if _, err := LoadConfig(filepath.Join(t.TempDir(), "none.yml")); err == nil {
			t.Error("a file that is not there is no fault")
		}
	})
}

func TestEnvironmentWins(t *testing.T) {
	path := writeConfig(t, validConfig())
	for name, value := range map[string]string{
		"GITHUB_APP_INTEGRATION_ID": "42", "GITHUB_V3_API_URL": "https://ghe.example.com/api/v3/",
		"PORTCULLIS_SERVER_PORT": "9000", "PORTCULLIS_SERVER_ADDRESS": "127.0.0.1", "PORTCULLIS_SERVER_PUBLIC_URL": "https://p.example.com",
		"PORTCULLIS_LOG_LEVEL": "warn", "PORTCULLIS_LOG_FORMAT": "console",
		"PORTCULLIS_SERVER_PREVIOUS_WEBHOOK_SECRET": "hush", "PORTCULLIS_SERVER_DRAIN": "5s",
		"PORTCULLIS_DATABASE_URL": "sqlite:x.db", "PORTCULLIS_DATABASE_KEEP_DELIVERIES": "100h", "PORTCULLIS_POLICY_PATH": "gate.yml", "PORTCULLIS_POLICY_ORGANIZATION_REPOSITORY": "policies", "PORTCULLIS_CHECK_NAME": "gate",
		"PORTCULLIS_CREDENTIALS_VAULT_ADDRESS": "http://127.0.0.1:8200", "PORTCULLIS_CREDENTIALS_VAULT_NAMESPACE": "team", "PORTCULLIS_CREDENTIALS_VAULT_ROLE_ID": "r", "PORTCULLIS_CREDENTIALS_VAULT_SECRET_ID": "s",
		"PORTCULLIS_CREDENTIALS_EXCHANGE_AUDIENCE": "https://p.example.com", "PORTCULLIS_CREDENTIALS_EXCHANGE_ISSUER": "https://ghe.example.com/_services/token",
	} {
		t.Setenv(name, value)
	}
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	want := c
	want.GitHub.App.IntegrationID, want.GitHub.V3APIURL = 42, "https://ghe.example.com/api/v3/"
	want.Server = ServerConfig{
		Address: "127.0.0.1", Port: 9000, PublicURL: "https://p.example.com", PreviousWebhookSecret: "hush", Drain: 5 * time.Second,
	}
	want.Log, want.Database = LogConfig{Level: "warn", Format: "console"}, DatabaseConfig{URL: "sqlite:x.db", KeepDeliveries: 100 * time.Hour}
	want.Policy, want.Check = PolicyConfig{Path: "gate.yml", OrganizationRepository: "policies"}, CheckConfig{Name: "gate"}
	want.Credentials.Vault = VaultConfig{Address: "http://127.0.0.1:8200", Namespace: "team", RoleID: "r", SecretID: "s"}
	want.Credentials.Exchange = ExchangeConfig{Audience: "https://p.example.com", Issuer: "https://ghe.example.com/_services/token"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v", c)
	}
	t.Setenv("GITHUB_APP_INTEGRATION_ID", "the App")
	if _, err := LoadConfig(path); err == nil {
		t.Error("a variable that is no number is ignored")
	}
}

// TestExampleConfigIsTheDefault holds config.example.yml to the code: every
// field is in it, with its default.
func TestExampleConfigIsTheDefault(t *testing.T) {
	content, err := os.ReadFile("../config.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	got := Config{}
	if err := decodeConfig("config.example.yml", content, &got); err != nil {
		t.Fatal(err)
	}
	if want := defaultConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", got, want)
	}
}

func TestCommandLine(t *testing.T) {
	faulty := filepath.Join(t.TempDir(), "policy.yml")
	if err := os.WriteFile(faulty, []byte("version: 1\ntires: {}\napproval: {author: maybe}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args        []string
		code        int
		out, errors string
	}{
		{[]string{"version"}, exitOK, "portcullis ", ""},
		{[]string{"--help"}, exitOK, "serve", ""},
		{[]string{"demo", "--help"}, exitOK, "--script", ""},
		{[]string{"policy", "check", "../policy/default.yml"}, exitOK, "../policy/default.yml: ok", ""},
		{[]string{"policy", "check", faulty}, exitError, faulty + ":2:1: ", ""},
		{[]string{"policy", "check", faulty}, exitError, faulty + ":3:", ""},
		{[]string{"policy", "check", "no-such-file.yml"}, exitError, "", "portcullis: read the policy: open no-such-file.yml"},
		{[]string{"policy", "check"}, exitError, "", "portcullis: accepts 1 arg"},
		{[]string{"no-such-command"}, exitError, "", "unknown command"},
		{[]string{"demo", "--script"}, exitOK, "All 35 steps ended as told.", ""},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			var out, errs bytes.Buffer
			code := Main(context.WithoutCancel(t.Context()), c.args, Stdio{Out: &out, Err: &errs})
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errors) {
				t.Errorf("exit %d\nout: %s\nerr: %s", code, out.String(), errs.String())
			}
		})
	}
}
