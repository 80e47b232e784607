package app

import (
	"context"
	"errors"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
)

// workflowRuns are the runs of workflows on what agents made, which a kill switch
// cancels if the policy asks for that.
type workflowRuns struct {
	client *githubapi.Client
	store  *store.Store
	// wanted says whether the policies that are known for the scope ask for it.
	wanted func(killswitch.Scope) bool
}

// Stop cancels the runs on the heads of agents' pull requests in scope.
func (w workflowRuns) Stop(ctx context.Context, scope killswitch.Scope) (cancelled int, err error) {
	if !w.wanted(scope) {
		return 0, nil
	}
	heads, err := w.store.AgentHeads(ctx, scope)
	if err != nil {
		return 0, err
	}
	var errs []error
	for repository, commits := range heads {
		// The lock waits for none of these.
		n, err := w.client.CancelRuns(githubapi.Background(ctx), repository, commits)
		cancelled += n
		errs = append(errs, err)
	}
	return cancelled, errors.Join(errs...)
}
