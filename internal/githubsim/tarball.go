package githubsim

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// packedPath is where archives are handed out: at GitHub another host, which takes the word in the address and no token.
const packedPath = "/codeload/"

// packedFor is how long the address of a private repository's archive is good, as documented.
const packedFor = 5 * time.Minute

// packed is an archive that somebody was sent to.
type packed struct {
	repo  *Repository
	at    *commit
	until time.Time
}

// serveTarball sends to the archive of a commit.
func serveTarball(c *call) error {
	at, err := c.commitAt(c.params["ref"])
	if err != nil {
		return err
	}
	word := rand.Text()
	c.sim.packed[word] = packed{c.repo, at, c.sim.now().Add(packedFor)}
	c.header.Set("Location", fmt.Sprintf("%s%s%s/legacy.tar.gz/%s?token=%s", c.sim.base, packedPath, c.repo.fullName(), at.sha, word))
	return c.reply(http.StatusFound, nil)
}

// asksArchive reports whether the request is for an archive.
func asksArchive(req *http.Request) bool { return strings.HasPrefix(req.URL.Path, packedPath) }

// serveArchive is the archive itself.
func serveArchive(c *call) error {
	found, known := c.sim.packed[c.query.Get("token")]
	if c.req.Method != http.MethodGet || !known || !c.sim.now().Before(found.until) {
		return notFound()
	}
	content, err := found.pack()
	if err != nil {
		return err
	}
	c.raw = content
	c.header.Set("Content-Type", "application/x-gzip")
	return c.reply(http.StatusOK, nil)
}

// pack is what git archive makes: a comment with the commit, one folder around everything, an empty folder for a submodule.
func (p packed) pack() ([]byte, error) {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	top := strings.ReplaceAll(p.repo.fullName(), "/", "-") + "-" + p.at.sha[:7] + "/"
	headers := []tar.Header{
		{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": p.at.sha}},
		{Typeflag: tar.TypeDir, Name: top, Mode: 0o775},
	}
	folders := map[string]bool{}
	contents := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(p.at.files)) {
		for i, r := range name {
			if folder := name[:i]; r == '/' && !folders[folder] {
				folders[folder] = true
				headers = append(headers, tar.Header{Typeflag: tar.TypeDir, Name: top + folder + "/", Mode: 0o775})
			}
		}
		b := p.at.files[name]
		switch b.mode {
		case modeSubmodule:
			headers = append(headers, tar.Header{Typeflag: tar.TypeDir, Name: top + name + "/", Mode: 0o775})
		case modeSymlink:
			headers = append(headers, tar.Header{Typeflag: tar.TypeSymlink, Name: top + name, Linkname: b.content, Mode: 0o777})
		default:
			mode := int64(0o664)
			if b.mode == modeExecutable {
				mode = 0o775
			}
			contents[top+name] = b.content
			headers = append(headers, tar.Header{Typeflag: tar.TypeReg, Name: top + name, Size: int64(len(b.content)), Mode: mode})
		}
	}
	for _, h := range headers {
		if h.Typeflag != tar.TypeXGlobalHeader {
			h.ModTime = p.at.at
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(contents[h.Name])); err != nil {
			return nil, err
		}
	}
	err := errors.Join(w.Close(), zipped.Close())
	return b.Bytes(), err
}
