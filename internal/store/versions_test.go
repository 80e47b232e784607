package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/postgrestest"
	"github.com/portcullis-app/portcullis/internal/store"
)

func TestASecondProcessOnTheSameFileIsRefused(t *testing.T) {
	d := newFile(t)
	_, err := store.Open(t.Context(), d.url, d.clock.Now)
	if _, ok := errors.AsType[*store.OpenError](err); !ok || !strings.Contains(err.Error(), "another process serves it; stop that process first") {
		t.Errorf("opened a second time: %v", err)
	}
	// The first goes on, and whoever only reads may look.
	must(t, d.Evaluate(t.Context(), pullRequest(7)))
	recorded, found, err := store.OpenRecorded(t.Context(), d.url, d.clock.Now)
	must(t, err)
	if backlog, err := recorded.Backlog(t.Context()); !found || err != nil || backlog != 1 {
		t.Errorf("read %d pieces of work, %v", backlog, err)
	}
	if err := recorded.Ping(t.Context()); err == nil {
		t.Error("a reader can write")
	}
	must(t, recorded.Close())
	d.reopen(t)
}

func TestReadingWhatIsNotThere(t *testing.T) {
	_, found, err := store.OpenRecorded(t.Context(), "sqlite:"+t.TempDir()+"/none.db", newClock().Now)
	if found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

// Replicas of two versions work side by side while the newer schema says that the
// older one may.
func TestANewerSchemaThatAdmitsThisBinary(t *testing.T) {
	onEach(t, func(t *testing.T, newDatabase func(*testing.T) *database) {
		d := newDatabase(t)
		applied := "1"
		if d.path == "" {
			applied = "true"
		}
		d.edit(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, `+applied+`)`)
		d.reopen(t)
		must(t, d.Evaluate(t.Context(), pullRequest(7)))
		d.claim(t)
		d.edit(t, `UPDATE schema_compatibility SET oldest = 1000`)
		d.close(t)
		_, err := store.Open(t.Context(), d.url, d.clock.Now)
		if newer, ok := errors.AsType[*store.NewerSchemaError](err); !ok || newer.Schema != 1000 {
			t.Errorf("opened a database that does not admit it: %v", err)
		}
	})
}

// Replicas that start together, on a database that one of them has to make first.
func TestReplicasThatStartTogether(t *testing.T) {
	url := postgrestest.Shared(t).Database(t)
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			s, err := store.Open(t.Context(), url, time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if err := s.Accept(t.Context(), fmt.Sprint(i), "push", pullRequest(i+1), gate.UrgencyPeople, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A deliverer that is told no can say so: a database that is gone is an error soon.
func TestAServerThatIsGone(t *testing.T) {
	server := postgrestest.Start(t)
	s, err := store.Open(t.Context(), server.Database(t), time.Now)
	must(t, err)
	defer s.Close()
	accept := func(id string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		return s.Accept(ctx, id, "push", pullRequest(7), gate.UrgencyPeople, nil)
	}
	must(t, accept("before"))
	server.Kill()
	if err := accept("while it is gone"); err == nil {
		t.Error("accepted without a database")
	}
	server.Resume()
	var again error
	for range 10 { // connections from before are found to be dead one by one
		if again = accept("after"); again == nil {
			break
		}
	}
	must(t, again)
	deliveries, err := s.Deliveries(t.Context(), "pr:11#7")
	must(t, err)
	if len(deliveries) != 2 || deliveries[0].ID != "before" || deliveries[1].ID != "after" {
		t.Errorf("the deliveries are %v", deliveries)
	}
}

func TestOpenErrorsOfAServer(t *testing.T) {
	server := postgrestest.Shared(t)
	address := fmt.Sprintf("127.0.0.1:%d", server.Port)
	for name, test := range map[string]struct {
		url  string
		want []string
	}{
		"nobody there": {"postgres://root:hunter2@127.0.0.1:1/p", []string{"p on 127.0.0.1:1", "cannot be reached", "check that it runs"}},
		"no database":  {"postgres://postgres:hunter2@" + address + "/none", []string{"none on " + address, "create the database first"}},
		"no such user": {"postgres://nobody-here:hunter2@" + address + "/postgres", []string{"check the user and the password"}},
		"no url":       {"postgres://root:hunter2@db:port/p", []string{"cannot be understood", "write sqlite:PATH"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), test.url, newClock().Now)
			if _, ok := errors.AsType[*store.OpenError](err); !ok {
				t.Fatalf("the error is %v", err)
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

// A file of the version before keeps its work.
func TestAnOlderSchemaIsBroughtUpToDate(t *testing.T) {
	d := engines["sqlite"](t)
	db, err := sql.Open("sqlite", d.path)
	must(t, err)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations/sqlite"))
	must(t, err)
	_, err = provider.UpTo(t.Context(), 3)
	must(t, err)
	_, err = db.ExecContext(t.Context(), `
		INSERT INTO work (work_key, installation, repository_id, owner, name, number, want, done, wanted_at, due_at, attempts, reason)
		VALUES ('pr:11#7', 5, 11, 'acme', 'shop', 7, 2, 1, 1000, 1000, 0, '')`)
	must(t, errors.Join(err, db.Close()))
	d = opened(t, d)
	if work := d.claim(t); work.Ref != pullRequest(7) || work.Want != 2 {
		t.Errorf("claimed %+v", work)
	}
}

// A newer replica brings the schema up to date while this one works.
func TestTheSchemaChangesUnderLoad(t *testing.T) {
	url := postgrestest.Shared(t).Database(t)
	older, err := store.Open(t.Context(), url, time.Now)
	must(t, err)
	defer older.Close()
	newer, err := store.Open(t.Context(), url, time.Now)
	must(t, err)
	defer newer.Close()
	loading, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var accepted [4]int
	for sender := range accepted {
		all.Go(func() {
			for loading.Err() == nil {
				ref := pullRequest(sender + 1)
				if err := older.Accept(t.Context(), fmt.Sprint(sender, "-", accepted[sender]), "push", ref, gate.UrgencyPeople, nil); err != nil {
					t.Error(err)
					return
				}
				accepted[sender]++
				if work, ok, err := older.Claim(t.Context(), fmt.Sprintf("pr:11#%d", ref.Number)); err != nil {
					t.Error(err)
				} else if ok {
					if err := older.Done(t.Context(), work, nil); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for _, statement := range []string{
		`ALTER TABLE work ADD COLUMN future BIGINT NOT NULL DEFAULT 7`, `ALTER TABLE deliveries ADD COLUMN future TEXT`,
		`ALTER TABLE decisions ADD COLUMN future TEXT NOT NULL DEFAULT ''`, `CREATE INDEX work_future ON work (future)`,
		`CREATE TABLE futures (id BIGINT NOT NULL PRIMARY KEY)`,
	} {
		must(t, newer.Exec(t.Context(), statement))
	}
	must(t, newer.Ping(t.Context()))
	stop()
	all.Wait()
	for sender, n := range accepted {
		deliveries, err := newer.Deliveries(t.Context(), fmt.Sprintf("pr:11#%d", sender+1))
		must(t, err)
		if len(deliveries) != n || n == 0 {
			t.Errorf("%d were accepted and %d are there", n, len(deliveries))
		}
	}
}
