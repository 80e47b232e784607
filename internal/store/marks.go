package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// betweenResumed is how far apart gates are decided anew through which GitHub merges
// by itself.
const betweenResumed = 2 * time.Second

// inScope selects the pull requests in scope whose gates are open for deciding, from
// work joined with decisions.
func inScope(scope killswitch.Scope) (where string, args []any) {
	where, args = `lower(work.owner) = ? AND work.number > 0 AND decisions.closed = 0`, []any{strings.ToLower(scope.Repository.Owner)}
	if !scope.IsOrganization() {
		where, args = where+` AND work.repository_id = ?`, append(args, scope.Repository.ID)
	}
	if scope.Number != 0 {
		where, args = where+` AND work.number = ?`, append(args, scope.Number)
	}
	if scope.Agents {
		where += ` AND decisions.by_agent = 1`
	}
	return where, args
}

// openGates joins by both tables' keys, so that it may begin with either.
const openGates = ` FROM decisions JOIN work ON work.work_key = 'pr:' || decisions.pull_request AND decisions.pull_request = substr(work.work_key, 4) WHERE `

// MarkGates has the open gates in scope decided anew, once for each key: those
// first that may show green, and of those the ones that GitHub merges by itself.
// Evaluations that are under way are superseded. One pull request is decided at
// once, more of them at the pace of [Store.WantMarked].
func (s *Store) MarkGates(ctx context.Context, scope killswitch.Scope, key string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO marks (mark, at) VALUES (?, ?) ON CONFLICT (mark) DO NOTHING`, key, s.now().UnixMilli())
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		where, args := inScope(scope)
		_, err = tx.ExecContext(ctx, `
			INSERT INTO marked_gates (pull_request, installation, priority, wanted_at)
			SELECT decisions.pull_request, work.installation, (2 - decisions.shows) * 2 + (1 - decisions.auto_merge), NULL`+openGates+where+`
			ON CONFLICT (pull_request) DO UPDATE SET priority = excluded.priority, wanted_at = NULL`, args...)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE decisions SET digest = '', generation = generation + 1 WHERE pull_request IN (SELECT decisions.pull_request`+openGates+where+`)`, args...)
		if err != nil {
			return err
		}
		if scope.Number != 0 {
			ref := scope.Ref()
			_, err := wantWork(ctx, tx, pullRequestKey(ref), ref, gate.UrgencySwitch, s.now())
			return err
		}
		installation := scope.Repository.Installation
		_, err = wantWork(ctx, tx, gate.PaceKey(installation), gate.PaceRef(scope.Repository), gate.UrgencySwitch, s.now())
		return err
	})
	if err != nil {
		return fmt.Errorf("have the gates of %s decided anew: %w", scope, err)
	}
	s.signal()
	return nil
}

// unmark keeps that the gate is not to be decided anew any more, and reports whether
// it was. After the last of them the switches that wait for that go on.
func unmark(ctx context.Context, tx *transaction, ref policy.PullRequestRef, now time.Time) (was bool, _ error) {
	done, err := tx.ExecContext(ctx, `DELETE FROM marked_gates WHERE pull_request = ?`, ref.Key())
	if err != nil {
		return false, fmt.Errorf("unmark the gate: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	left := 0
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM marked_gates WHERE installation = ?`, ref.Repository.Installation).Scan(&left)
	if err != nil || left > 0 {
		return true, err
	}
	return true, wakeSwitches(ctx, tx, ref.Repository.Installation, now)
}

// putPaced keeps that the process wrote the check of a gate that was marked.
func putPaced(ctx context.Context, tx *transaction, installation int64, process string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO paced_gates (installation, at, process) VALUES (?, ?, ?)`, installation, now.UnixMilli(), process)
	return err
}

// MarkedGates counts the gates in scope that were marked and not decided since, and
// those of them whose check may show green.
func (s *Store) MarkedGates(ctx context.Context, scope killswitch.Scope) (left, green int, err error) {
	where, args := inScope(scope)
	err = s.read(ctx, func(tx *transaction) error {
		return tx.QueryRowContext(ctx, `
			SELECT COUNT(*), COALESCE(SUM(CASE WHEN decisions.shows = 2 THEN 1 ELSE 0 END), 0)`+openGates+where+`
			AND decisions.pull_request IN (SELECT pull_request FROM marked_gates)`, args...).Scan(&left, &green)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("count the gates of %s that are to be decided: %w", scope, err)
	}
	return left, green, nil
}

// ResumeGates has the gates in scope that GitHub merges by itself decided anew, some
// seconds apart.
func (s *Store) ResumeGates(ctx context.Context, scope killswitch.Scope) error {
	where, args := inScope(scope)
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		rows, err := list(ctx, tx, scanWork, selectFromWork+`
			WHERE work_key IN (SELECT work.work_key`+openGates+where+` AND decisions.auto_merge = 1) ORDER BY work_key`, args...)
		if err != nil {
			return err
		}
		for i, row := range rows {
			if err := setTimer(ctx, tx, row.ref, s.now().Add(time.Duration(i)*betweenResumed)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("let the auto-merges of %s go on: %w", scope, err)
	}
	s.signal()
	return nil
}

// openBases lists the branches that any open pull request would be merged to, each
// found after the one before it: a stop asks for them before it locks, and ten
// thousand pull requests go to a handful.
const openBases = `
	WITH RECURSIVE bases (name) AS (
		SELECT MIN(base_branch) FROM decisions WHERE closed = 0 AND base_branch > ''
		UNION ALL
		SELECT (SELECT MIN(base_branch) FROM decisions WHERE closed = 0 AND base_branch > bases.name) FROM bases WHERE bases.name IS NOT NULL
	)
	SELECT name FROM bases WHERE name IS NOT NULL`

// Bases lists the branches that the open pull requests in scope would be merged to.
func (s *Store) Bases(ctx context.Context, scope killswitch.Scope) ([]string, error) {
	where, args := inScope(scope.Whole())
	var bases []string
	err := s.read(ctx, func(tx *transaction) (err error) {
		bases, err = list(ctx, tx, func(row scanner) (base string, err error) {
			err = row.Scan(&base)
			return base, err
		}, openBases+` AND EXISTS (SELECT 1`+openGates+where+` AND decisions.base_branch = bases.name) ORDER BY name`, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the branches of %s: %w", scope, err)
	}
	return bases, nil
}

// AgentHeads lists the heads of the open pull requests in scope in which agents are
// known to have taken part, by repository.
func (s *Store) AgentHeads(ctx context.Context, scope killswitch.Scope) (map[policy.Repository]map[string]bool, error) {
	where, args := inScope(scope)
	type head struct {
		at      policy.Repository
		sha     string
		decided policy.Decision
	}
	var found []head
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = list(ctx, tx, func(row scanner) (h head, err error) {
			var encoded []byte
			if err := row.Scan(&h.at.Installation, &h.at.ID, &h.at.Owner, &h.at.Name, &h.sha, &encoded); err != nil {
				return h, err
			}
			return h, json.Unmarshal(encoded, &h.decided)
		}, `SELECT work.installation, work.repository_id, work.owner, work.name, decisions.head_sha, decisions.decision`+openGates+where+`
			AND decisions.by_agent = 1 AND decisions.posted_generation > 0`, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list what agents made in %s: %w", scope, err)
	}
	heads := map[policy.Repository]map[string]bool{}
	for _, h := range found {
		if !h.decided.ByAgent {
			continue // what could not be judged is stopped with the agents', and is perhaps none
		}
		if heads[h.at] == nil {
			heads[h.at] = map[string]bool{}
		}
		heads[h.at][h.sha] = true
	}
	return heads, nil
}

// WantMarked asks for the work of marked gates of the installation, as many as
// allowed says when it is told how many were asked for and are not done, and how many
// other processes decided since that time. It returns how many wait.
func (s *Store) WantMarked(ctx context.Context, installation int64, since time.Time, allowed func(underWay, byOthers int) int) (waiting int, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *transaction) error {
		var underWay, byOthers int
		err := tx.QueryRowContext(ctx, `
			SELECT COUNT(*) - COUNT(wanted_at), COUNT(wanted_at) FROM marked_gates WHERE installation = ?`, installation).Scan(&waiting, &underWay)
		if err != nil || waiting == 0 {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM paced_gates WHERE installation = ? AND at > ? AND process <> ?`,
			installation, since.UnixMilli(), s.process).Scan(&byOthers)
		if err != nil {
			return err
		}
		n := min(waiting, allowed(underWay, byOthers))
		if n <= 0 {
			return nil
		}
		rows, err := list(ctx, tx, scanWork, selectFromWork+`
			WHERE work_key IN (
				SELECT 'pr:' || pull_request FROM marked_gates WHERE installation = ? AND wanted_at IS NULL ORDER BY priority, pull_request LIMIT ?)`, installation, n)
		if err != nil {
			return err
		}
		now := s.now()
		for _, row := range rows {
			if _, err := wantWork(ctx, tx, row.key, row.ref, gate.UrgencyPeople, now); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE marked_gates SET wanted_at = ? WHERE pull_request = ?`, now.UnixMilli(), row.ref.Key()); err != nil {
				return err
			}
		}
		waiting -= len(rows)
		_, err = tx.ExecContext(ctx, `DELETE FROM paced_gates WHERE at <= ?`, since.UnixMilli())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for marked gates: %w", err)
	}
	s.signal()
	return waiting, nil
}
