package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// write runs do in a transaction that holds the write lock from its beginning,
// so that what do reads is still true when it writes. It commits if do returns
// nil.
func (s *Store) write(ctx context.Context, do func(*transaction) error) error {
	return transact(ctx, s.writer, nil, do)
}

// read runs do on one unchanging view of the database.
func (s *Store) read(ctx context.Context, do func(*transaction) error) error {
	return transact(ctx, s.reader, &sql.TxOptions{ReadOnly: true}, do)
}

func transact(ctx context.Context, db *database, options *sql.TxOptions, do func(*transaction) error) error {
	begun, err := db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	tx := &transaction{Tx: begun, db: db}
	if err := do(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
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
	*sql.Tx
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
	return t.StmtContext(ctx, statement)
}

func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if statement := t.statement(ctx, query); statement != nil { //nolint:sqlclosecheck // it ends with the transaction
		return statement.QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
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

type member struct {
	do     func(context.Context, *transaction) error
	result chan error
}

// writeGrouped is write for small transactions that come in crowds. It returns
// once the shared transaction is on the disk. If ctx ends first, do may still
// be carried out; it must be such that this does no harm. The context that do is
// given does not end with ctx.
func (s *Store) writeGrouped(ctx context.Context, do func(context.Context, *transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := &member{do: do, result: make(chan error, 1)}
	s.group.join(m)
	for {
		select {
		case err := <-m.result:
			return err
		case s.group.turn <- struct{}{}:
			s.commit(context.WithoutCancel(ctx), s.group.take())
			<-s.group.turn
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *group) join(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
}

func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	taken := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return taken
}

// commit writes for all members, and if one of them spoils it, for each alone.
func (s *Store) commit(ctx context.Context, members []*member) {
	if len(members) == 0 {
		return
	}
	err := s.write(ctx, func(tx *transaction) error {
		for _, m := range members {
			if err := m.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, m := range members {
		if err != nil && len(members) > 1 {
			m.result <- s.write(ctx, func(tx *transaction) error { return m.do(ctx, tx) })
		} else {
			m.result <- err
		}
	}
}
