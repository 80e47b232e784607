package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// post writes the decision's check run, if it says anything new, and keeps the
// decision: the check does not show when time will change it, but the timer
// must be set. It does nothing and is content if a newer evaluation has begun.
func (g *Gate) post(ctx context.Context, ref policy.PullRequestRef, generation int64, decision policy.Decision) error {
	last, err := g.Store.LastPosted(ctx, ref)
	if err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	if decision.HeadSHA == "" {
		// Not even the head could be read: close what was posted last.
		decision.HeadSHA = last.Decision.HeadSHA
	}
	if decision.HeadSHA == "" {
		return nil
	}
	if current, err := g.Store.Current(ctx, ref, generation); err != nil || !current {
		return err
	}
	if err := g.ask(ctx, ref, decision); err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	check := decision.Check(g.CheckName, ref, g.DetailsURL(ref))
	digest := digestOf(check)
	written := last.Digest == digest
	if written && last.Decision.ReviewAt.Equal(decision.ReviewAt) {
		return nil
	}
	id := last.CheckRunID
	if last.Decision.HeadSHA != decision.HeadSHA {
		id = 0
	}
	if !written {
		id, err = g.write(ctx, ref, generation, id, check)
		if errors.Is(err, ErrSuperseded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("post the decision: %w", err)
		}
	}
	err = g.Store.PutPosted(ctx, ref, Posted{
		Generation: generation, Decision: decision, CheckRunID: id, Digest: digest, At: g.Now(),
	}, g.entry(ref, decision))
	if err != nil && !errors.Is(err, ErrSuperseded) {
		return fmt.Errorf("keep the decision: %w", err)
	}
	return nil
}

// write records the intent and then writes the check. A write that is reported
// as failed may have been done all the same: only with the intent on record is
// the next decision written whatever it says.
func (g *Gate) write(ctx context.Context, ref policy.PullRequestRef, generation, id int64, check policy.Check) (int64, error) {
	if err := g.Store.BeginPost(ctx, ref, generation); err != nil {
		return 0, err
	}
	return g.GitHub.PutCheck(ctx, ref.Repository, id, check)
}

// ask brings the approval request up to date with what the decision asks for,
// so that the workflow's status is the decision's. A decision that did not come
// to counting asks for nothing.
func (g *Gate) ask(ctx context.Context, ref policy.PullRequestRef, d policy.Decision) error {
	if d.Status == "" {
		return nil
	}
	excluded := map[int64]string{}
	for _, vote := range d.Discounted {
		excluded[vote.Vote.By.ID] = vote.Why
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
	request.Tier, request.Required, request.Excluded, request.ExpiresAfter = d.Assessment.Tier, d.Required(), excluded, d.ExpiresAfter
	if err := g.Workflow.Request(ctx, request); err != nil {
		return fmt.Errorf("bring the approval request up to date: %w", err)
	}
	return nil
}

func (g *Gate) entry(ref policy.PullRequestRef, d policy.Decision) audit.Entry {
	return audit.Entry{
		At: g.Now(), Actor: "portcullis", Action: "decision." + d.Outcome.String(),
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
