package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// control does once what a cluster's controllers and its node do all the time.
func (a *api) control() {
	a.mu.Lock()
	var pods []corev1.Pod
	for _, name := range slices.Sorted(maps.Keys(a.objects["jobs"])) {
		a.controlJob(a.objects["jobs"][name])
	}
	for _, pod := range a.objects["pods"] {
		pods = append(pods, into[corev1.Pod](pod))
	}
	a.mu.Unlock()
	a.node.sync(pods, a)
}

// report and gone are what a node tells.
func (a *api) report(pod corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if there := a.objects["pods"][pod.Name]; there != nil {
		there["status"] = asMap(pod)["status"]
		a.keep("pods", there)
	}
}

func (a *api) gone(pod corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.objects["pods"], pod.Name)
}

// controlJob is the Job controller with its deadline and its time to live, and the
// garbage collector.
func (a *api) controlJob(object map[string]any) {
	job := into[batchv1.Job](object)
	own := a.owned("pods", job)
	if job.DeletionTimestamp != nil {
		for _, pod := range own {
			a.markDeleted("pods", pod)
		}
		if len(own) == 0 {
			for _, policy := range a.owned("networkpolicies", job) {
				delete(a.objects["networkpolicies"], into[metav1.PartialObjectMetadata](policy).Name)
			}
			delete(a.objects["jobs"], job.Name)
		}
		return
	}
	now := a.now()
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed && now.Sub(c.LastTransitionTime.Time) >= time.Duration(*job.Spec.TTLSecondsAfterFinished)*time.Second {
			a.markDeleted("jobs", object)
		}
		if c.Type == batchv1.JobFailed {
			return
		}
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend || a.deaf {
		return
	}
	if job.Status.StartTime == nil {
		job.Status.StartTime = &metav1.Time{Time: now}
	}
	switch {
	case !now.Before(job.Status.StartTime.Add(time.Duration(*job.Spec.ActiveDeadlineSeconds) * time.Second)):
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "DeadlineExceeded", LastTransitionTime: metav1.Time{Time: now},
		})
		for _, pod := range own {
			a.markDeleted("pods", pod)
		}
	case len(own) == 0:
		pod := corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: job.Spec.Template.Spec, Status: corev1.PodStatus{Phase: corev1.PodPending}}
		pod.Name, pod.Namespace = fmt.Sprintf("%s-x%04d", job.Name, a.version%10000), namespace
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID}}
		a.keep("pods", asMap(pod))
	default:
		return
	}
	object["status"] = asMap(job)["status"]
	a.keep("jobs", object)
}

// owned are the objects that belong to a Job.
func (a *api) owned(resource string, job batchv1.Job) []map[string]any {
	var own []map[string]any
	for _, object := range a.objects[resource] {
		for _, owner := range into[metav1.PartialObjectMetadata](object).OwnerReferences {
			if owner.UID == job.UID {
				own = append(own, object)
			}
		}
	}
	return own
}
