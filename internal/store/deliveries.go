package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Delivery is one webhook as GitHub sent it.
type Delivery struct {
	// ID is GitHub's: the same when it sends the delivery again.
	ID, Event string
	Payload   []byte
	// ReceivedAt is by the store's clock.
	ReceivedAt time.Time
	// Attempts is how often its work failed since it came.
	Attempts int
}

const deliveryPrefix = "delivery:"

// Accept keeps a delivery and asks for its work, in one transaction that it
// shares with others that come at the same time. Once it returns nil the
// delivery is on the disk. A delivery whose id is known changes nothing and is
// no error. With the zero Ref the delivery is work of its own; otherwise its
// work is the pull request's, whose names and installation are then the ref's.
// If ctx ends first, the delivery may have been kept all the same.
func (s *Store) Accept(ctx context.Context, id, event string, about policy.PullRequestRef, urgency gate.Urgency, payload []byte) error {
	key := deliveryPrefix + id
	if about != (policy.PullRequestRef{}) {
		key = pullRequestKey(about)
	}
	return s.accept(ctx, id, event, key, about, urgency, payload)
}

// AcceptSwitch is Accept for a delivery about the switches of a place, whose work is
// done before all other.
func (s *Store) AcceptSwitch(ctx context.Context, id, event string, place killswitch.Scope, payload []byte) error {
	return s.accept(goFirst(ctx), id, event, place.WorkKey(), place.Ref(), gate.UrgencySwitch, payload)
}

func (s *Store) accept(ctx context.Context, id, event, key string, about policy.PullRequestRef, urgency gate.Urgency, payload []byte) error {
	packed, err := compress(payload)
	if err != nil {
		return fmt.Errorf("keep the delivery %s: %w", id, err)
	}
	now := s.now()
	err = s.write(ctx, func(ctx context.Context, tx *transaction) error {
		known, err := deliveryKnown(ctx, tx, id)
		if err != nil || known {
			return err
		}
		want, err := wantWork(ctx, tx, key, about, urgency, now)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO deliveries (id, work_key, want, event, payload, received_at, attempts) VALUES (?, ?, ?, ?, ?, ?, 0)`,
			id, key, want, event, packed, now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the delivery %s: %w", id, err)
	}
	s.signal()
	return nil
}

func deliveryKnown(ctx context.Context, tx *transaction, id string) (bool, error) {
	count := 0
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM deliveries WHERE id = ?`, id).Scan(&count)
	return count > 0, err
}

// Deliveries returns the deliveries of the work that are not done, in the order
// in which they came.
func (s *Store) Deliveries(ctx context.Context, key string) ([]Delivery, error) {
	var found []Delivery
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = undoneDeliveries(ctx, tx, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the deliveries of %s: %w", key, err)
	}
	return found, nil
}

func undoneDeliveries(ctx context.Context, tx *transaction, key string) ([]Delivery, error) {
	return list(ctx, tx, scanDelivery, `
		SELECT id, event, payload, received_at, attempts FROM deliveries
		WHERE work_key = ? AND done_at IS NULL ORDER BY want`, key)
}

func scanDelivery(row scanner) (Delivery, error) {
	var d Delivery
	var packed []byte
	var receivedAt int64
	if err := row.Scan(&d.ID, &d.Event, &packed, &receivedAt, &d.Attempts); err != nil {
		return d, err
	}
	d.ReceivedAt = fromMillis(receivedAt)
	var err error
	if d.Payload, err = decompress(packed); err != nil {
		return d, fmt.Errorf("unpack the delivery %s: %w", d.ID, err)
	}
	return d, nil
}

// DeliveryDone keeps that the delivery was worked off, so that it is not
// returned again. It is no error for one that was, or that is not known.
func (s *Store) DeliveryDone(ctx context.Context, id string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		return s.closeDeliveries(ctx, tx, []string{id})
	})
	if err != nil {
		return fmt.Errorf("close the delivery %s: %w", id, err)
	}
	return nil
}

func (s *Store) closeDeliveries(ctx context.Context, tx *transaction, ids []string) error {
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, `UPDATE deliveries SET done_at = ? WHERE id = ? AND done_at IS NULL`, s.now().UnixMilli(), id); err != nil {
			return err
		}
	}
	return nil
}

// failDeliveries counts a failure for those that were there when the work was
// claimed.
func failDeliveries(ctx context.Context, tx *transaction, w Work) error {
	_, err := tx.ExecContext(ctx, `UPDATE deliveries SET attempts = attempts + 1 WHERE work_key = ? AND want <= ? AND done_at IS NULL`, w.Key, w.Want)
	return err
}

// compressors keeps them for the next delivery: each has tables of several
// hundred kilobytes.
var compressors = sync.Pool{New: func() any {
	// The level is valid, so this cannot fail.
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	return w
}}

func compress(payload []byte) ([]byte, error) {
	w, _ := compressors.Get().(*gzip.Writer) // nothing else is put there
	defer compressors.Put(w)
	var packed bytes.Buffer
	w.Reset(&packed)
	if _, err := w.Write(payload); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func decompress(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
