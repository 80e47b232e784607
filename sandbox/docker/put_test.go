package docker_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

func files(names ...string) *bytes.Buffer {
	headers := make([]tar.Header, 0, len(names))
	for _, name := range names {
		headers = append(headers, tar.Header{Typeflag: tar.TypeReg, Name: name})
	}
	return sandboxtest.Files(headers...)
}

// A repository may have files in the folders that may be written, in those above them, and
// beside them.
func TestFilesInAndOutOfWhatMayBeWritten(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.Constraints.AllowedPaths = []string{"/workspace/build", "/workspace/web/app/dist"}
	w.create(t, s)
	in := []string{"build/a.txt", "build/deep/er/b.txt", "web/app/dist/c.js"}
	out := []string{"readme.md", "builder.txt", "web/d.txt", "web/app/e.txt", "web/app/distance/f.txt"}
	if err := w.Put(t.Context(), s.ID, sandbox.Workspace, files(append(slices.Clone(in), out...)...)); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Clone(in), out...) {
		may := slices.Contains(in, name)
		if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "write", "/workspace/" + name}}); (got.ExitCode == 0) != may {
			t.Errorf("%s may be written: %t, %s", name, !may, got.Stderr)
		}
	}
	for name, may := range map[string]bool{"build/new": true, "build/deep/new": true, "web/app/dist/new": true, "new": false, "web/new": false, "web/app/new": false, "web/app/distance/new": false} {
		if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "write", "/workspace/" + name}}); (got.ExitCode == 0) != may {
			t.Errorf("%s can be made: %t, %s", name, !may, got.Stderr)
		}
	}
	var packed bytes.Buffer
	if err := w.Get(t.Context(), s.ID, sandbox.Workspace, &packed); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := sandbox.ReadArchive(&packed, sandbox.DefaultLimits, func(e sandbox.Entry) error {
		content, err := io.ReadAll(e.Content)
		if !e.Folder {
			got[e.Name] = string(content)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"build/new": "x", "build/deep/new": "x", "web/app/dist/new": "x"}
	for _, name := range in {
		want[name] = "x"
	}
	for _, name := range out {
		want[name] = name
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPutBelowTheWorkspace(t *testing.T) {
	w := newWorld(t)
	s := spec()
	s.Constraints.AllowedPaths = []string{"/workspace/a/b"}
	w.create(t, s)
	for _, c := range []struct{ folder, name, at string }{
		{"/workspace/a", "b/1", "/workspace/a/b/1"}, {"/workspace/a/b", "2", "/workspace/a/b/2"}, {"/workspace/a/b/c", "3", "/workspace/a/b/c/3"}, {"/workspace/new", "4", "/workspace/new/4"},
	} {
		if err := w.Put(t.Context(), s.ID, c.folder, files(c.name)); err != nil {
			t.Errorf("%s: %v", c.folder, err)
		}
		if got := w.run(t, s.ID, sandbox.Command{Argv: []string{"/probe", "read", c.at}}); got.ExitCode != 0 {
			t.Errorf("%s: %+v", c.at, got)
		}
	}
	err := w.Put(t.Context(), s.ID, sandbox.Workspace, files("a/b"))
	if refused, is := errors.AsType[*sandbox.ArchiveError](err); !is || refused.Name != "a/b" {
		t.Errorf("a file where a folder is: %v", err)
	}
}
