package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// maxComplaint is how much is kept of what is said about files.
const maxComplaint = 4 << 10

// Put has Portcullis in the sandbox unpack the archive, which is looked through before it
// gets there. What is in a folder that the workload may write is the workload's, and the
// rest PID 1's user's: neither may write where the other does.
func (d *Docker) Put(ctx context.Context, id, folder string, archive io.Reader) error {
	clean, discard, err := sandbox.CheckedArchive(folder, archive)
	if err != nil {
		return err
	}
	defer discard()
	as, writable, err := d.runs(ctx, id)
	if err != nil {
		return err
	}
	parts, err := share(clean, folder, writable)
	if err != nil {
		return err
	}
	for _, p := range parts {
		owner := user(initID)
		if p.workloads {
			owner = as
		}
		if err := d.unpack(ctx, id, owner, as, p, clean); err != nil {
			return err
		}
	}
	return nil
}

// unpack sends one part of the archive.
func (d *Docker) unpack(ctx context.Context, id, as, workload string, p part, archive io.ReadSeeker) error {
	out, in := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		err := p.copy(in, archive)
		_ = in.CloseWithError(err)
		copied <- err
	}()
	err := d.tool(ctx, id, as, workload, append(slices.Clone(inside.UnpackCommand), p.to), out, io.Discard)
	_ = out.CloseWithError(errNotRead)
	if failed := <-copied; err == nil && !errors.Is(failed, errNotRead) {
		err = failed
	}
	return err
}

// Get has Portcullis in the sandbox pack what is there. What comes out is looked through:
// whoever runs there may have had a hand in it.
func (d *Docker) Get(ctx context.Context, id, from string, archive io.Writer) error {
	if err := sandbox.CheckFolder(from); err != nil {
		return err
	}
	as, _, err := d.runs(ctx, id)
	if err != nil {
		return err
	}
	return sandbox.SiftArchive(ctx, archive, func(ctx context.Context, to io.Writer) error {
		return d.tool(ctx, id, as, as, append(slices.Clone(inside.PackCommand), from), nil, to)
	})
}

// tool runs Portcullis in the sandbox, which complains on its standard error.
func (d *Docker) tool(ctx context.Context, id, as, workload string, words []string, stdin io.Reader, stdout io.Writer) error {
	release, err := d.turns.Take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeoutCause(ctx, sandbox.CopyTime, sandbox.ErrSlowCopy)
	defer cancel()
	command := sandbox.Command{Argv: append([]string{program}, words...), Folder: "/", Stdin: stdin}
	complaint := sandbox.NewOutput(maxComplaint, cancel)
	exec, err := d.attach(ctx, id, as, command, stdout, complaint)
	if ctx.Err() != nil {
		// One of PID 1's user ends by itself: its input has.
		return errors.Join(context.Cause(ctx), d.kill(ctx, id, workload))
	}
	if err != nil {
		return d.explain(ctx, id, command, err)
	}
	ended, err := d.ended(ctx, exec)
	if err != nil {
		return d.explain(ctx, id, command, err)
	}
	if ended.ExitCode != 0 {
		return fmt.Errorf("copy files of the sandbox %s: %s", id, strings.ToValidUTF8(strings.TrimSpace(complaint.String()), ""))
	}
	return nil
}
