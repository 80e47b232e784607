package policy

import (
	"slices"
	"time"
)

// ApprovalStatus is the state of an approval request.
type ApprovalStatus string

// The states of an approval request. The zero value is none of them and means
// that the request was never judged.
const (
	StatusPending  ApprovalStatus = "pending"
	StatusApproved ApprovalStatus = "approved"
	StatusRejected ApprovalStatus = "rejected"
	StatusExpired  ApprovalStatus = "expired"
)

// Quorum is how many approvals by different people it takes.
type Quorum struct {
	Required int
	// Of says whose approvals are counted; nil: everybody's.
	Of func(Vote) bool
}

// lacks is how many of the approvals are still missing.
func (q Quorum) lacks(approvals []CountedVote) int {
	missing := q.Required
	for _, approval := range approvals {
		if q.Of == nil || q.Of(approval.Vote) {
			missing--
		}
	}
	return max(0, missing)
}

func (q Quorum) among(approvals []CountedVote) []int64 {
	var ids []int64
	for _, approval := range approvals {
		if q.Of == nil || q.Of(approval.Vote) {
			ids = append(ids, approval.Vote.By.ID)
		}
	}
	return ids
}

// Ballot is a count of votes that is about to be made.
type Ballot struct {
	// Quorums must all be reached; with none, nobody needs to approve.
	Quorums []Quorum
	Votes   []Vote
	// Discount says why a vote does not count, or returns "". Expiry is counted
	// apart from it.
	Discount func(Vote) string
	// ExpiresAfter is how long an approval counts; zero: for ever.
	ExpiresAfter time.Duration
	Now          time.Time
}

// CountedVote is an approval that counts.
type CountedVote struct {
	Vote Vote
	// ExpiresAt is when it stops counting; zero: never.
	ExpiresAt time.Time
}

// DiscountedVote is a vote that does not count, with the reason.
type DiscountedVote struct {
	Vote Vote
	Why  string
}

// Tally is a count of votes.
type Tally struct {
	Status     ApprovalStatus
	Counted    []CountedVote
	Discounted []DiscountedVote
	// Rejections hold the gate closed, however many approvals there are.
	Rejections []Vote
	// Missing is how many approvals each quorum still lacks, in the ballot's order.
	Missing []int
	// Among are the accounts whose approval is one for each quorum, also where it
	// has expired.
	Among [][]int64
	// ReviewAt is when time alone changes the count; zero: never.
	ReviewAt time.Time
}

// Count counts each person's latest vote.
func (b Ballot) Count() Tally {
	var t Tally
	var expired []CountedVote
	for _, vote := range latestByPerson(b.Votes) {
		expiry := b.expiry(vote)
		switch why := b.Discount(vote); {
		case vote.Verdict == VerdictWithdrawn:
		case why != "":
			t.Discounted = append(t.Discounted, DiscountedVote{vote, why})
		case vote.Verdict == VerdictReject:
			t.Rejections = append(t.Rejections, vote)
		case !expiry.IsZero() && !b.Now.Before(expiry):
			expired = append(expired, CountedVote{vote, expiry})
			t.Discounted = append(t.Discounted, DiscountedVote{vote, "expired on " + expiry.UTC().Format("2006-01-02 15:04 MST")})
		default:
			t.Counted = append(t.Counted, CountedVote{vote, expiry})
		}
	}
	for _, quorum := range b.Quorums {
		t.Missing = append(t.Missing, quorum.lacks(t.Counted))
		t.Among = append(t.Among, quorum.among(slices.Concat(t.Counted, expired)))
	}
	t.Status = b.status(t, expired)
	t.ReviewAt = firstExpiry(t.Counted)
	return t
}

func (b Ballot) status(t Tally, expired []CountedVote) ApprovalStatus {
	switch {
	case len(t.Rejections) > 0:
		return StatusRejected
	case b.reached(t.Counted):
		return StatusApproved
	case b.reached(slices.Concat(t.Counted, expired)):
		return StatusExpired
	default:
		return StatusPending
	}
}

func (b Ballot) reached(approvals []CountedVote) bool {
	return !slices.ContainsFunc(b.Quorums, func(q Quorum) bool { return q.lacks(approvals) > 0 })
}

// expiry is when the vote stops counting; a rejection never does.
func (b Ballot) expiry(vote Vote) time.Time {
	if b.ExpiresAfter == 0 || vote.Verdict != VerdictApprove {
		return time.Time{}
	}
	return vote.At.Add(b.ExpiresAfter)
}

func firstExpiry(counted []CountedVote) time.Time {
	var first time.Time
	for _, c := range counted {
		if !c.ExpiresAt.IsZero() && (first.IsZero() || c.ExpiresAt.Before(first)) {
			first = c.ExpiresAt
		}
	}
	return first
}
