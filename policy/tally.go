package policy

import "time"

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

// Ballot is a count of votes that is about to be made.
type Ballot struct {
	// Required is how many approvals by different people it takes.
	Required int
	Votes    []Vote
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
	// Missing is how many approvals are still needed.
	Missing int
	// ReviewAt is when time alone changes the count; zero: never.
	ReviewAt time.Time
}

// Count counts each person's latest vote.
func (b Ballot) Count() Tally {
	var t Tally
	expired := 0
	for _, vote := range latestByPerson(b.Votes) {
		expiry := b.expiry(vote)
		switch why := b.Discount(vote); {
		case vote.Verdict == VerdictWithdrawn:
		case why != "":
			t.Discounted = append(t.Discounted, DiscountedVote{vote, why})
		case vote.Verdict == VerdictReject:
			t.Rejections = append(t.Rejections, vote)
		case !expiry.IsZero() && !b.Now.Before(expiry):
			expired++
			t.Discounted = append(t.Discounted, DiscountedVote{vote, "expired on " + expiry.UTC().Format("2006-01-02 15:04 MST")})
		default:
			t.Counted = append(t.Counted, CountedVote{vote, expiry})
		}
	}
	t.Missing = max(0, b.Required-len(t.Counted))
	t.Status = t.status(expired)
	t.ReviewAt = firstExpiry(t.Counted)
	return t
}

func (t Tally) status(expired int) ApprovalStatus {
	switch {
	case len(t.Rejections) > 0:
		return StatusRejected
	case t.Missing == 0:
		return StatusApproved
	case expired >= t.Missing:
		return StatusExpired
	default:
		return StatusPending
	}
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
