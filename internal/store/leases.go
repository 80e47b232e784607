package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

var _ credential.Leases = (*Store)(nil)

const leaseColumns = `document, position, state, outcome, reason, ended_by, ended_by_id, ended_at, next_at`

// liveStates are those in which a credential may be accepted, or may come to be.
const liveStates = `state IN ('intent', 'minted', 'active')`

// left is true of those that are lent or not cleared away.
const left = `state NOT IN ('revoked', 'expired', 'failed')`

// leaseRow is a lease with its place among all, in the order in which they were asked
// for.
type leaseRow struct {
	credential.Lease

	position int64
}

// scanLease reads a lease as its row has it. What ends many at once is in columns.
func scanLease(row scanner) (l leaseRow, err error) {
	var document []byte
	var state, outcome string
	var endedBy policy.Actor
	var reason string
	var endedAt, nextAt sql.NullInt64
	if err := row.Scan(&document, &l.position, &state, &outcome, &reason, &endedBy.Login, &endedBy.ID, &endedAt, &nextAt); err != nil {
		return l, err
	}
	if err := json.Unmarshal(document, &l.Lease); err != nil {
		return l, fmt.Errorf("read a lease: %w", err)
	}
	l.State, l.Outcome, l.Reason = credential.State(state), credential.State(outcome), reason
	l.EndedBy.ID, l.EndedBy.Login = endedBy.ID, endedBy.Login
	l.EndedAt, l.NextAt = fromNullMillis(endedAt), fromNullMillis(nextAt)
	return l, nil
}

func loadLease(ctx context.Context, tx *transaction, where string, args ...any) (credential.Lease, error) {
	found, err := loadLeases(ctx, tx, where, args...)
	if err == nil && len(found) == 0 {
		err = credential.ErrUnknown
	}
	if err != nil {
		return credential.Lease{}, err
	}
	return found[0], nil
}

// loadLeases reads leases as they are, with what kill switches have ended.
func loadLeases(ctx context.Context, tx *transaction, where string, args ...any) ([]credential.Lease, error) {
	rows, err := list(ctx, tx, scanLease, `SELECT `+leaseColumns+` FROM leases WHERE `+where, args...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	pending, err := pendingEndings(ctx, tx)
	if err != nil {
		return nil, err
	}
	leases := make([]credential.Lease, len(rows))
	for i, row := range rows {
		leases[i] = row.Lease
		for _, e := range pending {
			if e.ends(row) {
				leases[i].End(credential.StateRevoked, e.end.Reason, e.end.By, e.end.At)
			}
		}
	}
	return leases, nil
}

// saveLease keeps a lease, and asks for the work on it.
func saveLease(ctx context.Context, tx *transaction, l credential.Lease) error {
	document, err := json.Marshal(l)
	if err != nil {
		return err
	}
	at := l.Slot.Repository
	hash := sql.NullString{String: l.TokenHash, Valid: l.TokenHash != ""}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO leases (id, idem_key, installation, owner, repository_id, environment, number, by_agent, run_id,
			state, outcome, reason, ended_by, ended_by_id, ended_at, token_hash, expires_at, next_at, document, position)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(position), 0) + 1 FROM leases))
		ON CONFLICT (id) DO UPDATE SET installation = excluded.installation, owner = excluded.owner, state = excluded.state, outcome = excluded.outcome,
			reason = excluded.reason, ended_by = excluded.ended_by, ended_by_id = excluded.ended_by_id, ended_at = excluded.ended_at,
			token_hash = excluded.token_hash, expires_at = excluded.expires_at, next_at = excluded.next_at, document = excluded.document`,
		l.ID, l.Key, at.Installation, strings.ToLower(at.Owner), at.ID, l.Slot.Environment, l.Number, asNumber(l.ByAgent), l.Run,
		string(l.State), string(l.Outcome), storableText(l.Reason), storableText(l.EndedBy.Login), l.EndedBy.ID, nullMillis(l.EndedAt), hash,
		l.ExpiresAt.UnixMilli(), nullMillis(l.NextAt), storableText(string(document)))
	return err
}

// OpenLease keeps a lease in its first state, with its slots.
func (s *Store) OpenLease(ctx context.Context, lease credential.Lease, entry audit.Entry) (kept credential.Lease, opened bool, _ error) {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		kept, opened = credential.Lease{}, false
		known, err := loadLease(ctx, tx, `idem_key = ?`, lease.Key)
		if err == nil {
			kept = known
			return nil
		}
		if !errors.Is(err, credential.ErrUnknown) {
			return err
		}
		if stopped, err := stops(ctx, tx, lease); err != nil || stopped {
			return cmpErr(err, credential.ErrStopped)
		}
		for _, slot := range lease.Slots() {
			if err := takeSlot(ctx, tx, slot, lease.ID); err != nil {
				return err
			}
		}
		if err := saveLease(ctx, tx, lease); err != nil {
			return err
		}
		if err := wantLeases(ctx, tx, lease.Slot.Repository, lease.NextAt); err != nil {
			return err
		}
		kept, opened = lease, true
		return s.appendAudit(ctx, tx, entry)
	})
	if err != nil {
		return credential.Lease{}, false, fmt.Errorf("keep that a credential is to be lent: %w", err)
	}
	return kept, opened, nil
}

// takeSlot is an error if another lease has the slot.
func takeSlot(ctx context.Context, tx *transaction, slot credential.Slot, lease string) error {
	environment := strings.ToLower(slot.Environment)
	done, err := tx.ExecContext(ctx, `
		INSERT INTO lease_slots (repository_id, environment, name, lease) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		slot.Repository.ID, environment, slot.Name, lease)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	holder := ""
	err = tx.QueryRowContext(ctx, `
		SELECT lease FROM lease_slots WHERE repository_id = ? AND environment = ? AND name = ?`, slot.Repository.ID, environment, slot.Name).Scan(&holder)
	return cmpErr(err, &credential.OccupiedError{Slot: slot, Holder: holder})
}

// cmpErr is the first of the two that is one.
func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// stops reports whether a kill switch stops the lease's place.
func stops(ctx context.Context, tx *transaction, lease credential.Lease) (bool, error) {
	reaching, err := inForce(ctx, tx, lease.Place())
	return len(reaching) > 0, err
}

// ChangeLease changes a lease.
func (s *Store) ChangeLease(ctx context.Context, id string, change func(lease *credential.Lease, stopped bool) ([]audit.Entry, error)) (credential.Lease, error) {
	var lease credential.Lease
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		if lease, err = loadLease(ctx, tx, `id = ?`, id); err != nil {
			return err
		}
		stopped, err := stops(ctx, tx, lease)
		if err != nil {
			return err
		}
		entries, err := change(&lease, stopped)
		if err != nil {
			return err
		}
		if err := saveLease(ctx, tx, lease); err != nil {
			return err
		}
		if lease.State.Ended() {
			if _, err := tx.ExecContext(ctx, `DELETE FROM lease_slots WHERE lease = ?`, id); err != nil {
				return err
			}
			if err := s.wakeDeployments(ctx, tx, lease.Slot.Repository.ID); err != nil {
				return err
			}
		}
		if err := wantLeases(ctx, tx, lease.Slot.Repository, lease.NextAt); err != nil {
			return err
		}
		return s.appendAll(ctx, tx, entries)
	})
	if err != nil {
		return credential.Lease{}, fmt.Errorf("change the credential %s: %w", id, err)
	}
	s.signal()
	return lease, nil
}

// leasesKept is how long leases of which nothing is left stay on record beside the audit
// log. A job may wait for thirty days, as GitHub documents, and ask under the same key.
const leasesKept = 31 * 24 * time.Hour

// pruneLeases deletes some of the leases that ended before that time and are cleared
// away, and the jobs that they were for, whose end nobody told.
func pruneLeases(ctx context.Context, tx *transaction, before time.Time) (n int64, _ error) {
	done, err := tx.ExecContext(ctx, `
		DELETE FROM leases WHERE id IN (SELECT id FROM leases WHERE NOT (`+left+`) AND ended_at < ? LIMIT ?)`, before.UnixMilli(), prunedTogether)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `
		DELETE FROM deployments WHERE approved = 1 AND NOT EXISTS (
			SELECT 1 FROM leases WHERE leases.repository_id = deployments.repository_id AND leases.run_id = deployments.run_id)`)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// wantLeases asks for the installation's leases to be looked at at that time.
func wantLeases(ctx context.Context, tx *transaction, repository policy.Repository, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	key, ref := credential.WorkKey(repository.Installation), credential.WorkRef(repository)
	row, err := loadWork(ctx, tx, key)
	if errors.Is(err, errNoWork) {
		row, err = workRow{key: key, ref: ref, urgency: gate.UrgencyPeople}, nil
	}
	if err != nil {
		return err
	}
	row.runAt = earlier(row.runAt, atEarliest(at)) // who asks at once finds it due
	return saveWork(ctx, tx, row)
}
