package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/store"
)

func TestOpenFaults(t *testing.T) {
	for name, test := range map[string]struct {
		// url is told the test's folder.
		url  func(*testing.T, string) string
		want []string
	}{
		"no scheme":      {func(*testing.T, string) string { return "portcullis.db" }, []string{"no scheme", "write sqlite:PATH"}},
		"another scheme": {func(*testing.T, string) string { return "mysql://root:hunter2@db/portcullis" }, []string{`"mysql"`, "write sqlite:PATH"}},
		"no path":        {func(*testing.T, string) string { return "sqlite:" }, []string{"names no file", "write sqlite:PATH"}},
		"no folder": {
			func(_ *testing.T, folder string) string { return "sqlite:" + folder + "/missing/p.db" },
			[]string{"missing does not exist", "create it"},
		},
		"a folder": {func(_ *testing.T, folder string) string { return "sqlite:" + folder }, []string{"not a file", "name a file"}},
		"read-only": {func(t *testing.T, folder string) string {
			must(t, os.WriteFile(folder+"/p.db", nil, 0o400))
			return "sqlite:" + folder + "/p.db"
		}, []string{"cannot be written", "write access"}},
		"no database": {func(t *testing.T, folder string) string {
			must(t, os.WriteFile(folder+"/p.db", []byte(strings.Repeat("this is a letter\n", 100)), 0o600))
			return "sqlite:" + folder + "/p.db"
		}, []string{"not an SQLite database", "name another file"}},
		"newer schema": {newerSchema, []string{"version 1000 and this binary knows 10", "run the newer Portcullis"}},
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := store.Open(t.Context(), test.url(t, t.TempDir()), newClock().Now)
			if err == nil {
				must(t, opened.Close())
				t.Fatal("it was opened")
			}
			if _, ok := errors.AsType[*store.OpenError](err); !ok {
				t.Errorf("the error is a %T", err)
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error is %q", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error is %q and lacks %q", err, part)
				}
			}
		})
	}
}

func newerSchema(t *testing.T, folder string) string {
	d := newFile(t)
	d.edit(t, `UPDATE schema_compatibility SET oldest = 1000`)
	d.edit(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, 1)`)
	d.close(t)
	content, err := os.ReadFile(d.path)
	must(t, err)
	must(t, os.WriteFile(folder+"/p.db", content, 0o600))
	return "sqlite:" + folder + "/p.db"
}

// edit does to the database what somebody with a shell can.
func (d *database) edit(t *testing.T, statement string) {
	t.Helper()
	must(t, d.Exec(t.Context(), statement))
}

func TestNewerSchemaErrorIsTyped(t *testing.T) {
	_, err := store.Open(t.Context(), newerSchema(t, t.TempDir()), newClock().Now)
	var newer *store.NewerSchemaError
	if !errors.As(err, &newer) || newer.Schema != 1000 {
		t.Errorf("the error is %v", err)
	}
}

func TestFileModeIs0600(t *testing.T) {
	d := newFile(t)
	must(t, d.Ping(t.Context()))
	files, err := filepath.Glob(d.path + "*")
	must(t, err)
	if len(files) < 2 {
		t.Errorf("the files are %v; where is the write-ahead log?", files)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	d.close(t)
	must(t, os.Chmod(d.path, 0o644))
	d.open(t)
	if info, err := os.Stat(d.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after it was opened again: %v, %v", info.Mode(), err)
	}
}

func TestPathWithSpecialCharacters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50% of #1?mode=ro&x.db")
	opened, err := store.Open(t.Context(), "sqlite:"+path, newClock().Now)
	must(t, err)
	must(t, errors.Join(opened.Ping(t.Context()), opened.Close(), opened.Close()))
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the file is elsewhere: %v", err)
	}
}

func TestInMemoryDatabasesArePrivate(t *testing.T) {
	one, err := store.Open(t.Context(), "sqlite::memory:", newClock().Now)
	must(t, err)
	defer one.Close()
	other, err := store.Open(t.Context(), "sqlite::memory:", newClock().Now)
	must(t, err)
	defer other.Close()
	must(t, one.Evaluate(t.Context(), pullRequest(7)))
	if _, found, err := other.Claim(t.Context(), "pr:11#7"); found || err != nil {
		t.Errorf("the other has the work: %v, %v", found, err)
	}
	if _, err := os.Stat(":memory:"); err == nil {
		t.Error("there is a file of that name")
	}
}

func TestPing(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		must(t, d.Ping(t.Context()))
		must(t, d.Ping(t.Context()))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Ping(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
		if err := d.Accept(ended, "d1", "push", pullRequest(7), gate.UrgencyPeople, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("accepted with an ended context: %v", err)
		}
		must(t, d.Ping(t.Context()))
		must(t, d.Close())
		if err := d.Ping(t.Context()); err == nil {
			t.Error("a closed database can be written")
		}
	})
}
