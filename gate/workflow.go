package gate

import (
	"context"
	"errors"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// ApprovalStatus is the state of an approval request: pending, approved,
// rejected or expired.
type ApprovalStatus = policy.ApprovalStatus

// ApprovalRequest asks for approvals of one commit. There is one request per
// pull request; a push moves it to the new commit.
type ApprovalRequest struct {
	// ID names the request; the App uses [policy.PullRequestRef.Key].
	ID string
	// Subject names it for people, as "acme/shop#7".
	Subject string
	// Commit is what approvals must be for, and Since is when it was put up for
	// approval: GitHub's clock, late rather than early.
	Commit string
	Since  time.Time
	// Alike are former commits whose approvals count as well, because the change was
	// the same.
	Alike []string
	// By is who put the commit up; the zero Actor if that is not known. Replaced is
	// the commit that was up before: empty if it is the first, and
	// [policy.UnknownCommit] if that is not known.
	By       policy.Actor
	Replaced string
	// Tier and Required say what it takes: so many approvals by different people. A
	// request with an unknown tier is pending whatever the votes are.
	Tier     policy.ApprovalTier
	Required int
	// Quorums are to be reached beside that, if it takes approvals of several kinds
	// of people.
	Quorums []Quorum
	// Excluded are accounts whose vote does not count, with the reason.
	Excluded map[int64]string
	// ExpiresAfter is how long an approval counts; zero: for ever.
	ExpiresAfter time.Duration
}

// Quorum is how many approvals it takes out of certain people.
type Quorum struct {
	Required int
	// Among are the accounts, of those that voted, whose approval is one.
	Among []int64
}

// ApprovalWorkflow records who was asked to approve what, and what they
// answered. Every method may be called from several goroutines and does the
// same thing when it is called twice, so that deliveries may be repeated.
// Errors are [ErrUnknownRequest], [*InvalidVoteError], or those of the storage
// underneath; an error means that nothing was recorded.
type ApprovalWorkflow interface {
	// Request opens a request or brings it up to date. An observation of a commit
	// that is older than the one already up for approval is remembered but does
	// not move the request back.
	Request(ctx context.Context, request ApprovalRequest) error
	// Approve and Reject record a vote; its Verdict is set by the method. A vote
	// from a source that was withdrawn stays withdrawn.
	Approve(ctx context.Context, id string, vote policy.Vote) error
	Reject(ctx context.Context, id string, vote policy.Vote) error
	// Withdraw takes back what came from the source, or, if nothing has yet, what
	// will still come. It leaves the person without a verdict and does not bring
	// back an older vote of theirs. by is who took it back, the zero Actor if that
	// is not known. A rejection that somebody else takes back stands, with their
	// name on it: whether they may is for the policy to say.
	Withdraw(ctx context.Context, id, source string, by policy.Actor) error
	// Status counts the votes.
	Status(ctx context.Context, id string) (ApprovalStatus, error)
	// State returns the request and its votes uncounted.
	State(ctx context.Context, id string) (ApprovalState, error)
}

// ErrUnknownRequest is returned for an id that nobody has opened a request for.
var ErrUnknownRequest = errors.New("no approval request has this id")

// InvalidVoteError is returned for a vote that lacks what binds it: its giver,
// its time or its source.
type InvalidVoteError struct{ Lacks string }

func (e *InvalidVoteError) Error() string { return "the vote has no " + e.Lacks }

// ValidateVote returns an [*InvalidVoteError] for a vote that no implementation
// may record.
func ValidateVote(vote policy.Vote) error {
	switch {
	case vote.Source == "":
		return &InvalidVoteError{"source"}
	case !vote.By.Known():
		return &InvalidVoteError{"giver"}
	case vote.At.IsZero():
		return &InvalidVoteError{"time"}
	default:
		return nil
	}
}
