package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-app/portcullis/sandbox"
)

const (
	// createTime is how long a cluster may take until a sandbox takes commands, also where
	// whoever created it has died meanwhile, and lookEvery how often it is asked.
	createTime = 5 * time.Minute
	lookEvery  = 100 * time.Millisecond
)

// Create creates a Job and waits for its Pod. It has its id for a name, so that there is
// one, whoever asks how often.
func (k *Kubernetes) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if err := spec.Check(); err != nil {
		return sandbox.Instance{}, err
	}
	if !nameable(spec.ID) {
		return sandbox.Instance{}, &sandbox.InvalidError{Field: "id", Why: "must not end with - on Kubernetes, as " + strconv.Quote(spec.ID) + " does"}
	}
	if there, err := k.Status(ctx, spec.ID); err == nil && there.Status == sandbox.StatusRunning {
		return there, nil
	}
	planned, err := k.plan(spec, spec.Instance(Provider, k.config.Now()))
	if err != nil {
		return sandbox.Instance{}, err
	}
	// What is refused is so before the API server is asked to change anything.
	if err := k.enforceable(ctx, spec, planned); err != nil {
		return sandbox.Instance{}, err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, createTime, errors.New("the cluster did not start it in time"))
	defer cancel()
	created, err := k.begin(waiting, planned)
	if err == nil {
		var is sandbox.Instance
		if is, err = k.await(waiting, spec.ID); err == nil {
			return is, nil
		}
	}
	err = fmt.Errorf("create the sandbox %s: %w", spec.ID, err)
	if created {
		err = errors.Join(err, k.undo(ctx, spec.ID))
	}
	return sandbox.Instance{}, err
}

// enforceable is a refusal if the cluster lacks what the sandbox is to be held by.
func (k *Kubernetes) enforceable(ctx context.Context, spec sandbox.Spec, planned plan) error {
	if class := k.runtimeClass(spec); class != "" {
		err := k.cluster.get(ctx, runtimeClasses, class, &nodev1.RuntimeClass{})
		if apierrors.IsNotFound(err) {
			return refused("runtime", "the cluster has no RuntimeClass %s", strconv.Quote(class))
		}
		if err != nil {
			return fmt.Errorf("ask for the RuntimeClass %s: %w", strconv.Quote(class), err)
		}
	}
	policies := &networkingv1.NetworkPolicyList{}
	if err := k.cluster.list(ctx, networkPolicies, "", policies); err != nil {
		return fmt.Errorf("ask for the NetworkPolicies: %w", err)
	}
	return shut(policies.Items, planned.job.Name, planned.job.Spec.Template.Labels)
}

// Ready is a refusal where no sandbox could be started: nobody has declared that the
// network is shut, or it is not, or the operator's RuntimeClass is not there.
func (k *Kubernetes) Ready(ctx context.Context) error {
	spec := sandbox.Spec{ID: "portcullis-ready", Image: k.config.InitImage}
	if len(k.config.Images) > 0 {
		spec.Image = k.config.Images[0]
	}
	planned, err := k.plan(spec, spec.Instance(Provider, k.config.Now()))
	if err != nil {
		return err
	}
	return k.enforceable(ctx, spec, planned)
}

// begin creates what is planned. A Job that is there already is taken as it is, and
// resumed if whoever created it did not come to that.
func (k *Kubernetes) begin(ctx context.Context, planned plan) (created bool, _ error) {
	job := planned.job.DeepCopy()
	err := k.cluster.create(ctx, jobs, job)
	created = err == nil
	if apierrors.IsAlreadyExists(err) {
		err = k.adopt(ctx, planned, job)
	}
	if err != nil {
		return created, err
	}
	if planned.opens == nil || job.Spec.Suspend == nil || !*job.Spec.Suspend {
		return created, nil
	}
	return created, k.open(ctx, job, planned.opens)
}

// adopt reads the Job that is there, and returns an error if it is another than the one
// that is planned.
func (k *Kubernetes) adopt(ctx context.Context, planned plan, job *batchv1.Job) error {
	err := k.cluster.get(ctx, jobs, planned.job.Name, job)
	switch {
	case err != nil:
		return err
	case !k.owns(job):
		return errors.New("another App has a Job of that name in the namespace")
	case job.Annotations[annotationNetwork] != planned.job.Annotations[annotationNetwork]:
		return errors.New("it is there already, with another network")
	default:
		return nil
	}
}

// open puts the policy that goes with the Job, and then has it run: until its deadline,
// which it has since it was created.
func (k *Kubernetes) open(ctx context.Context, job *batchv1.Job, opens *networkingv1.NetworkPolicy) error {
	opens = opens.DeepCopy()
	opens.OwnerReferences = []metav1.OwnerReference{{APIVersion: jobs.String(), Kind: "Job", Name: job.Name, UID: job.UID}}
	if err := k.cluster.create(ctx, networkPolicies, opens); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	is, err := sandbox.FromLabels(job.Annotations)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": job.UID},
		"spec":     map[string]any{"suspend": false, "activeDeadlineSeconds": *seconds(is.Deadline.Sub(k.config.Now()))},
	})
	if err != nil {
		return err
	}
	return k.cluster.patch(ctx, jobs, job.Name, patch)
}

// await returns once the sandbox takes commands, or never will.
func (k *Kubernetes) await(ctx context.Context, id string) (sandbox.Instance, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		is, err := k.Status(ctx, id)
		switch {
		case ctx.Err() != nil:
			return is, context.Cause(ctx)
		case err != nil || is.Status == sandbox.StatusRunning:
			return is, err
		case is.Status != sandbox.StatusIdle:
			return is, fmt.Errorf("%w: %s, %s", sandbox.ErrNotRunning, is.Status, is.Reason)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return is, fmt.Errorf("%w: %s", context.Cause(ctx), is.Reason)
		}
	}
}
