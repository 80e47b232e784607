// Package kubernetes is a [sandbox.Sandbox] on a cluster: a Job with one Pod, without
// privileges, without a token, without a network that its policy does not open, and with
// a deadline that the cluster keeps.
//
// The API server is the truth of what there is: each Job carries in its annotations whose
// it is and until when. What the cluster alone can enforce, and cannot be asked about, its
// operator declares in the [Config]; what is not declared is refused.
package kubernetes

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Provider is what the implementation is called.
const Provider = "kubernetes"

// Config is what a Kubernetes is made of.
type Config struct {
	// Cluster is how the API server is reached; [Connect] finds out.
	Cluster *rest.Config
	// Namespace is where the sandboxes are, and nothing else is.
	Namespace string
	// App is the number of the GitHub App: several may share a namespace.
	App int64
	// InitImage is the image of Portcullis itself, pinned by its digest: its program is
	// PID 1 in the sandboxes.
	InitImage string
	// Images are those that sandboxes may run, each pinned by its digest; none: any that is.
	Images []string
	// RuntimeClass isolates every sandbox, as "gvisor"; empty: the cluster's default.
	RuntimeClass string
	// NetworkPolicyEnforced declares that the cluster has a network plugin that enforces
	// NetworkPolicy, towards the node's own addresses too. Nobody can see that from the
	// API: without it, every sandbox is refused.
	NetworkPolicyEnforced bool
	// EgressProxies are the ways out of network egress-only; none: it is refused.
	EgressProxies []EgressProxy
	// FullNetwork is what network full reaches; nil: it is refused.
	FullNetwork *FullNetwork
	Now         func() time.Time
}

// EgressProxy is a proxy for HTTP(S) that the operator runs, and that lets sandboxes
// through to its hosts and to nothing else.
type EgressProxy struct {
	// Address is its Service's: a sandbox can look up no name.
	Address netip.AddrPort
	// Namespace is where its Pods are, Labels what they carry, and Port where they listen.
	Namespace string
	Labels    map[string]string
	Port      uint16
	// Hosts are what it lets through, as constraints write them. A sandbox that asks for
	// others, or for fewer, is refused.
	Hosts []string
}

// FullNetwork is a way to public addresses.
type FullNetwork struct {
	// Resolvers answer the sandboxes' questions for names; they are public.
	Resolvers []netip.Addr
	// Except are further ranges that are not reached: the cluster's own public addresses.
	Except []netip.Prefix
}

// Kubernetes starts sandboxes in a namespace. It may be used by several goroutines, and
// several may share a namespace.
type Kubernetes struct {
	config  Config
	cluster *cluster

	// turns are for the one command, or copy, that runs in a sandbox.
	turns sandbox.Turns
}

var (
	_ sandbox.Sandbox = (*Kubernetes)(nil)
	_ sandbox.Readier = (*Kubernetes)(nil)
)

// Connect finds the API server by a kubeconfig file, or, if that is empty, from within a
// Pod of the cluster.
func Connect(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

// namespacePattern is what a namespace may be called.
var namespacePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// NewKubernetesSandbox returns one, and asks the API server nothing: one that is down keeps sandboxes from
// being started, and nothing else. An error names every fault of the configuration.
func NewKubernetesSandbox(config Config) (*Kubernetes, error) {
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(config.Cluster == nil, "cluster is missing: nobody knows where the API server is")
	fault(!namespacePattern.MatchString(config.Namespace), "namespace must be the name of one, not %q", config.Namespace)
	fault(config.App <= 0, "app must be the App's number, not %d", config.App)
	fault(!pinned.MatchString(config.InitImage), "init_image must be pinned by its digest, as name@sha256:…, not %q", config.InitImage)
	for n, image := range config.Images {
		fault(!pinned.MatchString(image), "images[%d] must be pinned by its digest, as name@sha256:…, not %q", n, image)
	}
	fault(config.Now == nil, "now is missing: there is no clock")
	for n, p := range config.EgressProxies {
		err := p.Check()
		fault(err != nil, "egress_proxies[%d] %w", n, err)
	}
	if config.FullNetwork != nil {
		err := config.FullNetwork.Check()
		fault(err != nil, "full_network %w", err)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("sandboxes on Kubernetes: %w", errors.Join(faults...))
	}
	reached, err := newCluster(config.Cluster, config.Namespace)
	if err != nil {
		return nil, fmt.Errorf("the Kubernetes API server: %w", err)
	}
	return &Kubernetes{config: config, cluster: reached}, nil
}

// refused is the refusal of a constraint.
func refused(field, why string, args ...any) error {
	return &sandbox.UnsupportedError{Provider: Provider, Field: field, Why: fmt.Sprintf(why, args...)}
}
