package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// cluster is the few calls that are made of an API server. client-go's own clientset
// knows every kind of object that there is: linking it doubles the size of the program,
// which is PID 1 in every sandbox (docs/dependencies.md has the figures).
type cluster struct {
	api *rest.RESTClient
	// config is for streams, which have no time limit of their own.
	config    *rest.Config
	namespace string
}

// kind is a kind of objects at the API server.
type kind struct {
	schema.GroupVersion

	resource    string
	clusterWide bool
}

var (
	jobs            = kind{batchv1.SchemeGroupVersion, "jobs", false}
	pods            = kind{corev1.SchemeGroupVersion, "pods", false}
	networkPolicies = kind{networkingv1.SchemeGroupVersion, "networkpolicies", false}
	runtimeClasses  = kind{nodev1.SchemeGroupVersion, "runtimeclasses", true}
)

// callTime is how long the API server may take for one answer.
const callTime = 30 * time.Second

func newCluster(config *rest.Config, namespace string) (*cluster, error) {
	streams := rest.CopyConfig(config)
	streams.UserAgent = "portcullis"
	calls := rest.CopyConfig(streams)
	calls.Timeout, calls.WarningHandler = callTime, rest.NoWarnings{}
	calls.QPS = -1 // the API server has its own way to be fair
	calls.NegotiatedSerializer, calls.ContentType = serializer(), runtime.ContentTypeJSON
	api, err := rest.UnversionedRESTClientFor(calls)
	if err != nil {
		return nil, err
	}
	return &cluster{api: api, config: streams, namespace: namespace}, nil
}

// serializer knows the kinds above, as JSON.
func serializer() runtime.NegotiatedSerializer {
	known := runtime.NewScheme()
	known.AddKnownTypes(batchv1.SchemeGroupVersion, &batchv1.Job{}, &batchv1.JobList{})
	known.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Pod{}, &corev1.PodList{})
	known.AddKnownTypes(networkingv1.SchemeGroupVersion, &networkingv1.NetworkPolicy{}, &networkingv1.NetworkPolicyList{})
	known.AddKnownTypes(nodev1.SchemeGroupVersion, &nodev1.RuntimeClass{})
	metav1.AddToGroupVersion(known, metav1.Unversioned)
	return runtime.NewSimpleNegotiatedSerializer(runtime.SerializerInfo{
		MediaType: runtime.ContentTypeJSON, EncodesAsText: true,
		Serializer: json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{}),
	})
}

// path is where objects of a kind are, and below them one.
func (c *cluster) path(k kind, more ...string) []string {
	path := []string{"apis", k.Group, k.Version}
	if k.Group == "" {
		path = []string{"api", k.Version}
	}
	if !k.clusterWide {
		path = append(path, "namespaces", c.namespace)
	}
	return append(append(path, k.resource), more...)
}

func (c *cluster) get(ctx context.Context, k kind, name string, into runtime.Object) error {
	return explain(c.api.Get().AbsPath(c.path(k, name)...).Do(ctx).Into(into))
}

// list reads those that carry the labels, as "a=b,c=d".
func (c *cluster) list(ctx context.Context, k kind, labels string, into runtime.Object) error {
	request := c.api.Get().AbsPath(c.path(k)...)
	if labels != "" {
		request = request.Param("labelSelector", labels)
	}
	return explain(request.Do(ctx).Into(into))
}

func (c *cluster) create(ctx context.Context, k kind, object runtime.Object) error {
	return explain(c.api.Post().AbsPath(c.path(k)...).Body(object).Do(ctx).Into(object))
}

func (c *cluster) patch(ctx context.Context, k kind, name string, patch []byte) error {
	return explain(c.api.Patch(types.MergePatchType).AbsPath(c.path(k, name)...).Body(patch).Do(ctx).Error())
}

func (c *cluster) delete(ctx context.Context, k kind, name string, options *metav1.DeleteOptions) error {
	return explain(c.api.Delete().AbsPath(c.path(k, name)...).Body(options).Do(ctx).Error())
}

// ForbiddenError is returned for what Portcullis may not do in the cluster.
type ForbiddenError struct {
	Verb, Group, Resource string
	// Namespace is empty for what is in none.
	Namespace string
}

func (e *ForbiddenError) Error() string {
	role, place := "Role", " in the namespace "+e.Namespace
	if e.Namespace == "" {
		role, place = "ClusterRole", ""
	}
	return fmt.Sprintf("Portcullis may not %s %s%s: the %s lacks {apiGroups: [%q], resources: [%q], verbs: [%q]}; deploy/kubernetes/sandboxes.yaml has it",
		e.Verb, e.Resource, place, role, e.Group, e.Resource, e.Verb)
}

// lacking is how an API server says which rule is missing.
var lacking = regexp.MustCompile(`cannot ([a-z]+) resource "([^"]+)" in API group "([^"]*)" (?:in the namespace "([^"]*)"|at the cluster scope)`)

// explain says which rule is missing where one is. A quota or an admission that refuses
// is forbidden too, and is told as the API server does.
func explain(err error) error {
	status, is := errors.AsType[*apierrors.StatusError](err)
	if !is || !apierrors.IsForbidden(err) {
		return err
	}
	if rule := lacking.FindStringSubmatch(status.ErrStatus.Message); rule != nil {
		return &ForbiddenError{Verb: rule[1], Resource: rule[2], Group: rule[3], Namespace: rule[4]}
	}
	return err
}
