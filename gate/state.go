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
	quorums := []policy.Quorum{{Required: s.Request.Required}}
	for _, q := range s.Request.Quorums {
		quorums = append(quorums, policy.Quorum{Required: q.Required, Of: func(v policy.Vote) bool { return slices.Contains(q.Among, v.By.ID) }})
	}
	return policy.Ballot{
		Quorums:      quorums,
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
	if commit == "" || (commit != s.Request.Commit && !slices.Contains(s.Request.Alike, commit)) {
		return "given for another commit"
	}
	return ""
}

// Observe returns the state with the request's commit added to the heads and
// the request brought up to date: the rule that every implementation of
// [ApprovalWorkflow.Request] follows. Changed says whether anything is new. A
// request without a commit asks for nothing yet.
func (s ApprovalState) Observe(request ApprovalRequest) (next ApprovalState, changed bool) {
	next = ApprovalState{Request: request, Heads: slices.Clone(s.Heads), Votes: s.Votes}
	newest := newestHead(s.Heads)
	head := policy.Head{SHA: request.Commit, Since: request.Since, By: request.By, Replaced: request.Replaced}
	switch {
	case request.Commit == "":
		next.Request = s.Request
		next.Request.ID, next.Request.Subject = request.ID, request.Subject
	case request.Commit == newest.SHA && !cameBack(newest, head):
		next.Request.Since = newest.Since
		if request.Since.Before(newest.Since) {
			// It has been up for longer than was known: the newest is another sight of it.
			next.Heads, head.Replaced = addHead(next.Heads, head), ""
		}
		next.Heads = complete(next.Heads, newest, head)
	case request.Since.Before(newest.Since):
		// Late news of an older head: keep what is being asked.
		next.Request = s.Request
		next.Heads = addHead(next.Heads, head)
	default:
		next.Heads = addHead(next.Heads, head)
	}
	next.Request.By, next.Request.Replaced = policy.Actor{}, ""
	return next, !slices.EqualFunc(next.Heads, s.Heads, sameHead) || !sameRequest(next.Request, s.Request)
}

// cameBack reports whether the head is the newest one again after another that
// nobody told of.
func cameBack(newest, head policy.Head) bool {
	told := head.Replaced != "" && head.Replaced != policy.UnknownCommit
	return told && head.Replaced != newest.Replaced && newest.Replaced != policy.UnknownCommit && head.Since.After(newest.Since)
}

// complete records who pushed a known head, and which one it replaced, where it
// was known without.
func complete(heads []policy.Head, known, told policy.Head) []policy.Head {
	i := slices.IndexFunc(heads, func(h policy.Head) bool { return sameHead(h, known) })
	if i < 0 {
		return heads
	}
	if !heads[i].By.Known() {
		heads[i].By = told.By
	}
	if heads[i].Replaced == policy.UnknownCommit && told.Replaced != "" {
		heads[i].Replaced = told.Replaced
	}
	return heads
}

func sameHead(a, b policy.Head) bool {
	return a.SHA == b.SHA && a.Since.Equal(b.Since) && a.By == b.By && a.Replaced == b.Replaced
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
		a.Required == b.Required && a.ExpiresAfter == b.ExpiresAfter && maps.Equal(a.Excluded, b.Excluded) && slices.Equal(a.Alike, b.Alike) &&
		slices.EqualFunc(a.Quorums, b.Quorums, func(x, y Quorum) bool { return x.Required == y.Required && slices.Equal(x.Among, y.Among) })
}

// WithVote returns the votes with this one recorded. One source has one vote;
// recorded again it is the same, except that what was withdrawn stays withdrawn,
// be it the source itself or, for an approval, the text it stands in. A
// rejection that somebody else took back stands, with their name on it. The
// commit that a vote was first recorded for is kept: GitHub may point a review
// at another commit later.
func (s ApprovalState) WithVote(vote policy.Vote) []policy.Vote {
	votes := slices.Clone(s.Votes)
	if vote.Verdict == policy.VerdictApprove && s.isWithdrawn(textOf(vote.Source)) {
		vote.Verdict = policy.VerdictWithdrawn
	}
	if taken := s.takenBack(textOf(vote.Source)); taken.Known() && vote.Verdict == policy.VerdictReject {
		// The text was edited or deleted before it was heard.
		if vote.LiftedBy = taken; taken.ID == vote.By.ID {
			vote.Verdict, vote.LiftedBy = policy.VerdictWithdrawn, policy.Actor{}
		}
	}
	i := slices.IndexFunc(votes, func(v policy.Vote) bool { return v.Source == vote.Source })
	if i < 0 {
		return append(votes, vote)
	}
	known := votes[i]
	if known.By.Known() {
		vote.Commit = known.Commit
	}
	vote.LiftedBy = known.LiftedBy
	if vote.LiftedBy.ID == vote.By.ID {
		vote.LiftedBy = policy.Actor{}
	}
	if known.Verdict == policy.VerdictWithdrawn && (vote.Verdict != policy.VerdictReject || !withdrawnUnheard(known, vote.By)) {
		vote.Verdict = policy.VerdictWithdrawn
	}
	votes[i] = vote
	return votes
}

// withdrawnUnheard reports whether somebody else took the giver's vote back before
// it was known what it said. If it was a rejection that only marks it.
func withdrawnUnheard(vote policy.Vote, giver policy.Actor) bool {
	return vote.Verdict == policy.VerdictWithdrawn && vote.LiftedBy.ID != giver.ID && (vote.LiftedBy.Known() || !vote.By.Known())
}

func (s ApprovalState) isWithdrawn(source string) bool {
	return slices.ContainsFunc(s.Votes, func(v policy.Vote) bool {
		return v.Source == source && v.Verdict == policy.VerdictWithdrawn
	})
}

// takenBack is who took the text back before it was heard; the zero Actor if
// nobody did, or nobody that is known.
func (s ApprovalState) takenBack(text string) policy.Actor {
	for _, v := range s.Votes {
		if v.Source == text && v.Verdict == policy.VerdictWithdrawn {
			return v.LiftedBy
		}
	}
	return policy.Actor{}
}

// WithoutVote returns the votes with what came from the source taken back by
// that person.
func (s ApprovalState) WithoutVote(source string, by policy.Actor) []policy.Vote {
	votes := slices.Clone(s.Votes)
	i := slices.IndexFunc(votes, func(v policy.Vote) bool { return v.Source == source })
	switch {
	case i < 0:
		return append(votes, policy.Vote{Source: source, Verdict: policy.VerdictWithdrawn, LiftedBy: by})
	case votes[i].Verdict == policy.VerdictReject && votes[i].By.ID != by.ID:
		if by.Known() {
			votes[i].LiftedBy = by
		}
	default:
		if votes[i].Verdict != policy.VerdictWithdrawn || votes[i].By.ID == by.ID {
			votes[i].LiftedBy = policy.Actor{}
		}
		votes[i].Verdict = policy.VerdictWithdrawn
	}
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

// rejectedBy is the account whose rejection that source is; 0 if it is none.
func (s ApprovalState) rejectedBy(source string) int64 {
	for _, vote := range s.Votes {
		if vote.Source == source && vote.Verdict == policy.VerdictReject {
			return vote.By.ID
		}
	}
	return 0
}

// knows reports whether what the review says is on record.
func (s ApprovalState) knows(review policy.Review, dismissal Dismissal) bool {
	if review.State == policy.ReviewCommented {
		return true
	}
	source := ReviewSource(review.ID)
	for _, vote := range s.Votes {
		if vote.Source != source {
			continue
		}
		switch review.State {
		case policy.ReviewApproved:
			return vote.Verdict == policy.VerdictApprove
		case policy.ReviewChangesRequested:
			return vote.Verdict == policy.VerdictReject
		default:
			lifted := vote.Verdict == policy.VerdictReject && vote.LiftedBy.ID == dismissal.By.ID
			// It was withdrawn before it was heard: it may have been a rejection.
			revealed := dismissal.Was == policy.ReviewChangesRequested && withdrawnUnheard(vote, review.By)
			return lifted || (vote.Verdict == policy.VerdictWithdrawn && vote.By.Known() && !revealed)
		}
	}
	return false
}

// heard reports whether a vote out of the text is known.
func (s ApprovalState) heard(text Text) bool {
	return slices.ContainsFunc(s.Votes, func(v policy.Vote) bool { return text.carries(v.Source) })
}
