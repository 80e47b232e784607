package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

// namespace is where the tests' sandboxes are.
const namespace = "sandboxes"

// call is what was asked of an API server, in the words of its rules.
type call struct{ verb, group, resource string }

// api stands in for an API server with its controllers: over HTTP, and strict about what
// it knows. It knows what the package asks for, and nothing else.
type api struct {
	t    *testing.T
	now  func() time.Time
	url  string
	node *node

	mu      sync.Mutex
	version int
	// objects are by resource and name, as JSON has them.
	objects map[string]map[string]map[string]any
	asked   []call
	// refuse answers a call in the API server's stead, if it returns a status, and lose
	// one that was done.
	refuse, lose func(call) *metav1.Status
	// onlySPDY is an old one, and deaf one that makes no Pods.
	onlySPDY, deaf bool
	// ends is how the connection of each command ends under it; nil: with the command. With
	// killsToo those that end commands do not come to be run.
	ends     error
	killsToo bool
}

// kinds are what the API server knows.
var kinds = map[string]struct {
	group, kind string
	empty       func() any
}{
	"jobs":            {"batch/v1", "Job", func() any { return &batchv1.Job{} }},
	"pods":            {"v1", "Pod", func() any { return &corev1.Pod{} }},
	"networkpolicies": {"networking.k8s.io/v1", "NetworkPolicy", func() any { return &networkingv1.NetworkPolicy{} }},
	"runtimeclasses":  {"node.k8s.io/v1", "RuntimeClass", func() any { return &nodev1.RuntimeClass{} }},
}

// newAPI starts one, in whose namespace is what the manifests put there.
func newAPI(t *testing.T, now func() time.Time) *api {
	a := &api{t: t, now: now, node: newNode(t), objects: map[string]map[string]map[string]any{}}
	for resource := range kinds {
		a.objects[resource] = map[string]map[string]any{}
	}
	server := httptest.NewServer(a)
	a.url = server.URL
	a.put("networkpolicies", &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "default-deny"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}},
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				a.control()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		for _, uid := range a.node.all() {
			a.node.stop(uid)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return a
}

func (a *api) config() *rest.Config { return &rest.Config{Host: a.url} }

// put puts an object there as an operator does.
func (a *api) put(resource string, object any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(resource, asMap(object))
}

// set changes how it is, or what is there.
func (a *api) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func asMap(object any) map[string]any {
	body, _ := json.Marshal(object)
	var m map[string]any
	_ = json.Unmarshal(body, &m)
	return m
}

func into[T any](object map[string]any) T {
	var typed T
	body, _ := json.Marshal(object)
	_ = json.Unmarshal(body, &typed)
	return typed
}

// keep gives an object what the API server does, and stores it.
func (a *api) keep(resource string, object map[string]any) {
	meta := object["metadata"].(map[string]any)
	a.version++
	meta["resourceVersion"] = fmt.Sprint(a.version)
	if meta["uid"] == nil {
		meta["uid"] = fmt.Sprintf("uid-%d", a.version)
		meta["creationTimestamp"] = a.now().UTC().Format(time.RFC3339)
	}
	object["apiVersion"], object["kind"] = kinds[resource].group, kinds[resource].kind
	a.objects[resource][meta["name"].(string)] = object
}

// writes counts what was asked that changes something; a command in a Pod does not.
func (a *api) writes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var n int64
	for _, c := range a.asked {
		if c.verb != "get" && c.verb != "list" && c.resource != "pods/exec" {
			n++
		}
	}
	return n
}

// there counts the objects of a kind.
func (a *api) there(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.objects[resource])
}

func (a *api) calls() []call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// ServeHTTP takes /api/v1/… and /apis/GROUP/VERSION/….
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	switch parts[0] {
	case "api":
		parts = parts[2:]
	case "apis":
		group, parts = parts[1], parts[3:]
	}
	if len(parts) > 1 && parts[0] == "namespaces" {
		if parts[1] != namespace {
			a.t.Errorf("asked for the namespace %s", parts[1])
		}
		parts = parts[2:]
	}
	parts = append(parts, "", "")
	resource, name, sub := parts[0], parts[1], parts[2]
	known, is := kinds[resource]
	if version := strings.Trim(strings.Join([]string{group, "v1"}, "/"), "/"); !is || known.group != version {
		a.t.Errorf("asked for %s", r.URL)
		answer(w, failure(http.StatusNotFound, metav1.StatusReasonNotFound, "there is no such resource"))
		return
	}
	verb := map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	if verb == "get" && name == "" {
		verb = "list"
	}
	c := call{verb, group, resource}
	if sub != "" {
		c.resource += "/" + sub
	}
	if refused := a.ask(c); refused != nil {
		answer(w, refused)
		return
	}
	if sub == "exec" {
		a.exec(w, r, name)
		return
	}
	body := new(bytes.Buffer)
	_, _ = body.ReadFrom(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	done := a.do(verb, resource, name, body.Bytes(), r)
	if a.lose != nil {
		if lost := a.lose(c); lost != nil {
			done = lost
		}
	}
	answer(w, done)
}

// ask records a call. A command needs the right to create one, whatever the method, and
// by WebSocket that to get it too.
func (a *api) ask(c call) *metav1.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []call{c}
	if c.resource == "pods/exec" && c.verb == "get" {
		all = append(all, call{"create", c.group, c.resource})
	}
	a.asked = append(a.asked, all...)
	for _, c := range all {
		if a.refuse == nil {
			return nil
		}
		if status := a.refuse(c); status != nil {
			return status
		}
	}
	return nil
}

func (a *api) exec(w http.ResponseWriter, r *http.Request, pod string) {
	a.mu.Lock()
	ends, killsToo, onlySPDY := a.ends, a.killsToo, a.onlySPDY
	a.mu.Unlock()
	if onlySPDY && r.Method == http.MethodGet {
		http.Error(w, "no WebSocket here", http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	serveExec(w, r, command{pod: pod, container: query.Get("container"), argv: query["command"]}, func(c command) (int, error) {
		switch {
		case ends == nil || c.argv[2] == "kill" && !killsToo:
			return a.node.exec(c)
		case c.argv[2] == "kill":
			return 0, ends
		}
		broken := make(chan struct{})
		a.t.Cleanup(func() {
			for _, uid := range a.node.all() {
				a.node.stop(uid)
			}
			<-broken
		})
		go func() {
			defer close(broken)
			_, _ = a.node.exec(c)
		}()
		<-time.After(100 * time.Millisecond)
		return 0, ends
	})
}

func failure(code int32, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
}

func answer(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	if status, is := what.(*metav1.Status); is {
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		if status.Code != 0 {
			w.WriteHeader(int(status.Code))
		}
	}
	_ = json.NewEncoder(w).Encode(what)
}

func (a *api) do(verb, resource, name string, body []byte, r *http.Request) any {
	object, there := a.objects[resource][name]
	if !there && verb != "list" && verb != "create" {
		return failure(http.StatusNotFound, metav1.StatusReasonNotFound, resource+" "+name+" not found")
	}
	switch verb {
	case "list":
		return a.list(resource, r.URL.Query().Get("labelSelector"))
	case "create":
		return a.create(resource, body)
	case "patch":
		return a.patch(resource, object, body, r.Header.Get("Content-Type"))
	case "delete":
		return a.delete(resource, object, body)
	default:
		return object
	}
}

func (a *api) list(resource, selector string) any {
	picks, err := labels.Parse(selector)
	if err != nil {
		return failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
	}
	items := []any{}
	for _, object := range a.objects[resource] {
		if picks.Matches(labels.Set(into[metav1.PartialObjectMetadata](object).Labels)) {
			items = append(items, object)
		}
	}
	return map[string]any{"apiVersion": kinds[resource].group, "kind": kinds[resource].kind + "List", "metadata": map[string]any{}, "items": items}
}

func (a *api) create(resource string, body []byte) any {
	strict, typed := json.NewDecoder(bytes.NewReader(body)), kinds[resource].empty()
	strict.DisallowUnknownFields()
	if err := strict.Decode(typed); err != nil {
		return failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
	}
	object := asMap(typed)
	name := object["metadata"].(map[string]any)["name"].(string)
	if _, there := a.objects[resource][name]; there {
		return failure(http.StatusConflict, metav1.StatusReasonAlreadyExists, resource+" "+name+" already exists")
	}
	a.keep(resource, object)
	return object
}

func (a *api) patch(resource string, object map[string]any, body []byte, how string) any {
	var change map[string]any
	if err := json.Unmarshal(body, &change); err != nil || how != "application/merge-patch+json" {
		return failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, "no merge patch")
	}
	if meta, is := change["metadata"].(map[string]any); is && meta["uid"] != nil && meta["uid"] != object["metadata"].(map[string]any)["uid"] {
		return failure(http.StatusConflict, metav1.StatusReasonConflict, "another object by now")
	}
	merge(object, change)
	a.keep(resource, object)
	return object
}

func merge(object, change map[string]any) {
	for key, value := range change {
		below, is := value.(map[string]any)
		deeper, there := object[key].(map[string]any)
		if is && there {
			merge(deeper, below)
		} else {
			object[key] = value
		}
	}
}

func (a *api) delete(resource string, object map[string]any, body []byte) any {
	var options metav1.DeleteOptions
	_ = json.Unmarshal(body, &options)
	meta := object["metadata"].(map[string]any)
	switch p := options.Preconditions; {
	case p == nil || p.UID == nil:
		a.t.Errorf("%s are deleted by the name alone", resource)
	case string(*p.UID) != meta["uid"]:
		return failure(http.StatusConflict, metav1.StatusReasonConflict, "another object by now")
	}
	if options.PropagationPolicy == nil || *options.PropagationPolicy != metav1.DeletePropagationForeground {
		a.t.Errorf("%s is deleted, and not what belongs to it first", resource)
	}
	a.markDeleted(resource, object)
	return &metav1.Status{Status: metav1.StatusSuccess}
}

func (a *api) markDeleted(resource string, object map[string]any) {
	if meta := object["metadata"].(map[string]any); meta["deletionTimestamp"] == nil {
		meta["deletionTimestamp"] = a.now().UTC().Format(time.RFC3339)
		a.keep(resource, object)
	}
}
