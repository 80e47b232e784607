package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// renewAfter is how long a check waits before it is written anew: GitHub turns
// one that is incomplete for more than 14 days stale.
const renewAfter = 13 * 24 * time.Hour

// post writes the decision's check run, if it says anything new, and keeps the
// decision: the check does not show when time will change it, but the timer
// must be set. It does nothing and is content if a newer evaluation has begun.
func (g *Gate) post(ctx context.Context, ref policy.PullRequestRef, generation int64, decision policy.Decision, snapshot policy.Snapshot) error {
	last, err := g.Store.LastPosted(ctx, ref)
	if err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	if decision.HeadSHA == "" {
		// Not even the head could be read: close what was posted last.
		decision.HeadSHA = last.Decision.HeadSHA
	}
	if decision.Status == "" {
		// It did not come to classifying, or not to its end.
		decision.Labels = last.Decision.Labels
	}
	closed := snapshot.PullRequest.Ref.Number != 0 && !snapshot.PullRequest.Open
	if closed {
		if err := g.Store.PutClosed(ctx, ref); err != nil {
			return fmt.Errorf("post the decision: %w", err)
		}
		if snapshot.PullRequest.Merged && last.Decision.HeadSHA != "" && !last.Closed {
			if err := g.leave(ctx, ref, last.Decision.HeadSHA); err != nil {
				return fmt.Errorf("post the decision: %w", err)
			}
		}
	}
	if decision.HeadSHA == "" || snapshot.PullRequest.Merged {
		return nil
	}
	if current, err := g.Store.Current(ctx, ref, generation); err != nil || !current {
		return err
	}
	if err := g.ask(ctx, ref, decision); err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	others, err := g.sharing(ctx, ref, decision.HeadSHA, snapshot)
	if err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	p := posting{Gate: g, ref: ref, generation: generation, last: last, decision: decision, others: others, pr: snapshot.PullRequest, closed: closed}
	if closed && len(others) > 0 {
		// The commit is the head of another pull request, whose check it is now.
		err = p.begin(ctx, 0)
	} else {
		err = p.write(ctx)
	}
	if errors.Is(err, ErrSuperseded) {
		return nil
	}
	if errors.Is(err, ErrStopped) {
		return errMoved
	}
	if err != nil {
		return err
	}
	return g.postMergeGroups(ctx, ref, decision)
}

// posting is a decision on its way to GitHub.
type posting struct {
	*Gate
	ref        policy.PullRequestRef
	generation int64
	last       Posted
	decision   policy.Decision
	others     []Decided
	pr         policy.PullRequest
	closed     bool
}

// write writes the check if it says anything new, and keeps the decision.
func (p posting) write(ctx context.Context) error {
	check := shared(Decided{p.ref, p.decision}, p.others).check(p.CheckName, p.DetailsURL(p.ref))
	digest := digestOf(check)
	check.Renewed = check.Outcome == policy.OutcomeWaiting && !p.last.At.IsZero() && p.Now().Sub(p.last.At) >= renewAfter
	written := p.last.Digest == digest && !check.Renewed && !p.last.Marked
	if written && p.last.Decision.ReviewAt.Equal(p.decision.ReviewAt) {
		return nil
	}
	id := p.last.CheckRunID
	if p.last.Decision.HeadSHA != p.decision.HeadSHA || len(p.others) > 0 {
		// Two that were decided at one moment may each have created a run; GitHub goes
		// by the newest, so that one is looked up.
		id = 0
	}
	if !written {
		if err := p.begin(ctx, id); err != nil {
			return err
		}
		var err error
		if id, err = p.put(ctx, id, check); err != nil {
			return fmt.Errorf("post the decision: %w", err)
		}
	}
	posted := Posted{
		Generation: p.generation, Decision: p.decision, CheckRunID: id, Digest: digest, At: p.Now(), ReviewAt: p.reviewAt(),
		Closed: p.closed, Base: p.pr.BaseBranch, AutoMerge: p.pr.AutoMerge,
	}
	if err := p.Store.PutPosted(ctx, p.ref, posted, p.entry(p.ref, p.decision)); err != nil {
		return fmt.Errorf("keep the decision: %w", err)
	}
	return nil
}

// put writes the check. While a gate is being opened, GitHub is asked whether the
// pull request is still the one that was read: if it is not, the decision is
// made again at once, though nothing was delivered that says so.
func (p posting) put(ctx context.Context, id int64, check policy.Check) (int64, error) {
	var calls errgroup.Group
	calls.Go(func() (err error) {
		id, err = p.GitHub.PutCheck(ctx, p.ref.Repository, id, check)
		return err
	})
	if check.Outcome == policy.OutcomeOpen {
		calls.Go(func() error {
			updated, err := p.GitHub.Updated(ctx, p.pr)
			if err == nil && updated {
				err = errMoved
			}
			return err
		})
	}
	return id, calls.Wait()
}

// begin keeps the decision and that it is about to be written. A write that is
// reported as failed may have been done all the same: only with the intent on
// record is the next decision written whatever it says. The pull requests that
// share the check, or shared the one before, are looked at again.
func (p posting) begin(ctx context.Context, id int64) error {
	changed := digestOf(p.decision.Check("", p.ref, "")) != digestOf(p.last.Decision.Check("", p.ref, ""))
	var sharing []policy.PullRequestRef
	for _, other := range p.others {
		// That another pull request came to share its head, or has left it, does not
		// show in when it was updated.
		p.seen.outdate(other.Ref)
		if changed || other.Decision.HeadSHA == "" {
			sharing = append(sharing, other.Ref)
		}
	}
	if was := p.last.Decision.HeadSHA; was != "" && was != p.decision.HeadSHA {
		left, err := p.sharing(ctx, p.ref, was, policy.Snapshot{})
		if err != nil {
			return fmt.Errorf("post the decision: %w", err)
		}
		for _, other := range left {
			p.seen.outdate(other.Ref)
			sharing = append(sharing, other.Ref)
		}
	}
	posted := Posted{Generation: p.generation, Decision: p.decision, CheckRunID: id, At: p.Now(), Closed: p.closed, Base: p.pr.BaseBranch, AutoMerge: p.pr.AutoMerge}
	if err := p.Store.BeginPost(ctx, p.ref, posted, sharing); err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	return nil
}

// reviewAt is when time changes the decision, or the check would grow stale.
func (p posting) reviewAt() time.Time {
	at := p.decision.ReviewAt
	if p.decision.Outcome != policy.OutcomeWaiting {
		return at
	}
	if stale := p.Now().Add(renewAfter); at.IsZero() || stale.Before(at) {
		return stale
	}
	return at
}

// ask brings the approval request up to date with what the decision asks for,
// so that the workflow's status is the decision's. A decision that did not come
// to counting asks for nothing.
func (g *Gate) ask(ctx context.Context, ref policy.PullRequestRef, d policy.Decision) error {
	if d.Status == "" {
		return nil
	}
	state, err := g.Workflow.State(ctx, ref.Key())
	if err != nil {
		return fmt.Errorf("bring the approval request up to date: %w", err)
	}
	if state.Request.Commit != d.HeadSHA {
		// The head has moved on, and another evaluation will ask for that one.
		return nil
	}
	request := state.Request
	request.Tier, request.Required, request.ExpiresAfter = d.Assessment.Tier, d.Required(), d.ExpiresAfter
	request.Excluded, request.Alike, request.Quorums = map[int64]string{}, d.Alike, nil
	for _, vote := range d.Discounted {
		request.Excluded[vote.Vote.By.ID] = vote.Why
	}
	if len(d.Assessment.Requirements) > 1 {
		for i, requirement := range d.Assessment.Requirements {
			request.Quorums = append(request.Quorums, Quorum{requirement.Approvals, d.Among[i]})
		}
	}
	if _, changed := state.Observe(request); !changed {
		return nil
	}
	if err := g.Workflow.Request(ctx, request); err != nil {
		return fmt.Errorf("bring the approval request up to date: %w", err)
	}
	return nil
}

func (g *Gate) entry(ref policy.PullRequestRef, d policy.Decision) audit.Entry {
	return audit.Entry{
		At: g.Now(), Actor: audit.Itself, Action: "decision." + d.Outcome.String(),
		Subject: ref.String(), Commit: d.HeadSHA, Detail: d.Title() + "; " + d.Policy,
	}
}

// digestOf identifies what a check says.
func digestOf(check policy.Check) string {
	// The encoding of a struct of strings and numbers cannot fail.
	encoded, _ := json.Marshal(check) //nolint:errchkjson // see above
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}
