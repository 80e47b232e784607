package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

var (
	_ killswitch.Store = (*Store)(nil)
	_ killswitch.Gates = (*Store)(nil)
)

// Switch returns the switch of the scope; one that was never thrown is off.
func (s *Store) Switch(ctx context.Context, scope killswitch.Scope) (killswitch.Switch, error) {
	var found killswitch.Switch
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = loadSwitch(ctx, tx, scope)
		return err
	})
	if err != nil {
		return killswitch.Switch{}, fmt.Errorf("read the kill switch of %s: %w", scope, err)
	}
	return found, nil
}

// InForce lists the switches that are on, or being lifted, and cover the scope; with
// the zero scope, all of them.
func (s *Store) InForce(ctx context.Context, scope killswitch.Scope) ([]killswitch.Switch, error) {
	var found []killswitch.Switch
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = inForce(ctx, tx, scope)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which kill switches are on: %w", err)
	}
	return found, nil
}

func inForce(ctx context.Context, tx *transaction, scope killswitch.Scope) ([]killswitch.Switch, error) {
	all, err := list(ctx, tx, scanSwitch, `SELECT document FROM switches WHERE state <> '' ORDER BY scope`)
	if err != nil || scope == (killswitch.Scope{}) {
		return all, err
	}
	return slices.DeleteFunc(all, func(sw killswitch.Switch) bool { return !sw.Covers(scope) }), nil
}

func scanSwitch(row scanner) (sw killswitch.Switch, err error) {
	var document []byte
	if err := row.Scan(&document); err != nil {
		return sw, err
	}
	if err := json.Unmarshal(document, &sw); err != nil {
		return sw, fmt.Errorf("read a kill switch: %w", err)
	}
	return sw, nil
}

func loadSwitch(ctx context.Context, tx *transaction, scope killswitch.Scope) (killswitch.Switch, error) {
	sw, err := scanSwitch(tx.QueryRowContext(ctx, `SELECT document FROM switches WHERE scope = ?`, scope.Key()))
	if errors.Is(err, sql.ErrNoRows) {
		return killswitch.Switch{Scope: scope}, nil
	}
	return sw, err
}

// Change lets change the switch, and keeps it, with the entries, if it says so. wake
// asks for the work on the place's switches, before everything else, whether or not
// anything changed.
func (s *Store) Change(ctx context.Context, scope killswitch.Scope, wake bool, change func(*killswitch.Switch) (bool, []audit.Entry)) (killswitch.Switch, error) {
	var sw killswitch.Switch
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		if sw, err = loadSwitch(ctx, tx, scope); err != nil {
			return err
		}
		if wake {
			if _, err := wantWork(ctx, tx, scope.WorkKey(), scope.Ref(), gate.UrgencySwitch, s.now()); err != nil {
				return err
			}
		}
		changed, entries := change(&sw)
		if !changed {
			return nil
		}
		if sw.State == killswitch.StateOn {
			// There is no moment in which it is on and what is lent there is accepted.
			if err := s.endStopped(ctx, tx, sw); err != nil {
				return err
			}
		}
		document, err := json.Marshal(sw)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO switches (scope, state, document) VALUES (?, ?, ?)
			ON CONFLICT (scope) DO UPDATE SET state = excluded.state, document = excluded.document`,
			scope.Key(), string(sw.State), storableText(string(document)))
		if err != nil {
			return err
		}
		return s.appendAll(ctx, tx, entries)
	})
	if err != nil {
		return killswitch.Switch{}, fmt.Errorf("change the kill switch of %s: %w", scope, err)
	}
	if wake {
		s.signal()
	}
	return sw, nil
}

// WakeSwitches asks for the work on all switches that are on: to compare with GitHub.
func (s *Store) WakeSwitches(ctx context.Context, installation int64) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error { return wakeSwitches(ctx, tx, installation, s.now()) })
	if err != nil {
		return fmt.Errorf("ask for the kill switches to be compared: %w", err)
	}
	s.signal()
	return nil
}

func wakeSwitches(ctx context.Context, tx *transaction, installation int64, now time.Time) error {
	all, err := inForce(ctx, tx, killswitch.Scope{})
	if err != nil {
		return err
	}
	for _, sw := range all {
		if sw.Repository.Installation != installation {
			continue
		}
		if _, err := wantWork(ctx, tx, sw.WorkKey(), sw.Whole().Ref(), gate.UrgencySwitch, now); err != nil {
			return err
		}
	}
	return nil
}

// reached reports whether a switch in that state reaches the pull request.
func reached(ctx context.Context, tx *transaction, ref policy.PullRequestRef, byAgent bool, state killswitch.State) (bool, error) {
	at := killswitch.PullRequest(ref)
	at.Agents = byAgent
	reaching, err := inForce(ctx, tx, at)
	return slices.ContainsFunc(reaching, func(sw killswitch.Switch) bool { return sw.State == state }), err
}
