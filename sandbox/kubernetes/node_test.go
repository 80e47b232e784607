package kubernetes

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// probe is the program that there is in sandboxes.
const probe = "/probe"

// node stands in for a kubelet: Pods run on it as goroutines, and their files are in
// folders of the test's. As on a real one, a command outlives whoever called it, and ends
// with its Pod.
type node struct {
	files string
	// refuseKill has a sandbox in which nothing can be killed, and noMemory one whose
	// container is ended with what is.
	refuseKill, noMemory bool
	// stuck has files go nowhere, and slow no Pod start yet.
	stuck atomic.Bool
	slow  atomic.Bool
	// packed is what comes out of it in place of its files.
	packed []byte

	mu   sync.Mutex
	pods map[types.UID]*running
	// used are the containers in which commands ran, by their words.
	used map[string]string
	// most is how many commands there were at once.
	most int
}

type running struct {
	name  string
	ended bool
	// alive ends with the Pod, and commands are those that run.
	alive    context.Context
	end      context.CancelFunc
	commands map[int]*process
	next     int
}

type process struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func newNode(t *testing.T) *node {
	return &node{files: t.TempDir(), pods: map[types.UID]*running{}, used: map[string]string{}}
}

// podsAt is how a node is told of its Pods and tells of them.
type podsAt interface {
	report(pod corev1.Pod)
	gone(pod corev1.Pod)
}

// sync runs the Pods that are to run, and ends those that are not.
func (n *node) sync(pods []corev1.Pod, at podsAt) {
	there := map[types.UID]bool{}
	for _, pod := range pods {
		there[pod.UID] = true
		switch _, runs := n.find(pod.UID); {
		case pod.DeletionTimestamp != nil:
			n.stop(pod.UID)
			at.gone(pod)
		case pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "":
			if n.slow.Load() {
				at.report(creating(pod))
				break
			}
			if !runs {
				n.start(pod)
			}
			at.report(started(pod))
		case n.hasEnded(pod.UID) && pod.Status.Phase == corev1.PodRunning:
			at.report(outOfMemory(pod))
		}
	}
	for _, uid := range n.all() {
		if !there[uid] {
			n.stop(uid)
		}
	}
}

// started is what a kubelet reports of a Pod whose containers run.
func started(pod corev1.Pod) corev1.Pod {
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = append(slices.DeleteFunc(slices.Clone(pod.Status.Conditions), func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady }),
		corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	pod.Status.ContainerStatuses = nil
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Ready: true, Image: c.Image, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		})
	}
	return pod
}

// creating is what a kubelet reports of a Pod whose image it fetches.
func creating(pod corev1.Pod) corev1.Pod {
	pod.Status.Phase, pod.Status.ContainerStatuses = corev1.PodPending, []corev1.ContainerStatus{{
		Name: workload, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
	}}
	return pod
}

// outOfMemory is what a kubelet reports of a Pod that had too little.
func outOfMemory(pod corev1.Pod) corev1.Pod {
	pod.Status.Phase, pod.Status.Conditions = corev1.PodFailed, nil
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: workload, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}},
	}}
	return pod
}

func (n *node) hasEnded(uid types.UID) bool {
	pod, runs := n.find(uid)
	n.mu.Lock()
	defer n.mu.Unlock()
	return runs && pod.ended
}

func (n *node) start(pod corev1.Pod) {
	alive, end := context.WithCancel(context.Background())
	_ = os.MkdirAll(n.folder(pod.Name), 0o755)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods[pod.UID] = &running{name: pod.Name, alive: alive, end: end, commands: map[int]*process{}}
}

func (n *node) folder(pod string) string { return filepath.Join(n.files, pod) }

func (n *node) find(uid types.UID) (*running, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found, runs := n.pods[uid]
	return found, runs
}

func (n *node) all() []types.UID {
	n.mu.Lock()
	defer n.mu.Unlock()
	var uids []types.UID
	for uid := range n.pods {
		uids = append(uids, uid)
	}
	return uids
}

// stop ends a Pod with all that runs in it.
func (n *node) stop(uid types.UID) {
	pod, runs := n.find(uid)
	if !runs {
		return
	}
	pod.end()
	n.killAll(pod)
	_ = os.RemoveAll(n.folder(pod.name))
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pods, uid)
}

func (n *node) killAll(pod *running) {
	n.mu.Lock()
	var all []*process
	for _, p := range pod.commands {
		all = append(all, p)
	}
	n.mu.Unlock()
	for _, p := range all {
		p.cancel()
		<-p.done
	}
}

// commands counts what runs on the node.
func (n *node) commands() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, pod := range n.pods {
		count += len(pod.commands)
	}
	return count
}

// command is what is run in a container.
type command struct {
	pod, container string
	argv           []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// exec runs Portcullis in a container, as the real one would. An error is what a runtime
// says that cannot start it.
func (n *node) exec(c command) (code int, _ error) {
	n.mu.Lock()
	var pod *running
	for _, p := range n.pods {
		if p.name == c.pod {
			pod = p
		}
	}
	n.mu.Unlock()
	if pod == nil || len(c.argv) < 4 || c.argv[0] != InitProgram || c.argv[1] != "sandbox" {
		return 0, fmt.Errorf("exec failed: unable to start container process: %q", c.argv)
	}
	word, rest := c.argv[2], c.argv[3:]
	token := rest[0]
	if word == "kill" {
		if n.refuseKill {
			return 1, nil
		}
		n.killAll(pod)
		return 0, inside.SayDone(token, c.stderr)
	}
	if word != "attend" || len(rest) < 4 || rest[1] != "sandbox" {
		return 2, nil
	}
	word, rest = rest[2], rest[3:]
	ctx, done := n.begin(pod)
	defer done()
	n.mu.Lock()
	n.used[word] = c.container
	n.most = max(n.most, len(pod.commands))
	n.mu.Unlock()
	code = n.run(ctx, c, word, rest)
	if ctx.Err() != nil {
		code = 137
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	pod.ended = n.noMemory && code == 137
	if code == 0 {
		_ = inside.SayDone(token, c.stderr) // whoever called may be gone
	}
	return code, nil
}

// begin makes a process of a command.
func (n *node) begin(pod *running) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(pod.alive)
	p := &process{cancel: cancel, done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	number := pod.next
	pod.next++
	pod.commands[number] = p
	return ctx, func() {
		cancel()
		n.mu.Lock()
		delete(pod.commands, number)
		n.mu.Unlock()
		close(p.done)
	}
}

func (n *node) run(ctx context.Context, c command, word string, rest []string) int {
	if n.stuck.Load() && word != "run" {
		<-ctx.Done()
		return 137
	}
	switch word {
	case "run": // TOKEN FOLDER PROCESSES ARGUMENT…
		argv, err := inside.Unquote(rest[3:])
		if err != nil || !strings.HasPrefix(rest[1], sandbox.Workspace) || rest[2] != strconv.Itoa(inside.MaxProcesses) {
			return 2
		}
		code := sandbox.NoProgram
		if argv[0] == probe {
			code = sandboxtest.Probe(ctx, argv[1:], c.stdin, c.stdout, c.stderr)
		}
		if code == sandbox.NoProgram {
			_, _ = io.WriteString(c.stderr, inside.NotStarted(rest[0], argv[0]+" is not there"))
			return inside.NotThereCode
		}
		return code
	case "unpack":
		return n.inFolder(c, func(root *os.Root) error {
			name := below(rest[0])
			if err := root.MkdirAll(name, 0o755); err != nil {
				return err
			}
			folder, err := root.OpenRoot(name)
			if err != nil {
				return err
			}
			defer folder.Close()
			return sandbox.Unpack(folder, c.stdin, sandbox.DefaultLimits)
		})
	case "pack":
		if n.packed != nil {
			_, _ = c.stdout.Write(n.packed)
			return 0
		}
		return n.inFolder(c, func(root *os.Root) error { return sandbox.Pack(root, below(rest[0]), c.stdout, sandbox.DefaultLimits) })
	default:
		return 2
	}
}

func below(path string) string {
	if name := strings.TrimPrefix(strings.TrimPrefix(path, sandbox.Workspace), "/"); name != "" {
		return name
	}
	return "."
}

func (n *node) inFolder(c command, do func(*os.Root) error) int {
	root, err := os.OpenRoot(n.folder(c.pod))
	if err == nil {
		defer root.Close()
		err = do(root)
	}
	if err != nil {
		_, _ = io.WriteString(c.stderr, err.Error())
		return 1
	}
	return 0
}
