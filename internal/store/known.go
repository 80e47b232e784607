package store

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/policy"
)

// Repository returns the repository of that name as it was last heard of, or with an
// empty name the owner alone; the zero Repository if it never was.
func (s *Store) Repository(ctx context.Context, owner, name string) (policy.Repository, error) {
	var found []workRow
	err := s.read(ctx, func(tx *transaction) (err error) {
		found, err = list(ctx, tx, scanWork, selectFromWork+`
			WHERE lower(owner) = lower(?) AND (? = '' OR lower(name) = lower(?)) AND installation <> 0 AND (? = '' OR repository_id <> 0)
			ORDER BY work_key LIMIT 1`, owner, name, name, name)
		return err
	})
	if err != nil {
		return policy.Repository{}, fmt.Errorf("look up %s/%s: %w", owner, name, err)
	}
	if len(found) == 0 {
		return policy.Repository{}, nil
	}
	repository := found[0].ref.Repository
	if name == "" {
		return policy.Repository{Installation: repository.Installation, Owner: repository.Owner}, nil
	}
	return repository, nil
}
