//go:build envtest

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/portcullis-app/portcullis/sandbox/inside"
)

const (
	nodeName = "node-1"
	// cutWord as an argument has the connection of a command break under it.
	cutWord = "cut"
	// kubeletVariable has the test be a kubelet: with the API server's address and token,
	// a folder, and the port on which it answers.
	kubeletVariable = "PORTCULLIS_TEST_KUBELET"
)

func init() { //nolint:gochecknoinits // before the tests are
	if words := strings.Fields(os.Getenv(kubeletVariable)); len(words) == 4 {
		beKubelet(words[0], words[1], words[2], words[3])
		os.Exit(1)
	}
}

// kubelet tells a real API server of the Pods that a [node] runs.
type kubelet struct {
	node *node
	api  *rest.RESTClient
}

// beKubelet takes every Pod of the namespace, until it is killed.
func beKubelet(host, token, folder, port string) {
	reached, err := newCluster(&rest.Config{Host: host, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, realNamespace)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	k := kubelet{node: &node{files: folder, pods: map[types.UID]*running{}, used: map[string]string{}}, api: reached.api}
	server := httptest.NewUnstartedServer(http.HandlerFunc(k.answer))
	_ = server.Listener.Close()
	if server.Listener, err = net.Listen("tcp", "127.0.0.1:"+port); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	server.StartTLS()
	for {
		pods := &corev1.PodList{}
		if err := k.api.Get().AbsPath("/api/v1/namespaces/" + realNamespace + "/pods").Do(context.Background()).Into(pods); err == nil {
			k.node.sync(pods.Items, k)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (k kubelet) answer(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // exec/NAMESPACE/POD/CONTAINER
	switch {
	case len(parts) == 4 && parts[0] == "exec":
		serveExec(w, r, command{pod: parts[2], container: parts[3], argv: r.URL.Query()["command"]}, func(c command) (int, error) {
			if !slices.Contains(c.argv, inside.Quote([]string{cutWord})[0]) {
				return k.node.exec(c)
			}
			go func() { _, _ = k.node.exec(c) }()
			<-time.After(300 * time.Millisecond)
			return 0, errCut
		})
	case parts[0] == "count":
		_ = json.NewEncoder(w).Encode(struct{ Pods, Commands int }{len(k.node.all()), k.node.commands()})
	default:
		http.NotFound(w, r)
	}
}

func patch(api *rest.RESTClient, path string, change any) error {
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	if err = api.Patch(types.MergePatchType).AbsPath(path).Body(body).Do(context.Background()).Error(); apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func podPath(pod corev1.Pod) string {
	return "/api/v1/namespaces/" + pod.Namespace + "/pods/" + pod.Name
}

// report takes a Pod that is nobody's, as a scheduler would have it, and tells how it is.
func (k kubelet) report(pod corev1.Pod) {
	if pod.Spec.NodeName == "" {
		body, _ := json.Marshal(corev1.Binding{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Binding"}, ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: nodeName},
		})
		if err := k.api.Post().AbsPath(podPath(pod)+"/binding").SetHeader("Content-Type", "application/json").Body(body).Do(context.Background()).Error(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err := patch(k.api, podPath(pod)+"/status", map[string]any{"status": pod.Status}); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (k kubelet) gone(pod corev1.Pod) {
	if pod.Status.Phase != corev1.PodFailed {
		if err := patch(k.api, podPath(pod)+"/status", map[string]any{"status": map[string]any{"phase": corev1.PodFailed}}); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	now := []byte(`{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}`)
	err := k.api.Delete().AbsPath(podPath(pod)).SetHeader("Content-Type", "application/json").Body(now).Do(context.Background()).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		fmt.Fprintln(os.Stderr, err)
	}
}
