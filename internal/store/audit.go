package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/portcullis-app/portcullis/audit"
)

// Audit appends an act that changes nothing else, as a refusal, to the chain.
// An entry without a time gets the store's.
func (s *Store) Audit(ctx context.Context, entry audit.Entry) error {
	if entry.At.IsZero() {
		entry.At = s.now()
	}
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error { return s.appendAudit(ctx, tx, entry) })
	if err != nil {
		return fmt.Errorf("record %s on %s: %w", entry.Action, entry.Subject, err)
	}
	return nil
}

// AuditEntries returns the entries after that sequence number, at most limit of
// them, in their order. 0 begins at the beginning.
func (s *Store) AuditEntries(ctx context.Context, afterSequence int64, limit int) ([]audit.Entry, error) {
	var found []audit.Entry
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = auditEntries(ctx, tx, afterSequence, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit entries after %d: %w", afterSequence, err)
	}
	return found, nil
}

// appendAudit seals the entry to the chain's end. The transaction holds the
// write lock, so nobody else extends the same end.
func (s *Store) appendAudit(ctx context.Context, tx *transaction, entry audit.Entry) error {
	last, err := lastAuditEntry(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the end of the audit chain: %w", err)
	}
	// What is sealed is what is kept: to the millisecond, and as text.
	entry.At = atEarliest(entry.At)
	for _, text := range []*string{&entry.Actor, &entry.Action, &entry.Subject, &entry.Commit, &entry.Detail} {
		*text = storableText(*text)
	}
	entry = audit.Seal(last, entry)
	_, err = tx.ExecContext(ctx, `
		INSERT INTO audit_entries (sequence, at, actor, actor_id, action, subject, commit_sha, detail, previous_hash, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		entry.Sequence, entry.At.UnixMilli(), entry.Actor, entry.ActorID, entry.Action, entry.Subject, entry.Commit, entry.Detail, entry.Previous, entry.Hash)
	if err != nil {
		return fmt.Errorf("write the audit entry %s: %w", entry.Action, err)
	}
	return nil
}

const auditColumns = `sequence, at, actor, actor_id, action, subject, commit_sha, detail, previous_hash, hash`

// lastAuditEntry returns the zero Entry if the chain is empty.
func lastAuditEntry(ctx context.Context, tx *transaction) (audit.Entry, error) {
	entry, err := scanAuditEntry(tx.QueryRowContext(ctx, `SELECT `+auditColumns+` FROM audit_entries ORDER BY sequence DESC LIMIT 1`))
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Entry{}, nil
	}
	return entry, err
}

func auditEntries(ctx context.Context, tx *transaction, after int64, limit int) ([]audit.Entry, error) {
	return list(ctx, tx, scanAuditEntry, `SELECT `+auditColumns+` FROM audit_entries WHERE sequence > ? ORDER BY sequence LIMIT ?`, after, max(0, limit))
}

func scanAuditEntry(row scanner) (audit.Entry, error) {
	var e audit.Entry
	var at int64
	err := row.Scan(&e.Sequence, &at, &e.Actor, &e.ActorID, &e.Action, &e.Subject, &e.Commit, &e.Detail, &e.Previous, &e.Hash)
	e.At = fromMillis(at)
	return e, err
}

// appendAll appends entries in their order. Its error is an [audit.ErrNotRecorded].
func (s *Store) appendAll(ctx context.Context, tx *transaction, entries []audit.Entry) error {
	for _, entry := range entries {
		if err := s.appendAudit(ctx, tx, entry); err != nil {
			return fmt.Errorf("%w: %w", audit.ErrNotRecorded, err)
		}
	}
	return nil
}
