package docker

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/sandbox"
)

// part is what of an archive goes to where one user writes.
type part struct {
	// from is the folder that the archive is for, and to where the part goes: that, or a
	// folder below it.
	from, to string
	// without are folders below, whose part is another.
	without []string
	// workloads is true if the workload's user writes there.
	workloads bool
}

// errNotRead ends the copying of a part that is not read to its end.
var errNotRead = errors.New("nobody reads it any more")

// share divides an archive for the folder among the users who may write there: PID 1's, and
// the workload in the writable folders. There is always a part for the folder itself.
func share(archive io.ReadSeeker, folder string, writable []string) ([]part, error) {
	if within(folder, writable) {
		return []part{{from: folder, to: folder, workloads: true}}, nil
	}
	parts := []part{{from: folder, to: folder}}
	for _, w := range writable {
		if within(w, []string{folder}) {
			parts[0].without = append(parts[0].without, w)
			parts = append(parts, part{from: folder, to: w, workloads: true})
		}
	}
	filled := map[string]bool{folder: true}
	err := each(archive, func(entry sandbox.Entry) error {
		for _, p := range parts[1:] {
			switch at := folder + "/" + entry.Name; {
			case at == p.to && !entry.Folder:
				return &sandbox.ArchiveError{Name: entry.Name, Why: "is a file where the sandbox has a folder that may be written"}
			case within(at, []string{p.to}):
				filled[p.to] = true
			}
		}
		return nil
	})
	return slices.DeleteFunc(parts, func(p part) bool { return !filled[p.to] }), err
}

// copy writes the part as an archive of its own, by names below where it goes.
func (p part) copy(to io.Writer, archive io.ReadSeeker) error {
	w := sandbox.NewArchiveWriter(to)
	err := each(archive, func(entry sandbox.Entry) error {
		name, below := strings.CutPrefix(p.from+"/"+entry.Name, p.to+"/")
		if !below || within(p.to+"/"+name, p.without) {
			return nil
		}
		entry.Name = name
		return w.Add(entry)
	})
	return errors.Join(err, w.Close())
}

// each reads the archive from its beginning.
func each(archive io.ReadSeeker, do func(sandbox.Entry) error) error {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return sandbox.ReadArchive(archive, sandbox.DefaultLimits, do)
}

// within reports whether the path is one of the folders or below it.
func within(at string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return at == f || strings.HasPrefix(at, f+"/") })
}
