package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-app/portcullis/sandbox"
)

// destroyTime is how long it may take to see that a sandbox is gone.
const destroyTime = time.Minute

// Destroy deletes the Job with its Pod, and waits until both are gone: a Pod is once its
// node says that nothing of it runs. A node that does not answer is an error.
func (k *Kubernetes) Destroy(ctx context.Context, id string) error {
	if !nameable(id) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, destroyTime, errors.New("the cluster did not end it in time"))
	defer cancel()
	if err := k.remove(ctx, id); err != nil {
		return fmt.Errorf("destroy the sandbox %s: %w", id, err)
	}
	return nil
}

func (k *Kubernetes) remove(ctx context.Context, id string) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		gone, err := k.push(ctx, id)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if gone || err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// push deletes what is there and is not being deleted, and reports whether nothing is.
func (k *Kubernetes) push(ctx context.Context, id string) (gone bool, _ error) {
	job := &batchv1.Job{}
	err := k.cluster.get(ctx, jobs, id, job)
	switch {
	case apierrors.IsNotFound(err) || err == nil && !k.owns(job):
		left := &corev1.PodList{}
		err := k.cluster.list(ctx, pods, k.selector(id), left)
		return err == nil && len(left.Items) == 0, err
	case err != nil || job.DeletionTimestamp != nil:
		return false, err
	}
	// Only this Job, and not one that somebody creates of the same name meanwhile.
	foreground, now := metav1.DeletePropagationForeground, int64(0)
	err = k.cluster.delete(ctx, jobs, id, &metav1.DeleteOptions{
		TypeMeta:          metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		PropagationPolicy: &foreground, GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &job.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return false, nil
	}
	return false, err
}

// undo ends what is not to be, whatever ctx says.
func (k *Kubernetes) undo(ctx context.Context, id string) error {
	return k.Destroy(context.WithoutCancel(ctx), id)
}

// runs is the sandbox, if it takes commands.
func (k *Kubernetes) runs(ctx context.Context, id string) (there, error) {
	found, err := k.look(ctx, id)
	if err == nil && found.is.Status != sandbox.StatusRunning {
		err = fmt.Errorf("%w: it is %s", sandbox.ErrNotRunning, found.is.Status)
	}
	return found, err
}
