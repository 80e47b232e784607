package app

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/kubernetes"
)

// KubernetesConfig is a namespace of a cluster, in which nothing else is.
type KubernetesConfig struct {
	// Namespace is its name; empty: there is none.
	Namespace string `yaml:"namespace" env:"NAMESPACE"`
	// Kubeconfig is the path of the file that says how to reach the cluster; empty: as
	// from within a Pod of it.
	Kubeconfig string `yaml:"kubeconfig" env:"KUBECONFIG"`
	// InitImage is Portcullis' own image by its digest, whose program is PID 1.
	InitImage string `yaml:"init_image" env:"INIT_IMAGE"`
	// Images are those that sandboxes may run, as name@sha256:…; none: any that a policy
	// names by its digest.
	Images []string `yaml:"images" env:"IMAGES"`
	// RuntimeClass isolates every sandbox, as gvisor; empty: the cluster's default.
	RuntimeClass string `yaml:"runtime_class" env:"RUNTIME_CLASS"`
	// NetworkPolicyEnforced declares that the cluster's network plugin enforces
	// NetworkPolicy; nobody can see that from the API, and without it nothing is started.
	NetworkPolicyEnforced bool `yaml:"network_policy_enforced" env:"NETWORK_POLICY_ENFORCED"`
	// EgressProxies are the ways out for policies with network egress-only, one for each
	// list of hosts; none: that is refused. From the environment, the first is
	// PORTCULLIS_SANDBOX_KUBERNETES_EGRESS_PROXIES_0_ADDRESS and so on.
	EgressProxies []EgressProxyConfig `yaml:"egress_proxies" envPrefix:"EGRESS_PROXIES_"`
	// FullNetwork allows policies to let sandboxes reach any public address.
	FullNetwork FullNetworkConfig `yaml:"full_network" envPrefix:"FULL_NETWORK_"`
}

// EgressProxyConfig is an HTTP proxy that the operator runs in the cluster, and that lets
// through what it is asked for of its hosts, and nothing else.
type EgressProxyConfig struct {
	// Address is the IP address and the port of its Service: a sandbox looks up no name.
	Address string `yaml:"address" env:"ADDRESS"`
	// Namespace is where its Pods are, Labels what they carry, as app:proxy in the
	// environment, and Port where they listen.
	Namespace string            `yaml:"namespace" env:"NAMESPACE"`
	Labels    map[string]string `yaml:"labels"    env:"LABELS"`
	Port      uint16            `yaml:"port"      env:"PORT"`
	// Hosts are what it lets through, exactly as policies list them.
	Hosts []string `yaml:"hosts" env:"HOSTS"`
}

// FullNetworkConfig is the way to public addresses.
type FullNetworkConfig struct {
	// Resolvers are the addresses of public resolvers; none: network full is refused.
	Resolvers []string `yaml:"resolvers" env:"RESOLVERS"`
	// Except are ranges that are not reached besides, as 203.0.113.0/24: the cluster's own
	// public addresses.
	Except []string `yaml:"except" env:"EXCEPT"`
}

func defaultKubernetesConfig() KubernetesConfig {
	return KubernetesConfig{Images: []string{}, EgressProxies: []EgressProxyConfig{}, FullNetwork: FullNetworkConfig{Resolvers: []string{}, Except: []string{}}}
}

// empty reports whether nothing of the block is set.
func (c KubernetesConfig) empty() bool {
	return c.Namespace+c.Kubeconfig+c.InitImage+c.RuntimeClass == "" && !c.NetworkPolicyEnforced &&
		len(c.Images)+len(c.EgressProxies)+len(c.FullNetwork.Resolvers)+len(c.FullNetwork.Except) == 0
}

// validate tells the faults of the block.
func (c KubernetesConfig) validate(fault func(field, problem string)) {
	if c.Namespace == "" && !c.empty() {
		fault("sandbox.kubernetes.namespace", "is empty, and other fields of sandbox.kubernetes are not")
	}
	c.proxies(fault)
	c.full(fault)
}

// proxies are the ways out of network egress-only.
func (c KubernetesConfig) proxies(fault func(field, problem string)) []kubernetes.EgressProxy {
	var all []kubernetes.EgressProxy
	for n, p := range c.EgressProxies {
		field := fmt.Sprintf("sandbox.kubernetes.egress_proxies[%d]", n)
		address, err := netip.ParseAddrPort(p.Address)
		if err != nil {
			fault(field+".address", "is not the IP address of a Service and its port, as 10.96.0.20:3128; a sandbox looks up no name")
		}
		for at, host := range p.Hosts {
			if _, err := policy.ParseEgressHost(host); err != nil {
				fault(fmt.Sprintf("%s.hosts[%d]", field, at), "is no host of a policy's: "+err.Error())
			}
		}
		proxy := kubernetes.EgressProxy{Address: address, Namespace: p.Namespace, Labels: p.Labels, Port: p.Port, Hosts: p.Hosts}
		if wrong := proxy.Check(); err == nil && wrong != nil {
			fault(field, wrong.Error())
		}
		all = append(all, proxy)
	}
	return all
}

// full is what network full reaches; nil: nothing.
func (c KubernetesConfig) full(fault func(field, problem string)) *kubernetes.FullNetwork {
	const field = "sandbox.kubernetes.full_network"
	of, full, clear := c.FullNetwork, kubernetes.FullNetwork{}, true
	if len(of.Resolvers)+len(of.Except) == 0 {
		return nil
	}
	for n, text := range of.Resolvers {
		address, err := netip.ParseAddr(text)
		if err != nil {
			clear = false
			fault(fmt.Sprintf("%s.resolvers[%d]", field, n), "is no IP address")
		}
		full.Resolvers = append(full.Resolvers, address)
	}
	for n, text := range of.Except {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			clear = false
			fault(fmt.Sprintf("%s.except[%d]", field, n), "is no range of IP addresses, as 203.0.113.0/24")
		}
		full.Except = append(full.Except, prefix)
	}
	if wrong := full.Check(); clear && wrong != nil {
		fault(field, wrong.Error())
	}
	return &full
}

// newKubernetes is the cluster of the configuration.
func newKubernetes(of KubernetesConfig, app int64, now func() time.Time) (*kubernetes.Kubernetes, error) {
	cluster, err := kubernetes.Connect(of.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("sandbox.kubernetes: find the cluster: %w", err)
	}
	known := func(string, string) {} // what is wrong was told when the file was read
	return kubernetes.NewKubernetesSandbox(kubernetes.Config{
		Cluster: cluster, Namespace: of.Namespace, App: app, InitImage: of.InitImage, Images: of.Images, RuntimeClass: of.RuntimeClass,
		NetworkPolicyEnforced: of.NetworkPolicyEnforced, EgressProxies: of.proxies(known), FullNetwork: of.full(known), Now: now,
	})
}
