package codespaces

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Put has tar in the codespace unpack the archive, which is looked through before it gets
// there.
func (c *Codespaces) Put(ctx context.Context, id, folder string, archive io.Reader) error {
	clean, discard, err := sandbox.CheckedArchive(folder, archive)
	if err != nil {
		return err
	}
	defer discard()
	return c.copy(ctx, id, unpackScript, folder, clean, io.Discard)
}

// Get has tar in the codespace pack what is there, without links. What comes out is looked
// through: whoever runs there may have had a hand in it.
func (c *Codespaces) Get(ctx context.Context, id, from string, archive io.Writer) error {
	if err := sandbox.CheckFolder(from); err != nil {
		return err
	}
	return sandbox.SiftArchive(ctx, archive, func(ctx context.Context, to io.Writer) error {
		packed, in := io.Pipe()
		plain := make(chan error, 1)
		go func() {
			err := withoutLinks(to, packed)
			_ = packed.CloseWithError(err)
			plain <- err
		}()
		err := c.copy(ctx, id, packScript, from, nil, in)
		_ = in.CloseWithError(err)
		return errors.Join(err, <-plain)
	})
}

func (c *Codespaces) copy(ctx context.Context, id, script, path string, stdin io.Reader, stdout io.Writer) error {
	at, err := c.runs(ctx, id)
	if err != nil {
		return err
	}
	release, err := c.turns.Take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeoutCause(ctx, sandbox.CopyTime, sandbox.ErrSlowCopy)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err = c.tool(ctx, at, job{script: script, arguments: []string{c.folder(at, path)}, stdin: stdin, stdout: taking{stdout, stop}})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return wrap(err, "copy files of the sandbox %s", id)
}

// taking stops what writes to it once that is not taken any more: nobody else would.
type taking struct {
	io.Writer

	stop context.CancelCauseFunc
}

func (t taking) Write(p []byte) (int, error) {
	n, err := t.Writer.Write(p)
	if err != nil {
		t.stop(err)
	}
	return n, err
}

// maxPadding is how much tar writes after the end of an archive: it fills up a block.
const maxPadding = 1 << 20

// withoutLinks copies an archive without symbolic links, devices and the like, of which
// the contract has none. Whatever else is wrong with it is found by who reads it next.
func withoutLinks(to io.Writer, from io.Reader) error {
	r, w := tar.NewReader(from), tar.NewWriter(to)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			if n, _ := io.Copy(io.Discard, io.LimitReader(from, maxPadding+1)); n > maxPadding {
				return errors.New("the archive goes on after its end")
			}
			return w.Close()
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir && header.Typeflag != tar.TypeLink {
			continue
		}
		plain := &tar.Header{Typeflag: header.Typeflag, Name: header.Name, Linkname: header.Linkname, Mode: header.Mode, Size: header.Size}
		if err := w.WriteHeader(plain); err != nil {
			return fmt.Errorf("pack %q: %w", header.Name, err)
		}
		if _, err := io.CopyN(w, r, header.Size); err != nil {
			return fmt.Errorf("pack %q: %w", header.Name, err)
		}
	}
}
