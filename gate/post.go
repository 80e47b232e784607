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
// decision. It does nothing and is content if a newer evaluation has begun.
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
	check := decision.Check(g.CheckName, ref, g.DetailsURL(ref))
	digest := digestOf(check)
	if last.Digest == digest {
		return nil
	}
	current, err := g.Store.Current(ctx, ref, generation)
	if err != nil || !current {
		return err
	}
	id := last.CheckRunID
	if last.Decision.HeadSHA != decision.HeadSHA {
		id = 0
	}
	if id, err = g.GitHub.PutCheck(ctx, ref.Repository, id, check); err != nil {
		return fmt.Errorf("post the decision: %w", err)
	}
	err = g.Store.PutPosted(ctx, ref, Posted{
		Generation: generation, Decision: decision, CheckRunID: id, Digest: digest, At: g.Now(),
	}, g.entry(ref, decision))
	if err != nil && !errors.Is(err, ErrSuperseded) {
		return fmt.Errorf("keep the decision: %w", err)
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
