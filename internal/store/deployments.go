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
	err := s.write(ctx, func(ctx context.Context, tx *transaction) (err error) {
		if d, err = loadDeployment(ctx, tx, which); err != nil {
			return err
		}
		if wake := change(&d); wake {
			if _, err := wantWork(ctx, tx, pullRequestKey(d.On), d.On, gate.UrgencyPeople, s.now()); err != nil {
				return err
			}
		}
		return saveDeployment(ctx, tx, d, deploymentKey(which))
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

// Deployment reads what a run's jobs of an environment wait for.
func (s *Store) Deployment(ctx context.Context, which credential.Deployment) (d credential.Deployment, err error) {
	err = s.read(ctx, func(tx *transaction) error {
		d, err = loadDeployment(ctx, tx, which)
		return err
	})
	if err != nil {
		return credential.Deployment{}, fmt.Errorf("read %s: %w", which, err)
	}
	return d, nil
}

// loadDeployment reads one; what is not known is which itself.
func loadDeployment(ctx context.Context, tx *transaction, which credential.Deployment) (credential.Deployment, error) {
	d, err := scanDeployment(tx.QueryRowContext(ctx, `SELECT document FROM deployments WHERE repository_id = ? AND run_id = ? AND environment = ?`, deploymentKey(which)...))
	if errors.Is(err, sql.ErrNoRows) {
		return which, nil
	}
	return d, err
}

func deploymentKey(which credential.Deployment) []any {
	return []any{which.On.Repository.ID, which.Run, strings.ToLower(which.Environment)}
}

// ForgetRun forgets what a run's jobs waited for: they have ended.
func (s *Store) ForgetRun(ctx context.Context, repository policy.Repository, run int64) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM deployments WHERE repository_id = ? AND run_id = ?`, repository.ID, run)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the jobs of run %d of %s: %w", run, repository, err)
	}
	return nil
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
	err = json.Unmarshal(document, &d)
	return d, err
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
