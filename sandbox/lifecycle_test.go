package sandbox_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/sandboxtest"
)

func TestLabelsTellAll(t *testing.T) {
	at := time.Date(2026, time.November, 30, 12, 0, 0, 123456789, time.UTC)
	spec := sandboxtest.Spec("x")
	spec.ID = "pc-1"
	want := spec.Instance("docker", at)
	labels := want.Labels(12345)
	got, err := sandbox.FromLabels(labels)
	got.Provider, got.Status = want.Provider, want.Status
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for name := range labels {
		broken := maps.Clone(labels)
		broken[name] = "???"
		is, err := sandbox.FromLabels(broken)
		text := map[string]bool{"portcullis.owner": true, "portcullis.repository": true, "portcullis.head": true, "portcullis.policy": true, "portcullis.requested-by": true, "portcullis.by-agent": true, sandbox.LabelApp: true}[name]
		if (err == nil) != text {
			t.Errorf("%s: %+v, %v", name, is, err)
		}
		if err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("the fault %v does not name %s", err, name)
		}
	}
	if is, err := sandbox.FromLabels(nil); err == nil || sandbox.Overdue(is, at) == "" {
		t.Errorf("without labels: %+v, %v", is, err)
	}
}

func TestWhatIsOverdue(t *testing.T) {
	at := time.Date(2026, time.November, 30, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		is      sandbox.Instance
		overdue bool
	}{
		"it runs":                {sandbox.Instance{For: shop, Status: sandbox.StatusRunning, CreatedAt: at.Add(-time.Hour), Deadline: at.Add(time.Nanosecond)}, false},
		"its deadline":           {sandbox.Instance{For: shop, Status: sandbox.StatusRunning, CreatedAt: at.Add(-time.Hour), Deadline: at}, true},
		"it is being started":    {sandbox.Instance{For: shop, Status: sandbox.StatusIdle, CreatedAt: at.Add(-time.Minute), Deadline: at.Add(time.Hour)}, false},
		"it was never started":   {sandbox.Instance{For: shop, Status: sandbox.StatusIdle, CreatedAt: at.Add(-time.Minute - 1), Deadline: at.Add(time.Hour)}, true},
		"it takes longer":        {sandbox.Instance{For: shop, Status: sandbox.StatusIdle, CreatedAt: at.Add(-2 * time.Minute), StartBy: at, Deadline: at.Add(time.Hour)}, false},
		"it takes too long":      {sandbox.Instance{For: shop, Status: sandbox.StatusIdle, CreatedAt: at.Add(-2 * time.Minute), StartBy: at.Add(-1), Deadline: at.Add(time.Hour)}, true},
		"it has ended":           {sandbox.Instance{For: shop, Status: sandbox.StatusTerminated, CreatedAt: at.Add(-time.Hour), Deadline: at.Add(time.Hour)}, true},
		"nobody knows its state": {sandbox.Instance{For: shop, Status: sandbox.StatusError, CreatedAt: at.Add(-time.Hour), Deadline: at.Add(time.Hour)}, true},
		"it has no deadline":     {sandbox.Instance{For: shop, Status: sandbox.StatusRunning, CreatedAt: at.Add(-time.Hour)}, true},
		"it is nobody's":         {sandbox.Instance{Status: sandbox.StatusRunning, CreatedAt: at.Add(-time.Hour), Deadline: at.Add(time.Hour)}, true},
	} {
		if why := sandbox.Overdue(c.is, at); (why != "") != c.overdue {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestIDs(t *testing.T) {
	if one, other := sandbox.IDFor("comment:1:0"), sandbox.IDFor("comment:1:1"); one == other || one != sandbox.IDFor("comment:1:0") || !sandbox.ValidID(one) {
		t.Errorf("%s, %s", one, other)
	}
	if one, other := sandbox.NewID(), sandbox.NewID(); one == other || !sandbox.ValidID(one) {
		t.Errorf("%s, %s", one, other)
	}
}

// FuzzValidID: what may be an id can stand in a name, a path, a label and a shell.
func FuzzValidID(f *testing.F) {
	for _, id := range []string{"pc-1", "", "-a", "a/b", "A", "a b", strings.Repeat("a", 41)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		harmless := id != "" && len(id) <= 40 && id[0] != '-' && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
		if sandbox.ValidID(id) != harmless {
			t.Errorf("%q: %t", id, !harmless)
		}
	})
}

// I3: what no provider could enforce is no request.
func TestI3WhatIsNoRequest(t *testing.T) {
	for field, change := range map[string]func(*sandbox.Spec){
		"id":            func(s *sandbox.Spec) { s.ID = "A" },
		"constraints":   func(s *sandbox.Spec) { s.Constraints.MemoryMB = -1 },
		"timeout":       func(s *sandbox.Spec) { s.Constraints.Timeout = 25 * time.Hour },
		"network":       func(s *sandbox.Spec) { s.Constraints.Network = "all" },
		"egress":        func(s *sandbox.Spec) { s.Constraints.Egress = []string{"example.com"} },
		"allowed_paths": func(s *sandbox.Spec) { s.Constraints.AllowedPaths = []string{"/etc"} },
	} {
		spec := sandboxtest.Spec("")
		spec.ID = "pc-1"
		if err := spec.Check(); err != nil {
			t.Fatal(err)
		}
		change(&spec)
		invalid, is := errors.AsType[*sandbox.InvalidError](spec.Check())
		if !is || invalid.Field != field {
			t.Errorf("%s: %v", field, spec.Check())
		}
	}
	for path, allowed := range map[string]bool{
		"/workspace": true, "/workspace/a/b": true, "/workspace/": false, "/workspace/../etc": false, "/workspace/./a": false, "/workspaces": false, "workspace": false, "/": false, "": false,
		"/workspace/a,b": false, "/workspace/a:b": false, "/workspace/a\nb": false, "/workspace/a\\b": false,
	} {
		spec := sandboxtest.Spec("")
		spec.ID, spec.Constraints.AllowedPaths = "pc-1", []string{path}
		if err := spec.Check(); (err == nil) != allowed {
			t.Errorf("%q: %v", path, err)
		}
	}
	if got := (sandbox.SandboxConstraints{AllowedPaths: []string{"/workspace/b", "/workspace/a/c", "/workspace/a", "/workspace/a"}}).Writable(); fmt.Sprint(got) != "[/workspace/a /workspace/b]" {
		t.Errorf("writable: %v", got)
	}
}

// zipped is an archive as GitHub packs one.
func zipped(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(sandboxtest.Files(headers...).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestI21Checkout(t *testing.T) {
	into, folder := root(t)
	var files bytes.Buffer
	left, err := sandbox.Checkout(&files, zipped(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "abc"}},
		tar.Header{Typeflag: tar.TypeDir, Name: "acme-shop-abc/"}, tar.Header{Typeflag: tar.TypeReg, Name: "acme-shop-abc/README.md"},
		tar.Header{Typeflag: tar.TypeDir, Name: "acme-shop-abc/sub/"}, tar.Header{Typeflag: tar.TypeSymlink, Name: "acme-shop-abc/link", Linkname: "/etc/passwd"},
	), sandbox.DefaultLimits)
	if err != nil || fmt.Sprint(left) != "[link]" {
		t.Fatalf("left out: %v, %v", left, err)
	}
	if err := sandbox.Unpack(into, &files, sandbox.DefaultLimits); err != nil {
		t.Fatal(err)
	}
	if got, want := unpacked(t, folder), map[string]string{"README.md": "acme-shop-abc/README.md", "sub": "/"}; !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, packed := range map[string]*bytes.Buffer{
		"above":       zipped(t, tar.Header{Typeflag: tar.TypeReg, Name: "x/../../a"}),
		"not packed":  bytes.NewBufferString("hello"),
		"cut":         bytes.NewBuffer(zipped(t, tar.Header{Typeflag: tar.TypeReg, Name: "x/a"}).Bytes()[:40]),
		"one too big": zipped(t, tar.Header{Typeflag: tar.TypeReg, Name: "x/" + strings.Repeat("a", 200)}),
	} {
		if _, err := sandbox.Checkout(&bytes.Buffer{}, packed, sandbox.ArchiveLimits{Entries: 9, Bytes: 100}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	many := make([]tar.Header, 0, 30)
	for i := range 30 {
		many = append(many, tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprintf("x/%02d", i), Linkname: "y"})
	}
	if left, err := sandbox.Checkout(&bytes.Buffer{}, zipped(t, many...), sandbox.DefaultLimits); err != nil || len(left) != 21 || left[20] != "…" {
		t.Errorf("%d are named: %v, %v", len(left), left, err)
	}
}

func FuzzCheckout(f *testing.F) {
	f.Add(zipped(f, tar.Header{Typeflag: tar.TypeReg, Name: "x/a"}).Bytes())
	f.Fuzz(func(t *testing.T, packed []byte) {
		limits := sandbox.ArchiveLimits{Entries: 20, Bytes: 1 << 16}
		var files bytes.Buffer
		if _, err := sandbox.Checkout(&files, bytes.NewReader(packed), limits); err != nil {
			return
		}
		if err := sandbox.ReadArchive(&files, limits, func(sandbox.Entry) error { return nil }); err != nil {
			t.Errorf("what was checked out is no good archive: %v", err)
		}
	})
}

// A switch reaches what was started under a name that its owner has no more.
func TestWhatASwitchReaches(t *testing.T) {
	is := sandboxtest.Spec("").Instance("docker", time.Now())
	place := func(change func(*killswitch.Scope)) killswitch.Scope {
		scope := is.For
		change(&scope)
		return scope
	}
	for name, c := range map[string]struct {
		scope killswitch.Scope
		in    bool
	}{
		"itself":                     {is.For, true},
		"its repository":             {place(func(s *killswitch.Scope) { s.Number, s.Agents = 0, false }), true},
		"its repository renamed":     {place(func(s *killswitch.Scope) { s.Number, s.Repository.Owner, s.Repository.Name = 0, "new", "other" }), true},
		"its organization renamed":   {killswitch.Organization("new", is.For.Repository.Installation), true},
		"another organization":       {killswitch.Organization("new", 99), false},
		"another of the same name":   {killswitch.Organization("acme", 99), true},
		"another repository":         {place(func(s *killswitch.Scope) { s.Repository.ID = 99 }), false},
		"another pull request":       {place(func(s *killswitch.Scope) { s.Number = 99 }), false},
		"agents in its organization": {killswitch.Scope{Repository: policy.Repository{Owner: "acme", Installation: 5}, Agents: true}, true},
	} {
		if is.In(c.scope) != c.in {
			t.Errorf("%s: %t", name, !c.in)
		}
	}
}
