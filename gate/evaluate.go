package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// maxLooks bounds how often a pull request is read again because it changed
	// while it was being read, or because the reading grew old; after that the
	// work comes back later.
	maxLooks = 3
	// freshness is the age beyond which no gate is opened on a reading: whatever
	// else had to be asked took too long, and the pull request is read again.
	freshness = 500 * time.Millisecond
)

// errMoved means that the pull request changed while it was being decided.
var errMoved = errors.New("the pull request changed while it was being read")

// Evaluate reads the pull request, decides it and holds its check to the
// decision. An error means that something could not be read or written: the
// check then says closed, or stays as strict as it was, and the caller tries
// again. The decision returned is the one that was posted.
func (g *Gate) Evaluate(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, error) {
	g.seen.outdate(ref)
	return g.evaluate(ctx, ref)
}

// Recheck is Evaluate for when nothing is known to have happened to the pull
// request itself: what was read of it before is used again if GitHub says that
// nothing moved, which costs nothing of its budget.
func (g *Gate) Recheck(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, error) {
	if decision, stopped, err := g.stop(ctx, ref); stopped || err != nil {
		return decision, err
	}
	return g.evaluate(ctx, ref)
}

func (g *Gate) evaluate(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, error) {
	generation, err := g.Store.NextGeneration(ctx, ref)
	if err != nil {
		return policy.Decision{}, fmt.Errorf("evaluate %s: %w", ref, err)
	}
	var snapshot policy.Snapshot
	var decision policy.Decision
	for range maxLooks {
		if snapshot, decision, err = g.decide(ctx, ref); err == nil {
			err = g.post(ctx, ref, generation, decision, snapshot)
		}
		if !errors.Is(err, errMoved) {
			break
		}
		g.seen.outdate(ref)
	}
	if err != nil {
		g.seen.outdate(ref)
		decision = undecided(snapshot.PullRequest.HeadSHA, err)
		return decision, errors.Join(fmt.Errorf("evaluate %s: %w", ref, err), g.post(ctx, ref, generation, decision, snapshot))
	}
	return decision, nil
}

// stop closes a gate that is marked because of a kill switch, by what was decided
// last and without reading anything: one call. It reports whether that was all.
func (g *Gate) stop(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, bool, error) {
	if g.Switch == nil {
		return policy.Decision{}, false, nil
	}
	last, err := g.Store.LastPosted(ctx, ref)
	if err != nil || !last.Marked || last.Closed || last.CheckRunID == 0 || last.Decision.HeadSHA == "" {
		return policy.Decision{}, false, err
	}
	groups, err := g.Store.MergeGroups(ctx, ref)
	if err != nil || len(groups) > 0 {
		// What queues do is up to the policy.
		return policy.Decision{}, false, err
	}
	generation, err := g.Store.NextGeneration(ctx, ref)
	if err != nil {
		return policy.Decision{}, false, err
	}
	stops, err := g.Switch.Stops(ctx, killswitch.Sighting{Ref: ref})
	if err != nil {
		return policy.Decision{}, false, err
	}
	decision := last.Decision.Stopped(stops)
	if len(decision.Stops) == 0 {
		return policy.Decision{}, false, nil
	}
	known := policy.Snapshot{PullRequest: policy.PullRequest{
		Ref: ref, HeadSHA: decision.HeadSHA, BaseBranch: last.Base, Open: true, AutoMerge: last.AutoMerge,
	}}
	if err := g.post(ctx, ref, generation, decision, known); err != nil {
		return policy.Decision{}, false, fmt.Errorf("stop %s: %w", ref, err)
	}
	return decision, true, nil
}

// Explain decides the pull request as Evaluate would, and writes nothing.
func (g *Gate) Explain(ctx context.Context, ref policy.PullRequestRef) (policy.Decision, error) {
	_, decision, err := g.decide(ctx, ref)
	return decision, err
}

// undecided is the decision after an error.
func undecided(headSHA string, err error) policy.Decision {
	decision := policy.Closed(headSHA, "this could not be decided and will be tried again: "+err.Error())
	decision.Undecided = true
	return decision
}

// decide reads and judges. The snapshot is returned as far as it was read, also
// with an error, so that its head can be closed.
func (g *Gate) decide(ctx context.Context, ref policy.PullRequestRef) (policy.Snapshot, policy.Decision, error) {
	l := &look{Gate: g, ref: ref}
	if err := l.first(ctx); err != nil {
		return l.snapshot, policy.Decision{}, err
	}
	unsettled := errMoved
	for range maxLooks {
		decision, err := l.judge(ctx)
		if err != nil && !errors.Is(err, errMoved) {
			return l.snapshot, decision, err
		}
		if err != nil {
			unsettled = err
		}
		if err == nil && l.fresh(decision) {
			return l.snapshot, decision, nil
		}
		if err := l.again(ctx); err != nil {
			return l.snapshot, policy.Decision{}, err
		}
	}
	return l.snapshot, policy.Decision{}, unsettled
}
