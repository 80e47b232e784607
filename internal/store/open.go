package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
)

// Store is the database. [Open] makes one.
type Store struct {
	now func() time.Time
	// writer is one connection, because only one transaction can write at a time.
	// reader is a pool for reading; it is the writer where the database is in
	// memory.
	writer, reader *database
	// lock keeps other processes off the file; nil where there is none to keep.
	lock *flock.Flock
	// server is how to connect to PostgreSQL; nil for SQLite.
	server *pgx.ConnConfig

	// process tells what this process did from what others do and did before it.
	process string

	group group
	// wake and wakeSwitch have room for one token each: see [Store.Wake].
	wake, wakeSwitch chan struct{}
}

// readers is how many connections read side by side.
const readers = 4

// Open opens the database at the URL, creates its tables if there are none, and
// brings its schema up to date. The URL is sqlite:PATH, or sqlite::memory: for a
// private one in memory, or that of a PostgreSQL database, which several
// processes may serve. A file is created with mode 0600, and given it if it has
// another; it is refused while another process has it open. Time is told by now.
// The error is an [*OpenError], one line that says what to do, or ctx's.
func Open(ctx context.Context, databaseURL string, now func() time.Time) (*Store, error) {
	s := &Store{now: now, process: rand.Text(), wake: make(chan struct{}, 1), wakeSwitch: make(chan struct{}, 1), group: newGroup()}
	err := s.open(ctx, databaseURL)
	go s.writeGroups()
	if err == nil {
		err = s.migrate(ctx)
	}
	if err == nil {
		err = s.forgetClaims(ctx)
	}
	if err != nil {
		return nil, errors.Join(explain(place(databaseURL), err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, databaseURL string) error {
	scheme, path, found := strings.Cut(databaseURL, ":")
	switch {
	case !found:
		return &OpenError{Problem: "the database url has no scheme", Remedy: whichURL}
	case scheme == "sqlite":
		return s.openFile(ctx, path)
	case scheme == "postgres", scheme == "postgresql":
		return s.openServer(ctx, databaseURL)
	default:
		return &OpenError{Problem: fmt.Sprintf("the database url's scheme %q is not supported", scheme), Remedy: whichURL}
	}
}

// OpenRecorded opens a database that a server may be serving, for reading
// alone. It neither creates nor changes anything, and what would write fails.
// Where there is no file, nothing was recorded, and found is false.
func OpenRecorded(ctx context.Context, databaseURL string, now func() time.Time) (s *Store, found bool, err error) {
	s = &Store{now: now, wake: make(chan struct{}, 1), wakeSwitch: make(chan struct{}, 1), group: newGroup()}
	close(s.group.ended)
	close(s.group.closing)
	scheme, path, _ := strings.Cut(databaseURL, ":")
	if scheme == "sqlite" {
		found, err = s.openFileToRead(ctx, path)
	} else {
		found, err = true, s.open(ctx, databaseURL)
	}
	if err == nil && found {
		err = s.checkSchema(ctx)
	}
	if err != nil || !found {
		return nil, false, errors.Join(explain(place(databaseURL), err), s.closeConnections())
	}
	return s, true, nil
}

// whichURL does not repeat what is wrong: it may hold a password.
const whichURL = "write sqlite:PATH, for example sqlite:/var/lib/portcullis/portcullis.db, or postgres://HOST/DATABASE"

// place names the database for people; empty if the URL names none.
func place(databaseURL string) string {
	scheme, path, _ := strings.Cut(databaseURL, ":")
	switch scheme {
	case "sqlite":
		return path
	case "postgres", "postgresql":
		return serverPlace(databaseURL)
	default:
		return ""
	}
}

// OpenError says in one line why there is no database and what to do about it.
type OpenError struct {
	// Path is the file, or the server and its database; empty if it did not come
	// to one.
	Path            string
	Problem, Remedy string
	// Err is what it came from; may be nil.
	Err error
}

func (e *OpenError) Error() string {
	line := "open the database"
	if e.Path != "" {
		line += " " + e.Path
	}
	line += ": " + e.Problem
	if e.Remedy != "" {
		line += "; " + e.Remedy
	}
	return line
}

// Unwrap returns what the error came from.
func (e *OpenError) Unwrap() error { return e.Err }

// explain makes an [*OpenError] of what the system, the database or a migration
// said; of nil, nil.
func explain(path string, err error) error {
	if err == nil {
		return nil
	}
	if already, ok := errors.AsType[*OpenError](err); ok {
		if already.Path == "" {
			already.Path = path
		}
		return already
	}
	explained := &OpenError{Path: path, Problem: oneLine(err), Err: err}
	var newer *NewerSchemaError
	switch {
	case errors.As(err, &newer), errors.Is(err, context.Canceled):
	case explained.explainFile(err), explained.explainServer(err):
	}
	return explained
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Close waits for what is being written and ends all connections. Work that this
// process has claimed in a file is given back by the next [Open]; in PostgreSQL,
// once its lease ends. It may be called twice.
func (s *Store) Close() error {
	select {
	case <-s.group.closing:
	default:
		close(s.group.closing)
	}
	<-s.group.ended
	return s.closeConnections()
}

func (s *Store) closeConnections() error {
	var errs []error
	if s.reader != nil && s.reader != s.writer {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Unlock())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// Ping writes to the database, all the way to the disk: nil means that a fact
// can be kept.
func (s *Store) Ping(ctx context.Context) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO pings (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at`, s.now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("write to the database: %w", err)
	}
	return nil
}
