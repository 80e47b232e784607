package gate

import (
	"context"
	"errors"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// Reader is what a gate asks GitHub. An error of any method means "not known"
// and closes the gate.
type Reader interface {
	// Snapshot reads the pull request with everything that a decision looks at, and
	// answers of the questions about people those that it can at no further cost.
	Snapshot(ctx context.Context, ref policy.PullRequestRef, likely policy.Questions) (policy.Snapshot, map[int64]policy.Standing, error)
	// Moved reports whether anything of the snapshot may be different now. It costs
	// nothing of GitHub's budget if nothing is.
	Moved(ctx context.Context, snapshot policy.Snapshot) (bool, error)
	// Updated reports whether the pull request itself was updated since it was read.
	// It costs nothing of GitHub's budget if it was not.
	Updated(ctx context.Context, pr policy.PullRequest) (bool, error)
	// Content returns the file at that commit or full reference, and nil only if
	// it is certain that there is none.
	Content(ctx context.Context, repository policy.Repository, path, at string) ([]byte, error)
	// UnknownTeams returns those of the teams (`organization/slug`) that certainly
	// do not exist or that the App may not see.
	UnknownTeams(ctx context.Context, repository policy.Repository, teams []string) ([]string, error)
	// Standing says what the person may do in the repository and which of the
	// teams they are an active member of, as far as that is asked. The answer holds
	// for the account that has the login now if the role is not asked for. A team
	// that does not exist is an error.
	Standing(ctx context.Context, repository policy.Repository, person policy.Actor, ask policy.Ask) (policy.Standing, error)
	// SameChange reports whether the two commits change the same files of the base
	// branch from the same contents and modes to the same contents and modes.
	SameChange(ctx context.Context, repository policy.Repository, baseBranch, a, b string) (bool, error)
}

// CheckWriter holds check runs on GitHub.
type CheckWriter interface {
	// PutCheck makes the check run with that id say what check says. With id 0 it
	// takes over the run of that name on that commit, or creates it: there is one
	// per commit. It returns the run's id.
	PutCheck(ctx context.Context, repository policy.Repository, id int64, check policy.Check) (int64, error)
}

// GitHub is all that a gate needs of GitHub.
type GitHub interface {
	Reader
	CheckWriter
}

// Posted is a decision that was written to GitHub.
type Posted struct {
	Generation int64
	Decision   policy.Decision
	CheckRunID int64
	// Digest identifies what the check run says; an equal one is not written again.
	Digest string
	At     time.Time
	// ReviewAt is when the pull request is to be looked at again though nothing
	// happened; zero: never.
	ReviewAt time.Time
	// Closed is true if the pull request was not open.
	Closed bool
	// Base is the branch it would be merged to; empty if that is not known.
	Base string
	// AutoMerge is true if GitHub merges it by itself as soon as its rules allow.
	AutoMerge bool
	// Marked is true if the gate is to be decided anew whatever it says; what is kept
	// of a decision that was written is not.
	Marked bool
}

// Decided is the last decision on a pull request.
type Decided struct {
	Ref      policy.PullRequestRef
	Decision policy.Decision
}

// Scope selects pull requests.
type Scope struct {
	// Owner is the login of the organization or user that has the repositories.
	Owner string
	// RepositoryID is the one repository; 0: all of the owner's.
	RepositoryID int64
	// Base is the branch that they would be merged to; empty: any.
	Base string
	// Voter is the account that must have voted, or taken back a vote; 0: any.
	Voter int64
}

// Store keeps what a gate has to remember. Each method is one transaction.
type Store interface {
	Decisions
	Agenda
	Queue
	Floors
	Deputies
	// Audit records an act that has no other effect.
	Audit(ctx context.Context, entry audit.Entry) error
}

// Decisions are what was decided and posted.
type Decisions interface {
	// NextGeneration returns a number above all that were handed out for this pull
	// request.
	NextGeneration(ctx context.Context, ref policy.PullRequestRef) (int64, error)
	// Current reports whether the generation is the newest handed out.
	Current(ctx context.Context, ref policy.PullRequestRef, generation int64) (bool, error)
	// BeginPost keeps the decision and that its check is about to be written: until
	// PutPosted it is not known what the check says, and LastPosted has no digest.
	// It asks for the pull requests that share the check to be evaluated soon. It
	// returns [ErrSuperseded] if a newer generation was handed out, and [ErrStopped]
	// for an open gate that a kill switch stops by now.
	BeginPost(ctx context.Context, ref policy.PullRequestRef, posted Posted, sharing []policy.PullRequestRef) error
	// LastPosted returns the zero Posted if nothing was posted yet.
	LastPosted(ctx context.Context, ref policy.PullRequestRef) (Posted, error)
	// PutPosted keeps the decision, its audit entry and, if ReviewAt is set, the
	// work to evaluate again at that time. It returns [ErrSuperseded] and keeps
	// nothing if a newer generation was handed out.
	PutPosted(ctx context.Context, ref policy.PullRequestRef, posted Posted, entry audit.Entry) error
	// ForgetPosted asks for the next decision to be written whatever it says, also to
	// merge queues.
	ForgetPosted(ctx context.Context, ref policy.PullRequestRef) error
	// OthersAtHead lists the last decisions about that head on the repository's other
	// pull requests that were open then.
	OthersAtHead(ctx context.Context, ref policy.PullRequestRef, headSHA string) ([]Decided, error)
	// PutClosed records that the pull request is not open any more, and forgets its
	// entries in merge queues.
	PutClosed(ctx context.Context, ref policy.PullRequestRef) error
}

// Agenda is which pull requests are to be evaluated.
type Agenda interface {
	// AboutHead lists the pull requests that have, or had when they were decided
	// last, that head, or an entry of a merge queue with it.
	AboutHead(ctx context.Context, repository policy.Repository, headSHA string) ([]policy.PullRequestRef, error)
	// Evaluate asks for the pull request to be evaluated soon.
	Evaluate(ctx context.Context, ref policy.PullRequestRef) error
	// EvaluateOpen asks for the open pull requests in scope to be evaluated soon.
	EvaluateOpen(ctx context.Context, scope Scope) error
}

// Floors remembers which owners have a policy for all their repositories, so
// that one which cannot be read any more is not taken for one that is gone.
type Floors interface {
	// HasFloor reports whether the owner was last seen with such a policy.
	HasFloor(ctx context.Context, owner string) (bool, error)
	// PutFloor records that the owner has one, or has one no more.
	PutFloor(ctx context.Context, owner string, has bool) error
}

// Deputies knows the sandboxes whose programs have a person's rights at GitHub.
type Deputies interface {
	// Deputies lists those in the repository that are there, or were at that time or later.
	Deputies(ctx context.Context, repository policy.Repository, since time.Time) ([]policy.Deputy, error)
}

// Queue keeps the entries of merge queues that wait for their checks.
type Queue interface {
	// PutMergeGroup keeps an entry that waits for its check.
	PutMergeGroup(ctx context.Context, ref policy.PullRequestRef, group MergeGroup) error
	// MergeGroups lists the pull request's entries.
	MergeGroups(ctx context.Context, ref policy.PullRequestRef) ([]MergeGroup, error)
	// DropMergeGroup forgets an entry that has left its queue.
	DropMergeGroup(ctx context.Context, ref policy.PullRequestRef, headSHA string) error
}

// ErrSuperseded means that a newer evaluation of the pull request has begun.
// What it decides stands.
var ErrSuperseded = errors.New("a newer evaluation has begun")

// ErrStopped means that a kill switch was thrown while the gate was being opened.
var ErrStopped = errors.New("a kill switch was thrown meanwhile")

// Config is what a gate is made of. Every field is required but DetailsURL.
type Config struct {
	GitHub   GitHub
	Workflow ApprovalWorkflow
	Store    Store
	// Switch tells which kill switches reach a pull request.
	Switch    killswitch.Guard
	Now       func() time.Time
	CheckName string
	// PolicyPath is where repositories keep their policy file.
	PolicyPath string
	// DetailsURL is what the check links to for a pull request; nil: no link.
	DetailsURL func(policy.PullRequestRef) string
}

// Gate evaluates pull requests and holds their checks to the decisions.
type Gate struct {
	Config
	seen sightings
}

// New returns a gate.
func New(config Config) *Gate {
	if config.DetailsURL == nil {
		config.DetailsURL = func(policy.PullRequestRef) string { return "" }
	}
	return &Gate{Config: config, seen: newSightings()}
}
