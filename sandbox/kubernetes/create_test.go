package kubernetes

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// clock is moved by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func spec(change ...func(*sandbox.Spec)) sandbox.Spec {
	s := sandboxtest.Spec(image)
	s.ID = "pc-1"
	for _, c := range change {
		c(&s)
	}
	return s
}

func full(s *sandbox.Spec) { s.Constraints.Network = sandbox.NetworkFull }

func (a *api) changes() []call {
	return slices.DeleteFunc(a.calls(), func(c call) bool { return c.verb == "get" || c.verb == "list" })
}

// Whoever asks whether one could be started is told what every one would be refused for,
// and nothing is written.
func TestReady(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*Config)
		setup  func(*api)
		field  string
	}{
		"it is":                       {func(*Config) {}, func(*api) {}, ""},
		"nobody declared":             {func(c *Config) { c.NetworkPolicyEnforced = false }, func(*api) {}, "network"},
		"nothing shuts the namespace": {func(*Config) {}, func(a *api) { delete(a.objects["networkpolicies"], "default-deny") }, "network"},
		"no runtime class":            {func(c *Config) { c.RuntimeClass = "gvisor" }, func(*api) {}, "runtime"},
	} {
		a := newAPI(t, time.Now)
		a.set(func() { c.setup(a) })
		err := a.boxes(c.config).Ready(t.Context())
		refused, is := errors.AsType[*sandbox.UnsupportedError](err)
		if c.field == "" && err != nil || c.field != "" && (!is || refused.Field != c.field) {
			t.Errorf("%s: %v", name, err)
		}
		if wrote := a.changes(); len(wrote) != 0 {
			t.Errorf("%s: it wrote %v", name, wrote)
		}
	}
}

// I3: what the cluster cannot enforce, or nobody has said it does, is refused before
// anything is written.
func TestI3RefusedBeforeAnythingIsWritten(t *testing.T) {
	egress := func(s *sandbox.Spec) {
		s.Constraints.Network, s.Constraints.Egress = sandbox.NetworkEgressOnly, []string{"api.example.com"}
	}
	undeclared := func(c *Config) { c.NetworkPolicyEnforced = false }
	for name, c := range map[string]struct {
		config func(*Config)
		spec   func(*sandbox.Spec)
		setup  func(*api)
		field  string
	}{
		"the operator's runtime class is missing": {func(c *Config) { c.RuntimeClass = "gvisor" }, nil, nil, "runtime"},
		"the one that is asked for is missing":    {nil, func(s *sandbox.Spec) { s.Constraints.Runtime = "gvisor" }, nil, "runtime"},
		"another than the operator's": {func(c *Config) { c.RuntimeClass = "gvisor" }, func(s *sandbox.Spec) { s.Constraints.Runtime = "runc" }, func(a *api) {
			for _, class := range []string{"gvisor", "runc"} {
				a.keep("runtimeclasses", asMap(&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: class}}))
			}
		}, "runtime"},
		"an image that the operator does not list":  {func(c *Config) { c.Images = []string{"other@sha256:" + strings.Repeat("0", 64)} }, nil, nil, "image"},
		"one that is no name":                       {nil, func(s *sandbox.Spec) { s.Constraints.Runtime = "../../../api/v1/nodes/a" }, nil, "runtime"},
		"nobody declared: none":                     {undeclared, nil, nil, "network"},
		"nobody declared: egress-only":              {undeclared, egress, nil, "network"},
		"nobody declared: full":                     {undeclared, full, nil, "network"},
		"no proxy":                                  {nil, egress, nil, "network"},
		"a proxy that lets more through":            {everyNetwork, egress, nil, "egress"},
		"full is not allowed":                       {nil, full, nil, "network"},
		"nothing shuts the namespace":               {nil, nil, func(a *api) { delete(a.objects["networkpolicies"], "default-deny") }, "network"},
		"an image that can change":                  {nil, func(s *sandbox.Spec) { s.Image = "agent:latest" }, nil, "image"},
		"an image of which the digest is too short": {nil, func(s *sandbox.Spec) { s.Image = "agent@sha256:ab" }, nil, "image"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, time.Now)
			var changes []func(*Config)
			if c.config != nil {
				changes = append(changes, c.config)
			}
			if c.setup != nil {
				a.set(func() { c.setup(a) })
			}
			s := spec()
			if c.spec != nil {
				c.spec(&s)
			}
			_, err := a.boxes(changes...).Create(t.Context(), s)
			if refusal, is := errors.AsType[*sandbox.UnsupportedError](err); !is || refusal.Field != c.field || refusal.Provider != Provider {
				t.Errorf("%v; want a refusal of %s", err, c.field)
			}
			if written := a.changes(); len(written) != 0 {
				t.Errorf("%+v", written)
			}
		})
	}
}

// What opens the network is there before anything runs, and goes with the Job.
func TestNothingRunsBeforeItsPolicyIsThere(t *testing.T) {
	a := newAPI(t, time.Now)
	k := a.boxes(everyNetwork)
	a.refuse = func(c call) *metav1.Status {
		if c == (call{"create", "networking.k8s.io", "networkpolicies"}) && len(a.objects["pods"]) > 0 {
			t.Error("there is a Pod before the policy")
		}
		return nil
	}
	if _, err := k.Create(t.Context(), spec(full)); err != nil {
		t.Fatal(err)
	}
	want := []call{{"create", "batch", "jobs"}, {"create", "networking.k8s.io", "networkpolicies"}, {"patch", "batch", "jobs"}}
	if got := a.changes(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := k.Destroy(t.Context(), "pc-1"); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	left := a.objects["networkpolicies"]["pc-1"]
	a.mu.Unlock()
	if left != nil {
		t.Errorf("%+v is left", left)
	}
	if _, err := k.Create(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}
	if got := a.changes()[len(want):]; !slices.Equal(got, []call{{"delete", "batch", "jobs"}, {"create", "batch", "jobs"}}) {
		t.Errorf("without a network it takes %+v", got)
	}
}

// I5: whoever created it died between any two of its writes, or did not hear the answer.
func TestI5CreateIsTakenUpWhereItStopped(t *testing.T) {
	for _, at := range []call{{"create", "batch", "jobs"}, {"create", "networking.k8s.io", "networkpolicies"}, {"patch", "batch", "jobs"}, {"list", "", "pods"}} {
		for _, how := range []string{"not done", "done, and nobody was told"} {
			t.Run(at.verb+" "+at.resource+" "+how, func(t *testing.T) {
				clock := newClock()
				a := newAPI(t, clock.now)
				k := a.boxes(everyNetwork)
				fails := true
				dies := func(c call) *metav1.Status {
					// Whoever died undoes nothing either.
					if fails && (c == at || c.verb == "delete") {
						return failure(http.StatusInternalServerError, metav1.StatusReasonInternalError, "gone")
					}
					return nil
				}
				a.mu.Lock()
				if how == "not done" {
					a.refuse = dies
				} else {
					a.lose, a.refuse = dies, func(c call) *metav1.Status {
						if fails && c.verb == "delete" {
							return dies(c)
						}
						return nil
					}
				}
				a.mu.Unlock()
				if there, err := k.Create(t.Context(), spec(full)); err == nil {
					t.Fatalf("%+v", there)
				}
				clock.move(time.Minute)
				a.mu.Lock()
				fails = false
				before := a.objects["jobs"]["pc-1"]
				a.mu.Unlock()
				made, err := a.boxes(everyNetwork).Create(t.Context(), spec(full))
				if err != nil || made.Status != sandbox.StatusRunning {
					t.Fatalf("%+v, %v", made, err)
				}
				a.mu.Lock()
				defer a.mu.Unlock()
				job := into[batchv1.Job](a.objects["jobs"]["pc-1"])
				if a.objects["networkpolicies"]["pc-1"] == nil || len(a.objects["jobs"]) != 1 || len(a.objects["pods"]) != 1 {
					t.Errorf("%d Jobs, %d Pods", len(a.objects["jobs"]), len(a.objects["pods"]))
				}
				// Its time runs since it was first created.
				if want := 5 * time.Minute; before != nil && (made.Deadline.Sub(clock.now()) != want-time.Minute || *job.Spec.ActiveDeadlineSeconds > int64(want.Seconds())) {
					t.Errorf("it ends at %s, after %d s", made.Deadline, *job.Spec.ActiveDeadlineSeconds)
				}
			})
		}
	}
}

// A suspended Job has what is left of its time when it is resumed.
func TestTheDeadlineIsKeptWhileSuspended(t *testing.T) {
	clock := newClock()
	a := newAPI(t, clock.now)
	a.refuse = func(c call) *metav1.Status {
		if c.verb == "patch" || c.verb == "delete" {
			return failure(http.StatusInternalServerError, metav1.StatusReasonInternalError, "gone")
		}
		return nil
	}
	if there, err := a.boxes(everyNetwork).Create(t.Context(), spec(full)); err == nil {
		t.Fatalf("%+v", there)
	}
	clock.move(100 * time.Second)
	a.set(func() { a.refuse = nil })
	if _, err := a.boxes(everyNetwork).Create(t.Context(), spec(full)); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := *into[batchv1.Job](a.objects["jobs"]["pc-1"]).Spec.ActiveDeadlineSeconds; got != 200 {
		t.Errorf("%d s are left of 300, after 100", got)
	}
}

// Another id's sandbox, another App's, and one with another network are not taken for it.
func TestWhatIsNotAdopted(t *testing.T) {
	a := newAPI(t, time.Now)
	k := a.boxes(everyNetwork)
	a.put("jobs", &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "pc-2", Labels: map[string]string{sandbox.LabelApp: "1"}}, Spec: batchv1.JobSpec{ActiveDeadlineSeconds: seconds(time.Hour), Suspend: new(true)}})
	s := spec()
	s.ID = "pc-2"
	if _, err := k.Create(t.Context(), s); err == nil || !strings.Contains(err.Error(), "another App") {
		t.Errorf("another App's: %v", err)
	}
	a.refuse = func(c call) *metav1.Status {
		if c.verb == "patch" || c.verb == "delete" {
			return failure(http.StatusInternalServerError, metav1.StatusReasonInternalError, "gone")
		}
		return nil
	}
	if there, err := k.Create(t.Context(), spec()); err != nil {
		t.Fatalf("%+v, %v", there, err)
	}
	a.set(func() { a.deaf = true })
	s = spec(func(s *sandbox.Spec) { s.ID = "pc-3" }, full)
	if _, err := k.Create(t.Context(), s); err == nil {
		t.Fatal("it could be resumed")
	}
	s.Constraints.Network = sandbox.NetworkNone
	if _, err := k.Create(t.Context(), s); err == nil || !strings.Contains(err.Error(), "another network") {
		t.Errorf("another network: %v", err)
	}
	s.ID = "pc-"
	_, err := k.Create(t.Context(), s)
	if _, invalid := errors.AsType[*sandbox.InvalidError](err); !invalid {
		t.Errorf("a name that Kubernetes has not: %v", err)
	}
}

// A cluster that makes no Pod is an error after two minutes, and leaves nothing.
func TestAClusterThatMakesNoPod(t *testing.T) {
	clock := newClock()
	a := newAPI(t, clock.now)
	a.set(func() { a.deaf = true })
	k := a.boxes()
	done := make(chan error, 1)
	go func() {
		_, err := k.Create(t.Context(), spec())
		done <- err
	}()
	sandboxtest.Eventually(t, "a Job", func() bool { return len(a.changes()) > 0 })
	clock.move(3 * time.Minute)
	if err := <-done; !errors.Is(err, sandbox.ErrNotRunning) || !strings.Contains(err.Error(), "kubectl describe job pc-1") {
		t.Errorf("%v", err)
	}
	if _, err := k.Status(t.Context(), "pc-1"); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// I24: the cluster ends it, and nobody asks it to.
func TestI24TheDeadlineIsTheClusters(t *testing.T) {
	clock := newClock()
	a := newAPI(t, clock.now)
	k := a.boxes()
	if _, err := k.Create(t.Context(), spec(func(s *sandbox.Spec) { s.Constraints.Timeout = time.Hour })); err != nil {
		t.Fatal(err)
	}
	asked := len(a.changes())
	clock.move(time.Hour - time.Second)
	if there, err := k.Status(t.Context(), "pc-1"); err != nil || there.Status != sandbox.StatusRunning {
		t.Errorf("a second before: %+v, %v", there, err)
	}
	clock.move(time.Second)
	sandboxtest.Eventually(t, "the node has nothing to run", func() bool { return len(a.node.all()) == 0 })
	if there, err := k.Status(t.Context(), "pc-1"); err != nil || there.Status != sandbox.StatusTerminated || there.Reason != "DeadlineExceeded" {
		t.Errorf("after its time: %+v, %v", there, err)
	}
	if _, err := k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "exit", "0"}}); !errors.Is(err, sandbox.ErrNotRunning) {
		t.Errorf("a command after its time: %v", err)
	}
	clock.move(keptTime)
	sandboxtest.Eventually(t, "nothing is left", func() bool {
		_, err := k.Status(t.Context(), "pc-1")
		return errors.Is(err, sandbox.ErrUnknown)
	})
	if now := len(a.changes()); now != asked {
		t.Errorf("%d writes were asked for", now-asked)
	}
}

// Each rule that is missing is named; what is forbidden for another reason is told as it
// is.
func TestWhatIsForbidden(t *testing.T) {
	for _, c := range []call{{"get", "batch", "jobs"}, {"create", "batch", "jobs"}, {"list", "networking.k8s.io", "networkpolicies"}, {"list", "", "pods"}, {"create", "", "pods/exec"}, {"delete", "batch", "jobs"}} {
		a := newAPI(t, time.Now)
		k := a.boxes()
		if c.resource == "pods/exec" || c.verb == "delete" {
			if _, err := k.Create(t.Context(), spec()); err != nil {
				t.Fatal(err)
			}
		}
		a.mu.Lock()
		a.refuse = func(asked call) *metav1.Status {
			if asked != c {
				return nil
			}
			return failure(http.StatusForbidden, metav1.StatusReasonForbidden, c.resource+` is forbidden: User "system:serviceaccount:portcullis:portcullis" cannot `+
				c.verb+` resource "`+c.resource+`" in API group "`+c.group+`" in the namespace "sandboxes"`)
		}
		a.mu.Unlock()
		var err error
		switch {
		case c.resource == "pods/exec":
			_, err = k.Execute(t.Context(), "pc-1", sandbox.Command{Argv: []string{probe, "exit", "0"}})
		case c.verb == "delete":
			err = k.Destroy(t.Context(), "pc-1")
		default:
			_, err = k.Create(t.Context(), spec())
		}
		forbidden, is := errors.AsType[*ForbiddenError](err)
		if !is || *forbidden != (ForbiddenError{c.verb, c.group, c.resource, "sandboxes"}) {
			t.Errorf("%+v: %v", c, err)
		}
		a.set(func() { a.refuse = nil })
	}
	a := newAPI(t, time.Now)
	a.refuse = func(c call) *metav1.Status {
		if c.verb == "create" {
			return failure(http.StatusForbidden, metav1.StatusReasonForbidden, `jobs.batch "pc-1" is forbidden: exceeded quota: sandboxes`)
		}
		return nil
	}
	if _, err := a.boxes().Create(t.Context(), spec()); err == nil || !strings.Contains(err.Error(), "exceeded quota: sandboxes") {
		t.Errorf("%v", err)
	}
	wide := (&ForbiddenError{"get", "node.k8s.io", "runtimeclasses", ""}).Error()
	if want := `Portcullis may not get runtimeclasses: the ClusterRole lacks {apiGroups: ["node.k8s.io"], resources: ["runtimeclasses"], verbs: ["get"]}; deploy/kubernetes/sandboxes.yaml has it`; wide != want {
		t.Errorf("%s", wide)
	}
}
