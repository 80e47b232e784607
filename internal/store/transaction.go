package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
)

// view runs do, which asks several things, on one unchanging view of the
// database.
func (s *Store) view(ctx context.Context, do func(*transaction) error) error {
	return transact(ctx, s.reader, &sql.TxOptions{ReadOnly: true}, do)
}

// read runs do, which asks one thing: that needs no transaction around it.
func (s *Store) read(ctx context.Context, do func(*transaction) error) error {
	tx := &transaction{db: s.reader}
	if err := do(tx); err != nil {
		return err
	}
	s.reader.prepare(ctx, tx.unprepared)
	return nil
}

func transact(ctx context.Context, db *database, options *sql.TxOptions, do func(*transaction) error) error {
	begun, err := db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	tx := &transaction{begun: begun, db: db}
	if err := do(tx); err != nil {
		if undo := begun.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	if err := begun.Commit(); err != nil {
		return err
	}
	db.prepare(ctx, tx.unprepared)
	return nil
}

// database remembers statements: to compile one takes longer than to run it.
type database struct {
	*sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

func openDatabase(dataSource string) (*database, error) {
	db, err := sql.Open("sqlite", dataSource)
	if err != nil {
		return nil, err
	}
	return &database{DB: db, prepared: map[string]*sql.Stmt{}}, nil
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

// transaction runs statements, and compiles those anew only that were never run
// before. Within it, nothing else can be compiled: it may hold the only
// connection.
type transaction struct {
	begun      *sql.Tx // nil: each statement is by itself
	db         *database
	unprepared []string
}

func (t *transaction) statement(ctx context.Context, query string) *sql.Stmt {
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
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.ExecContext(ctx, args...)
	}
	return t.runner().ExecContext(ctx, query, args...)
}

func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.QueryContext(ctx, args...)
	}
	return t.runner().QueryContext(ctx, query, args...)
}

func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.QueryRowContext(ctx, args...)
	}
	return t.runner().QueryRowContext(ctx, query, args...)
}

// maxGroup is how many writers share one transaction at most.
const maxGroup = 64

// group lets writers that come at the same time share one transaction, because
// it is the wait for the disk that costs: whoever gets the turn writes for all
// who wait.
type group struct {
	turn chan struct{} // has room for one: whoever is writing

	mu      sync.Mutex // guards waiting
	waiting []*member
}

// member is one writer in a group. result has room for one.
type member struct {
	do     func(context.Context, *transaction) error
	result chan error
}

// write runs do in a transaction that holds the write lock from its beginning,
// so that what do reads is still true when it writes. Others that write at the
// same time share the transaction, one after the other; if one of them fails,
// each has one of its own, so do may be run twice, and only what it did last is
// kept. Once write returns nil, that is on the disk. If ctx ends before do was
// begun, it never is; from then on ctx ends nothing, and do's own context does
// not end with it.
func (s *Store) write(ctx context.Context, do func(context.Context, *transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := &member{do: do, result: make(chan error, 1)}
	s.group.join(m)
	ended := ctx.Done()
	for {
		select {
		case err := <-m.result:
			return err
		case s.group.turn <- struct{}{}:
			s.commit(context.WithoutCancel(ctx), s.group.take())
			<-s.group.turn
		case <-ended:
			if s.group.leave(m) {
				return ctx.Err()
			}
			ended = nil
		}
	}
}

func (g *group) join(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
}

// leave reports whether the writer still waited, and does not any more.
func (g *group) leave(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, m)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return taken
}

// commit writes for all members, and if one of them spoils it, for each alone.
func (s *Store) commit(ctx context.Context, members []*member) {
	err := s.commitTogether(ctx, members)
	for _, m := range members {
		if err != nil && len(members) > 1 {
			m.result <- s.commitTogether(ctx, []*member{m})
		} else {
			m.result <- err
		}
	}
}

func (s *Store) commitTogether(ctx context.Context, members []*member) error {
	if len(members) == 0 {
		return nil
	}
	return transact(ctx, s.writer, nil, func(tx *transaction) error {
		for _, m := range members {
			if err := m.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}
