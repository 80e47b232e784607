package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// ending is what a kill switch has ended when it was thrown: one row, however many
// leases that are, so that throwing it takes as long for ten thousand as for one. From
// its transaction on whoever reads a lease reads it as ended; [Store.applyEndings] writes
// that into the leases later.
type ending struct {
	scope killswitch.Scope
	// upto is the position of the last lease there was.
	upto int64
	end  credential.Ending
}

// ends reports whether it has ended the lease.
func (e ending) ends(l leaseRow) bool {
	return l.position <= e.upto && reaches(e.scope, l.Lease)
}

// reaches is for leases what selected is in SQL: a repository keeps its number and may
// get another owner.
func reaches(scope killswitch.Scope, l credential.Lease) bool {
	switch {
	case scope.Agents && !l.ByAgent:
		return false
	case scope.IsOrganization():
		return strings.EqualFold(scope.Repository.Owner, l.Slot.Repository.Owner)
	default:
		return scope.Repository.ID == l.Slot.Repository.ID && (scope.Number == 0 || scope.Number == l.Number)
	}
}

// pendingEndings are those that are not written into the leases yet.
func pendingEndings(ctx context.Context, tx *transaction) ([]ending, error) {
	return list(ctx, tx, func(row scanner) (e ending, err error) {
		var agents int
		var at int64
		err = row.Scan(&e.scope.Repository.ID, &e.scope.Repository.Owner, &e.scope.Number, &agents, &e.upto, &e.end.Reason, &e.end.By.Login, &e.end.By.ID, &at)
		e.scope.Agents, e.end.At = agents != 0, fromMillis(at)
		return e, err
	}, `SELECT repository_id, owner, number, agents, upto, reason, ended_by, ended_by_id, ended_at FROM lease_endings WHERE applied = 0`)
}

// endStopped ends what is lent where the switch reaches.
func (s *Store) endStopped(ctx context.Context, tx *transaction, sw killswitch.Switch) error {
	where, args := selected(credential.Selection{Scope: sw.Scope})
	some, err := list(ctx, tx, func(row scanner) (r policy.Repository, err error) {
		err = row.Scan(&r.Installation, &r.Owner)
		return r, err
	}, `SELECT installation, owner FROM leases WHERE `+where+` AND `+liveStates+` LIMIT 1`, args...)
	if err != nil || len(some) == 0 {
		return err
	}
	scope, now := sw.Scope, s.now()
	_, err = tx.ExecContext(ctx, `
		INSERT INTO lease_endings (repository_id, owner, number, agents, upto, reason, ended_by, ended_by_id, ended_at, applied, ended)
		VALUES (?, ?, ?, ?, (SELECT MAX(position) FROM leases), ?, ?, ?, ?, 0, 0)
		ON CONFLICT (repository_id, owner, number, agents) DO UPDATE SET upto = excluded.upto, reason = excluded.reason,
			ended_by = excluded.ended_by, ended_by_id = excluded.ended_by_id, ended_at = excluded.ended_at, applied = 0`,
		append(placeOf(scope), storableText("the kill switch: "+sw.Reason), sw.By.Login, sw.By.ID, now.UnixMilli())...)
	if err != nil {
		return err
	}
	return wantLeases(ctx, tx, some[0], now)
}

// placeOf is the key of a scope's ending.
func placeOf(scope killswitch.Scope) []any {
	owner := ""
	if scope.IsOrganization() {
		owner = strings.ToLower(scope.Repository.Owner)
	}
	return []any{scope.Repository.ID, owner, scope.Number, asNumber(scope.Agents)}
}

// appliedAtOnce is how many leases are written at once: nobody else writes meanwhile.
const appliedAtOnce = 500

// applyEndings writes into the leases what kill switches have ended. It has done so also
// if it returns [audit.ErrNotRecorded].
func (s *Store) applyEndings(ctx context.Context) (untold error) {
	for {
		left := false
		err := s.read(ctx, func(tx *transaction) error {
			pending, err := pendingEndings(ctx, tx)
			left = len(pending) > 0
			return err
		})
		if err != nil || !left {
			return errors.Join(untold, err)
		}
		err = recorded(func(tell bool) error {
			return s.write(ctx, func(ctx context.Context, tx *transaction) error { return s.applySome(ctx, tx, tell) })
		})
		if err != nil {
			err = fmt.Errorf("end what a kill switch has stopped: %w", err)
		}
		if err != nil && !errors.Is(err, audit.ErrNotRecorded) {
			return err
		}
		untold = cmp.Or(untold, err)
	}
}

// recorded does what must be done also if the audit log cannot tell of it, and is
// [audit.ErrNotRecorded] then.
func recorded(do func(tell bool) error) error {
	err := do(true)
	if !errors.Is(err, audit.ErrNotRecorded) {
		return err
	}
	if untold := do(false); untold != nil {
		return untold
	}
	return err
}

func (s *Store) applySome(ctx context.Context, tx *transaction, tell bool) error {
	pending, err := pendingEndings(ctx, tx)
	if err != nil || len(pending) == 0 {
		return err
	}
	e := pending[0]
	where, args := selected(credential.Selection{Scope: e.scope})
	where, args = where+` AND position <= ? AND `+liveStates, append(args, e.upto)
	if e.end.Place, err = e.place(ctx, tx, where, args); err != nil {
		return err
	}
	n, err := endRows(ctx, tx, `id IN (SELECT id FROM leases WHERE `+where+` LIMIT ?)`, append(args, appliedAtOnce), e.end)
	if err != nil {
		return err
	}
	if tell {
		if err := s.tellEnded(ctx, tx, n, e.end); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE lease_endings SET ended = ended + ?, applied = ? WHERE repository_id = ? AND owner = ? AND number = ? AND agents = ?`,
		append([]any{n, asNumber(n < appliedAtOnce)}, placeOf(e.scope)...)...)
	return err
}

// place names where it is, by what one of the leases calls the repository.
func (e ending) place(ctx context.Context, tx *transaction, where string, args []any) (string, error) {
	scope := e.scope
	if !scope.IsOrganization() {
		one, err := list(ctx, tx, scanLease, `SELECT `+leaseColumns+` FROM leases WHERE `+where+` LIMIT 1`, args...)
		if err != nil || len(one) == 0 {
			return "", err
		}
		scope.Repository = one[0].Slot.Repository
	}
	return scope.String(), nil
}

// takeEnded is how many were ended by the place's switch that nobody was told of.
func takeEnded(ctx context.Context, tx *transaction, scope killswitch.Scope) (n int, err error) {
	const place = ` WHERE repository_id = ? AND owner = ? AND number = ? AND agents = ?`
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(ended), 0) FROM lease_endings`+place, placeOf(scope)...).Scan(&n)
	if err == nil && n > 0 {
		_, err = tx.ExecContext(ctx, `UPDATE lease_endings SET ended = 0`+place, placeOf(scope)...)
	}
	return n, err
}

// EndLeases ends many in one statement. Those that the place's kill switch has ended are
// counted with them, once. They are ended also if it returns [audit.ErrNotRecorded].
func (s *Store) EndLeases(ctx context.Context, by credential.Selection, end credential.Ending) (ended int, err error) {
	untold := s.applyEndings(ctx)
	if untold != nil && !errors.Is(untold, audit.ErrNotRecorded) {
		return 0, untold
	}
	err = recorded(func(tell bool) (err error) {
		ended, err = s.endSelected(ctx, by, end, tell)
		return err
	})
	if err != nil {
		err = fmt.Errorf("end credentials: %w", err)
	}
	s.signal()
	return ended, errors.Join(untold, err)
}

func (s *Store) endSelected(ctx context.Context, by credential.Selection, end credential.Ending, tell bool) (ended int, _ error) {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		stopped, err := takeEnded(ctx, tx, by.Scope)
		if err != nil {
			return err
		}
		n, err := s.endLeases(ctx, tx, by, end)
		if err == nil && tell {
			err = s.tellEnded(ctx, tx, n, end)
		}
		ended = stopped + n
		return err
	})
	if err != nil {
		return 0, err
	}
	return ended, nil
}

// tellEnded puts on record that so many were ended at once. How each comes to be cleared
// away has an entry of its own.
func (s *Store) tellEnded(ctx context.Context, tx *transaction, n int, end credential.Ending) error {
	if n == 0 {
		return nil
	}
	what := "1 credential"
	if n > 1 {
		what = fmt.Sprintf("%d credentials", n)
	}
	err := s.appendAudit(ctx, tx, audit.Entry{
		At: end.At, Actor: cmp.Or(end.By.Login, audit.Itself), ActorID: end.By.ID, Action: "credential.ended", Subject: end.Place, Detail: what + ": " + end.Reason,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNotRecorded, err)
	}
	return nil
}

// endLeases ends live leases, and asks for what is left of them to be cleared away.
func (s *Store) endLeases(ctx context.Context, tx *transaction, by credential.Selection, end credential.Ending) (int, error) {
	where, args := selected(by)
	where += ` AND ` + liveStates
	installations, err := list(ctx, tx, func(row scanner) (r policy.Repository, err error) {
		err = row.Scan(&r.Installation, &r.Owner)
		return r, err
	}, `SELECT DISTINCT installation, owner FROM leases WHERE `+where, args...)
	if err != nil || len(installations) == 0 {
		return 0, err
	}
	n, err := endRows(ctx, tx, where, args, end)
	if err != nil {
		return 0, err
	}
	for _, at := range installations {
		if err := wantLeases(ctx, tx, at, end.At); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// endRows ends live leases as [credential.Lease.End] does.
func endRows(ctx context.Context, tx *transaction, where string, args []any, end credential.Ending) (int, error) {
	done, err := tx.ExecContext(ctx, `
		UPDATE leases SET outcome = CASE WHEN state = 'active' THEN 'revoked' ELSE 'failed' END, state = 'revoking',
			reason = ?, ended_by = ?, ended_by_id = ?, ended_at = ?, next_at = ? WHERE `+where,
		append([]any{storableText(end.Reason), storableText(end.By.Login), end.By.ID, end.At.UnixMilli(), end.At.UnixMilli()}, args...)...)
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}
