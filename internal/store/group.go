package store

import (
	"context"
	"errors"
	"time"
)

const (
	// maxGroup is how many writers share one transaction at most.
	maxGroup = 64
	// commitTimeout is how long the database may take over one transaction. It is
	// shorter than GitHub waits for an answer, so that the sender can be told.
	commitTimeout = 8 * time.Second
)

// ErrClosed is returned by whatever is to be written after [Store.Close].
var ErrClosed = errors.New("the database is closed")

// group lets writers that come at the same time share one transaction, because
// it is the wait for the disk that costs. One goroutine, the Store's, writes
// for all.
type group struct {
	// waiting has no buffer: whoever could send is in the next transaction. Those of
	// first have one before them.
	waiting, first chan *member
	// closing is closed by Close, ended by the goroutine.
	closing, ended chan struct{}
}

// member is one writer in a group. result has room for one.
type member struct {
	ctx    context.Context
	do     func(context.Context, *transaction) error
	result chan error
}

func newGroup() group {
	return group{waiting: make(chan *member), first: make(chan *member), closing: make(chan struct{}), ended: make(chan struct{})}
}

type firstKey struct{}

// goFirst lets what is written under the context go before what others wait to write:
// a stop waits for one transaction at most.
func goFirst(ctx context.Context) context.Context { return context.WithValue(ctx, firstKey{}, true) }

// line is where whoever writes under the context waits.
func (g *group) line(ctx context.Context) chan *member {
	if first, _ := ctx.Value(firstKey{}).(bool); first {
		return g.first
	}
	return g.waiting
}

// write runs do in a transaction in which nobody else writes, so that what do
// reads is still true when it writes. Others that write at the same time share
// the transaction, one after the other; if one of them fails, each has one of
// its own, so do may be run twice, and only what it did last is kept. Once write
// returns nil, that is on the disk. If it returns ctx's error or the
// connection's, the change may have been made all the same: that is why every
// fact may be told twice.
func (s *Store) write(ctx context.Context, do func(context.Context, *transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	crashAt("before")
	m := &member{ctx: ctx, do: do, result: make(chan error, 1)}
	select {
	case s.group.line(ctx) <- m:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.group.closing:
		return ErrClosed
	}
	select {
	case err := <-m.result:
		crashAt("after")
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeGroups commits for whoever waits, until the Store is closed.
func (s *Store) writeGroups() {
	defer close(s.group.ended)
	g := &s.group
	for {
		select {
		case m := <-g.first:
			s.commit(with(m, g.first))
			continue
		default:
		}
		select {
		case m := <-g.first:
			s.commit(with(m, g.first))
		case m := <-g.waiting:
			s.commit(with(m, g.waiting))
		case <-g.closing:
			return
		}
	}
}

// with returns the member and those that wait in its line, but for those that have
// given up.
func with(m *member, line <-chan *member) []*member {
	var members []*member
	for {
		if err := m.ctx.Err(); err != nil {
			m.result <- err
		} else {
			members = append(members, m)
		}
		if len(members) == maxGroup {
			return members
		}
		select {
		case m = <-line:
		default:
			return members
		}
	}
}

// commit writes for all members, and if one of them spoils it, for each alone.
// That the database failed is no member's fault: to ask it again for each would
// only keep those waiting who come next.
func (s *Store) commit(members []*member) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	err := s.commitTogether(ctx, members)
	var spoilt *spoiltError
	alone := errors.As(err, &spoilt) && len(members) > 1
	for _, m := range members {
		own := err
		if alone {
			own = s.commitTogether(ctx, []*member{m})
		}
		if errors.As(own, &spoilt) {
			own = spoilt.error
		}
		m.result <- own
	}
}

func (s *Store) commitTogether(ctx context.Context, members []*member) error {
	if len(members) == 0 {
		return nil
	}
	do := func(tx *transaction) error {
		for _, m := range members {
			if err := m.do(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}
	err := transact(ctx, s.writer, nil, s.writer.dialect.lockWrites, do)
	var unbegun *unbegunError
	if errors.As(err, &unbegun) && ctx.Err() == nil {
		// The connection was dead already: the next one is new.
		err = transact(ctx, s.writer, nil, s.writer.dialect.lockWrites, do)
	}
	return err
}
