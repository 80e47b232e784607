package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/portcullis-app/portcullis/sandbox"
)

// there is a sandbox as the API server tells of it.
type there struct {
	is  sandbox.Instance
	job *batchv1.Job
	// pod is nil if there is none.
	pod *corev1.Pod
}

// look reads one sandbox. It returns [sandbox.ErrUnknown] for another App's too.
func (k *Kubernetes) look(ctx context.Context, id string) (there, error) {
	if !nameable(id) {
		return there{}, sandbox.ErrUnknown
	}
	job := &batchv1.Job{}
	err := k.cluster.get(ctx, jobs, id, job)
	if apierrors.IsNotFound(err) || err == nil && !k.owns(job) {
		return there{}, sandbox.ErrUnknown
	}
	if err != nil {
		return there{}, fmt.Errorf("ask for the sandbox %s: %w", id, err)
	}
	found := &corev1.PodList{}
	if err := k.cluster.list(ctx, pods, k.selector(id), found); err != nil {
		return there{}, fmt.Errorf("ask for the Pod of the sandbox %s: %w", id, err)
	}
	return k.tell(job, podOf(job, found.Items)), nil
}

func (k *Kubernetes) owns(job *batchv1.Job) bool {
	return job.Labels[sandbox.LabelApp] == strconv.FormatInt(k.config.App, 10)
}

// podOf is the Job's Pod: anybody may have given another the same labels.
func podOf(job *batchv1.Job, among []corev1.Pod) *corev1.Pod {
	for n := range among {
		for _, owner := range among[n].OwnerReferences {
			if owner.UID == job.UID {
				return &among[n]
			}
		}
	}
	return nil
}

// Status asks the API server.
func (k *Kubernetes) Status(ctx context.Context, id string) (sandbox.Instance, error) {
	found, err := k.look(ctx, id)
	return found.is, err
}

// List asks the API server for every Job of the App's.
func (k *Kubernetes) List(ctx context.Context) ([]sandbox.Instance, error) {
	found, with := &batchv1.JobList{}, &corev1.PodList{}
	if err := k.cluster.list(ctx, jobs, k.selector(""), found); err != nil {
		return nil, fmt.Errorf("list the sandboxes: %w", err)
	}
	if err := k.cluster.list(ctx, pods, k.selector(""), with); err != nil {
		return nil, fmt.Errorf("list the Pods of the sandboxes: %w", err)
	}
	all := make([]sandbox.Instance, 0, len(found.Items))
	for n := range found.Items {
		job := &found.Items[n]
		all = append(all, k.tell(job, podOf(job, with.Items)).is)
	}
	return all, nil
}

// tell is what the annotations and the cluster's word tell. A Job is called by its id.
func (k *Kubernetes) tell(job *batchv1.Job, pod *corev1.Pod) there {
	is, err := sandbox.FromLabels(job.Annotations)
	is.ID, is.Provider = job.Name, Provider
	is.Status, is.Reason = statusOf(job, pod, k.config.Now())
	if err != nil {
		is.Status, is.Reason = sandbox.StatusError, err.Error()
	}
	if is.Status == sandbox.StatusIdle {
		is.StartBy = is.CreatedAt.Add(createTime)
	}
	return there{is: is, job: job, pod: pod}
}

// stuckTime is how long a cluster may try again what has failed, or what takes no time in
// one that works, before that counts as an error. What does take its time, as a node that
// is being set up or a large image, has createTime.
const stuckTime = 2 * time.Minute

// waits are the reasons for which a container may not run yet, and how long each is
// nothing to worry about. One that is not here is an error.
var waits = map[string]time.Duration{
	"":                     createTime,
	"PodInitializing":      createTime,
	"ContainerCreating":    createTime,
	"ErrImagePull":         stuckTime,
	"ImagePullBackOff":     stuckTime,
	"RegistryUnavailable":  stuckTime,
	"CreateContainerError": stuckTime,
}

// statusOf is what a Job and its Pod do. What is not known is an error.
func statusOf(job *batchv1.Job, pod *corev1.Pod, now time.Time) (sandbox.SandboxStatus, string) {
	if job.DeletionTimestamp != nil {
		return sandbox.StatusTerminated, "it is being deleted"
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Type != batchv1.JobSuspended {
			return ended(c)
		}
	}
	switch {
	case job.Spec.Suspend != nil && *job.Spec.Suspend:
		return waiting(now.Sub(job.CreationTimestamp.Time), stuckTime, "its network is not set up yet")
	case pod == nil:
		return waiting(now.Sub(job.CreationTimestamp.Time), stuckTime, "it has no Pod; `kubectl describe job "+job.Name+"` tells why")
	case pod.DeletionTimestamp != nil:
		return sandbox.StatusTerminated, "its Pod is being deleted"
	}
	switch pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed:
		return sandbox.StatusTerminated, told(pod)
	case corev1.PodPending:
		return pending(pod, now.Sub(pod.CreationTimestamp.Time))
	case corev1.PodRunning:
		if is(pod, corev1.PodReady) {
			return sandbox.StatusRunning, ""
		}
		return pending(pod, now.Sub(pod.CreationTimestamp.Time))
	default:
		return sandbox.StatusError, "its Pod is " + strconv.Quote(string(pod.Status.Phase))
	}
}

// ended is what a Job's condition says of its end.
func ended(c batchv1.JobCondition) (sandbox.SandboxStatus, string) {
	switch c.Type {
	case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobFailureTarget, batchv1.JobSuccessCriteriaMet:
		return sandbox.StatusTerminated, c.Reason
	default:
		return sandbox.StatusError, "its Job is " + strconv.Quote(string(c.Type))
	}
}

// waiting is idle, and an error once it has taken too long.
func waiting(took, atMost time.Duration, why string) (sandbox.SandboxStatus, string) {
	if took > atMost {
		return sandbox.StatusError, fmt.Sprintf("after %s: %s", took.Round(time.Second), why)
	}
	return sandbox.StatusIdle, why
}

// pending is what a Pod waits for that does not run, or not all of it.
func pending(pod *corev1.Pod, took time.Duration) (sandbox.SandboxStatus, string) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return waiting(took, createTime, c.Reason+": "+c.Message)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && pod.Status.Phase == corev1.PodRunning {
			return sandbox.StatusTerminated, c.Name + ": " + t.Reason
		}
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil {
			atMost := waits[w.Reason]
			if status, why := waiting(took, atMost, c.Name+": "+w.Reason+" "+w.Message); atMost == 0 || status == sandbox.StatusError {
				return sandbox.StatusError, why
			}
		}
	}
	return waiting(took, createTime, "its Pod does not run yet")
}

// told is what a Pod says of its end.
func told(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && pod.Status.Reason == "" {
			return t.Reason
		}
	}
	return pod.Status.Reason
}

func is(pod *corev1.Pod, condition corev1.PodConditionType) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == condition {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
