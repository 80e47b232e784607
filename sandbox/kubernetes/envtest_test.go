//go:build envtest

package kubernetes

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// The real API server, with the real controllers, the manifests that the operator
// applies, and only what those allow. What is not real is the node.

// realNamespace is the manifests'.
const realNamespace = "portcullis-sandboxes"

// real is a cluster: etcd, kube-apiserver, kube-controller-manager.
type real struct {
	t     *testing.T
	admin *rest.Config
	api   *rest.RESTClient
	// nodeAt is where the node answers.
	nodeAt string
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// run starts a server, which ends with the test.
func run(t *testing.T, program string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			lines := strings.Split(string(said), "\n")
			t.Logf("%s said at last:\n%s", filepath.Base(program), strings.Join(lines[max(0, len(lines)-15):], "\n"))
		}
		log.Close()
	})
}

func newReal(t *testing.T) *real {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Skip("NOTHING IS TESTED AGAINST A REAL API SERVER: KUBEBUILDER_ASSETS does not say where etcd, kube-apiserver and kube-controller-manager are; `make envtest` builds them and runs this")
	}
	folder := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	etcd, peers, port := freePort(t), freePort(t), freePort(t)
	local := func(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }
	run(t, filepath.Join(assets, "etcd"), "--data-dir="+filepath.Join(folder, "etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls="+local(etcd), "--advertise-client-urls="+local(etcd), "--listen-peer-urls="+local(peers),
		"--initial-advertise-peer-urls="+local(peers), "--initial-cluster=default="+local(peers))
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})))
	token := rand.Text()
	run(t, filepath.Join(assets, "kube-apiserver"), "--etcd-servers="+local(etcd), "--secure-port="+strconv.Itoa(port), "--bind-address=127.0.0.1",
		"--cert-dir="+folder, "--token-auth-file="+write("tokens.csv", token+`,admin,admin,"system:masters"`), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-signing-key-file="+key, "--service-account-key-file="+key,
		"--service-cluster-ip-range=10.96.0.0/24", "--watch-cache=true")
	admin := &rest.Config{Host: "https://127.0.0.1:" + strconv.Itoa(port), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	reached, err := newCluster(admin, realNamespace)
	if err != nil {
		t.Fatal(err)
	}
	r := &real{t: t, admin: admin, api: reached.api}
	r.eventually("the API server is ready", func() error { return r.api.Get().AbsPath("/readyz").Do(t.Context()).Error() })
	kubeconfig := write("kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: c}}],
		clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}], users: [{name: c, user: {token: %q}}]}`, admin.Host, token))
	run(t, filepath.Join(assets, "kube-controller-manager"), "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=false",
		"--controllers=job-controller,garbage-collector-controller,ttl-after-finished-controller,serviceaccount-controller,resourcequota-controller,namespace-controller")
	r.apply()
	r.startNode()
	return r
}

func (r *real) eventually(what string, do func() error) {
	r.t.Helper()
	var err error
	for range 600 {
		if err = do(); err == nil {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	r.t.Fatalf("it did not come to that: %s: %v", what, err)
}

// post creates an object as an administrator.
func (r *real) post(path string, object any) {
	r.t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		r.t.Fatal(err)
	}
	err = r.api.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(r.t.Context()).Error()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		r.t.Fatalf("%s: %v", path, err)
	}
}

func (r *real) patch(path string, change any) {
	r.t.Helper()
	if err := patch(r.api, path, change); err != nil {
		r.t.Errorf("%s: %v", path, err)
	}
}

// apply applies the operator's manifests.
func (r *real) apply() {
	found := manifests(r.t)
	for _, kind := range []string{"Namespace", "NetworkPolicy", "ResourceQuota", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} {
		for _, object := range found[kind] {
			about := into[metav1.PartialObjectMetadata](object)
			path := "/apis/" + about.APIVersion
			if about.APIVersion == "v1" {
				path = "/api/v1"
			}
			if about.Namespace != "" {
				path += "/namespaces/" + about.Namespace
			}
			plural := strings.ToLower(kind) + "s"
			if kind == "NetworkPolicy" {
				plural = "networkpolicies"
			}
			r.post(path+"/"+plural, object)
		}
	}
	r.post("/apis/node.k8s.io/v1/runtimeclasses", &nodev1.RuntimeClass{
		TypeMeta: metav1.TypeMeta{APIVersion: "node.k8s.io/v1", Kind: "RuntimeClass"}, ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc",
	})
	r.eventually("the default service account is there", func() error {
		return r.api.Get().AbsPath("/api/v1/namespaces/" + realNamespace + "/serviceaccounts/default").Do(r.t.Context()).Error()
	})
}

// startNode starts the node, as a process of its own: its memory is not Portcullis's.
func (r *real) startNode() {
	r.post("/api/v1/nodes", &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: nodeName}})
	port := freePort(r.t)
	r.patch("/api/v1/nodes/"+nodeName+"/status", map[string]any{"status": corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}},
	}})
	own, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	r.nodeAt = "https://127.0.0.1:" + strconv.Itoa(port)
	r.t.Setenv(kubeletVariable, strings.Join([]string{r.admin.Host, r.admin.BearerToken, r.t.TempDir(), strconv.Itoa(port)}, " "))
	run(r.t, own)
	r.t.Setenv(kubeletVariable, "")
	r.eventually("the node is there", func() error { _, err := r.ask(); return err })
}

// ask asks the node what runs on it.
func (r *real) ask() (count struct{ Pods, Commands int }, _ error) {
	config := rest.CopyConfig(r.admin)
	config.Host, config.BearerToken = r.nodeAt, ""
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return count, err
	}
	answer, err := client.Get(r.nodeAt + "/count")
	if err != nil {
		return count, err
	}
	defer answer.Body.Close()
	return count, json.NewDecoder(answer.Body).Decode(&count)
}

// boxes are Portcullis's, as the service account of the manifests.
func (r *real) boxes(change ...func(*Config)) *Kubernetes {
	as := rest.CopyConfig(r.admin)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:portcullis:portcullis", Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	config := Config{Cluster: as, Namespace: realNamespace, App: app, InitImage: initImage, NetworkPolicyEnforced: true, Now: time.Now}
	for _, c := range append(change, everyNetwork) {
		c(&config)
	}
	k, err := NewKubernetesSandbox(config)
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

func TestRealAPIServer(t *testing.T) {
	r := newReal(t)
	gvisor := func(c *Config) { c.RuntimeClass = "gvisor" }
	t.Run("conforms", func(t *testing.T) {
		sandboxtest.Conform(t, sandboxtest.Subject{
			Boxes: r.boxes(gvisor), Fresh: r.boxes(gvisor), Spec: sandboxtest.Spec(image), Probe: []string{probe}, Slack: 2 * time.Second,
			Unsupported: map[string]func(*sandbox.Spec){"runtime": func(s *sandbox.Spec) { s.Constraints.Runtime = "kata" }},
		})
		if count, err := r.ask(); err != nil || count.Commands != 0 {
			t.Errorf("%+v, %v", count, err)
		}
	})
	t.Run("every kind of sandbox is one that it takes", func(t *testing.T) {
		k := r.boxes()
		for name, s := range specs() {
			s.ID, s.Constraints.Runtime = "pc-"+name, ""
			begun := time.Now()
			if _, err := k.Create(t.Context(), s); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			created := time.Since(begun)
			if got, err := k.Execute(t.Context(), s.ID, sandbox.Command{Argv: []string{probe, "say", name}}); err != nil || got.Stdout != name {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			executed := time.Since(begun) - created
			if err := k.Destroy(t.Context(), s.ID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			t.Logf("%s: created in %s, a command in %s, destroyed in %s", name, created.Round(time.Millisecond), executed.Round(time.Millisecond), (time.Since(begun) - created - executed).Round(time.Millisecond))
		}
		left := r.api.Get().AbsPath("/apis/networking.k8s.io/v1/namespaces/" + realNamespace + "/networkpolicies").Do(t.Context())
		if body, err := left.Raw(); err != nil || bytes.Count(body, []byte(`"podSelector"`)) != 1 {
			t.Errorf("%s, %v", body, err)
		}
	})
	t.Run("I24 the namespace takes no Pod that may do more", func(t *testing.T) {
		pod := corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "bad"},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
		}
		body, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		err = r.api.Post().AbsPath("/api/v1/namespaces/"+realNamespace+"/pods").SetHeader("Content-Type", "application/json").Body(body).Do(t.Context()).Error()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "violates PodSecurity") {
			t.Errorf("%v", err)
		}
	})
	t.Run("I24 the deadline is the server's, with nobody there", func(t *testing.T) {
		k := r.boxes()
		if _, err := k.Create(t.Context(), spec(func(s *sandbox.Spec) { s.ID, s.Constraints.Timeout = "pc-deadline", 4*time.Second })); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for time.Since(begun) < 10*time.Second {
			if count, err := r.ask(); err == nil && count.Pods == 0 {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		if took := time.Since(begun); took > 7*time.Second {
			t.Errorf("it ran for %s", took)
		} else {
			t.Logf("it ran for %s of 4s", took.Round(10*time.Millisecond))
		}
		if err := k.Destroy(t.Context(), "pc-deadline"); err != nil {
			t.Error(err)
		}
	})
	t.Run("what is missing is named", func(t *testing.T) {
		as := func(c *Config) {
			c.Cluster = rest.CopyConfig(r.admin)
			c.Cluster.Impersonate = rest.ImpersonationConfig{UserName: "nobody", Groups: []string{"system:authenticated"}}
		}
		_, err := r.boxes(as).List(t.Context())
		if forbidden, is := errors.AsType[*ForbiddenError](err); !is || *forbidden != (ForbiddenError{"list", "batch", "jobs", realNamespace}) {
			t.Errorf("%v", err)
		}
		_, err = r.boxes(as, gvisor).Create(t.Context(), spec())
		if forbidden, is := errors.AsType[*ForbiddenError](err); !is || forbidden.Resource != "runtimeclasses" || forbidden.Namespace != "" {
			t.Errorf("%v", err)
		}
		k := r.boxes()
		if _, err := k.Create(t.Context(), spec()); err != nil {
			t.Fatal(err)
		}
		defer k.Destroy(t.Context(), "pc-1")
		at, err := k.look(t.Context(), "pc-1")
		if err != nil {
			t.Fatal(err)
		}
		err = r.boxes(as).cluster.stream(t.Context(), at.pod.Name, workload, []string{"x"}, streams{stdout: new(bytes.Buffer)})
		if forbidden, is := errors.AsType[*ForbiddenError](err); !is || forbidden.Resource != "pods/exec" {
			t.Errorf("%v", err)
		}
	})
	t.Run("I6 the node's connection breaks, and the server says that all went well", func(t *testing.T) {
		k := r.boxes()
		if _, err := k.Create(t.Context(), spec()); err != nil {
			t.Fatal(err)
		}
		defer k.Destroy(t.Context(), "pc-1")
		at, err := k.look(t.Context(), "pc-1")
		if err != nil {
			t.Fatal(err)
		}
		waits := []string{probe, "wait", "1h", cutWord}
		argv := words(inside.AttendCommand, slices.Concat([]string{"TOKEN"}, inside.RunCommand, []string{"TOKEN", sandbox.Workspace, strconv.Itoa(inside.MaxProcesses)}, inside.Quote(waits))...)
		err = k.cluster.stream(t.Context(), at.pod.Name, workload, argv, streams{stdout: io.Discard, stderr: io.Discard})
		t.Logf("client-go says %v", err)
		got, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: waits})
		if !errors.Is(err, errSilent) || got != (sandbox.Result{}) {
			t.Errorf("%+v, %v", got, err)
		}
		if count, err := r.ask(); err != nil || count.Commands != 0 {
			t.Errorf("%+v, %v", count, err)
		}
	})
	t.Run("a quota is told", func(t *testing.T) {
		r.patch("/api/v1/namespaces/"+realNamespace+"/resourcequotas/sandboxes", map[string]any{"spec": map[string]any{"hard": map[string]string{"count/jobs.batch": "0"}}})
		r.eventually("the quota counts", func() error {
			_, err := r.boxes().Create(t.Context(), spec())
			if err == nil {
				_ = r.boxes().Destroy(t.Context(), "pc-1")
				return errors.New("it was created")
			}
			if !strings.Contains(err.Error(), "exceeded quota: sandboxes") {
				t.Errorf("%v", err)
			}
			return nil
		})
	})
}
