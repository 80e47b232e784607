package gate

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// MemoryApprovalWorkflow is an [ApprovalWorkflow] that forgets everything with
// the process: for tests and for library users without a database.
type MemoryApprovalWorkflow struct {
	now func() time.Time

	mu       sync.Mutex
	requests map[string]ApprovalState
}

// NewMemoryApprovalWorkflow returns an empty workflow that tells the time with
// now.
func NewMemoryApprovalWorkflow(now func() time.Time) *MemoryApprovalWorkflow {
	return &MemoryApprovalWorkflow{now: now, requests: map[string]ApprovalState{}}
}

// Request opens a request or brings it up to date.
func (w *MemoryApprovalWorkflow) Request(_ context.Context, request ApprovalRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	request.Excluded = maps.Clone(request.Excluded)
	w.requests[request.ID], _ = w.requests[request.ID].Observe(request)
	return nil
}

// Restore puts a request in the place of the one with its id, as another
// workflow had it.
func (w *MemoryApprovalWorkflow) Restore(state ApprovalState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state.Request.Excluded = maps.Clone(state.Request.Excluded)
	state.Heads, state.Votes = slices.Clone(state.Heads), slices.Clone(state.Votes)
	w.requests[state.Request.ID] = state
}

// Approve records an approval.
func (w *MemoryApprovalWorkflow) Approve(_ context.Context, id string, vote policy.Vote) error {
	vote.Verdict = policy.VerdictApprove
	return w.record(id, vote)
}

// Reject records a rejection.
func (w *MemoryApprovalWorkflow) Reject(_ context.Context, id string, vote policy.Vote) error {
	vote.Verdict = policy.VerdictReject
	return w.record(id, vote)
}

func (w *MemoryApprovalWorkflow) record(id string, vote policy.Vote) error {
	if err := ValidateVote(vote); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	state, ok := w.requests[id]
	if !ok {
		return ErrUnknownRequest
	}
	state.Votes = state.WithVote(vote)
	w.requests[id] = state
	return nil
}

// Withdraw takes back what came, or will still come, from the source.
func (w *MemoryApprovalWorkflow) Withdraw(_ context.Context, id, source string, by policy.Actor) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	state, ok := w.requests[id]
	if !ok {
		return ErrUnknownRequest
	}
	state.Votes = state.WithoutVote(source, by)
	w.requests[id] = state
	return nil
}

// Status counts the votes.
func (w *MemoryApprovalWorkflow) Status(ctx context.Context, id string) (ApprovalStatus, error) {
	state, err := w.State(ctx, id)
	if err != nil {
		return "", err
	}
	return state.Status(w.now()), nil
}

// State returns the request and its votes.
func (w *MemoryApprovalWorkflow) State(_ context.Context, id string) (ApprovalState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state, ok := w.requests[id]
	if !ok {
		return ApprovalState{}, ErrUnknownRequest
	}
	state.Request.Excluded = maps.Clone(state.Request.Excluded)
	state.Heads, state.Votes = slices.Clone(state.Heads), slices.Clone(state.Votes)
	return state, nil
}
