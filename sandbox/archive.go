package sandbox

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// ArchiveLimits bound an archive: what is small when packed can fill a disk.
type ArchiveLimits struct {
	Entries int
	// Bytes is what all files have together.
	Bytes int64
}

// DefaultLimits are those of archives that go into a sandbox and come out of it.
var DefaultLimits = ArchiveLimits{Entries: 100_000, Bytes: 1 << 30}

// take is what is left of the limits after one more entry.
func (l ArchiveLimits) take(entry Entry) (ArchiveLimits, error) {
	l.Entries--
	l.Bytes -= entry.Size
	switch {
	case l.Entries < 0:
		return l, &ArchiveError{entry.Name, "is one entry too many"}
	case l.Bytes < 0:
		return l, &ArchiveError{entry.Name, "is too large, with all before it"}
	default:
		return l, nil
	}
}

// maxPath is how long a name in an archive may be, in bytes.
const maxPath = 1024

// ArchiveError is returned for an archive that is not unpacked, and for what is not
// packed. Name is the entry's.
type ArchiveError struct{ Name, Why string }

func (e *ArchiveError) Error() string { return strconv.Quote(e.Name) + " in the archive " + e.Why }

// Entry is a file or a folder in an archive. Its name is relative and clean, and stays
// below where it is unpacked.
type Entry struct {
	Name       string
	Folder     bool
	Executable bool
	// Size is how many bytes Content has; a folder has none.
	Size    int64
	Content io.Reader
}

// ReadArchive calls each for every entry of a tar archive. An entry that is anything but
// a file or a folder with a good name, or one too many, ends it with an [*ArchiveError].
func ReadArchive(archive io.Reader, limits ArchiveLimits, each func(Entry) error) error {
	r := tar.NewReader(archive)
	left := limits
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		entry, err := asEntry(header)
		if err != nil {
			return err
		}
		if left, err = left.take(entry); err != nil {
			return err
		}
		if entry.Name == "." {
			continue
		}
		entry.Content = r
		if err := each(entry); err != nil {
			return err
		}
	}
}

// asEntry judges the name as it is written: one with .. in it is a trick also where it
// stays below.
func asEntry(header *tar.Header) (Entry, error) {
	written := strings.TrimSuffix(strings.TrimPrefix(header.Name, "./"), "/")
	if written == "" && header.Typeflag == tar.TypeDir {
		written = "."
	}
	switch {
	case len(written) > maxPath:
		return Entry{}, &ArchiveError{header.Name[:maxPath], "has too long a name"}
	case !fs.ValidPath(written) || strings.ContainsAny(written, "\\\x00"):
		return Entry{}, &ArchiveError{header.Name, "has a name that is no plain relative path"}
	case header.Typeflag == tar.TypeDir:
		return Entry{Name: written, Folder: true}, nil
	case header.Typeflag == tar.TypeReg && written != ".":
		return Entry{Name: written, Size: header.Size, Executable: header.Mode&0o111 != 0}, nil
	default:
		return Entry{}, &ArchiveError{header.Name, "is neither a file nor a folder"}
	}
}

// CopyArchive copies an archive from whom nobody trusts: nothing is left in it but names
// and contents.
func CopyArchive(to io.Writer, from io.Reader, limits ArchiveLimits) error {
	w := NewArchiveWriter(to)
	if err := ReadArchive(from, limits, w.Add); err != nil {
		return err
	}
	return w.Close()
}

// Unpack unpacks an archive below root. What is there already is written over; a link
// that leads out of root is not followed.
func Unpack(root *os.Root, archive io.Reader, limits ArchiveLimits) error {
	return ReadArchive(archive, limits, func(entry Entry) error {
		if entry.Folder {
			return root.MkdirAll(entry.Name, folderMode)
		}
		if err := root.MkdirAll(path.Dir(entry.Name), folderMode); err != nil {
			return err
		}
		file, err := root.OpenFile(entry.Name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, entry.mode())
		if err != nil {
			return err
		}
		_, err = io.Copy(file, entry.Content)
		return errors.Join(err, file.Close())
	})
}

// Pack packs the file or the folder at name below root. What is neither is left out.
func Pack(root *os.Root, name string, archive io.Writer, limits ArchiveLimits) error {
	w := NewArchiveWriter(archive)
	base := name
	if info, err := root.Lstat(name); err != nil {
		return err
	} else if !info.IsDir() {
		base = path.Dir(name)
	}
	left := limits
	err := fs.WalkDir(root.FS(), name, func(at string, found fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative := strings.TrimPrefix(strings.TrimPrefix(at, base), "/")
		if base == "." {
			relative = at
		}
		if relative == "" || relative == "." {
			return nil
		}
		info, err := found.Info()
		if err != nil {
			return err
		}
		if !info.IsDir() && !info.Mode().IsRegular() {
			return nil
		}
		entry := Entry{Name: relative, Folder: info.IsDir()}
		if !entry.Folder {
			entry.Size, entry.Executable = info.Size(), info.Mode()&0o111 != 0
		}
		if left, err = left.take(entry); err != nil {
			return err
		}
		if entry.Folder {
			return w.Add(entry)
		}
		file, err := root.Open(at)
		if err != nil {
			return err
		}
		entry.Content = file
		return errors.Join(w.Add(entry), file.Close())
	})
	return errors.Join(err, w.Close())
}

const (
	folderMode     = 0o755
	fileMode       = 0o644
	executableMode = 0o755
)

func (e Entry) mode() fs.FileMode {
	if e.Folder || e.Executable {
		return executableMode
	}
	return fileMode
}

// ArchiveWriter packs entries that all look alike: of one time, and nobody's.
type ArchiveWriter struct{ tar *tar.Writer }

// NewArchiveWriter returns one that writes to w.
func NewArchiveWriter(w io.Writer) *ArchiveWriter { return &ArchiveWriter{tar.NewWriter(w)} }

// Add adds an entry. A file whose content has less than its size is an error.
func (a *ArchiveWriter) Add(entry Entry) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: entry.Name, Mode: int64(entry.mode()), Size: entry.Size, ModTime: time.Unix(0, 0)}
	if entry.Folder {
		header.Typeflag, header.Name, header.Size = tar.TypeDir, entry.Name+"/", 0
	}
	if err := a.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("pack %q: %w", entry.Name, err)
	}
	if entry.Folder {
		return nil
	}
	if _, err := io.CopyN(a.tar, entry.Content, entry.Size); err != nil {
		return fmt.Errorf("pack %q: %w", entry.Name, err)
	}
	return nil
}

// Close ends the archive.
func (a *ArchiveWriter) Close() error { return a.tar.Close() }
