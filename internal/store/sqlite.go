package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a transaction waits for a program beside the server,
// such as SQLite's own command line, to finish its own.
const busyTimeout = 5 * time.Second

// inMemory is the path of a database that is gone when it is closed.
const inMemory = ":memory:"

// fileMode lets the process and nobody else read what people said and did.
// SQLite gives the files beside the database the same mode.
const fileMode fs.FileMode = 0o600

// Each transaction that writes begins by taking the file's write lock.
var sqliteDialect = dialect{name: "sqlite", goose: goose.DialectSQLite3, view: &sql.TxOptions{ReadOnly: true}}

// ErrServed is what an [*OpenError] came from if another process has the file open.
var ErrServed = errors.New("another process serves the database")

// openFile opens, and if need be creates, a file, and keeps every other process
// off it: claims are given back when the file is opened, so whoever opens it must
// be alone.
func (s *Store) openFile(ctx context.Context, path string) error {
	if path == "" {
		return &OpenError{Problem: "the database url names no file", Remedy: whichURL}
	}
	if path == inMemory {
		return s.connectFile(ctx, path, "rwc")
	}
	path, err := prepareFile(path)
	if err != nil {
		return err
	}
	lock := flock.New(path+".lock", flock.SetPermissions(fileMode))
	locked, err := lock.TryLock()
	if err != nil {
		return explain(path, err)
	}
	if !locked {
		return &OpenError{
			Path: path, Problem: "another process serves it", Err: ErrServed,
			Remedy: "stop that process first, or give both a PostgreSQL database, which several can serve",
		}
	}
	s.lock = lock
	return s.connectFile(ctx, path, "rw")
}

// openFileToRead reports false if there is no such file.
func (s *Store) openFileToRead(ctx context.Context, path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	return true, s.connectFile(ctx, path, "ro")
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

// connectFile opens the connections. The ping is what makes SQLite look at the
// file.
func (s *Store) connectFile(ctx context.Context, path, mode string) error {
	writer, err := sql.Open("sqlite", dataSource(path, mode, "immediate"))
	if err != nil {
		return err
	}
	s.writer = newDatabase(writer, sqliteDialect)
	s.writer.SetMaxOpenConns(1)
	s.reader = s.writer
	if path != inMemory {
		reader, err := sql.Open("sqlite", dataSource(path, mode, "deferred"))
		if err != nil {
			return err
		}
		s.reader = newDatabase(reader, sqliteDialect)
		s.reader.SetMaxOpenConns(readers)
		s.reader.SetMaxIdleConns(readers)
	}
	return s.reader.PingContext(ctx)
}

func dataSource(path, mode, lock string) string {
	query := url.Values{"_txlock": {lock}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}}
	if mode != "ro" {
		query["_pragma"] = append(query["_pragma"], "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)")
	}
	if path == inMemory {
		return "file:" + inMemory + "?" + query.Encode()
	}
	query.Set("mode", mode)
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// explainFile puts what the file system or SQLite said into words, and reports
// whether it was one of them.
func (e *OpenError) explainFile(err error) bool {
	var fault *sqlite.Error
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Problem, e.Remedy = "it cannot be written", "give the process's user write access to the file and its folder"
		return true
	case errors.As(err, &fault):
		e.explainCode(fault.Code() & 0xff)
		return true
	default:
		return false
	}
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
		e.Problem, e.Remedy = "another program holds it", "stop that program first"
	}
}
