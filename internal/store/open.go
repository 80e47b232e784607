package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Store is the database. [Open] makes one.
type Store struct {
	now func() time.Time
	// writer has one connection, on which every transaction is immediate. reader
	// is a pool for reading; it is the writer where the database is in memory.
	writer, reader *database

	group  group
	claims claims
	wake   chan struct{}
}

// readers is how many connections read side by side.
const readers = 4

// busyTimeout is how long a transaction waits for another process, a command
// line beside the server, to finish its own.
const busyTimeout = 5 * time.Second

// inMemory is the path of a database that is gone when it is closed.
const inMemory = ":memory:"

// Open opens the database at the URL, creates it if there is none, and brings
// its schema up to date. The URL is sqlite:PATH, or sqlite::memory: for a
// private one in memory. The file is created with mode 0600, and given it if it
// has another. Time is told by now. The error is an [*OpenError], one line that
// says what to do, or ctx's.
func Open(ctx context.Context, databaseURL string, now func() time.Time) (*Store, error) {
	path, err := pathOf(databaseURL)
	if err != nil {
		return nil, err
	}
	if path != inMemory {
		if path, err = prepareFile(path); err != nil {
			return nil, err
		}
	}
	s := &Store{now: now, wake: make(chan struct{}, 1)}
	s.group.turn = make(chan struct{}, 1)
	s.claims.held = map[string]int64{}
	if err := s.connect(ctx, path); err != nil {
		return nil, errors.Join(explain(path, err), s.Close())
	}
	return s, nil
}

// pathOf takes the URL apart. What is not understood is not repeated: it may
// hold a password.
func pathOf(databaseURL string) (string, error) {
	scheme, path, found := strings.Cut(databaseURL, ":")
	const remedy = "write sqlite:PATH, for example sqlite:/var/lib/portcullis/portcullis.db"
	switch {
	case !found:
		return "", &OpenError{Problem: "the database url has no scheme", Remedy: remedy}
	case scheme != "sqlite":
		return "", &OpenError{Problem: fmt.Sprintf("the database url's scheme %q is not supported", scheme), Remedy: remedy}
	case path == "":
		return "", &OpenError{Problem: "the database url names no file", Remedy: remedy}
	default:
		return path, nil
	}
}

// prepareFile sees to it that there is a file that can be written, and that
// nobody else can read it. It returns the absolute path.
func prepareFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", explain(path, err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, createFile(path)
	case err != nil:
		return "", explain(path, err)
	case !info.Mode().IsRegular():
		return "", &OpenError{Path: path, Problem: "it is not a file", Remedy: "name a file inside a folder"}
	case info.Mode().Perm()&0o200 == 0:
		return "", explain(path, fs.ErrPermission)
	}
	if info.Mode().Perm() != fileMode {
		if err := os.Chmod(path, fileMode); err != nil {
			return "", explain(path, err)
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator names the file
	if err != nil {
		return "", explain(path, err)
	}
	return path, file.Close()
}

// fileMode lets the process and nobody else read what people said and did.
// SQLite gives the files beside the database the same mode.
const fileMode fs.FileMode = 0o600

func createFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		return &OpenError{Path: path, Problem: "the folder " + filepath.Dir(path) + " does not exist", Remedy: "create it or name another file", Err: err}
	}
	if err != nil {
		return explain(path, err)
	}
	return file.Close()
}

// connect opens the connections. The first ping is what makes SQLite look at
// the file.
func (s *Store) connect(ctx context.Context, path string) error {
	var err error
	if s.writer, err = openDatabase(dataSource(path, "immediate")); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	s.reader = s.writer
	if path != inMemory {
		if s.reader, err = openDatabase(dataSource(path, "deferred")); err != nil {
			return err
		}
		s.reader.SetMaxOpenConns(readers)
		s.reader.SetMaxIdleConns(readers)
	}
	if err := s.writer.PingContext(ctx); err != nil {
		return err
	}
	return s.migrate(ctx)
}

func dataSource(path, lock string) string {
	query := url.Values{"_txlock": {lock}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)",
	}}
	if path == inMemory {
		return "file:" + inMemory + "?" + query.Encode()
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// OpenError says in one line why there is no database and what to do about it.
type OpenError struct {
	// Path is the file; empty if it did not come to one.
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

// explain makes an [*OpenError] of what the file system, SQLite or a migration
// said.
func explain(path string, err error) error {
	explained := &OpenError{Path: path, Problem: err.Error(), Err: err}
	var newer *NewerSchemaError
	var fault *sqlite.Error
	switch {
	case errors.As(err, &newer), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		explained.Problem, explained.Remedy = "it cannot be written", "give the process's user write access to the file and its folder"
	case errors.As(err, &fault):
		explained.explainCode(fault.Code() & 0xff)
	}
	return explained
}

// explainCode puts SQLite's primary result code into words.
func (e *OpenError) explainCode(code int) {
	switch code {
	case sqlite3.SQLITE_NOTADB:
		e.Problem, e.Remedy = "it is not an SQLite database", "name another file, or move this one away"
	case sqlite3.SQLITE_CORRUPT:
		e.Problem, e.Remedy = "it is damaged", "restore it from a backup"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		e.Problem, e.Remedy = "it cannot be written", "give the process's user write access to the file and its folder"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		e.Problem, e.Remedy = "another process holds it", "stop that process first"
	}
}

// Close ends all connections. Work that is claimed is given back by being
// forgotten. It may be called twice.
func (s *Store) Close() error {
	var errs []error
	if s.reader != nil && s.reader != s.writer {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
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
