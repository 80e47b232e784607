package kubernetes

import (
	"net/netip"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// client-go's heartbeat of a stream notices within five seconds that it is over.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("k8s.io/client-go/tools/remotecommand.(*heartbeat).start"))
}

const app = 4711

var (
	image     = "registry.example/agent@sha256:" + strings.Repeat("ab", 32)
	initImage = "registry.example/portcullis@sha256:" + strings.Repeat("cd", 32)
)

// boxes are sandboxes in the API's cluster; change changes how they are configured.
func (a *api) boxes(change ...func(*Config)) *Kubernetes {
	a.t.Helper()
	config := Config{Cluster: a.config(), Namespace: namespace, App: app, InitImage: initImage, NetworkPolicyEnforced: true, Now: a.now}
	for _, c := range change {
		c(&config)
	}
	k, err := NewKubernetesSandbox(config)
	if err != nil {
		a.t.Fatal(err)
	}
	return k
}

func subject(a *api) sandboxtest.Subject {
	a.put("runtimeclasses", &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"})
	config := func(c *Config) {
		c.RuntimeClass = "gvisor"
		c.EgressProxies = []EgressProxy{{
			Address: netip.MustParseAddrPort("10.96.0.20:3128"), Namespace: "egress", Labels: map[string]string{"app": "proxy"}, Port: 3128, Hosts: []string{"api.example.com"},
		}}
	}
	return sandboxtest.Subject{
		Boxes: a.boxes(config), Fresh: a.boxes(config), Spec: sandboxtest.Spec(image), Probe: []string{probe}, Writes: a.writes,
		Unsupported: map[string]func(*sandbox.Spec){
			"runtime": func(s *sandbox.Spec) { s.Constraints.Runtime = "kata" },
			"image":   func(s *sandbox.Spec) { s.Image = "registry.example/agent:latest" },
			"network": func(s *sandbox.Spec) { s.Constraints.Network = sandbox.NetworkFull },
			"egress": func(s *sandbox.Spec) {
				s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"evil.example"}
			},
			"memory_mb": func(s *sandbox.Spec) { s.Constraints.MemoryMB = 16 },
			"disk_mb":   func(s *sandbox.Spec) { s.Constraints.DiskMB = 2 },
		},
	}
}

func TestKubernetes(t *testing.T) {
	a := newAPI(t, time.Now)
	// The API server is in this process, and its garbage on the heap that is measured.
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	sandboxtest.Conform(t, subject(a))
	if n := a.node.commands(); n != 0 {
		t.Errorf("%d commands are left", n)
	}
}
