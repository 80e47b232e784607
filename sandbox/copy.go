package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"time"
)

// CopyTime is how long files may take to go into a sandbox or to come out.
const CopyTime = 5 * time.Minute

// ErrSlowCopy is why a copy ended that took longer.
var ErrSlowCopy = errors.New("the files were not copied in time")

// CheckFolder returns an [*InvalidError] for a path that files neither go to nor come from.
func CheckFolder(folder string) error {
	if !inWorkspace(folder) {
		return &InvalidError{"folder", "must be " + Workspace + " or below it, not " + strconv.Quote(folder)}
	}
	return nil
}

// CheckedArchive looks through an archive that is to go into a folder of a sandbox, as a
// whole before anything of it gets there, and returns what it is made of. discard frees
// that.
func CheckedArchive(folder string, archive io.Reader) (clean io.ReadSeeker, discard func(), err error) {
	if err := CheckFolder(folder); err != nil {
		return nil, nil, err
	}
	file, err := os.CreateTemp("", "portcullis-archive-")
	if err != nil {
		return nil, nil, err
	}
	discard = func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }
	err = CopyArchive(file, archive, DefaultLimits)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		discard()
		return nil, nil, err
	}
	return file, discard, nil
}

// SiftArchive has an archive packed in a sandbox and passes it on, looked through: whoever
// runs there may have had a hand in it. What pack writes to takes no more once the archive
// is refused, and its context ends then.
func SiftArchive(ctx context.Context, archive io.Writer, pack func(ctx context.Context, to io.Writer) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out, in := io.Pipe()
	sifted := make(chan error, 1)
	go func() {
		err := CopyArchive(archive, out, DefaultLimits)
		if err != nil {
			cancel(err)
		}
		_ = out.CloseWithError(err)
		sifted <- err
	}()
	err := pack(ctx, in)
	_ = in.CloseWithError(err)
	if refused := <-sifted; err == nil {
		err = refused
	}
	return err
}
