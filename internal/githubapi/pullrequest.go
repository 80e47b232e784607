package githubapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// restSnapshot reads a pull request by REST: each of its lists to the end, side
// by side, and then what depends on its branches.
func (c *Client) restSnapshot(ctx context.Context, ref policy.PullRequestRef) (policy.Snapshot, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return policy.Snapshot{}, err
	}
	r := restReader{client, ref}
	var s policy.Snapshot
	var pr *github.PullRequest
	reads, readCtx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) { pr, s.ReadAt, err = r.pullRequest(readCtx); return err })
	reads.Go(func() (err error) { s.Files, err = r.files(readCtx); return err })
	reads.Go(func() (err error) { s.Commits, err = r.commits(readCtx); return err })
	reads.Go(func() (err error) { s.Reviews, err = r.reviews(readCtx); return err })
	reads.Go(func() (err error) { s.Comments, err = r.comments(readCtx); return err })
	reads.Go(func() (err error) { s.History, err = r.history(readCtx); return err })
	err = reads.Wait()
	if pr != nil {
		s.PullRequest = pullRequest(ref, pr)
	}
	if err != nil {
		return s, err
	}
	reads, readCtx = errgroup.WithContext(ctx)
	reads.Go(func() (err error) {
		s.Policies, err = c.restPolicies(readCtx, client, ref.Repository, s.PullRequest.BaseBranch, pr.GetBase().GetRepo().GetDefaultBranch())
		return err
	})
	reads.Go(func() (err error) {
		s.Detour, err = c.detour(readCtx, client, s.PullRequest, pr.GetBase().GetRepo().GetDefaultBranch())
		return err
	})
	reads.Go(func() (err error) { s.Flags, err = c.restFlags(readCtx, ref.Repository); return err })
	reads.Go(func() (err error) { s.SameHead, err = r.sameHead(readCtx, s.PullRequest.HeadSHA); return err })
	return s, reads.Wait()
}

// restReader reads the parts of one pull request.
type restReader struct {
	*github.Client
	ref policy.PullRequestRef
}

func (r restReader) names() (owner, name string, number int) {
	return r.ref.Repository.Owner, r.ref.Repository.Name, r.ref.Number
}

func pullRequest(ref policy.PullRequestRef, pr *github.PullRequest) policy.PullRequest {
	labels := make([]string, len(pr.Labels))
	for i, label := range pr.Labels {
		labels[i] = label.GetName()
	}
	return policy.PullRequest{
		Ref:          ref,
		Title:        pr.GetTitle(),
		Author:       actor(pr.User),
		HeadSHA:      pr.GetHead().GetSHA(),
		HeadBranch:   pr.GetHead().GetRef(),
		BaseBranch:   pr.GetBase().GetRef(),
		Labels:       labels,
		Open:         pr.GetState() == "open",
		Merged:       pr.GetMerged(),
		AutoMerge:    pr.AutoMerge != nil,
		ChangedFiles: pr.GetChangedFiles(),
		CommitCount:  pr.GetCommits(),
		CreatedAt:    pr.GetCreatedAt().UTC(),
		UpdatedAt:    pr.GetUpdatedAt().UTC(),
	}
}

// files lists the changed files; GitHub shows 3,000 at most.
func (r restReader) files(ctx context.Context) ([]policy.File, error) {
	owner, name, number := r.names()
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.CommitFile, *github.Response, error) {
		return r.PullRequests.ListFiles(ctx, owner, name, number, page)
	})
	files := make([]policy.File, len(listed))
	for i, f := range listed {
		files[i] = policy.File{
			Path: f.GetFilename(), PreviousPath: f.GetPreviousFilename(), Status: policy.FileStatus(f.GetStatus()),
			Additions: f.GetAdditions(), Deletions: f.GetDeletions(),
		}
	}
	return files, failed(err, "list the files of %s", r.ref)
}

// commits lists the commits, through every parent; GitHub shows 250 at most.
func (r restReader) commits(ctx context.Context) ([]policy.Commit, error) {
	owner, name, number := r.names()
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.RepositoryCommit, *github.Response, error) {
		return r.PullRequests.ListCommits(ctx, owner, name, number, page)
	})
	commits := make([]policy.Commit, len(listed))
	for i, commit := range listed {
		commits[i] = policy.Commit{
			SHA: commit.GetSHA(), Author: actor(commit.Author), Committer: actor(commit.Committer),
			Message: commit.GetCommit().GetMessage(),
		}
	}
	return commits, failed(err, "list the commits of %s", r.ref)
}

// reviews lists the submitted reviews, oldest first. REST does not tell whether
// a review's text was edited.
func (r restReader) reviews(ctx context.Context) ([]policy.Review, error) {
	owner, name, number := r.names()
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.PullRequestReview, *github.Response, error) {
		return r.PullRequests.ListReviews(ctx, owner, name, number, page)
	})
	reviews := make([]policy.Review, len(listed))
	for i, review := range listed {
		reviews[i] = policy.Review{
			ID: review.GetID(), By: actor(review.User), State: policy.ReviewState(review.GetState()),
			Commit: review.GetCommitID(), Body: review.GetBody(), SubmittedAt: review.GetSubmittedAt().UTC(),
		}
	}
	return reviews, failed(err, "list the reviews of %s", r.ref)
}

// comments lists the comments of the conversation, oldest first. GitHub moves
// the time of the last update when a comment is edited.
func (r restReader) comments(ctx context.Context) ([]policy.Comment, error) {
	owner, name, number := r.names()
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.IssueComment, *github.Response, error) {
		return r.Issues.ListComments(ctx, owner, name, number, &github.IssueListCommentsOptions{ListOptions: *page})
	})
	comments := make([]policy.Comment, len(listed))
	for i, c := range listed {
		comments[i] = policy.Comment{
			ID: c.GetID(), By: actor(c.User), Body: c.GetBody(), CreatedAt: c.GetCreatedAt().UTC(),
			Edited: c.GetUpdatedAt().After(c.GetCreatedAt().Add(editGrace)),
		}
	}
	return comments, failed(err, "list the comments of %s", r.ref)
}

// watched are the entries of a history that a decision looks at.
var watched = []policy.EventKind{
	policy.EventLabeled, policy.EventUnlabeled, policy.EventAssigned, policy.EventRetargeted, policy.EventForcePushed, policy.EventReviewDismissed,
}

// history lists what was done to the pull request, oldest first.
func (r restReader) history(ctx context.Context) ([]policy.Event, error) {
	owner, name, number := r.names()
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.IssueEvent, *github.Response, error) {
		return r.Issues.ListIssueEvents(ctx, owner, name, number, page)
	})
	var events []policy.Event
	for _, e := range listed {
		kind := policy.EventKind(e.GetEvent())
		if kind == "automatic_base_change_succeeded" {
			kind = policy.EventRetargeted
		}
		if !slices.Contains(watched, kind) {
			continue
		}
		events = append(events, policy.Event{
			Kind: kind, By: actor(e.Actor), At: e.GetCreatedAt().UTC(), Label: e.GetLabel().GetName(), Assignee: actor(e.Assignee),
			ReviewID: e.GetDismissedReview().GetReviewID(), Was: reviewState(e.GetDismissedReview().GetState()),
		})
	}
	return events, failed(err, "list the events of %s", r.ref)
}

// sameHead lists the other open pull requests with that head.
func (r restReader) sameHead(ctx context.Context, sha string) ([]int, error) {
	owner, name, number := r.names()
	listed, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
		return r.PullRequests.ListPullRequestsWithCommit(ctx, owner, name, sha, page)
	})
	var numbers []int
	for _, pr := range listed {
		if pr.GetState() == "open" && pr.GetHead().GetSHA() == sha && pr.GetNumber() != number && pr.GetBase().GetRepo().GetID() == r.ref.Repository.ID {
			numbers = append(numbers, pr.GetNumber())
		}
	}
	slices.Sort(numbers)
	return numbers, failed(err, "list the pull requests with the head %s of %s", sha, r.ref.Repository)
}

func actor(user *github.User) policy.Actor {
	return policy.Actor{ID: user.GetID(), Login: user.GetLogin(), Kind: policy.ActorKind(user.GetType())}
}

// pullRequest reads the pull request itself, and GitHub's clock.
func (r restReader) pullRequest(ctx context.Context) (*github.PullRequest, time.Time, error) {
	owner, name, number := r.names()
	pr, response, err := r.PullRequests.Get(ctx, owner, name, number)
	if err != nil {
		return nil, time.Time{}, failed(err, "read %s", r.ref)
	}
	return pr, clock(response.Response), nil
}

// clock is GitHub's clock in an answer; the zero time if it does not tell.
func clock(response *http.Response) time.Time {
	at, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// reviewState spells a state as the REST API's list of reviews does.
func reviewState(state string) policy.ReviewState { return policy.ReviewState(strings.ToUpper(state)) }
