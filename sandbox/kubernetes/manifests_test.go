package kubernetes

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// manifests are what the operator applies, by kind.
func manifests(t *testing.T) map[string][]map[string]any {
	t.Helper()
	file, err := os.Open("../../deploy/kubernetes/sandboxes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found := map[string][]map[string]any{}
	for reader := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		var object map[string]any
		err := reader.Decode(&object)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := object["kind"].(string)
		found[kind] = append(found[kind], object)
	}
}

// What the manifests allow is what is asked for, no less and no more.
func TestTheRolesAllowWhatIsAskedFor(t *testing.T) {
	a := newAPI(t, time.Now)
	a.put("runtimeclasses", &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}})
	k := a.boxes(everyNetwork, func(c *Config) { c.RuntimeClass = "gvisor" })
	spec := sandboxtest.Spec(image)
	spec.ID, spec.Constraints.Network = "pc-1", sandbox.NetworkFull
	if _, err := k.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if _, err := k.List(t.Context()); err != nil {
		t.Error(err)
	}
	if err := k.Put(t.Context(), "pc-1", sandbox.Workspace, sandboxtest.Files()); err != nil {
		t.Error(err)
	}
	if err := k.Destroy(t.Context(), "pc-1"); err != nil {
		t.Error(err)
	}
	asked := map[call]bool{}
	for _, c := range a.calls() {
		asked[c] = true
	}
	allowed := map[call]bool{}
	for _, kind := range []string{"Role", "ClusterRole"} {
		for _, object := range manifests(t)[kind] {
			for _, rule := range into[rbacv1.ClusterRole](object).Rules {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						for _, verb := range rule.Verbs {
							c := call{verb, group, resource}
							if allowed[c] = true; !asked[c] {
								t.Errorf("the %s allows to %s %s.%s, which nobody asks for", kind, verb, resource, group)
							}
							if (kind == "ClusterRole") != (resource == "runtimeclasses") {
								t.Errorf("%s is in a %s", resource, kind)
							}
						}
					}
				}
			}
		}
	}
	for c := range asked {
		if !allowed[c] {
			t.Errorf("nothing allows to %s %s.%s", c.verb, c.resource, c.group)
		}
	}
}

func TestTheManifests(t *testing.T) {
	found := manifests(t)
	where := into[corev1.Namespace](found["Namespace"][0])
	if where.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("the namespace enforces %q", where.Labels)
	}
	policy := into[networkingv1.NetworkPolicy](found["NetworkPolicy"][0])
	if err := shut([]networkingv1.NetworkPolicy{policy}, "x", nil); err != nil {
		t.Error(err)
	}
	role, binding := into[rbacv1.Role](found["Role"][0]), into[rbacv1.RoleBinding](found["RoleBinding"][0])
	wide, wideBinding := into[rbacv1.ClusterRole](found["ClusterRole"][0]), into[rbacv1.ClusterRoleBinding](found["ClusterRoleBinding"][0])
	if binding.RoleRef.Name != role.Name || wideBinding.RoleRef.Name != wide.Name || !slices.Equal(binding.Subjects, wideBinding.Subjects) {
		t.Errorf("%+v, %+v", binding, wideBinding)
	}
	account := into[corev1.ServiceAccount](found["ServiceAccount"][0])
	if s := binding.Subjects[0]; s.Name != account.Name || s.Namespace != account.Namespace {
		t.Errorf("%+v is bound, and there is %s", s, account.Name)
	}
	quota := into[corev1.ResourceQuota](found["ResourceQuota"][0])
	for _, namespace := range []string{policy.Namespace, role.Namespace, binding.Namespace, quota.Namespace} {
		if namespace != where.Name {
			t.Errorf("%s is not %s", namespace, where.Name)
		}
	}
	if account.Namespace == where.Name {
		t.Error("Portcullis's token is where sandboxes are")
	}
}
