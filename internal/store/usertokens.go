package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

var _ usertoken.Store = (*Store)(nil)

// userTokensKept is how long a token stays that is good for nothing any more, and what was
// expected: longer than any Keeper asks for it.
const userTokensKept = 24 * time.Hour

const userTokenColumns = `person_id, login, sealed, expires_at, refresh_expires_at, turn, turn_until, expected_until, pays` //nolint:gosec // names of columns

func scanUserToken(row scanner) (k usertoken.Kept, err error) {
	var expires, refreshExpires, turnUntil, expected sql.NullInt64
	var pays int64
	err = row.Scan(&k.Person.ID, &k.Person.Login, &k.Sealed, &expires, &refreshExpires, &k.Turn, &turnUntil, &expected, &pays)
	k.ExpiresAt, k.RefreshExpiresAt, k.TurnUntil, k.ExpectedUntil = fromNullMillis(expires), fromNullMillis(refreshExpires), fromNullMillis(turnUntil), fromNullMillis(expected)
	k.Person.Kind, k.Pays = policy.KindUser, pays != 0
	return k, err
}

func loadUserToken(ctx context.Context, tx *transaction, person int64) (usertoken.Kept, error) {
	kept, err := scanUserToken(tx.QueryRowContext(ctx, `SELECT `+userTokenColumns+` FROM user_tokens WHERE person_id = ?`, person))
	if errors.Is(err, sql.ErrNoRows) {
		return usertoken.Kept{Person: policy.Actor{ID: person, Kind: policy.KindUser}}, nil
	}
	return kept, err
}

// UserToken returns what is kept of the person.
func (s *Store) UserToken(ctx context.Context, person int64) (kept usertoken.Kept, err error) {
	err = s.read(ctx, func(tx *transaction) error {
		kept, err = loadUserToken(ctx, tx, person)
		return err
	})
	if err != nil {
		return usertoken.Kept{}, fmt.Errorf("read what is kept of the person %d: %w", person, err)
	}
	return kept, nil
}

// ChangeUserToken changes what is kept of the person.
func (s *Store) ChangeUserToken(ctx context.Context, person int64, change func(kept *usertoken.Kept) ([]audit.Entry, error)) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		kept, err := loadUserToken(ctx, tx, person)
		if err != nil {
			return err
		}
		entries, err := change(&kept)
		if err != nil {
			return err
		}
		if err := saveUserToken(ctx, tx, person, kept); err != nil {
			return err
		}
		return s.appendAll(ctx, tx, entries)
	})
	if err != nil {
		return fmt.Errorf("change what is kept of the person %d: %w", person, err)
	}
	return nil
}

func saveUserToken(ctx context.Context, tx *transaction, person int64, k usertoken.Kept) error {
	if k.IsEmpty() {
		_, err := tx.ExecContext(ctx, `DELETE FROM user_tokens WHERE person_id = ?`, person)
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO user_tokens (`+userTokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (person_id) DO UPDATE SET login = excluded.login, sealed = excluded.sealed, expires_at = excluded.expires_at,
			refresh_expires_at = excluded.refresh_expires_at, turn = excluded.turn, turn_until = excluded.turn_until,
			expected_until = excluded.expected_until, pays = excluded.pays`,
		person, storableText(k.Person.Login), k.Sealed, nullMillis(k.ExpiresAt), nullMillis(k.RefreshExpiresAt), k.Turn, nullMillis(k.TurnUntil),
		nullMillis(k.ExpectedUntil), asNumber(k.Pays))
	return err
}

// Authorization is that a person lets the App act for them.
type Authorization struct {
	usertoken.Kept

	// Since is when they last said so; zero: nothing on record tells.
	Since time.Time
}

// Authorizations lists the people who let the App act for them, by their logins.
func (s *Store) Authorizations(ctx context.Context) (all []Authorization, err error) {
	const since = `(SELECT MAX(at) FROM audit_entries WHERE action = '` + usertoken.ActionKeep + `' AND actor_id = person_id)`
	scan := func(row scanner) (a Authorization, err error) {
		var since sql.NullInt64
		a.Kept, err = scanUserToken(scannerFunc(func(into ...any) error { return row.Scan(append(into, &since)...) }))
		a.Since = fromNullMillis(since)
		return a, err
	}
	err = s.read(ctx, func(tx *transaction) error {
		all, err = list(ctx, tx, scan, `SELECT `+userTokenColumns+`, `+since+` FROM user_tokens WHERE sealed IS NOT NULL ORDER BY LOWER(login), person_id`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the people who let the App act for them: %w", err)
	}
	return all, nil
}

// scannerFunc is a [scanner].
type scannerFunc func(into ...any) error

func (f scannerFunc) Scan(into ...any) error { return f(into...) }

// pruneUserTokens deletes tokens that cannot be renewed since that time, and forgets what
// is expected no more.
func pruneUserTokens(ctx context.Context, tx *transaction, before time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE user_tokens SET sealed = NULL, expires_at = NULL, refresh_expires_at = NULL, turn = '', turn_until = NULL
		WHERE refresh_expires_at < ? AND expires_at < ?`, before.UnixMilli(), before.UnixMilli())
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM user_tokens WHERE sealed IS NULL AND (expected_until IS NULL OR expected_until < ?)`, before.UnixMilli())
	}
	return err
}

// ExpectingUserTokens lists the people of whom something is expected after that time.
func (s *Store) ExpectingUserTokens(ctx context.Context, after time.Time) (all []usertoken.Kept, err error) {
	err = s.read(ctx, func(tx *transaction) error {
		all, err = list(ctx, tx, scanUserToken, `SELECT `+userTokenColumns+` FROM user_tokens WHERE expected_until > ? ORDER BY person_id`, after.UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the people of whom codespaces are expected: %w", err)
	}
	return all, nil
}
