package gate

import (
	"context"
	"errors"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

// Reader is what a gate asks GitHub. An error of any method means "not known"
// and closes the gate.
type Reader interface {
	PullRequest(ctx context.Context, ref policy.PullRequestRef) (policy.PullRequest, error)
	Files(ctx context.Context, ref policy.PullRequestRef) ([]policy.File, error)
	Commits(ctx context.Context, ref policy.PullRequestRef) ([]policy.Commit, error)
	Reviews(ctx context.Context, ref policy.PullRequestRef) ([]policy.Review, error)
	// Content returns the file at that commit or full reference, and nil only if
	// it is certain that there is none.
	Content(ctx context.Context, repository policy.Repository, path, at string) ([]byte, error)
	// UnknownTeams returns those of the teams (`organization/slug`) that certainly
	// do not exist or that the App may not see.
	UnknownTeams(ctx context.Context, repository policy.Repository, teams []string) ([]string, error)
	// Standing says what the person may do in the repository and which of the
	// teams they are an active member of. A team that does not exist is an error.
	Standing(ctx context.Context, repository policy.Repository, person policy.Actor, teams []string) (policy.Standing, error)
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
}

// Store keeps decisions. Each method is one transaction.
type Store interface {
	// NextGeneration returns a number above all that were handed out for this pull
	// request.
	NextGeneration(ctx context.Context, ref policy.PullRequestRef) (int64, error)
	// Current reports whether the generation is the newest handed out.
	Current(ctx context.Context, ref policy.PullRequestRef, generation int64) (bool, error)
	// BeginPost records that the check is about to be written: until PutPosted it
	// is not known what the check says, and LastPosted has no digest. It returns
	// [ErrSuperseded] if a newer generation was handed out.
	BeginPost(ctx context.Context, ref policy.PullRequestRef, generation int64) error
	// LastPosted returns the zero Posted if nothing was posted yet.
	LastPosted(ctx context.Context, ref policy.PullRequestRef) (Posted, error)
	// PutPosted keeps the decision, its audit entry and, if time alone changes the
	// decision, the work to evaluate again at that time. It returns [ErrSuperseded]
	// and keeps nothing if a newer generation was handed out.
	PutPosted(ctx context.Context, ref policy.PullRequestRef, posted Posted, entry audit.Entry) error
	// ForgetPosted asks for the pull request to be evaluated soon, and for that
	// decision to be written whatever it says.
	ForgetPosted(ctx context.Context, ref policy.PullRequestRef) error
	// AtHead lists the pull requests whose last posted decision is about that head.
	AtHead(ctx context.Context, repository policy.Repository, headSHA string) ([]policy.PullRequestRef, error)
	// Audit records an act that has no other effect.
	Audit(ctx context.Context, entry audit.Entry) error
}

// ErrSuperseded means that a newer evaluation of the pull request has begun.
// What it decides stands.
var ErrSuperseded = errors.New("a newer evaluation has begun")

// Config is what a gate is made of. Every field is required but DetailsURL.
type Config struct {
	GitHub    GitHub
	Workflow  ApprovalWorkflow
	Store     Store
	Now       func() time.Time
	CheckName string
	// PolicyPath is where repositories keep their policy file.
	PolicyPath string
	// DetailsURL is what the check links to for a pull request; nil: no link.
	DetailsURL func(policy.PullRequestRef) string
}

// Gate evaluates pull requests and holds their checks to the decisions.
type Gate struct{ Config }

// New returns a gate.
func New(config Config) *Gate {
	if config.DetailsURL == nil {
		config.DetailsURL = func(policy.PullRequestRef) string { return "" }
	}
	return &Gate{config}
}
