package githubsim_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
)

// packed lists what an archive has, in its order.
func packed(t *testing.T, from io.Reader) string {
	t.Helper()
	unzipped, err := gzip.NewReader(from)
	must(t, err)
	var told []string
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(told, ", ")
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		told = append(told, fmt.Sprintf("%c %s %o %s%s", h.Typeflag, h.Name, h.Mode, h.Linkname+string(content), h.PAXRecords["comment"]))
	}
}

func TestArchives(t *testing.T) {
	w := newWorld(t)
	pr := w.pull("topic")
	address, answer, err := w.gh.Repositories.GetArchiveLink(t.Context(), "acme", "castle", github.Tarball, &github.RepositoryContentGetOptions{Ref: pr.HeadSHA()}, 1)
	must(t, err)
	equal(t, "the answer", answer.StatusCode, http.StatusFound)
	client := &http.Client{Transport: w.transport()}
	get := func(at string) (int, string) {
		t.Helper()
		got, err := client.Get(at)
		must(t, err)
		defer func() { _ = got.Body.Close() }()
		if got.StatusCode != http.StatusOK {
			return got.StatusCode, ""
		}
		return got.StatusCode, packed(t, got.Body)
	}
	status, files := get(address.String())
	top := "acme-castle-" + pr.HeadSHA()[:7] + "/"
	equal(t, "the archive", status, http.StatusOK)
	equal(t, "its files", files, strings.ReplaceAll("g pax_global_header 0 "+pr.HeadSHA()+", 5 T 775 , 0 TREADME.md 664 hello\n, 5 Tsrc/ 775 , 0 Tsrc/main.go 664 package main\n, 0 Ttopic.txt 664 new\n", "T", top))
	if status, _ := get(strings.Split(address.String(), "?")[0]); status != http.StatusNotFound {
		t.Errorf("without the word in the address: %d", status)
	}
	w.clock.advance(5 * time.Minute)
	if status, _ := get(address.String()); status != http.StatusNotFound {
		t.Errorf("after five minutes: %d", status)
	}
	_, out := w.do("GET", "/repos/acme/castle/tarball/nothing", w.bearer(w.alice), "")
	equal(t, "a ref of none", at(out, "message"), any("No commit found for the ref nothing"))
}
