package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Notes are what replicas tell each other, by name: small texts whose meaning is
// their writer's. Nothing depends on a note for being right, only for being soon.
func (s *Store) Notes(ctx context.Context, topic string) (map[string]string, error) {
	type note struct{ name, content string }
	var notes []note
	err := s.read(ctx, func(tx *transaction) (err error) {
		notes, err = list(ctx, tx, func(row scanner) (n note, err error) {
			err = row.Scan(&n.name, &n.content)
			return n, err
		}, `SELECT name, content FROM notes WHERE topic = ?`, topic)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the notes on %s: %w", topic, err)
	}
	found := make(map[string]string, len(notes))
	for _, n := range notes {
		found[n.name] = n.content
	}
	return found, nil
}

// PutNote replaces a note by what merge makes of it; it is empty if there is none.
// merge may be called twice.
func (s *Store) PutNote(ctx context.Context, topic, name string, merge func(known string) (string, error)) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error { return putNote(ctx, tx, topic, name, merge) })
	if err != nil {
		return fmt.Errorf("note %s on %s: %w", name, topic, err)
	}
	return nil
}

func putNote(ctx context.Context, tx *transaction, topic, name string, merge func(known string) (string, error)) error {
	var known string
	err := tx.QueryRowContext(ctx, `SELECT content FROM notes WHERE topic = ? AND name = ?`, topic, name).Scan(&known)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	content, err := merge(known)
	if err != nil || content == known {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO notes (topic, name, content) VALUES (?, ?, ?)
		ON CONFLICT (topic, name) DO UPDATE SET content = excluded.content`, topic, name, content)
	return err
}
