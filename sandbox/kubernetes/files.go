package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/exec"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// maxComplaint is how much is kept of what is said about files.
const maxComplaint = 400

// Put has Portcullis in the sandbox unpack the archive, which is looked through as a
// whole before anything of it gets there.
func (k *Kubernetes) Put(ctx context.Context, id, folder string, archive io.Reader) error {
	clean, discard, err := sandbox.CheckedArchive(folder, archive)
	if err != nil {
		return err
	}
	defer discard()
	return k.tool(ctx, id, folder, append(slices.Clone(inside.UnpackCommand), folder), streams{stdin: clean})
}

// Get has Portcullis in the sandbox pack what is there. What comes out is looked through:
// whoever runs there may have had a hand in it.
func (k *Kubernetes) Get(ctx context.Context, id, from string, archive io.Writer) error {
	if err := sandbox.CheckFolder(from); err != nil {
		return err
	}
	return sandbox.SiftArchive(ctx, archive, func(ctx context.Context, to io.Writer) error {
		return k.tool(ctx, id, from, append(slices.Clone(inside.PackCommand), from), streams{stdout: to})
	})
}

// tool runs Portcullis in the sandbox, in the container that may write everywhere.
func (k *Kubernetes) tool(ctx context.Context, id, path string, arguments []string, s streams) error {
	at, err := k.runs(ctx, id)
	if err != nil {
		return err
	}
	release, err := k.turns.Take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeoutCause(ctx, sandbox.CopyTime, sandbox.ErrSlowCopy)
	defer cancel()
	complaint := sandbox.NewOutput(maxComplaint, cancel)
	s.stderr = complaint
	err = k.cluster.attended(ctx, at.pod.Name, copier(at.pod), arguments, s)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), k.kill(ctx, at))
	}
	if _, failed := errors.AsType[exec.CodeExitError](err); failed {
		return &sandbox.ArchiveError{Name: path, Why: "was not copied: " + strconv.Quote(complaint.String())}
	}
	if err != nil {
		return k.explain(ctx, at, fmt.Errorf("copy files of the sandbox %s: %w", id, err))
	}
	return nil
}

// copier is the container that files go in by and come out by.
func copier(pod *corev1.Pod) string {
	for _, c := range pod.Spec.Containers {
		if c.Name == files {
			return files
		}
	}
	return workload
}
