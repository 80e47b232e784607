package sandbox

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Checkout copies what GitHub packs of a commit into an archive that a sandbox takes:
// without the folder that GitHub puts around it, and without what is neither a file nor a
// folder. left names those, up to maxLeft of them.
func Checkout(to io.Writer, packed io.Reader, limits ArchiveLimits) (left []string, _ error) {
	unzipped, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("read what GitHub packed: %w", err)
	}
	r, w := tar.NewReader(unzipped), NewArchiveWriter(to)
	within := limits
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return left, w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("read what GitHub packed: %w", err)
		}
		_, inner, below := strings.Cut(strings.TrimSuffix(header.Name, "/"), "/")
		if !below || inner == "" {
			continue // the folder around it, and what git says of the archive
		}
		header.Name = inner
		if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir {
			if left = append(left, inner); len(left) > maxLeft {
				left = append(left[:maxLeft], "…")
			}
			continue
		}
		entry, err := asEntry(header)
		if err != nil {
			return nil, err
		}
		if within, err = within.take(entry); err != nil {
			return nil, err
		}
		entry.Content = r
		if err := w.Add(entry); err != nil {
			return nil, err
		}
	}
}

// maxLeft is how many that are left out are named.
const maxLeft = 20
