package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// copyTime is how long files may take to go in or out, and maxComplaint how much of what
// is said about them is kept.
const (
	copyTime     = 5 * time.Minute
	maxComplaint = 4 << 10
)

// Put has Portcullis in the sandbox unpack the archive, which is looked through before it
// gets there. Where the workload may not write, the files are PID 1's user's.
func (d *Docker) Put(ctx context.Context, id, folder string, archive io.Reader) error {
	if err := (sandbox.Command{Argv: []string{program}, Folder: folder}).Check(); err != nil {
		return err
	}
	clean, err := os.CreateTemp("", "portcullis-archive-")
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(clean.Close(), os.Remove(clean.Name())) }()
	if err := sandbox.CopyArchive(clean, archive, sandbox.DefaultLimits); err != nil {
		return err
	}
	if _, err := clean.Seek(0, io.SeekStart); err != nil {
		return err
	}
	labels, err := d.runs(ctx, id)
	if err != nil {
		return err
	}
	as := user(initID)
	if within(folder, strings.Split(labels[labelWritable], ",")) {
		as = user(workloadID(id))
	}
	return d.tool(ctx, id, as, append(slices.Clone(inside.UnpackCommand), folder), clean, io.Discard)
}

// within reports whether the path is one of the folders or below it.
func within(at string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return at == f || strings.HasPrefix(at, f+"/") })
}

// Get has Portcullis in the sandbox pack what is there. What comes out is looked through:
// whoever runs there may have had a hand in it.
func (d *Docker) Get(ctx context.Context, id, from string, archive io.Writer) error {
	if err := (sandbox.Command{Argv: []string{program}, Folder: from}).Check(); err != nil {
		return err
	}
	if _, err := d.runs(ctx, id); err != nil {
		return err
	}
	out, in := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		err := sandbox.CopyArchive(archive, out, sandbox.DefaultLimits)
		_ = out.CloseWithError(err)
		copied <- err
	}()
	err := d.tool(ctx, id, user(workloadID(id)), append(slices.Clone(inside.PackCommand), from), nil, in)
	_ = in.CloseWithError(err)
	return errors.Join(err, <-copied)
}

// tool runs Portcullis in the sandbox, which complains on its standard error.
func (d *Docker) tool(ctx context.Context, id, as string, words []string, stdin io.Reader, stdout io.Writer) error {
	defer d.alone(id)()
	ctx, cancel := context.WithTimeoutCause(ctx, copyTime, errors.New("the files were not copied in time"))
	defer cancel()
	command := sandbox.Command{Argv: append([]string{program}, words...), Folder: "/", Stdin: stdin}
	complaint := sandbox.NewOutput(maxComplaint, cancel)
	exec, err := d.attach(ctx, id, as, command, stdout, complaint)
	if ctx.Err() != nil {
		// One of PID 1's user ends by itself: its input has.
		return errors.Join(context.Cause(ctx), d.kill(ctx, id))
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
