package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/exec"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

const (
	// killTime is how long ending what a command left running may take before the sandbox
	// is destroyed instead.
	killTime = 5 * time.Second
	// oomTime is how long the node may take to tell that memory was over.
	oomTime = 2 * time.Second
)

// Execute runs a command as the workload's user. The API server cannot end one: when its
// time is over, everything in the container is killed, and if that fails the sandbox
// destroyed. Commands in one sandbox run one after the other in this process; another one
// is expected to leave the sandbox alone meanwhile.
func (k *Kubernetes) Execute(ctx context.Context, id string, command sandbox.Command) (sandbox.Result, error) {
	if err := command.Check(); err != nil {
		return sandbox.Result{}, err
	}
	command = command.Bounded()
	at, err := k.runs(ctx, id)
	if err != nil {
		return sandbox.Result{}, err
	}
	release, err := k.turns.Take(ctx, id)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer release()
	run := command.Begin(ctx)
	defer run.End()
	token := rand.Text()
	argv := slices.Concat(inside.RunCommand, []string{token, command.Folder, strconv.Itoa(inside.MaxProcesses)}, inside.Quote(command.Argv))
	err = k.cluster.attended(run.Context(), at.pod.Name, workload, argv, streams{command.Stdin, run.Stdout, run.Stderr})
	if run.Over() {
		// Nobody waits any more, and it runs on.
		return run.Killed(), errors.Join(ctx.Err(), k.kill(ctx, at))
	}
	code, is := errors.AsType[exec.CodeExitError](err)
	if err != nil && !is {
		return sandbox.Result{}, k.explain(ctx, at, fmt.Errorf("run %q in the sandbox %s: %w", command.Argv[0], id, err))
	}
	result := run.Result(code.Code)
	if result.ExitCode == inside.NotRunCode || result.ExitCode == inside.NotThereCode {
		if why, is := inside.Why(token, result.Stderr); is {
			return sandbox.Result{}, command.NotStarted(why)
		}
	}
	if result.WasKilled() {
		result.OOM = k.outOfMemory(ctx, id)
	}
	return result, nil
}

// explain says what an error of a stream is about: the sandbox may have ended under it.
// If not, and if it was not refused, what ran there may run on, and is ended.
func (k *Kubernetes) explain(ctx context.Context, at there, err error) error {
	_, gone := k.runs(ctx, at.is.ID)
	if errors.Is(gone, sandbox.ErrUnknown) || errors.Is(gone, sandbox.ErrNotRunning) {
		return gone
	}
	if declined(err) {
		return err
	}
	return errors.Join(err, k.kill(ctx, at))
}

// declined reports whether the API server would not have what was asked for.
func declined(err error) bool {
	_, forbidden := errors.AsType[*ForbiddenError](err)
	_, status := errors.AsType[*apierrors.StatusError](err)
	return forbidden || status
}

// kill ends everything that commands left, whatever ctx says.
func (k *Kubernetes) kill(ctx context.Context, at there) error {
	ctx = context.WithoutCancel(ctx)
	killing, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	token := rand.Text()
	err := k.cluster.told(killing, at.pod.Name, workload, token, words(inside.KillCommand, token), streams{stdout: io.Discard, stderr: io.Discard})
	if err == nil {
		return nil
	}
	if err := k.Destroy(ctx, at.is.ID); err != nil {
		return fmt.Errorf("what the command left running could not be ended: %w", err)
	}
	return nil
}

// outOfMemory reports whether the node ended the container because its memory was over.
// Where it ends only the process, nobody tells.
func (k *Kubernetes) outOfMemory(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, oomTime)
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		seen, err := k.look(ctx, id)
		if err != nil {
			return false
		}
		if oomKilled(seen.pod) {
			return true
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}

func oomKilled(pod *corev1.Pod) bool {
	if pod == nil {
		return false
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == workload && c.State.Terminated != nil && c.State.Terminated.Reason == "OOMKilled" {
			return true
		}
	}
	return false
}
