package gate

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// ApprovalState is a request with all that was answered to it.
type ApprovalState struct {
	Request ApprovalRequest
	// Heads are the commits that were up for approval, and since when.
	Heads []policy.Head
	// Votes are all votes in the order in which they were recorded.
	Votes []policy.Vote
}

// Status counts the votes as of now: the rule that every implementation of
// [ApprovalWorkflow] follows.
func (s ApprovalState) Status(now time.Time) ApprovalStatus {
	if !s.Request.Tier.Known() {
		return policy.StatusPending
	}
	return policy.Ballot{
		Required:     s.Request.Required,
		Votes:        s.Votes,
		Discount:     s.discount,
		ExpiresAfter: s.Request.ExpiresAfter,
		Now:          now,
	}.Count().Status
}

func (s ApprovalState) discount(vote policy.Vote) string {
	if why, excluded := s.Request.Excluded[vote.By.ID]; excluded {
		return why
	}
	if vote.Verdict == policy.VerdictReject {
		return ""
	}
	commit := vote.Commit
	if commit == "" {
		commit = policy.CommitAt(s.Heads, vote.At)
	}
	if commit != s.Request.Commit || commit == "" {
		return "given for another commit"
	}
	return ""
}

// Observe returns the state with the request's commit added to the heads and
// the request brought up to date: the rule that every implementation of
// [ApprovalWorkflow.Request] follows. Changed says whether anything is new.
func (s ApprovalState) Observe(request ApprovalRequest) (next ApprovalState, changed bool) {
	next = ApprovalState{Request: request, Heads: s.Heads, Votes: s.Votes}
	newest := newestHead(s.Heads)
	switch {
	case request.Commit == newest.SHA:
		next.Request.Since = newest.Since
		if request.Since.Before(newest.Since) {
			// It has been up for longer than was known.
			next.Heads = addHead(s.Heads, policy.Head{SHA: request.Commit, Since: request.Since})
		}
	case request.Since.Before(newest.Since):
		// Late news of an older head: keep what is being asked.
		next.Request = s.Request
		next.Heads = addHead(s.Heads, policy.Head{SHA: request.Commit, Since: request.Since})
	default:
		next.Heads = addHead(s.Heads, policy.Head{SHA: request.Commit, Since: request.Since})
	}
	return next, len(next.Heads) != len(s.Heads) || !sameRequest(next.Request, s.Request)
}

func newestHead(heads []policy.Head) policy.Head {
	var newest policy.Head
	for _, head := range heads {
		if !head.Since.Before(newest.Since) {
			newest = head
		}
	}
	return newest
}

func addHead(heads []policy.Head, head policy.Head) []policy.Head {
	for _, known := range heads {
		if known.SHA == head.SHA && known.Since.Equal(head.Since) {
			return heads
		}
	}
	return append(append([]policy.Head(nil), heads...), head)
}

func sameRequest(a, b ApprovalRequest) bool {
	return a.ID == b.ID && a.Subject == b.Subject && a.Commit == b.Commit && a.Since.Equal(b.Since) && a.Tier == b.Tier &&
		a.Required == b.Required && a.ExpiresAfter == b.ExpiresAfter && maps.Equal(a.Excluded, b.Excluded)
}

// WithVote returns the votes with this one recorded. One source has one vote;
// recorded again it is the same, except that what was withdrawn stays
// withdrawn, be it the source itself or, for an approval, the text it stands
// in; a rejection stands, since it is not known who took the text away. The commit that
// a vote was first recorded for is kept: GitHub may point a review at another
// commit later.
func (s ApprovalState) WithVote(vote policy.Vote) []policy.Vote {
	votes := slices.Clone(s.Votes)
	textGone := vote.Verdict == policy.VerdictApprove && s.isWithdrawn(textOf(vote.Source))
	if textGone || s.isWithdrawn(vote.Source) {
		vote.Verdict = policy.VerdictWithdrawn
	}
	i := slices.IndexFunc(votes, func(v policy.Vote) bool { return v.Source == vote.Source })
	if i < 0 {
		return append(votes, vote)
	}
	if votes[i].By.Known() {
		vote.Commit = votes[i].Commit
	}
	votes[i] = vote
	return votes
}

func (s ApprovalState) isWithdrawn(source string) bool {
	return slices.ContainsFunc(s.Votes, func(v policy.Vote) bool {
		return v.Source == source && v.Verdict == policy.VerdictWithdrawn
	})
}

// WithoutVote returns the votes with what came from the source withdrawn.
func (s ApprovalState) WithoutVote(source string) []policy.Vote {
	votes := slices.Clone(s.Votes)
	i := slices.IndexFunc(votes, func(v policy.Vote) bool { return v.Source == source })
	if i < 0 {
		return append(votes, policy.Vote{Source: source, Verdict: policy.VerdictWithdrawn})
	}
	votes[i].Verdict = policy.VerdictWithdrawn
	return votes
}

// expand returns the one head that begins so. An abbreviation is never kept: a
// commit with the same beginning can be made.
func (s ApprovalState) expand(abbreviation string) (string, error) {
	var found []string
	for _, head := range s.Heads {
		if strings.HasPrefix(head.SHA, abbreviation) && !slices.Contains(found, head.SHA) {
			found = append(found, head.SHA)
		}
	}
	if len(found) != 1 {
		return "", &UnknownCommitError{abbreviation}
	}
	return found[0], nil
}

func (s ApprovalState) hadHead(sha string) bool {
	return slices.ContainsFunc(s.Heads, func(h policy.Head) bool { return h.SHA == sha })
}
