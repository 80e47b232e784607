package kubernetes

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

var update = flag.Bool("update", false, "write the golden files")

// everyNetwork is a configuration in which each network can be had.
func everyNetwork(c *Config) {
	c.EgressProxies = []EgressProxy{{
		Address: netip.MustParseAddrPort("10.96.0.20:3128"), Namespace: "egress", Labels: map[string]string{"app": "proxy"}, Port: 8080,
		Hosts: []string{"api.example.com", "*.example.org"},
	}}
	c.FullNetwork = &FullNetwork{Resolvers: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, Except: prefixes("11.0.0.0/24", "2a00:1:2::/48")}
}

// specs are sandboxes that differ in what they may.
func specs() map[string]sandbox.Spec {
	with := func(change func(*sandbox.Spec)) sandbox.Spec {
		spec := sandboxtest.Spec(image)
		spec.ID = "pc-golden"
		change(&spec)
		return spec
	}
	return map[string]sandbox.Spec{
		"plain": with(func(*sandbox.Spec) {}),
		"folders": with(func(s *sandbox.Spec) {
			s.Constraints.AllowedPaths = []string{"/workspace/out", "/workspace/build/cache", "/workspace/out/deep"}
		}),
		"egress": with(func(s *sandbox.Spec) {
			s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"*.example.org", "API.example.com"}
		}),
		"full": with(func(s *sandbox.Spec) {
			s.Constraints = sandbox.SandboxConstraints{Network: sandbox.NetworkFull, Runtime: "kata"}
		}),
	}
}

// I11 for Kubernetes: what each sandbox is, to the last field.
func TestGoldenPlans(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	a := newAPI(t, time.Now)
	for name, spec := range specs() {
		k := a.boxes(everyNetwork, func(c *Config) {
			if spec.Constraints.Runtime == "" {
				c.RuntimeClass = "gvisor"
			}
		})
		planned, err := k.plan(spec, spec.Instance(Provider, at))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := yaml.Marshal(planned.job)
		if err != nil {
			t.Fatal(err)
		}
		if planned.opens != nil {
			opens, err := yaml.Marshal(planned.opens)
			if err != nil {
				t.Fatal(err)
			}
			got = slices.Concat(got, []byte("---\n"), opens)
		}
		file := "testdata/" + name + ".yaml"
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not as in %s:\n%s", name, file, got)
		}
	}
}

// I24: Kubernetes' own judge of the restricted profile, and what it does not ask for.
func TestI24ThePodIsRestricted(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	verdict := func(pod *corev1.PodSpec) string {
		result := policy.AggregateCheckResults(judge.EvaluatePod(restricted, &metav1.ObjectMeta{}, pod))
		if result.Allowed {
			return ""
		}
		return result.ForbiddenDetail()
	}
	k := newAPI(t, time.Now).boxes(everyNetwork)
	for name, spec := range specs() {
		planned, err := k.plan(spec, spec.Instance(Provider, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		pod := planned.job.Spec.Template.Spec
		if why := verdict(&pod); why != "" {
			t.Errorf("%s: %s", name, why)
		}
		switch {
		case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
			t.Errorf("%s has a token", name)
		case pod.EnableServiceLinks == nil || *pod.EnableServiceLinks:
			t.Errorf("%s is told of Services", name)
		case pod.HostNetwork || pod.HostPID || pod.HostIPC || pod.HostUsers != nil:
			t.Errorf("%s is in a namespace of the node's", name)
		case pod.DNSPolicy != corev1.DNSNone:
			t.Errorf("%s asks the cluster for names", name)
		case pod.RestartPolicy != corev1.RestartPolicyNever || *planned.job.Spec.BackoffLimit != 0:
			t.Errorf("%s starts anew", name)
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.RunAsUser != workloadID(spec.ID) {
				t.Errorf("%s: %s is %+v", name, c.Name, c.SecurityContext)
			}
			for _, resource := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceCPU, corev1.ResourceEphemeralStorage} {
				request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
				if limit.IsZero() || request.Cmp(limit) != 0 {
					t.Errorf("%s: %s has %s of %s and at most %s", name, c.Name, &request, resource, &limit)
				}
			}
			if !pinned.MatchString(c.Image) {
				t.Errorf("%s: the image %s is not pinned", name, c.Image)
			}
		}
		for _, v := range pod.Volumes {
			if v.EmptyDir == nil || v.EmptyDir.SizeLimit.IsZero() {
				t.Errorf("%s: the volume %s is %+v", name, v.Name, v.VolumeSource)
			}
		}
		pod.Containers[0].SecurityContext.Capabilities = nil
		if verdict(&pod) == "" {
			t.Errorf("%s: the judge lets everything pass", name)
		}
	}
}

// The kernel counts the processes of a user on the whole node: each sandbox has its own.
func TestEachSandboxHasAUserOfItsOwn(t *testing.T) {
	k, seen := newAPI(t, time.Now).boxes(), map[int64]bool{}
	for n := range 100 {
		s := spec(func(s *sandbox.Spec) { s.ID = sandbox.IDFor(strconv.Itoa(n)) })
		planned, err := k.plan(s, s.Instance(Provider, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		pod := planned.job.Spec.Template.Spec
		user := *pod.SecurityContext.RunAsUser
		if user < firstWorkloadID || user >= firstWorkloadID+workloadIDs || seen[user] {
			t.Errorf("%s is the user %d", s.ID, user)
		}
		seen[user] = true
		if *pod.SecurityContext.FSGroup != user || *pod.Containers[0].SecurityContext.RunAsUser != user {
			t.Errorf("%s: %+v", s.ID, pod.SecurityContext)
		}
	}
}

// All files together have what was asked for.
func TestTheDiskIsDivided(t *testing.T) {
	for _, paths := range [][]string{nil, {"/workspace/a"}, {"/workspace/a", "/workspace/b", "/workspace/c"}} {
		c := sandbox.SandboxConstraints{DiskMB: 100, AllowedPaths: paths}
		l, err := limit(c)
		if err != nil {
			t.Fatal(err)
		}
		all, mounts := l.volumes(c.Writable())
		var sum int64
		for _, v := range all {
			if v.Name != "tools" {
				sum += v.EmptyDir.SizeLimit.Value()
			}
		}
		if sum > 100<<20 || sum < 95<<20 {
			t.Errorf("%q: %d bytes", paths, sum)
		}
		for _, m := range mounts {
			if want := !slices.Contains(c.Writable(), m.MountPath); m.ReadOnly != want {
				t.Errorf("%q: %+v", paths, m)
			}
		}
	}
}

func TestWhatThePolicyMustBe(t *testing.T) {
	in, out := networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	carried := map[string]string{sandbox.LabelID: "pc-1"}
	deny := func(change ...func(*networkingv1.NetworkPolicy)) networkingv1.NetworkPolicy {
		p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{in, out}}}
		for _, c := range change {
			c(&p)
		}
		return p
	}
	opens := func(p *networkingv1.NetworkPolicy) { p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}} }
	lets := func(p *networkingv1.NetworkPolicy) { p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} }
	picks := func(id string) func(*networkingv1.NetworkPolicy) {
		return func(p *networkingv1.NetworkPolicy) {
			p.Spec.PodSelector.MatchLabels = map[string]string{sandbox.LabelID: id}
		}
	}
	for name, c := range map[string]struct {
		policies []networkingv1.NetworkPolicy
		want     string
	}{
		"none":                     {nil, "shuts everything"},
		"the namespace's":          {[]networkingv1.NetworkPolicy{deny()}, ""},
		"one that picks some":      {[]networkingv1.NetworkPolicy{deny(picks("pc-1"))}, "shuts everything"},
		"in alone":                 {[]networkingv1.NetworkPolicy{deny(func(p *networkingv1.NetworkPolicy) { p.Spec.PolicyTypes = []networkingv1.PolicyType{in} })}, "shuts everything"},
		"out alone":                {[]networkingv1.NetworkPolicy{deny(func(p *networkingv1.NetworkPolicy) { p.Spec.PolicyTypes = []networkingv1.PolicyType{out} })}, "shuts everything"},
		"it opens":                 {[]networkingv1.NetworkPolicy{deny(opens)}, "opens"},
		"another opens out":        {[]networkingv1.NetworkPolicy{deny(), deny(opens)}, "opens"},
		"another opens in":         {[]networkingv1.NetworkPolicy{deny(), deny(lets, picks("pc-1"))}, "opens"},
		"another's is opened":      {[]networkingv1.NetworkPolicy{deny(), deny(opens, picks("pc-2"))}, ""},
		"its own, from last time":  {[]networkingv1.NetworkPolicy{deny(), deny(opens, picks("pc-1"), func(p *networkingv1.NetworkPolicy) { p.Name = "pc-1" })}, ""},
		"a selector that is wrong": {[]networkingv1.NetworkPolicy{deny(), deny(func(p *networkingv1.NetworkPolicy) { p.Spec.PodSelector.MatchLabels = map[string]string{"a b": "c"} })}, "cannot be read"},
	} {
		err := shut(c.policies, "pc-1", carried)
		refusal, is := errors.AsType[*sandbox.UnsupportedError](err)
		if is != (c.want != "") || is && (refusal.Field != "network" || !strings.Contains(refusal.Why, c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true,
		"10.0.0.1": false, "172.31.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.100.100.200": false, "127.0.0.1": false, "168.63.129.16": false,
		"224.0.0.1": false, "::1": false, "fd00::1": false, "fe80::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:0:1::": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}

func TestConfigurationFaults(t *testing.T) {
	a := newAPI(t, time.Now)
	for want, change := range map[string]func(*Config){
		"cluster":           func(c *Config) { c.Cluster = nil },
		"namespace":         func(c *Config) { c.Namespace = "../kube-system" },
		"app":               func(c *Config) { c.App = 0 },
		"init_image":        func(c *Config) { c.InitImage = "portcullis:latest" },
		"now":               func(c *Config) { c.Now = nil },
		"egress_proxies[0]": func(c *Config) { c.EgressProxies = []EgressProxy{{}} },
		"resolvers":         func(c *Config) { c.FullNetwork = &FullNetwork{} },
		"10.96.0.10, which is not public": func(c *Config) {
			c.FullNetwork = &FullNetwork{Resolvers: []netip.Addr{netip.MustParseAddr("10.96.0.10")}}
		},
		"9.9.9.9, which is not public": func(c *Config) {
			c.FullNetwork = &FullNetwork{Resolvers: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, Except: prefixes("9.9.9.0/24")}
		},
		"cannot except 0.0.0.0/0": func(c *Config) {
			c.FullNetwork = &FullNetwork{Resolvers: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, Except: prefixes("0.0.0.0/0")}
		},
		"cannot except ::/0": func(c *Config) {
			c.FullNetwork = &FullNetwork{Resolvers: []netip.Addr{netip.MustParseAddr("9.9.9.9")}, Except: prefixes("::/0")}
		},
		"egress_proxies[0] needs the namespace": func(c *Config) { everyNetwork(c); c.EgressProxies[0].Labels = nil },
		"egress_proxies[0] names no host":       func(c *Config) { everyNetwork(c); c.EgressProxies[0].Hosts = nil },
	} {
		config := Config{Cluster: a.config(), Namespace: namespace, App: app, InitImage: initImage, Now: a.now}
		change(&config)
		if _, err := NewKubernetesSandbox(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want one of %s", err, want)
		}
	}
}
