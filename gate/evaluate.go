package gate

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// maxLooks bounds how often a pull request is read again because it changed
// while it was being read; after that the work comes back later.
const maxLooks = 3

// errMoved means that the pull request changed while it was being decided.
var errMoved = errors.New("the pull request changed while it was being read")

// Evaluate decides the pull request and holds its check to the decision. An
// error means that something could not be read or written: the check then says
// closed, or stays as strict as it was, and the caller tries again. The
// decision returned is the one that was posted; nothing is posted for a pull
// request that is no longer open, and the decision is closed.
func (g *Gate) Evaluate(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, error) {
	generation, err := g.Store.NextGeneration(ctx, ref)
	if err != nil {
		return policy.Decision{}, fmt.Errorf("evaluate %s: %w", ref, err)
	}
	pr, decision, err := g.decide(ctx, ref)
	if err != nil {
		decision = policy.Closed(pr.HeadSHA, "this could not be decided and will be tried again: "+err.Error())
		return decision, errors.Join(fmt.Errorf("evaluate %s: %w", ref, err), g.post(ctx, ref, generation, decision))
	}
	if !pr.Open {
		return policy.Closed(pr.HeadSHA, "the pull request is not open"), nil
	}
	if err := g.post(ctx, ref, generation, decision); err != nil {
		return decision, fmt.Errorf("evaluate %s: %w", ref, err)
	}
	return decision, nil
}

// decide reads and judges. The pull request is returned as far as it was read,
// also with an error, so that its head can be closed.
func (g *Gate) decide(ctx context.Context, ref policy.PullRequestRef) (policy.PullRequest, policy.Decision, error) {
	var pr policy.PullRequest
	var decision policy.Decision
	var err error
	for range maxLooks {
		if decision, pr, err = g.look(ctx, ref); !errors.Is(err, errMoved) {
			break
		}
	}
	return pr, decision, err
}

// look takes one whole look at the pull request and judges what it saw. A
// decision to open is confirmed by a second look at everything that can have
// changed since.
func (g *Gate) look(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, policy.PullRequest, error) {
	pr, err := g.GitHub.PullRequest(ctx, ref)
	if err != nil || !pr.Open {
		return policy.Decision{}, pr, err
	}
	in, err := g.read(ctx, pr)
	if err != nil {
		return policy.Decision{}, pr, err
	}
	decision := policy.Decide(in)
	if decision.Outcome == policy.OutcomeOpen {
		if err := g.confirm(ctx, in); err != nil {
			return policy.Decision{}, pr, err
		}
	}
	return decision, pr, nil
}

// read gathers everything that a decision depends on. What does not depend on
// each other is read side by side.
func (g *Gate) read(ctx context.Context, pr policy.PullRequest) (policy.Input, error) {
	in := policy.Input{Snapshot: policy.Snapshot{PullRequest: pr}}
	reads, readCtx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) { in.Snapshot.Files, err = g.GitHub.Files(readCtx, pr.Ref); return err })
	reads.Go(func() (err error) { in.Snapshot.Commits, err = g.GitHub.Commits(readCtx, pr.Ref); return err })
	reads.Go(func() (err error) { in.Snapshot.Reviews, err = g.GitHub.Reviews(readCtx, pr.Ref); return err })
	reads.Go(func() (err error) { in.Policy, err = g.policy(readCtx, pr); return err })
	if err := reads.Wait(); err != nil {
		return in, err
	}
	if in.Snapshot.Torn() {
		return in, fmt.Errorf("%w: %s", errMoved, in.Snapshot.Incomplete())
	}
	if in.Policy.Fault != nil && in.Snapshot.Touches(g.PolicyPath) {
		content, err := g.GitHub.Content(ctx, pr.Ref.Repository, g.PolicyPath, pr.HeadSHA)
		if err != nil {
			return in, err
		}
		repair, err := g.load(ctx, pr, content)
		if err != nil {
			return in, err
		}
		in.Policy.Repaired = content != nil && repair.Fault == nil
	}
	state, err := g.recordSeen(ctx, in.Snapshot)
	if err != nil {
		return in, err
	}
	in.Votes, in.Heads = state.Votes, state.Heads
	in.Standings, err = g.standings(ctx, in)
	in.Now = g.Now()
	return in, err
}

// policy reads the policy file from the tip of the base branch: the base commit
// that GitHub shows with a pull request may be an older one.
func (g *Gate) policy(ctx context.Context, pr policy.PullRequest) (policy.PolicySource, error) {
	content, err := g.GitHub.Content(ctx, pr.Ref.Repository, g.PolicyPath, "refs/heads/"+pr.BaseBranch)
	if err != nil {
		return policy.PolicySource{}, err
	}
	return g.load(ctx, pr, content)
}

// load parses a policy and makes sure that the teams it names exist.
func (g *Gate) load(ctx context.Context, pr policy.PullRequest, content []byte) (policy.PolicySource, error) {
	source := policy.LoadPolicy(g.PolicyPath, pr.BaseBranch, content)
	// A file with faults is the zero file and names no team.
	unknown, err := g.GitHub.UnknownTeams(ctx, pr.Ref.Repository, source.File.Teams())
	if len(unknown) > 0 {
		source.Fault = &policy.UnknownTeamsError{Teams: unknown}
	}
	return source, err
}

// recordSeen makes facts of what the snapshot shows and no delivery told yet:
// the head, and reviews that were submitted or dismissed.
func (g *Gate) recordSeen(ctx context.Context, s policy.Snapshot) (ApprovalState, error) {
	pr := s.PullRequest
	if err := g.ObserveHead(ctx, pr.Ref, observed(pr)); err != nil {
		return ApprovalState{}, err
	}
	for _, review := range s.Reviews {
		if err := g.RecordReview(ctx, pr.Ref, review, policy.Actor{}); err != nil {
			return ApprovalState{}, err
		}
	}
	return g.Workflow.State(ctx, pr.Ref.Key())
}

// standings asks GitHub what each voter may do.
func (g *Gate) standings(ctx context.Context, in policy.Input) (map[int64]policy.Standing, error) {
	teams, err := in.Teams()
	if err != nil {
		return nil, err
	}
	voters := in.Voters()
	found := make([]policy.Standing, len(voters))
	reads, readCtx := errgroup.WithContext(ctx)
	for i, voter := range voters {
		reads.Go(func() (err error) {
			found[i], err = g.GitHub.Standing(readCtx, in.Snapshot.PullRequest.Ref.Repository, voter, teams)
			return err
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	standings := make(map[int64]policy.Standing, len(voters))
	for i, voter := range voters {
		standings[voter.ID] = found[i]
	}
	return standings, nil
}

// confirm reads once more what a green check rests on, and returns errMoved if
// any of it is not as it was.
func (g *Gate) confirm(ctx context.Context, in policy.Input) error {
	seen := in.Snapshot.PullRequest
	var again policy.PullRequest
	var reviews []policy.Review
	reads, readCtx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) { again, err = g.GitHub.PullRequest(readCtx, seen.Ref); return err })
	reads.Go(func() (err error) { reviews, err = g.GitHub.Reviews(readCtx, seen.Ref); return err })
	if err := reads.Wait(); err != nil {
		return fmt.Errorf("confirm before opening: %w", err)
	}
	state, err := g.Workflow.State(ctx, seen.Ref.Key())
	if err != nil {
		return fmt.Errorf("confirm before opening: %w", err)
	}
	if !reflect.DeepEqual(again, seen) || !reflect.DeepEqual(reviews, in.Snapshot.Reviews) || !reflect.DeepEqual(state.Votes, in.Votes) {
		return errMoved
	}
	return nil
}
