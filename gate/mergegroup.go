package gate

import (
	"context"
	"errors"
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
	// CheckRunID and Digest are the check run that was written and what it says;
	// zero if that is not known.
	CheckRunID int64
	Digest     string
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

// ObserveMergeGroup keeps an entry that waits for its check, to be written
// whatever it says when the pull request is evaluated next. An entry whose branch
// names no pull request is closed at once.
func (g *Gate) ObserveMergeGroup(ctx context.Context, group MergeGroup) error {
	ref, ok := group.PullRequest()
	if ok {
		if err := g.Store.PutMergeGroup(ctx, ref, group); err != nil {
			return fmt.Errorf("keep the merge group %s of %s: %w", group.HeadSHA, ref, err)
		}
		return nil
	}
	fault := fmt.Sprintf("the merge queue's branch %q names no pull request", group.HeadRef)
	ref = policy.PullRequestRef{Repository: group.Repository}
	if _, err := g.GitHub.PutCheck(ctx, group.Repository, 0, g.groupCheck(ref, group, policy.Closed(group.HeadSHA, fault))); err != nil {
		return fmt.Errorf("answer the merge group %s of %s: %w", group.HeadSHA, group.Repository, err)
	}
	return nil
}

// DropMergeGroup forgets an entry that has left its queue.
func (g *Gate) DropMergeGroup(ctx context.Context, group MergeGroup) error {
	ref, ok := group.PullRequest()
	if !ok {
		return nil
	}
	if err := g.Store.DropMergeGroup(ctx, ref, group.HeadSHA); err != nil {
		return fmt.Errorf("forget the merge group %s of %s: %w", group.HeadSHA, ref, err)
	}
	return nil
}

// postMergeGroups writes the decision on a pull request to its entries in merge
// queues: what is rejected after it was put into a queue does not come out at
// the other end.
func (g *Gate) postMergeGroups(ctx context.Context, ref policy.PullRequestRef, decision policy.Decision) error {
	groups, err := g.Store.MergeGroups(ctx, ref)
	if err != nil {
		return fmt.Errorf("list the merge groups of %s: %w", ref, err)
	}
	for _, group := range groups {
		if err := g.postMergeGroup(ctx, ref, group, decision); err != nil {
			return fmt.Errorf("answer the merge group %s of %s: %w", group.HeadSHA, ref, err)
		}
	}
	return nil
}

func (g *Gate) postMergeGroup(ctx context.Context, ref policy.PullRequestRef, group MergeGroup, decision policy.Decision) error {
	check := g.groupCheck(ref, group, decision)
	digest := digestOf(check)
	if group.Digest == digest {
		return nil
	}
	id := group.CheckRunID
	group.Digest = "" // until it is known what the check says
	if err := g.Store.PutMergeGroup(ctx, ref, group); err != nil {
		return err
	}
	id, err := g.GitHub.PutCheck(ctx, group.Repository, id, check)
	var gone interface{ Gone() bool }
	if errors.As(err, &gone) && gone.Gone() {
		return g.Store.DropMergeGroup(ctx, ref, group.HeadSHA)
	}
	if err != nil {
		return err
	}
	group.CheckRunID, group.Digest = id, digest
	return g.Store.PutMergeGroup(ctx, ref, group)
}

// groupCheck is the check on an entry. A queue cannot wait for people, so what is
// not open is closed; but what could not be decided is in progress, which blocks
// the entry without throwing it out of the queue.
func (g *Gate) groupCheck(ref policy.PullRequestRef, group MergeGroup, decision policy.Decision) policy.Check {
	decision = decision.ForQueue()
	check := decision.Check(g.CheckName, ref, g.DetailsURL(ref))
	check.HeadSHA = group.HeadSHA
	check.ExternalID += mergeGroupMark
	switch {
	case decision.Undecided:
		check.Outcome = policy.OutcomeWaiting
	case check.Outcome != policy.OutcomeOpen:
		check.Outcome = policy.OutcomeClosed
	}
	return check
}
