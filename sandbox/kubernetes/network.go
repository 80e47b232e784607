package kubernetes

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Check is an error that names what is missing.
func (p EgressProxy) Check() error {
	switch {
	case !p.Address.IsValid() || p.Address.Port() == 0 || p.Port == 0:
		return errors.New("needs the address of its Service and the port of its Pods")
	case p.Namespace == "" || len(p.Labels) == 0:
		return errors.New("needs the namespace and the labels of its Pods")
	case len(p.Hosts) == 0:
		return errors.New("names no host")
	default:
		return nil
	}
}

// Check is an error that names what would not be reached, or not be excepted.
func (f FullNetwork) Check() error {
	if len(f.Resolvers) == 0 {
		return errors.New("needs resolvers")
	}
	for _, except := range f.Except {
		if !except.IsValid() || slices.ContainsFunc(reachedRanges, func(reached netip.Prefix) bool { return reached.Overlaps(except) && reached.Bits() >= except.Bits() }) {
			return fmt.Errorf("cannot except %s, of which nothing is left", except)
		}
	}
	for _, r := range f.Resolvers {
		if !public(r) || slices.ContainsFunc(f.Except, func(except netip.Prefix) bool { return except.Contains(r) }) {
			return fmt.Errorf("has the resolver %s, which is not public, so that no sandbox reaches it", r)
		}
	}
	return nil
}

// network is what a sandbox reaches.
type network struct {
	// name tells it from others.
	name string
	// opens is nil for one that reaches nothing.
	opens       *networkingv1.NetworkPolicy
	resolvers   []string
	environment []corev1.EnvVar
}

// noResolver is where nobody answers: the Pod's own loopback. A Pod needs one.
const noResolver = "127.0.0.1"

// network is what the constraints ask for, or a refusal.
func (k *Kubernetes) network(id string, c sandbox.SandboxConstraints) (network, error) {
	if !k.config.NetworkPolicyEnforced {
		return network{}, refused("network", "nobody has declared that the cluster enforces NetworkPolicy (network_policy_enforced), and one that does not has every sandbox reach everything")
	}
	if len(c.Credentials) > 0 {
		return network{}, refused("credentials", "the proxy is the operator's own, and is given none")
	}
	switch c.Network {
	case "", sandbox.NetworkNone:
		return network{name: string(sandbox.NetworkNone), resolvers: []string{noResolver}}, nil
	case sandbox.NetworkEgressOnly:
		return k.egressOnly(id, c.Egress)
	case sandbox.NetworkFull:
		return k.full(id)
	default:
		return network{}, refused("network", "%q is not known", c.Network)
	}
}

// egressOnly is the way to the one proxy that lets through what is asked for, and no
// more: it cannot be told apart there which sandbox asks.
func (k *Kubernetes) egressOnly(id string, asked []string) (network, error) {
	if len(k.config.EgressProxies) == 0 {
		return network{}, refused("network", "the operator runs no proxy for egress-only (egress_proxies)")
	}
	hosts := set(asked)
	at := slices.IndexFunc(k.config.EgressProxies, func(p EgressProxy) bool { return slices.Equal(set(p.Hosts), hosts) })
	if at < 0 {
		return network{}, refused("egress", "the operator runs no proxy for exactly %s (egress_proxies)", strings.Join(hosts, ", "))
	}
	proxy := k.config.EgressProxies[at]
	tcp, port := corev1.ProtocolTCP, intstr.FromInt32(int32(proxy.Port))
	out := network{
		name: string(sandbox.NetworkEgressOnly) + " " + strings.Join(hosts, " "), resolvers: []string{noResolver},
		opens: k.opening(id, networkingv1.NetworkPolicyEgressRule{
			To: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: proxy.Namespace}},
				PodSelector:       &metav1.LabelSelector{MatchLabels: proxy.Labels},
			}},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &port}},
		}),
	}
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		out.environment = append(out.environment, corev1.EnvVar{Name: name, Value: "http://" + proxy.Address.String()})
	}
	return out, nil
}

// set is the hosts in order, each once, as they are compared.
func set(hosts []string) []string {
	lower := make([]string, len(hosts))
	for n, host := range hosts {
		lower[n] = strings.ToLower(host)
	}
	slices.Sort(lower)
	return slices.Compact(lower)
}

// full is the way to public addresses.
func (k *Kubernetes) full(id string) (network, error) {
	if k.config.FullNetwork == nil {
		return network{}, refused("network", "the operator has not allowed full (full_network)")
	}
	out := network{name: string(sandbox.NetworkFull)}
	for _, resolver := range k.config.FullNetwork.Resolvers {
		out.resolvers = append(out.resolvers, resolver.String())
	}
	var to []networkingv1.NetworkPolicyPeer
	for _, reached := range reachedRanges {
		block := &networkingv1.IPBlock{CIDR: reached.String()}
		for _, except := range slices.Concat(closedRanges, k.config.FullNetwork.Except) {
			if reached.Overlaps(except) && reached.Bits() < except.Bits() {
				block.Except = append(block.Except, except.Masked().String())
			}
		}
		to = append(to, networkingv1.NetworkPolicyPeer{IPBlock: block})
	}
	out.opens = k.opening(id, networkingv1.NetworkPolicyEgressRule{To: to})
	return out, nil
}

// reachedRanges are those that have public addresses in them, and closedRanges what in
// them is not public: private, link-local with the clouds' metadata, shared by a
// carrier's customers, and what leads to any of those by another name.
var (
	reachedRanges = prefixes("0.0.0.0/0", "2000::/3")
	closedRanges  = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	)
)

func prefixes(written ...string) []netip.Prefix {
	read := make([]netip.Prefix, len(written))
	for n, w := range written {
		read[n] = netip.MustParsePrefix(w)
	}
	return read
}

// public reports whether network full reaches the address.
func public(address netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(address) }
	return slices.ContainsFunc(reachedRanges, in) && !slices.ContainsFunc(closedRanges, in)
}

// opening is the policy of one sandbox.
func (k *Kubernetes) opening(id string, rule networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
	carried := map[string]string{sandbox.LabelApp: fmt.Sprint(k.config.App), sandbox.LabelID: id}
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkPolicies.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: id, Namespace: k.config.Namespace, Labels: carried},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: carried},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{rule},
		},
	}
}

// shut is an error unless everything in the namespace reaches nothing and nobody, and no
// policy but the sandbox's own opens anything to it. Policies only ever add: the one that
// shuts is the namespace's and not the sandbox's, so that a sandbox that is being ended
// reaches no more than before.
func shut(policies []networkingv1.NetworkPolicy, own string, carried map[string]string) error {
	closed := false
	for _, policy := range policies {
		spec := policy.Spec
		picks, err := metav1.LabelSelectorAsSelector(&spec.PodSelector)
		if err != nil {
			return refused("network", "the NetworkPolicy %s cannot be read: %v", policy.Name, err)
		}
		if picks.Empty() && len(spec.Ingress)+len(spec.Egress) == 0 &&
			slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress) && slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			closed = true
		}
		if policy.Name != own && picks.Matches(labels.Set(carried)) && len(spec.Ingress)+len(spec.Egress) > 0 {
			return refused("network", "the NetworkPolicy %s in the namespace opens what is to be shut", policy.Name)
		}
	}
	if !closed {
		return refused("network", "no NetworkPolicy in the namespace shuts everything by default, as deploy/kubernetes/sandboxes.yaml has one")
	}
	return nil
}
