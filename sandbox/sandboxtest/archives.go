package sandboxtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox"
)

// Files is an archive with these entries, as they are.
func Files(headers ...tar.Header) *bytes.Buffer {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			h.Size = int64(len(h.Name))
		}
		h.Mode = 0o644
		_ = w.WriteHeader(&h)
		if h.Typeflag == tar.TypeReg {
			_, _ = io.WriteString(w, h.Name)
		}
	}
	_ = w.Close()
	return &b
}

func (s Subject) archives(t *testing.T) {
	id := s.create(t).ID
	if err := s.Boxes.Put(t.Context(), id, sandbox.Workspace, Files(
		tar.Header{Typeflag: tar.TypeDir, Name: "src/"}, tar.Header{Typeflag: tar.TypeReg, Name: "src/a.txt"}, tar.Header{Typeflag: tar.TypeReg, Name: "./b.txt"},
	)); err != nil {
		t.Fatalf("put: %v", err)
	}
	var packed bytes.Buffer
	if err := s.Boxes.Get(t.Context(), id, sandbox.Workspace, &packed); err != nil {
		t.Fatalf("get: %v", err)
	}
	got := map[string]string{}
	if err := sandbox.ReadArchive(&packed, sandbox.DefaultLimits, func(e sandbox.Entry) error {
		if e.Folder {
			return nil
		}
		content, err := io.ReadAll(e.Content)
		got[e.Name] = string(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"src/a.txt": "src/a.txt", "b.txt": "./b.txt"}; !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, header := range map[string]tar.Header{
		"absolute": {Typeflag: tar.TypeReg, Name: "/etc/passwd"}, "up": {Typeflag: tar.TypeReg, Name: "../x"}, "up and down": {Typeflag: tar.TypeReg, Name: "a/../b"},
		"link": {Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}, "hard link": {Typeflag: tar.TypeLink, Name: "a", Linkname: "src/a.txt"},
		"device": {Typeflag: tar.TypeBlock, Name: "a", Devmajor: 8}, "pipe": {Typeflag: tar.TypeFifo, Name: "a"},
	} {
		err := s.Boxes.Put(t.Context(), id, sandbox.Workspace, Files(header))
		if _, refused := errors.AsType[*sandbox.ArchiveError](err); !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Boxes.Get(t.Context(), id, sandbox.Workspace+"/nothing", io.Discard); err == nil {
		t.Error("what is not there was packed")
	}
}
