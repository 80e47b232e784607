package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
)

// budgets keeps what is known of GitHub's limits in the database, where all
// replicas see it.
type budgets struct{ store *store.Store }

// topicBudgets is what the notes are about.
const topicBudgets = "github.limits"

// Budgets returns what is known of all installations.
func (b budgets) Budgets(ctx context.Context) ([]githubapi.Budget, error) {
	notes, err := b.store.Notes(ctx, topicBudgets)
	if err != nil {
		return nil, err
	}
	known := make([]githubapi.Budget, 0, len(notes))
	for name, content := range notes {
		budget, err := readBudget(content)
		if err != nil {
			return nil, fmt.Errorf("read the limit %s: %w", name, err)
		}
		known = append(known, budget)
	}
	return known, nil
}

// PutBudget merges what was learnt into what is known.
func (b budgets) PutBudget(ctx context.Context, learnt githubapi.Budget) error {
	return b.store.PutNote(ctx, topicBudgets, fmt.Sprintf("%d %s", learnt.Installation, learnt.Resource), func(known string) (string, error) {
		budget, err := readBudget(known)
		if err != nil {
			return "", err
		}
		budget.Installation, budget.Resource = learnt.Installation, learnt.Resource
		content, err := json.Marshal(budget.Merge(learnt))
		return string(content), err
	})
}

func readBudget(content string) (budget githubapi.Budget, err error) {
	if content != "" {
		err = json.Unmarshal([]byte(content), &budget)
	}
	return budget, err
}
