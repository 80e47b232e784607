package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/portcullis-app/portcullis/sandbox"
)

// createTime is how long it may take the engine to start one.
const createTime = time.Minute

// Create creates a container and starts it. It has its id for a name, so that there is
// one, whoever asks how often.
func (d *Docker) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if err := spec.Check(); err != nil {
		return sandbox.Instance{}, err
	}
	if there, err := d.Status(ctx, spec.ID); err == nil && there.Status == sandbox.StatusRunning {
		return there, nil
	}
	engine, err := d.look(ctx)
	if err != nil {
		return sandbox.Instance{}, err
	}
	is := spec.Instance(Provider, d.config.Now())
	// What is refused is so before the engine is asked to change anything.
	if _, err := d.plan(spec, is, engine, 0); err != nil {
		return sandbox.Instance{}, err
	}
	if err := d.checkImage(ctx, spec.Image); err != nil {
		return sandbox.Instance{}, err
	}
	if engine.tools, err = d.tooled(ctx, spec.Image, engine.architecture); err != nil {
		return sandbox.Instance{}, err
	}
	workload, err := d.freeUser(ctx, engine)
	if err != nil {
		return sandbox.Instance{}, err
	}
	is = spec.Instance(Provider, d.config.Now())
	planned, err := d.plan(spec, is, engine, workload)
	if err != nil {
		return sandbox.Instance{}, err
	}
	if err := d.openExit(ctx, is, reachOf(planned.Config.Labels)); err != nil {
		return sandbox.Instance{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, createTime, errors.New("the engine did not start it in time"))
	defer cancel()
	err = d.begin(ctx, planned)
	if err != nil && d.forgotTools() {
		// Somebody has deleted the volume with the programs, and mounting it made another.
		if _, err = d.tooled(ctx, spec.Image, engine.architecture); err == nil {
			err = d.begin(ctx, planned)
		}
	}
	if err != nil {
		return sandbox.Instance{}, fmt.Errorf("create the sandbox %s: %w", is.ID, err)
	}
	return d.Status(ctx, is.ID)
}

// begin creates the container and starts it. One that is there already is taken as it is,
// and started if whoever created it did not come to that.
func (d *Docker) begin(ctx context.Context, planned client.ContainerCreateOptions) error {
	_, err := d.engine.ContainerCreate(ctx, planned)
	adopted := cerrdefs.IsConflict(err)
	if err != nil && !adopted {
		return missing(planned.Config.Image, err)
	}
	_, err = d.engine.ContainerStart(ctx, planned.Name, client.ContainerStartOptions{})
	if err == nil || adopted {
		return err
	}
	if strings.Contains(err.Error(), program) {
		d.forgetTools() // the volume is not what it was
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTime)
	defer cancel()
	return errors.Join(err, d.remove(undo, planned.Name))
}

// Status asks the engine.
func (d *Docker) Status(ctx context.Context, id string) (sandbox.Instance, error) {
	is, _, err := d.inspect(ctx, id)
	return is, err
}

func (d *Docker) inspect(ctx context.Context, id string) (sandbox.Instance, map[string]string, error) {
	if !sandbox.ValidID(id) {
		return sandbox.Instance{}, nil, sandbox.ErrUnknown
	}
	found, err := d.engine.ContainerInspect(ctx, d.name(id), client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return sandbox.Instance{}, nil, sandbox.ErrUnknown
	}
	if err != nil {
		return sandbox.Instance{}, nil, fmt.Errorf("ask for the sandbox %s: %w", id, err)
	}
	labels := found.Container.Config.Labels
	return d.instance(labels, found.Container.State.Status, found.Container.State.Error), labels, nil
}

// List asks the engine for every container of the App's, whatever its state.
func (d *Docker) List(ctx context.Context) ([]sandbox.Instance, error) {
	found, err := d.engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: d.ours(),
	})
	if err != nil {
		return nil, fmt.Errorf("list the sandboxes: %w", err)
	}
	all := make([]sandbox.Instance, 0, len(found.Items))
	for _, item := range found.Items {
		all = append(all, d.instance(item.Labels, item.State, ""))
	}
	return all, nil
}

// ours are the containers of the App.
func (d *Docker) ours() client.Filters {
	return make(client.Filters).Add("label", sandbox.LabelApp+"="+d.appLabel())
}

func (d *Docker) appLabel() string { return strconv.FormatInt(d.config.App, 10) }

// instance is what the labels and the engine's word tell.
func (d *Docker) instance(labels map[string]string, state container.ContainerState, reason string) sandbox.Instance {
	is, err := sandbox.FromLabels(labels)
	is.Provider, is.Status, is.Reason = Provider, statusOf(state), reason
	if err != nil {
		is.Status, is.Reason = sandbox.StatusError, err.Error()
	}
	return is
}

// statuses are the engine's states. One that is not here is an error.
var statuses = map[container.ContainerState]sandbox.SandboxStatus{
	container.StateCreated:  sandbox.StatusIdle,
	container.StateRunning:  sandbox.StatusRunning,
	container.StateRemoving: sandbox.StatusTerminated,
	container.StateExited:   sandbox.StatusTerminated,
	container.StateDead:     sandbox.StatusTerminated,
}

func statusOf(state container.ContainerState) sandbox.SandboxStatus {
	if status, known := statuses[state]; known {
		return status
	}
	return sandbox.StatusError
}

const (
	// destroyTime is how long it may take to see that one is gone, and goneEvery how
	// often it is looked.
	destroyTime = 30 * time.Second
	goneEvery   = 10 * time.Millisecond
)

// Destroy removes the container with all that runs in it, and waits until it is gone.
func (d *Docker) Destroy(ctx context.Context, id string) error {
	if !sandbox.ValidID(id) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, destroyTime, errors.New("the engine did not remove it in time"))
	defer cancel()
	if err := d.removeAll(ctx, id); err != nil {
		return fmt.Errorf("destroy the sandbox %s: %w", id, err)
	}
	return d.shutExit(id)
}

// removeAll removes what has the id for a name, and what only says in its labels that it
// is that one.
func (d *Docker) removeAll(ctx context.Context, id string) error {
	if err := d.remove(ctx, d.name(id)); err != nil {
		return err
	}
	left, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: d.ours().Add("label", sandbox.LabelID+"="+id)})
	if err != nil {
		return err
	}
	for _, item := range left.Items {
		if err := d.remove(ctx, item.ID); err != nil {
			return err
		}
	}
	return nil
}

func (d *Docker) remove(ctx context.Context, name string) error {
	for {
		_, err := d.engine.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case cerrdefs.IsNotFound(err):
			return nil
		case err != nil && !cerrdefs.IsConflict(err): // a conflict: it is being removed
			return err
		}
		if _, err := d.engine.ContainerInspect(ctx, name, client.ContainerInspectOptions{}); cerrdefs.IsNotFound(err) {
			return nil
		}
		select {
		case <-time.After(goneEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
