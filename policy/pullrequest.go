package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Repository names a repository and the installation of the App through which
// it is reached.
type Repository struct {
	// Installation is the numeric id of the App's installation there.
	Installation int64
	// ID is GitHub's numeric id; it survives a rename, the names don't.
	ID    int64
	Owner string
	Name  string
}

func (r Repository) String() string { return r.Owner + "/" + r.Name }

// PullRequestRef names one pull request.
type PullRequestRef struct {
	Repository Repository
	Number     int
}

func (r PullRequestRef) String() string { return fmt.Sprintf("%s#%d", r.Repository, r.Number) }

// Key is the pull request's name for storage: by repository id, so that it is
// the same after a rename.
func (r PullRequestRef) Key() string { return fmt.Sprintf("%d#%d", r.Repository.ID, r.Number) }

// PullRequest is what GitHub says of a pull request at one moment.
type PullRequest struct {
	Ref    PullRequestRef
	Title  string
	Author Actor
	// HeadSHA is the commit that would be merged; HeadBranch its branch, in
	// whatever repository the pull request comes from.
	HeadSHA    string
	HeadBranch string
	// HeadRepositoryID is where that branch is: another repository's than the pull
	// request's if it comes from a fork, 0 if that is gone or not known.
	HeadRepositoryID int64
	// BaseBranch is where it would be merged to.
	BaseBranch string
	Labels     []string
	Open       bool
	Merged     bool
	// AutoMerge is true if GitHub will merge it by itself as soon as its rules allow.
	AutoMerge bool
	// ChangedFiles and CommitCount are GitHub's own totals: what a complete
	// reading of files and commits must add up to.
	ChangedFiles int
	CommitCount  int
	CreatedAt    time.Time
	// UpdatedAt is GitHub's clock at the last change of any kind; a push moves it.
	UpdatedAt time.Time
}

// FileStatus is what a pull request does to a file, in GitHub's words.
type FileStatus string

// The statuses that rules look at; GitHub has others (changed, copied,
// unchanged), which are treated like modified.
const (
	FileAdded    FileStatus = "added"
	FileModified FileStatus = "modified"
	FileRemoved  FileStatus = "removed"
	FileRenamed  FileStatus = "renamed"
)

// File is one changed file.
type File struct {
	Path string
	// PreviousPath is set for a renamed file: leaving a protected place is as
	// much a change to it as arriving there.
	PreviousPath string
	Status       FileStatus
	Additions    int
	Deletions    int
}

// paths are the names under which a rule must look at the file.
func (f File) paths() []string {
	if f.PreviousPath == "" || f.PreviousPath == f.Path {
		return []string{f.Path}
	}
	return []string{f.PreviousPath, f.Path}
}

// Commit is one commit of the pull request, whichever parent it is reached by.
type Commit struct {
	SHA string
	// Author and Committer are the accounts that GitHub maps the commit's
	// e-mail addresses to; the zero Actor where it knows none.
	Author    Actor
	Committer Actor
	// CoAuthors are the accounts of its Co-authored-by trailers, as far as GitHub
	// tells them; [Commit.makers] reads the trailers as well.
	CoAuthors []Actor
	Message   string
}

// ReviewState is a review's state, in the spelling of GitHub's REST API.
type ReviewState string

// The review states of GitHub. A pending review is visible to its author alone.
const (
	ReviewApproved         ReviewState = "APPROVED"
	ReviewChangesRequested ReviewState = "CHANGES_REQUESTED"
	ReviewCommented        ReviewState = "COMMENTED"
	ReviewDismissed        ReviewState = "DISMISSED"
)

// Review is one submitted review.
type Review struct {
	ID    int64
	By    Actor
	State ReviewState
	// Commit is the commit the reviewer looked at.
	Commit      string
	Body        string
	SubmittedAt time.Time
	// Edited is true if its text is known to have been changed.
	Edited bool
}

// Comment is a comment in the conversation.
type Comment struct {
	ID        int64
	By        Actor
	Body      string
	CreatedAt time.Time
	// Edited is true if its text was changed, by whomever.
	Edited bool
}

// EventKind is the name of an entry of a pull request's history, in the
// spelling of GitHub's REST API.
type EventKind string

// The entries of a history that a decision looks at.
const (
	EventLabeled         EventKind = "labeled"
	EventUnlabeled       EventKind = "unlabeled"
	EventAssigned        EventKind = "assigned"
	EventRetargeted      EventKind = "base_ref_changed"
	EventForcePushed     EventKind = "head_ref_force_pushed"
	EventReviewDismissed EventKind = "review_dismissed"
)

// Event is an entry of a pull request's history: what was done to it, and by
// whom.
type Event struct {
	Kind EventKind
	By   Actor
	At   time.Time
	// Label is what was put on or taken off.
	Label string
	// Assignee is who was assigned.
	Assignee Actor
	// ReviewID is the review that was dismissed, and Was its state before that.
	ReviewID int64
	Was      ReviewState
}

// Snapshot is a pull request with everything a decision looks at in it, as
// GitHub showed it at one moment.
type Snapshot struct {
	PullRequest PullRequest
	Files       []File
	Commits     []Commit
	Reviews     []Review
	Comments    []Comment
	// History is in the order in which it happened.
	History []Event
	// SameHead are the numbers of the other open pull requests of the repository
	// with the same head: a check belongs to a commit, so they share theirs.
	SameHead []int
	// Detour is true if the base branch does not require the check and has commits
	// that the default branch has not: what is green for it would be green for the
	// default branch too, with commits that nobody judged.
	Detour bool
	// Policies are the policy files that govern the pull request.
	Policies []PolicyText
	// Flags are the open issues that carry a label which may be a kill switch, of the
	// repository and of the organization's own.
	Flags []Flag
	// ReadAt is GitHub's clock when it was read, to the second.
	ReadAt time.Time
	// offBy says of labels that are not on it any more, in lower case, why they
	// classify it all the same.
	offBy map[string]string
}

// GitHub lists no more files and commits of a pull request than these.
const (
	maxListedFiles   = 3000
	maxListedCommits = 250
)

// Incomplete says in one sentence why the snapshot cannot be trusted to show
// the whole change, or returns "".
func (s Snapshot) Incomplete() string {
	pr := s.PullRequest
	switch {
	case len(s.Files) != pr.ChangedFiles:
		return fmt.Sprintf("GitHub lists %d of the %d changed files; split the pull request into smaller ones", len(s.Files), pr.ChangedFiles)
	case len(s.Commits) != pr.CommitCount:
		return fmt.Sprintf("GitHub lists %d of the %d commits; squash them or split the pull request", len(s.Commits), pr.CommitCount)
	case !slices.ContainsFunc(s.Commits, func(c Commit) bool { return c.SHA == pr.HeadSHA }):
		return fmt.Sprintf("GitHub does not list the head %s among the commits", shortSHA(pr.HeadSHA))
	default:
		return ""
	}
}

// Torn reports whether the snapshot is incomplete though GitHub could have shown
// all of it: it was read while the pull request changed, and reading it again
// may help.
func (s Snapshot) Torn() bool {
	return s.Incomplete() != "" && !s.empty() && len(s.Files) < maxListedFiles && len(s.Commits) < maxListedCommits
}

// empty reports whether there is nothing to merge: the base branch has all of it.
func (s Snapshot) empty() bool { return s.PullRequest.CommitCount == 0 && len(s.Commits) == 0 }

// retargetedAt is when the base branch was changed last; zero: never.
func (s Snapshot) retargetedAt() time.Time {
	var last time.Time
	for _, event := range s.History {
		if event.Kind == EventRetargeted && event.At.After(last) {
			last = event.At
		}
	}
	return last
}

// Gone reports whether the text that a vote stands in was edited or deleted. The
// vote of a review's state stands in no text.
func (s Snapshot) Gone(source string) bool {
	kind, rest, _ := strings.Cut(source, ":")
	number, _, _ := strings.Cut(rest, ":")
	id, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil:
		return false
	case kind == SourceComment:
		return !slices.ContainsFunc(s.Comments, func(c Comment) bool { return c.ID == id && !c.Edited })
	case kind == SourceReviewText:
		return slices.ContainsFunc(s.Reviews, func(r Review) bool { return r.ID == id && r.Edited })
	default:
		return false
	}
}
