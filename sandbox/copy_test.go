package sandbox_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// packed is an archive with a file of that name.
func packed(name string) []byte {
	return sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: name}).Bytes()
}

// names are those of what is in an archive.
func names(archive io.Reader) (all []string, err error) {
	err = sandbox.ReadArchive(archive, sandbox.DefaultLimits, func(entry sandbox.Entry) error {
		all = append(all, entry.Name)
		return nil
	})
	return all, err
}

func TestAnArchiveIsCheckedAsAWhole(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	clean, discard, err := sandbox.CheckedArchive(sandbox.Workspace, bytes.NewReader(packed("a")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := names(clean); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q, %v", got, err)
	}
	discard()
	for name, archive := range map[string][]byte{"leaves the folder": packed("x/../../y"), "is cut off": packed("a")[:512]} {
		_, _, err := sandbox.CheckedArchive(sandbox.Workspace, bytes.NewReader(archive))
		if err == nil {
			t.Errorf("one that %s is taken", name)
		}
	}
	if _, _, err := sandbox.CheckedArchive("/etc", bytes.NewReader(packed("a"))); err == nil {
		t.Error("one for another folder is taken")
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

func TestAnArchiveIsSifted(t *testing.T) {
	var got bytes.Buffer
	err := sandbox.SiftArchive(t.Context(), &got, func(_ context.Context, to io.Writer) error {
		_, err := to.Write(packed("a"))
		return err
	})
	if there, readErr := names(&got); err != nil || readErr != nil || !slices.Equal(there, []string{"a"}) {
		t.Errorf("%q, %v, %v", there, readErr, err)
	}
	// Whoever packs on, whatever is written, is told by both.
	got.Reset()
	err = sandbox.SiftArchive(t.Context(), &got, func(ctx context.Context, to io.Writer) error {
		_, _ = to.Write(packed("x/../../y"))
		<-ctx.Done()
		if _, err := to.Write([]byte("x")); err == nil {
			t.Error("more is taken")
		}
		return context.Cause(ctx)
	})
	if refused, is := errors.AsType[*sandbox.ArchiveError](err); !is || refused.Name != "x/../../y" {
		t.Errorf("%v", err)
	}
	broken := errors.New("the sandbox is gone")
	if err := sandbox.SiftArchive(t.Context(), &got, func(context.Context, io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("one that does not end: %v", err)
	}
}
