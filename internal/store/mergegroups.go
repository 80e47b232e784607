package store

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// PutMergeGroup keeps an entry of a merge queue, and what its check says.
func (s *Store) PutMergeGroup(ctx context.Context, ref policy.PullRequestRef, group gate.MergeGroup) error {
	repository := group.Repository
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO merge_groups (pull_request, head_sha, head_ref, installation, repository_id, owner, name, number, check_run_id, digest)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (pull_request, head_sha) DO UPDATE SET head_ref = excluded.head_ref, installation = excluded.installation,
				owner = excluded.owner, name = excluded.name, check_run_id = excluded.check_run_id, digest = excluded.digest`,
			ref.Key(), group.HeadSHA, group.HeadRef, repository.Installation, repository.ID, repository.Owner, repository.Name,
			ref.Number, group.CheckRunID, group.Digest)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the merge group %s of %s: %w", group.HeadSHA, ref, err)
	}
	return nil
}

// MergeGroups lists the pull request's entries in merge queues.
func (s *Store) MergeGroups(ctx context.Context, ref policy.PullRequestRef) ([]gate.MergeGroup, error) {
	var groups []gate.MergeGroup
	err := s.read(ctx, func(tx *transaction) (err error) {
		groups, err = list(ctx, tx, scanMergeGroup, `
			SELECT head_sha, head_ref, installation, repository_id, owner, name, number, check_run_id, digest
			FROM merge_groups WHERE pull_request = ? ORDER BY head_sha`, ref.Key())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the merge groups of %s: %w", ref, err)
	}
	return groups, nil
}

func scanMergeGroup(row scanner) (gate.MergeGroup, error) {
	var g gate.MergeGroup
	err := row.Scan(&g.HeadSHA, &g.HeadRef, &g.Repository.Installation, &g.Repository.ID, &g.Repository.Owner,
		&g.Repository.Name, &g.Number, &g.CheckRunID, &g.Digest)
	return g, err
}

// DropMergeGroup forgets the pull request's entry with that head.
func (s *Store) DropMergeGroup(ctx context.Context, ref policy.PullRequestRef, headSHA string) error {
	err := s.write(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM merge_groups WHERE pull_request = ? AND head_sha = ?`, ref.Key(), headSHA)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the merge group %s of %s: %w", headSHA, ref, err)
	}
	return nil
}
