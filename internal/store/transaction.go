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
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	return transact(ctx, s.writer, nil, do)
}

// read runs do on one unchanging view of the database.
func (s *Store) read(ctx context.Context, do func(*sql.Tx) error) error {
	return transact(ctx, s.reader, &sql.TxOptions{ReadOnly: true}, do)
}

func transact(ctx context.Context, db *sql.DB, options *sql.TxOptions, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
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
	do     func(context.Context, *sql.Tx) error
	result chan error
}

// writeGrouped is write for small transactions that come in crowds. It returns
// once the shared transaction is on the disk. If ctx ends first, do may still
// be carried out; it must be such that this does no harm. The context that do is
// given does not end with ctx.
func (s *Store) writeGrouped(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
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
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, m := range members {
			if err := m.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, m := range members {
		if err != nil && len(members) > 1 {
			m.result <- s.write(ctx, func(tx *sql.Tx) error { return m.do(ctx, tx) })
		} else {
			m.result <- err
		}
	}
}
