package kubernetes

import (
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/sandbox"
)

// I15: whatever the cluster says has a status, and what is not known is an error.
func TestI15Statuses(t *testing.T) {
	made := metav1.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	job := func(change ...func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "x", CreationTimestamp: made}}
		for _, c := range change {
			c(j)
		}
		return j
	}
	condition := func(kind batchv1.JobConditionType, status corev1.ConditionStatus) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: status, Reason: "DeadlineExceeded"})
		}
	}
	pod := func(phase corev1.PodPhase, change ...func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: made}, Status: corev1.PodStatus{Phase: phase}}
		for _, c := range change {
			c(p)
		}
		return p
	}
	ready := func(status corev1.ConditionStatus) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: status})
		}
	}
	unscheduled := func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"})
	}
	waits := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: workload, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}
		}
	}
	first := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			waits(reason)(p)
			p.Status.InitContainerStatuses, p.Status.ContainerStatuses = p.Status.ContainerStatuses, nil
		}
	}
	ended := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: workload, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason}}}}
		}
	}
	goes := func(p *corev1.Pod) { p.DeletionTimestamp = &made }
	const soon, late, never = time.Minute, 2*time.Minute + time.Second, 5*time.Minute + time.Second
	for name, c := range map[string]struct {
		job    *batchv1.Job
		pod    *corev1.Pod
		after  time.Duration
		want   sandbox.SandboxStatus
		reason string
	}{
		"no Pod yet":                   {job(), nil, soon, sandbox.StatusIdle, "no Pod"},
		"never a Pod":                  {job(), nil, late, sandbox.StatusError, "kubectl describe job x"},
		"suspended":                    {job(func(j *batchv1.Job) { yes := true; j.Spec.Suspend = &yes }, condition(batchv1.JobSuspended, corev1.ConditionTrue)), nil, soon, sandbox.StatusIdle, "network"},
		"suspended for long":           {job(func(j *batchv1.Job) { yes := true; j.Spec.Suspend = &yes }), nil, late, sandbox.StatusError, "network"},
		"deleted":                      {job(func(j *batchv1.Job) { j.DeletionTimestamp = &made }), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), soon, sandbox.StatusTerminated, "deleted"},
		"complete":                     {job(condition(batchv1.JobComplete, corev1.ConditionTrue)), pod(corev1.PodSucceeded), soon, sandbox.StatusTerminated, ""},
		"failed":                       {job(condition(batchv1.JobFailed, corev1.ConditionTrue)), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), soon, sandbox.StatusTerminated, "DeadlineExceeded"},
		"about to fail":                {job(condition(batchv1.JobFailureTarget, corev1.ConditionTrue)), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), soon, sandbox.StatusTerminated, "DeadlineExceeded"},
		"not failed":                   {job(condition(batchv1.JobFailed, corev1.ConditionFalse)), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), soon, sandbox.StatusRunning, ""},
		"resumed":                      {job(condition(batchv1.JobSuspended, corev1.ConditionFalse)), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), soon, sandbox.StatusRunning, ""},
		"a condition nobody knows":     {job(condition("Sublimated", corev1.ConditionTrue)), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), soon, sandbox.StatusError, "Sublimated"},
		"running and ready":            {job(), pod(corev1.PodRunning, ready(corev1.ConditionTrue)), 24 * time.Hour, sandbox.StatusRunning, ""},
		"running, not ready":           {job(), pod(corev1.PodRunning, ready(corev1.ConditionFalse)), soon, sandbox.StatusIdle, ""},
		"running, nobody knows":        {job(), pod(corev1.PodRunning, ready(corev1.ConditionUnknown)), soon, sandbox.StatusIdle, ""},
		"running, never ready":         {job(), pod(corev1.PodRunning), never, sandbox.StatusError, ""},
		"pending":                      {job(), pod(corev1.PodPending), soon, sandbox.StatusIdle, ""},
		"pending for long":             {job(), pod(corev1.PodPending), never, sandbox.StatusError, ""},
		"unscheduled":                  {job(), pod(corev1.PodPending, unscheduled), soon, sandbox.StatusIdle, "0/3 nodes"},
		"unscheduled for long":         {job(), pod(corev1.PodPending, unscheduled), never, sandbox.StatusError, "Unschedulable: 0/3 nodes"},
		"creating":                     {job(), pod(corev1.PodPending, waits("ContainerCreating")), soon, sandbox.StatusIdle, ""},
		"creating for long":            {job(), pod(corev1.PodPending, waits("ContainerCreating")), never, sandbox.StatusError, "ContainerCreating"},
		"a node that is being set up":  {job(), pod(corev1.PodPending, unscheduled), late, sandbox.StatusIdle, "0/3 nodes"},
		"a large image":                {job(), pod(corev1.PodPending, waits("ContainerCreating")), late, sandbox.StatusIdle, ""},
		"our image is large":           {job(), pod(corev1.PodPending, first("PodInitializing")), late, sandbox.StatusIdle, ""},
		"initializing":                 {job(), pod(corev1.PodPending, waits("PodInitializing")), soon, sandbox.StatusIdle, ""},
		"image not pulled":             {job(), pod(corev1.PodPending, waits("ErrImagePull")), soon, sandbox.StatusIdle, ""},
		"image never pulled":           {job(), pod(corev1.PodPending, waits("ImagePullBackOff")), late, sandbox.StatusError, "ImagePullBackOff"},
		"our image never pulled":       {job(), pod(corev1.PodPending, first("ImagePullBackOff")), late, sandbox.StatusError, "ImagePullBackOff"},
		"not created":                  {job(), pod(corev1.PodPending, waits("CreateContainerError")), soon, sandbox.StatusIdle, ""},
		"never created":                {job(), pod(corev1.PodPending, waits("CreateContainerError")), late, sandbox.StatusError, "CreateContainerError"},
		"not allowed as it is":         {job(), pod(corev1.PodPending, waits("CreateContainerConfigError")), 0, sandbox.StatusError, "CreateContainerConfigError"},
		"no image of that name":        {job(), pod(corev1.PodPending, waits("InvalidImageName")), 0, sandbox.StatusError, "InvalidImageName"},
		"an image that is never there": {job(), pod(corev1.PodPending, waits("ErrImageNeverPull")), 0, sandbox.StatusError, "ErrImageNeverPull"},
		"a reason nobody knows":        {job(), pod(corev1.PodPending, waits("Sublimating")), 0, sandbox.StatusError, "Sublimating"},
		"half of it ended":             {job(), pod(corev1.PodRunning, ready(corev1.ConditionFalse), ended("OOMKilled")), soon, sandbox.StatusTerminated, "OOMKilled"},
		"Pod deleted":                  {job(), pod(corev1.PodRunning, ready(corev1.ConditionTrue), goes), soon, sandbox.StatusTerminated, "deleted"},
		"succeeded":                    {job(), pod(corev1.PodSucceeded, ended("Completed")), soon, sandbox.StatusTerminated, "Completed"},
		"out of memory":                {job(), pod(corev1.PodFailed, ended("OOMKilled")), soon, sandbox.StatusTerminated, "OOMKilled"},
		"evicted":                      {job(), pod(corev1.PodFailed, func(p *corev1.Pod) { p.Status.Reason = "Evicted" }), soon, sandbox.StatusTerminated, "Evicted"},
		"node lost":                    {job(), pod(corev1.PodUnknown), soon, sandbox.StatusError, "Unknown"},
		"no phase":                     {job(), pod(""), soon, sandbox.StatusError, `""`},
		"a phase nobody knows":         {job(), pod("Sublimated", ready(corev1.ConditionTrue)), soon, sandbox.StatusError, "Sublimated"},
	} {
		got, reason := statusOf(c.job, c.pod, made.Add(c.after))
		if got != c.want || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %s, %q; want %s, %q", name, got, reason, c.want, c.reason)
		}
	}
}

// A Job whose annotations somebody changed is listed, and said to be wrong: a kill switch
// ends it.
func TestAJobThatDoesNotTellWhoseItIs(t *testing.T) {
	a := newAPI(t, time.Now)
	k := a.boxes()
	zero := int32(0)
	deadline := int64(60)
	a.put("jobs", &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "pc-1", Labels: map[string]string{sandbox.LabelApp: "4711", sandbox.LabelID: "pc-1"}},
		Spec: batchv1.JobSpec{
			ActiveDeadlineSeconds: &deadline, TTLSecondsAfterFinished: &zero,
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{sandbox.LabelApp: "4711", sandbox.LabelID: "pc-1"}}},
		},
	})
	a.put("jobs", &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "pc-2", Labels: map[string]string{sandbox.LabelApp: "4712"}}, Spec: batchv1.JobSpec{ActiveDeadlineSeconds: &deadline}})
	all, err := k.List(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != "pc-1" || all[0].Status != sandbox.StatusError {
		t.Fatalf("%+v, %v", all, err)
	}
	if place := all[0].For; place.Repository.ID != 0 {
		t.Fatalf("it is for %+v", place)
	}
	if ended, err := (sandbox.Guard{Sandbox: k}).Stop(t.Context(), killswitch.Organization("acme", 5)); ended != 1 || err != nil {
		t.Errorf("%d ended, %v", ended, err)
	}
	if there, err := k.Status(t.Context(), "pc-1"); !errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("what was stopped: %+v, %v", there, err)
	}
	// Another App's is not there, and stays.
	if err := k.Destroy(t.Context(), "pc-2"); err != nil {
		t.Error(err)
	}
	if _, err := a.boxes(func(c *Config) { c.App = 4712 }).Status(t.Context(), "pc-2"); err != nil {
		t.Errorf("another App's: %v", err)
	}
}
