package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/kubernetes"
)

func TestKubernetesConfigFaults(t *testing.T) {
	proxy := `{address: "10.96.0.20:3128", namespace: egress, labels: {app: proxy}, port: 3128, hosts: [api.example.com]}`
	changed := func(from, to string) string {
		return "namespace: sandboxes, egress_proxies: [" + proxy + ", " + strings.Replace(proxy, from, to, 1) + "]"
	}
	full := func(of string) string { return "namespace: sandboxes, full_network: {" + of + "}" }
	const field = "sandbox.kubernetes."
	for block, want := range map[string]string{
		"init_image: x":                                        field + "namespace is empty",
		"egress_proxies: [" + proxy + "]":                      field + "namespace is empty",
		"egress_proxy: []":                                     `unknown field "egress_proxy"`,
		changed("10.96.0.20:3128", "proxy.egress.svc:3128"):    field + "egress_proxies[1].address is not the IP address",
		changed("10.96.0.20:3128", "10.96.0.20"):               field + "egress_proxies[1].address is not the IP address",
		changed("10.96.0.20:3128", "10.96.0.20:0"):             field + "egress_proxies[1] needs the address of its Service",
		changed("port: 3128", "port: 0"):                       field + "egress_proxies[1] needs the address of its Service",
		changed("namespace: egress", `namespace: ""`):          field + "egress_proxies[1] needs the namespace and the labels",
		changed("{app: proxy}", "{}"):                          field + "egress_proxies[1] needs the namespace and the labels",
		changed("[api.example.com]", "[]"):                     field + "egress_proxies[1] names no host",
		changed("api.example.com", `"https://x"`):              field + "egress_proxies[1].hosts[0] is no host of a policy's",
		full("resolvers: [dns.example.com]"):                   field + "full_network.resolvers[0] is no IP address",
		full("resolvers: [10.96.0.10]"):                        field + "full_network has the resolver 10.96.0.10, which is not public",
		full("except: [203.0.113.0/24]"):                       field + "full_network needs resolvers",
		full("resolvers: [9.9.9.9], except: [203.0.113.1]"):    field + "full_network.except[0] is no range",
		full("resolvers: [9.9.9.9], except: [0.0.0.0/0]"):      field + "full_network cannot except 0.0.0.0/0",
		full("resolvers: [9.9.9.9], except: [9.9.9.0/24]"):     field + "full_network has the resolver 9.9.9.9, which is not public",
		full("resolvers: [9.9.9.9], except: [203.0.113.0/24]"): "",
		changed("api.example.com", `"*.example.com"`):          "",
	} {
		_, err := LoadConfig(writeConfig(t, validConfig()+"sandbox: {kubernetes: {"+block+"}}\n"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", block, err, want)
		}
	}
}

// What the manual has an operator write is a configuration.
func TestTheManualsClusterIsOne(t *testing.T) {
	manual, err := os.ReadFile("../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(manual), "```yaml\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("there is none")
	}
	config, err := LoadConfig(writeConfig(t, validConfig()+block))
	if k := config.Sandbox.Kubernetes; err != nil || len(k.EgressProxies) != 1 || len(k.FullNetwork.Resolvers) != 1 {
		t.Errorf("%+v, %v", k, err)
	}
}

// kubernetesAPI stands in for an API server that keeps the first two objects that it is
// sent, and then has a fault.
type kubernetesAPI struct {
	mu   sync.Mutex
	sent []map[string]any
}

func (a *kubernetesAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	status := func(code int) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": %d, "reason": %q}`, code, map[int]string{http.StatusNotFound: "NotFound", http.StatusInternalServerError: "InternalError"}[code])
	}
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/networkpolicies"):
		_, _ = io.WriteString(w, `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": [{"metadata": {"name": "default-deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}]}`)
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/pods"):
		_, _ = io.WriteString(w, `{"apiVersion": "v1", "kind": "PodList", "items": []}`)
	case r.Method == http.MethodPost && len(a.sent) < 2:
		var object map[string]any
		_ = json.NewDecoder(r.Body).Decode(&object)
		if a.sent = append(a.sent, object); len(a.sent) == 2 {
			status(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(object)
	default:
		status(http.StatusNotFound)
	}
}

// What the configuration says of networks is what a sandbox of the server's is to have,
// whether it is from the file or from the environment.
func TestAConfiguredClusterHasItsNetworks(t *testing.T) {
	const block = `
    network_policy_enforced: true
    egress_proxies:
      - {address: "10.96.0.20:3128", namespace: egress, labels: {app: proxy}, port: 8080, hosts: [api.example.com]}
    full_network: {resolvers: [9.9.9.9], except: [11.0.0.0/24]}
`
	const prefix = "PORTCULLIS_SANDBOX_KUBERNETES_"
	variables := map[string]string{
		"NETWORK_POLICY_ENFORCED": "true", "EGRESS_PROXIES_0_ADDRESS": "10.96.0.20:3128", "EGRESS_PROXIES_0_NAMESPACE": "egress", "EGRESS_PROXIES_0_LABELS": "app:proxy",
		"EGRESS_PROXIES_0_PORT": "8080", "EGRESS_PROXIES_0_HOSTS": "api.example.com", "FULL_NETWORK_RESOLVERS": "9.9.9.9", "FULL_NETWORK_EXCEPT": "11.0.0.0/24",
	}
	egress := sandbox.SandboxConstraints{Network: sandbox.NetworkEgressOnly, Egress: []string{"api.example.com"}}
	full := sandbox.SandboxConstraints{Network: sandbox.NetworkFull}
	for name, c := range map[string]struct {
		block       string
		variables   map[string]string
		constraints sandbox.SandboxConstraints
		pod, opens  []string
		refused     string
	}{
		"egress-only":                       {block, nil, egress, []string{"http://10.96.0.20:3128", "HTTPS_PROXY"}, []string{`{"app":"proxy"}`, `"egress"`, "8080"}, ""},
		"full":                              {block, nil, full, []string{"9.9.9.9"}, []string{`"11.0.0.0/24"`, `"169.254.0.0/16"`}, ""},
		"egress-only, from the environment": {"", variables, egress, []string{"http://10.96.0.20:3128", "HTTPS_PROXY"}, []string{`{"app":"proxy"}`, `"egress"`, "8080"}, ""},
		"full, from the environment":        {"", variables, full, []string{"9.9.9.9"}, []string{`"11.0.0.0/24"`, `"169.254.0.0/16"`}, ""},
		"other hosts than a proxy's":        {block, nil, sandbox.SandboxConstraints{Network: sandbox.NetworkEgressOnly, Egress: []string{"evil.example"}}, nil, nil, "egress"},
		"egress-only, and no proxy":         {"", map[string]string{"NETWORK_POLICY_ENFORCED": "true"}, egress, nil, nil, "egress_proxies"},
		"full, which is not allowed":        {"", map[string]string{"NETWORK_POLICY_ENFORCED": "true"}, full, nil, nil, "full_network"},
	} {
		t.Run(name, func(t *testing.T) {
			api := &kubernetesAPI{}
			server := httptest.NewServer(api)
			t.Cleanup(server.Close)
			kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
			if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}],
				clusters: [{name: x, cluster: {server: %q}}], users: [{name: x, user: {}}]}`, server.URL), 0o600); err != nil {
				t.Fatal(err)
			}
			image := "portcullis@sha256:" + strings.Repeat("ab", 32)
			for variable, value := range c.variables {
				t.Setenv(prefix+variable, value)
			}
			config, err := LoadConfig(writeConfig(t, validConfig()+fmt.Sprintf("sandbox:\n  kubernetes:\n    namespace: sandboxes\n    kubeconfig: %q\n    init_image: %q\n", kubeconfig, image)+c.block))
			if err != nil {
				t.Fatal(err)
			}
			providers, closing, err := newProvidersOfSandboxes(config, Options{Now: time.Now}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = closing() }()
			place := killswitch.PullRequest(policy.PullRequestRef{Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}, Number: 7})
			_, err = providers[kubernetes.Provider].Create(t.Context(), sandbox.Spec{ID: "pc-1", For: place, Image: image, Constraints: c.constraints})
			api.mu.Lock()
			defer api.mu.Unlock()
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || len(api.sent) != 0 {
					t.Errorf("%v, and %d objects were sent", err, len(api.sent))
				}
				return
			}
			if len(api.sent) != 2 {
				t.Fatalf("%d objects were sent: %v", len(api.sent), err)
			}
			for n, words := range [][]string{c.pod, c.opens} {
				object, _ := json.Marshal(api.sent[n])
				for _, word := range words {
					if !strings.Contains(string(object), word) {
						t.Errorf("%s is not in %s", word, object)
					}
				}
			}
		})
	}
}
