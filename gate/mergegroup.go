package gate

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// MergeGroup is an entry of a merge queue that waits for its checks.
type MergeGroup struct {
	Repository policy.Repository
	// HeadSHA is the commit that the queue wants to merge, and HeadRef its branch.
	HeadSHA string
	HeadRef string
	// Number is the pull request, where it is known by other means than HeadRef.
	Number int
}

// queueBranch is how GitHub names the branch of a queue entry: for the pull
// request that the entry adds, on top of those ahead of it, which have entries
// of their own.
var queueBranch = regexp.MustCompile(`^(?:refs/heads/)?gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]+$`)

// mergeGroupMark ends the external id of a check on a queue entry. A re-run is
// known by it and not by its branch: anybody can name a branch like the queue's.
const mergeGroupMark = "@merge-group"

// IsMergeGroupCheck reports whether a check run with that external id of ours
// stands on a queue entry.
func IsMergeGroupCheck(externalID string) bool { return strings.HasSuffix(externalID, mergeGroupMark) }

// PullRequest is the pull request that the entry adds.
func (m MergeGroup) PullRequest() (policy.PullRequestRef, bool) {
	if m.Number > 0 {
		return policy.PullRequestRef{Repository: m.Repository, Number: m.Number}, true
	}
	match := queueBranch.FindStringSubmatch(m.HeadRef)
	if match == nil {
		return policy.PullRequestRef{}, false
	}
	number, err := strconv.Atoi(match[1])
	if err != nil {
		return policy.PullRequestRef{}, false
	}
	return policy.PullRequestRef{Repository: m.Repository, Number: number}, true
}

// EvaluateMergeGroup decides a queue entry by deciding its pull request anew. A
// queue cannot wait for people, so what is not open is closed. On an error the
// check is in progress, which blocks the entry without throwing it out of the
// queue, and the caller tries again.
func (g *Gate) EvaluateMergeGroup(ctx context.Context, group MergeGroup) error {
	ref, ok := group.PullRequest()
	decision := policy.Closed(group.HeadSHA, fmt.Sprintf("the merge queue's branch %q names no pull request", group.HeadRef))
	var decideErr error
	if ok {
		_, decision, decideErr = g.decide(ctx, ref)
	}
	if decideErr != nil {
		decision = policy.Closed(group.HeadSHA, "this could not be decided and will be tried again: "+decideErr.Error())
	}
	check := decision.Check(g.CheckName, ref, g.DetailsURL(ref))
	check.HeadSHA = group.HeadSHA
	check.ExternalID += mergeGroupMark
	switch {
	case decideErr != nil:
		check.Outcome = policy.OutcomeWaiting
	case check.Outcome != policy.OutcomeOpen:
		check.Outcome = policy.OutcomeClosed
	}
	if _, err := g.GitHub.PutCheck(ctx, group.Repository, 0, check); err != nil {
		return fmt.Errorf("answer the merge group %s of %s: %w", group.HeadSHA, ref, err)
	}
	if decideErr != nil {
		return fmt.Errorf("evaluate the merge group %s of %s: %w", group.HeadSHA, ref, decideErr)
	}
	return nil
}
