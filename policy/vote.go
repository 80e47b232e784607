package policy

import (
	"cmp"
	"slices"
	"time"
)

// Verdict is what a person said of a pull request.
type Verdict string

// The verdicts. Withdrawn is also what remains of a dismissed review and of an
// edited or deleted comment: it leaves its person without a verdict and does
// not bring back an older one.
const (
	VerdictApprove   Verdict = "approve"
	VerdictReject    Verdict = "reject"
	VerdictWithdrawn Verdict = "withdrawn"
)

// strictness orders verdicts given in the same second.
func (v Verdict) strictness() int {
	switch v {
	case VerdictApprove:
		return 0
	case VerdictWithdrawn:
		return 1
	default:
		return 2
	}
}

// What a vote's source begins with.
const (
	SourceReview     = "review"
	SourceReviewText = "review-text"
	SourceComment    = "comment"
)

// Vote is one person's verdict as it was recorded.
type Vote struct {
	// Source names what carries the vote, as "review:ID", "comment:ID:INDEX" or
	// "review-text:ID:INDEX". It is unique within a pull request.
	Source  string
	By      Actor
	Verdict Verdict
	// Commit is the commit the verdict is about. Empty: the head that its giver
	// could see at At, which [CommitAt] finds out.
	Commit string
	// At is GitHub's clock when the verdict was given, to the second.
	At time.Time
	// Reason is what a rejection gave as its reason; may be empty.
	Reason string
	// LiftedBy is who took a rejection back that is not theirs, by dismissing the
	// review or removing the text; the decision says whether they may.
	LiftedBy Actor
}

// UnknownCommit is the commit of a vote of which it cannot be known any more what
// its giver saw. It equals no commit.
const UnknownCommit = "unknown"

// Head is a commit that was a pull request's head from Since on. Since is
// GitHub's clock and may be late, never early: an approval between the push and
// Since counts for the older head, which is the safe direction.
type Head struct {
	SHA   string
	Since time.Time
	// By is who pushed it; the zero Actor if that is not known.
	By Actor
	// Replaced is the head before it: empty for the first one, and [UnknownCommit]
	// if that is not known.
	Replaced string
}

// follows reports whether no other head can have been between that commit and
// this one.
func (h Head) follows(commit string) bool {
	return h.Replaced == "" || h.Replaced == commit || h.Replaced == UnknownCommit && h.SHA == commit
}

// CommitAt returns the commit that was the head at the time t: "" before the
// first one, and [UnknownCommit] if there may have been another than those that
// are known. Times have a precision of one second, so a head that arrived in the
// very second t does not count.
func CommitAt(heads []Head, t time.Time) string {
	sorted := slices.Clone(heads)
	slices.SortStableFunc(sorted, func(a, b Head) int { return a.Since.Compare(b.Since) })
	commit := ""
	for _, head := range sorted {
		if head.Since.Before(t) {
			commit = head.SHA
			continue
		}
		if commit != "" && !head.follows(commit) {
			return UnknownCommit
		}
		break
	}
	return commit
}

// Standing is what GitHub says of a person at the moment of a decision.
type Standing struct {
	// Login is the account's name now; it may have had another when it voted.
	Login      string
	Permission Permission
	// Teams lists those of the requirement's teams that the person is an active
	// member of.
	Teams []string
}

// Selects reports whether w selects the person with that standing.
func (w Who) Selects(standing Standing) bool {
	if w.Permission != PermissionNone && standing.Permission >= w.Permission {
		return true
	}
	if standing.Login != "" && containsFold(w.Users, standing.Login) {
		return true
	}
	return slices.ContainsFunc(standing.Teams, func(team string) bool { return containsFold(w.Teams, team) })
}

// latestByPerson reduces the votes to each person's latest one, in the order in
// which those were given. Of two votes in one second the stricter one wins.
func latestByPerson(votes []Vote) []Vote {
	latest := map[int64]Vote{}
	for _, vote := range votes {
		have, ok := latest[vote.By.ID]
		if !ok || later(vote, have) {
			latest[vote.By.ID] = vote
		}
	}
	result := make([]Vote, 0, len(latest))
	for _, vote := range latest {
		result = append(result, vote)
	}
	slices.SortFunc(result, func(a, b Vote) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Source, b.Source))
	})
	return result
}

func later(a, b Vote) bool {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Verdict.strictness(), b.Verdict.strictness()), cmp.Compare(a.Source, b.Source)) > 0
}
