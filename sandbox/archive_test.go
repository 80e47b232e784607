package sandbox_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

// unpacked lists what is in a folder: files with their contents, folders with a slash.
func unpacked(t testing.TB, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case entry.IsDir():
			found[name] = "/"
		case entry.Type().IsRegular():
			content, err := os.ReadFile(filepath.Join(folder, name))
			found[name] = string(content)
			return err
		default:
			found[name] = entry.Type().String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func root(t testing.TB) (*os.Root, string) {
	t.Helper()
	folder := t.TempDir()
	opened, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened, folder
}

func TestI21Unpack(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	for _, c := range []struct {
		name    string
		entries []tar.Header
		// refused is the entry that is; empty: none.
		refused string
		want    map[string]string
	}{
		{"files and folders", []tar.Header{file("a"), {Typeflag: tar.TypeDir, Name: "b/"}, file("b/c/d")}, "", map[string]string{"a": "a", "b": "/", "b/c": "/", "b/c/d": "b/c/d"}},
		{"the folder itself", []tar.Header{{Typeflag: tar.TypeDir, Name: "./"}, file("./a")}, "", map[string]string{"a": "./a"}},
		{"the same twice", []tar.Header{file("a"), file("a")}, "", map[string]string{"a": "a"}},
		{"absolute", []tar.Header{file("/etc/passwd")}, "/etc/passwd", nil},
		{"above", []tar.Header{file("../a")}, "../a", nil},
		{"above in the middle", []tar.Header{file("a/../../b")}, "a/../../b", nil},
		{"not above, but with ..", []tar.Header{file("a/../b")}, "a/../b", nil},
		{"twice a slash", []tar.Header{file("a//b")}, "a//b", nil},
		{"a backslash", []tar.Header{file(`a\b`)}, `a\b`, nil},
		{"a file that is the folder", []tar.Header{file(".")}, ".", nil},
		{"a link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}}, "a", nil},
		{"a hard link", []tar.Header{file("a"), {Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}}, "b", map[string]string{"a": "a"}},
		{"a character device", []tar.Header{{Typeflag: tar.TypeChar, Name: "a"}}, "a", nil},
		{"a block device", []tar.Header{{Typeflag: tar.TypeBlock, Name: "a"}}, "a", nil},
		{"a pipe", []tar.Header{{Typeflag: tar.TypeFifo, Name: "a"}}, "a", nil},
		{"a name that is too long", []tar.Header{file(strings.Repeat("a/", 600) + "b")}, strings.Repeat("a/", 512), nil},
		{"one too many", []tar.Header{file("1"), file("2"), file("3"), file("4"), file("5")}, "5", map[string]string{"1": "1", "2": "2", "3": "3", "4": "4"}},
		{"too large", []tar.Header{file("1"), {Typeflag: tar.TypeReg, Name: strings.Repeat("2", 101)}}, strings.Repeat("2", 101), map[string]string{"1": "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			into, folder := root(t)
			err := sandbox.Unpack(into, sandboxtest.Files(c.entries...), sandbox.ArchiveLimits{Entries: 4, Bytes: 100})
			refusal, refused := errors.AsType[*sandbox.ArchiveError](err)
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refused != "" && (!refused || refusal.Name != c.refused):
				t.Errorf("%v; want a refusal of %q", err, c.refused)
			}
			if got := unpacked(t, folder); !maps.Equal(got, c.want) {
				t.Errorf("unpacked %q, want %q", got, c.want)
			}
		})
	}
}

// What runs in a sandbox can put a link where something is unpacked next.
func TestI21UnpackFollowsNoLinkOut(t *testing.T) {
	outside := t.TempDir()
	into, folder := root(t)
	if err := os.Symlink(outside, filepath.Join(folder, "out")); err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Unpack(into, sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "out/a"}), sandbox.DefaultLimits); err == nil {
		t.Error("a link that leads out was followed")
	}
	if found := unpacked(t, outside); len(found) != 0 {
		t.Errorf("outside there is %q", found)
	}
}

func TestI21Pack(t *testing.T) {
	from, folder := root(t)
	if err := sandbox.Unpack(from, sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "a/b"}, tar.Header{Typeflag: tar.TypeReg, Name: "c"}), sandbox.DefaultLimits); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("/etc", filepath.Join(folder, "a", "link")), os.Chmod(filepath.Join(folder, "c"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]map[string]string{
		".": {"a/b": "a/b", "c": "c"}, "a": {"b": "a/b"}, "a/b": {"b": "a/b"},
	} {
		var packed bytes.Buffer
		if err := sandbox.Pack(from, at, &packed, sandbox.DefaultLimits); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		got := map[string]string{}
		if err := sandbox.ReadArchive(&packed, sandbox.DefaultLimits, func(e sandbox.Entry) error {
			content, err := io.ReadAll(e.Content)
			if !e.Folder {
				got[e.Name] = string(content)
			}
			if e.Executable != (e.Name == "c") {
				t.Errorf("%s is executable: %t", e.Name, e.Executable)
			}
			return err
		}); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
	if err := sandbox.Pack(from, "a/link", io.Discard, sandbox.DefaultLimits); err == nil {
		t.Error("what a link leads to was packed")
	}
	if err := sandbox.Pack(from, ".", io.Discard, sandbox.ArchiveLimits{Entries: 2, Bytes: 100}); err == nil {
		t.Error("three entries were packed, two are allowed")
	}
	if err := sandbox.Pack(from, ".", io.Discard, sandbox.ArchiveLimits{Entries: 9, Bytes: 3}); err == nil {
		t.Error("four bytes were packed, three are allowed")
	}
}

// FuzzUnpack unpacks anything beside a file that must stay as it is, and copies it.
func FuzzUnpack(f *testing.F) {
	f.Add(sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "a/b"}).Bytes())
	f.Add(sandboxtest.Files(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: ".."}, tar.Header{Typeflag: tar.TypeReg, Name: "a/beside"}).Bytes())
	f.Add(sandboxtest.Files(tar.Header{Typeflag: tar.TypeReg, Name: "../beside"}).Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		folder := t.TempDir()
		if err := errors.Join(os.WriteFile(filepath.Join(folder, "beside"), nil, 0o600), os.Mkdir(filepath.Join(folder, "in"), 0o700)); err != nil {
			t.Fatal(err)
		}
		into, err := os.OpenRoot(filepath.Join(folder, "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = into.Close() }()
		limits := sandbox.ArchiveLimits{Entries: 20, Bytes: 1 << 16}
		_ = sandbox.Unpack(into, bytes.NewReader(archive), limits) // refused or not, nothing is beside
		entries, err := os.ReadDir(folder)
		if beside, _ := os.ReadFile(filepath.Join(folder, "beside")); err != nil || len(entries) != 2 || len(beside) != 0 {
			t.Fatalf("beside it there is %v, %q, %v", entries, beside, err)
		}
		var copied bytes.Buffer
		if err := sandbox.CopyArchive(&copied, bytes.NewReader(archive), limits); err == nil {
			if err := sandbox.CopyArchive(io.Discard, &copied, limits); err != nil {
				t.Errorf("a copy is no good archive: %v", err)
			}
		}
	})
}
