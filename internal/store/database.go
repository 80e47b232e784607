package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
)

// dialect is what the two databases do differently. The statements themselves
// are written once, for both.
type dialect struct {
	name  string
	goose goose.Dialect
	// numbered says that placeholders are $1, $2 instead of ?.
	numbered bool
	// remembers says that the driver keeps compiled statements by itself.
	remembers bool
	// lockWrites is run first in each transaction that writes, and waits until no
	// other does; empty: to begin one is to wait.
	lockWrites string
	// view is how a transaction begins that must see one moment.
	view *sql.TxOptions
	// lost reports whether an error means that the connection is gone; nil where
	// there is none.
	lost func(error) bool
}

// database is connections to one of the two.
type database struct {
	*sql.DB
	dialect dialect

	mu sync.Mutex // guards the maps
	// prepared are compiled statements, because to compile one takes SQLite longer
	// than to run it.
	prepared map[string]*sql.Stmt
	// numbered are the statements with other placeholders.
	numbered map[string]string
}

func newDatabase(db *sql.DB, d dialect) *database {
	return &database{DB: db, dialect: d, prepared: map[string]*sql.Stmt{}, numbered: map[string]string{}}
}

// view runs do, which asks several things, on one unchanging view of the
// database. Like read, it may run do twice.
func (s *Store) view(ctx context.Context, do func(*transaction) error) error {
	return twice(ctx, s.reader, func() error { return transact(ctx, s.reader, s.reader.dialect.view, "", do) })
}

// read runs do, which asks one thing: that needs no transaction around it.
func (s *Store) read(ctx context.Context, do func(*transaction) error) error {
	tx := &transaction{db: s.reader}
	if err := twice(ctx, s.reader, func() error { return do(tx) }); err != nil {
		return err
	}
	s.reader.prepare(ctx, tx.unprepared)
	return nil
}

// twice does what changes nothing a second time if the connection was lost: those
// that wait in a pool are not seen to be dead before they are used.
func twice(ctx context.Context, db *database, do func() error) error {
	err := do()
	if err != nil && db.dialect.lost != nil && db.dialect.lost(err) && ctx.Err() == nil {
		err = do()
	}
	return err
}

// spoiltError is what do failed with, on a transaction that could be undone: the
// database is in order.
type spoiltError struct{ error }

func (e *spoiltError) Unwrap() error { return e.error }

// unbegunError is why there is no transaction: nothing was done in it.
type unbegunError struct{ error }

func (e *unbegunError) Unwrap() error { return e.error }

// transact runs do in a transaction that begins with the statement first, if
// there is one.
func transact(ctx context.Context, db *database, options *sql.TxOptions, first string, do func(*transaction) error) error {
	begun, err := db.BeginTx(ctx, options)
	if err != nil {
		return &unbegunError{err}
	}
	if first != "" {
		if _, err := begun.ExecContext(ctx, first); err != nil {
			return &unbegunError{errors.Join(err, begun.Rollback())}
		}
	}
	tx := &transaction{begun: begun, db: db}
	if err := do(tx); err != nil {
		if undo := begun.Rollback(); undo != nil {
			return errors.Join(err, undo)
		}
		return &spoiltError{err}
	}
	if err := begun.Commit(); err != nil {
		return err
	}
	db.prepare(ctx, tx.unprepared)
	return nil
}

// prepare compiles statements for the next time. One that cannot be is compiled
// each time, and its error told then.
func (d *database) prepare(ctx context.Context, queries []string) {
	for _, query := range queries {
		statement, err := d.PrepareContext(ctx, query)
		if err != nil {
			return
		}
		d.mu.Lock()
		if _, done := d.prepared[query]; done {
			_ = statement.Close() //nolint:sqlclosecheck // somebody else was faster; the other one is kept until the database is closed
		} else {
			d.prepared[query] = statement
		}
		d.mu.Unlock()
	}
}

// rebind gives the statement the placeholders that the database understands. No
// statement of ours has a question mark that is none.
func (d *database) rebind(query string) string {
	if !d.dialect.numbered {
		return query
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.numbered[query]; ok {
		return known
	}
	var rewritten strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			rewritten.WriteString("$" + strconv.Itoa(i))
		}
		rewritten.WriteString(part)
	}
	d.numbered[query] = rewritten.String()
	return rewritten.String()
}

// transaction runs statements, and compiles those anew only that were never run
// before. Within it, nothing else can be compiled: it may hold the only
// connection.
type transaction struct {
	begun      *sql.Tx // nil: each statement is by itself
	db         *database
	unprepared []string
}

func (t *transaction) statement(ctx context.Context, query string) *sql.Stmt {
	if t.db.dialect.remembers {
		return nil
	}
	t.db.mu.Lock()
	statement := t.db.prepared[query]
	t.db.mu.Unlock()
	if statement == nil {
		t.unprepared = append(t.unprepared, query)
		return nil
	}
	if t.begun == nil {
		return statement
	}
	return t.begun.StmtContext(ctx, statement)
}

// runner is what runs a statement that is not compiled yet.
func (t *transaction) runner() interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
} {
	if t.begun == nil {
		return t.db
	}
	return t.begun
}

func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	args = storable(args)
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.ExecContext(ctx, args...)
	}
	return t.runner().ExecContext(ctx, t.db.rebind(query), args...)
}

func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.QueryContext(ctx, args...)
	}
	return t.runner().QueryContext(ctx, t.db.rebind(query), args...)
}

func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.QueryRowContext(ctx, args...)
	}
	return t.runner().QueryRowContext(ctx, t.db.rebind(query), args...)
}

// storable returns the arguments with text that PostgreSQL keeps too: it knows no
// NUL, and nothing that is not UTF-8.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = storableText(text)
		}
	}
	return args
}

func storableText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// scanner is a row, alone or one of many.
type scanner interface{ Scan(columns ...any) error }

// list returns what scan makes of each row that the query selects.
func list[T any](ctx context.Context, tx *transaction, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}
