package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

var _ credential.Deployments = (*Store)(nil)

// ChangeDeployment changes what jobs of a run wait for, and forgets it with the last of
// them.
func (s *Store) ChangeDeployment(ctx context.Context, which credential.Deployment, change func(d *credential.Deployment) (wake bool)) (credential.Deployment, error) {
	var d credential.Deployment
	where := []any{which.On.Repository.ID, which.Run, strings.ToLower(which.Environment)}
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		row := tx.QueryRowContext(ctx, `SELECT document FROM deployments WHERE repository_id = ? AND run_id = ? AND environment = ?`, where...)
		if d, err = scanDeployment(row); errors.Is(err, sql.ErrNoRows) {
			d, err = which, nil
		}
		if err != nil {
			return err
		}
		if wake := change(&d); wake {
			if _, err := wantWork(ctx, tx, pullRequestKey(d.On), d.On, gate.UrgencyPeople, s.now()); err != nil {
				return err
			}
		}
		return saveDeployment(ctx, tx, d, where)
	})
	if err != nil {
		return credential.Deployment{}, fmt.Errorf("keep %s: %w", which, err)
	}
	s.signal()
	return d, nil
}

func saveDeployment(ctx context.Context, tx *transaction, d credential.Deployment, where []any) error {
	if len(d.Jobs) == 0 {
		_, err := tx.ExecContext(ctx, `DELETE FROM deployments WHERE repository_id = ? AND run_id = ? AND environment = ?`, where...)
		return err
	}
	document, err := json.Marshal(d)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO deployments (repository_id, run_id, environment, number, approved, document) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (repository_id, run_id, environment) DO UPDATE SET approved = excluded.approved, document = excluded.document`,
		append(where, d.On.Number, asNumber(d.Approved), storableText(string(document)))...)
	return err
}

// WaitingDeployments lists what jobs wait for on the pull request, the oldest run first.
func (s *Store) WaitingDeployments(ctx context.Context, on policy.PullRequestRef) (waiting []credential.Deployment, err error) {
	err = s.read(ctx, func(tx *transaction) (err error) {
		waiting, err = list(ctx, tx, scanDeployment, `
			SELECT document FROM deployments WHERE repository_id = ? AND number = ? AND approved = 0 ORDER BY run_id, environment`, on.Repository.ID, on.Number)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list what jobs wait for on %s: %w", on, err)
	}
	return waiting, nil
}

func scanDeployment(row scanner) (d credential.Deployment, err error) {
	var document []byte
	if err := row.Scan(&document); err != nil {
		return d, err
	}
	return d, json.Unmarshal(document, &d)
}

// wakeDeployments has the pull requests looked at on which jobs wait in the repository:
// a slot that was taken is free.
func (s *Store) wakeDeployments(ctx context.Context, tx *transaction, repositoryID int64) error {
	waiting, err := list(ctx, tx, scanDeployment, `SELECT document FROM deployments WHERE repository_id = ? AND approved = 0`, repositoryID)
	for _, d := range waiting {
		if _, err := wantWork(ctx, tx, pullRequestKey(d.On), d.On, gate.UrgencyPeople, s.now()); err != nil {
			return err
		}
	}
	return err
}
