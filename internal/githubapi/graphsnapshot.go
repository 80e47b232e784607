package githubapi

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// graphList is one page of a list.
type graphList[T any] struct {
	TotalCount int `json:"totalCount"`
	Nodes      []T `json:"nodes"`
}

// whole reports whether the page is all of the list.
func (l graphList[T]) whole() bool { return l.TotalCount == len(l.Nodes) }

type graphSnapshot struct {
	Floor *struct {
		DefaultBranchRef *graphBranch `json:"defaultBranchRef"`
	} `json:"floor"`
	Repository *struct {
		DatabaseID       int64             `json:"databaseId"`
		DefaultBranchRef *graphBranch      `json:"defaultBranchRef"`
		PullRequest      *graphPullRequest `json:"pullRequest"`
	} `json:"repository"`
}

type graphPullRequest struct {
	Title       string    `json:"title"`
	State       string    `json:"state"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
	HeadRefOid  string    `json:"headRefOid"`
	HeadRefName string    `json:"headRefName"`
	// HeadRepo is nil for a fork that is gone, or that the App does not see.
	HeadRepo *struct {
		DatabaseID int64 `json:"databaseId"`
	} `json:"headRepository"`
	BaseRefName  string        `json:"baseRefName"`
	BaseRef      *graphBranch  `json:"baseRef"`
	ChangedFiles int           `json:"changedFiles"`
	AutoMerge    *struct{}     `json:"autoMergeRequest"`
	Author       *graphAccount `json:"author"`
	Labels       graphList[struct {
		Name string `json:"name"`
	}] `json:"labels"`
	Files graphList[struct {
		Path       string `json:"path"`
		ChangeType string `json:"changeType"`
		Additions  int    `json:"additions"`
		Deletions  int    `json:"deletions"`
	}] `json:"files"`
	Commits graphList[struct {
		Commit graphCommit `json:"commit"`
	}] `json:"commits"`
	Tip      graphList[graphTip]     `json:"tip"`
	Reviews  graphList[graphReview]  `json:"reviews"`
	Comments graphList[graphComment] `json:"comments"`
	Timeline graphList[graphEvent]   `json:"timelineItems"`
}

type graphCommit struct {
	OID       string                 `json:"oid"`
	Message   string                 `json:"message"`
	Author    *graphSigner           `json:"author"`
	Committer *graphSigner           `json:"committer"`
	Authors   graphList[graphSigner] `json:"authors"`
}

type graphTip struct {
	Commit struct {
		AssociatedPullRequests graphList[struct {
			Number     int    `json:"number"`
			State      string `json:"state"`
			HeadRefOid string `json:"headRefOid"`
		}] `json:"associatedPullRequests"`
	} `json:"commit"`
}

type graphReview struct {
	DatabaseID   int64         `json:"databaseId"`
	State        string        `json:"state"`
	Body         string        `json:"body"`
	SubmittedAt  time.Time     `json:"submittedAt"`
	LastEditedAt *time.Time    `json:"lastEditedAt"`
	Author       *graphAccount `json:"author"`
	Commit       *struct {
		OID string `json:"oid"`
	} `json:"commit"`
}

type graphComment struct {
	DatabaseID   int64         `json:"databaseId"`
	Body         string        `json:"body"`
	CreatedAt    time.Time     `json:"createdAt"`
	LastEditedAt *time.Time    `json:"lastEditedAt"`
	Author       *graphAccount `json:"author"`
}

type graphEvent struct {
	Typename  string        `json:"__typename"`
	CreatedAt time.Time     `json:"createdAt"`
	Actor     *graphAccount `json:"actor"`
	Assignee  *graphAccount `json:"assignee"`
	Label     struct {
		Name string `json:"name"`
	} `json:"label"`
	PreviousReviewState string `json:"previousReviewState"`
	Review              *struct {
		DatabaseID int64 `json:"databaseId"`
	} `json:"review"`
}

// errUnseen is returned for a pull request that a query does not show.
var errUnseen = errors.New("the query shows no such pull request")

// graphSnapshot reads a pull request by GraphQL, and by REST what a query does
// not show in full: the rest of a long list, the former path of a renamed file,
// the bots among a commit's authors.
func (c *Client) graphSnapshot(ctx context.Context, ref policy.PullRequestRef, likely policy.Questions) (policy.Snapshot, map[int64]policy.Standing, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return policy.Snapshot{}, nil, err
	}
	q := newQuery(c.options, ref, likely)
	var data graphSnapshot
	var raw json.RawMessage
	at, problems, err := c.graphql(ctx, client, q.text(), q.variables, &raw)
	if err == nil {
		err = firstError(problems, q.tolerates)
	}
	if err == nil {
		err = json.Unmarshal(raw, &data)
	}
	if err != nil {
		return policy.Snapshot{}, nil, failed(err, "query %s", ref)
	}
	if data.Repository == nil || data.Repository.DatabaseID != ref.Repository.ID || data.Repository.PullRequest == nil {
		return policy.Snapshot{}, nil, failed(errUnseen, "query %s", ref)
	}
	pr := data.Repository.PullRequest
	s := pr.snapshot(ref, at)
	if err := pr.complete(ctx, restReader{client, ref}, &s); err != nil {
		return s, nil, err
	}
	if s.Flags, err = q.flags(raw, ref.Repository); err != nil {
		return s, nil, failed(err, "read which kill switches reach %s", ref)
	}
	if s.Policies, err = c.graphPolicies(ctx, client, ref.Repository, data, q.own); err != nil {
		return s, nil, err
	}
	if s.Detour, err = c.detour(ctx, client, s.PullRequest, data.Repository.DefaultBranchRef.Name); err != nil {
		return s, nil, err
	}
	return s, q.standings(raw, s), nil
}

// snapshot is what the query shows.
func (pr *graphPullRequest) snapshot(ref policy.PullRequestRef, at time.Time) policy.Snapshot {
	s := policy.Snapshot{ReadAt: at, PullRequest: policy.PullRequest{
		Ref: ref, Title: pr.Title, Author: pr.Author.actor(), HeadSHA: pr.HeadRefOid, HeadBranch: pr.HeadRefName, BaseBranch: pr.BaseRefName,
		Open: pr.State == "OPEN", Merged: pr.State == "MERGED", ChangedFiles: pr.ChangedFiles, CommitCount: pr.Commits.TotalCount,
		AutoMerge: pr.AutoMerge != nil, CreatedAt: pr.CreatedAt.UTC(), UpdatedAt: pr.UpdatedAt.UTC(),
	}}
	if pr.HeadRepo != nil {
		s.PullRequest.HeadRepositoryID = pr.HeadRepo.DatabaseID
	}
	for _, label := range pr.Labels.Nodes {
		s.PullRequest.Labels = append(s.PullRequest.Labels, label.Name)
	}
	for _, f := range pr.Files.Nodes {
		s.Files = append(s.Files, policy.File{Path: f.Path, Status: fileStatus(f.ChangeType), Additions: f.Additions, Deletions: f.Deletions})
	}
	for _, node := range pr.Commits.Nodes {
		s.Commits = append(s.Commits, node.Commit.commit())
	}
	for _, r := range pr.Reviews.Nodes {
		review := policy.Review{
			ID: r.DatabaseID, By: r.Author.actor(), State: policy.ReviewState(r.State), Body: r.Body,
			SubmittedAt: r.SubmittedAt.UTC(), Edited: r.LastEditedAt != nil,
		}
		if r.Commit != nil {
			review.Commit = r.Commit.OID
		}
		s.Reviews = append(s.Reviews, review)
	}
	for _, m := range pr.Comments.Nodes {
		s.Comments = append(s.Comments, policy.Comment{
			ID: m.DatabaseID, By: m.Author.actor(), Body: m.Body, CreatedAt: m.CreatedAt.UTC(), Edited: m.LastEditedAt != nil,
		})
	}
	for _, e := range pr.Timeline.Nodes {
		s.History = append(s.History, e.event())
	}
	s.SameHead = pr.sameHead(ref.Number)
	return s
}

func (c graphCommit) commit() policy.Commit {
	commit := policy.Commit{SHA: c.OID, Author: c.Author.actor(), Committer: c.Committer.actor(), Message: c.Message}
	for _, author := range c.Authors.Nodes {
		if by := author.actor(); by.Known() && by.ID != commit.Author.ID {
			commit.CoAuthors = append(commit.CoAuthors, by)
		}
	}
	return commit
}

func (pr *graphPullRequest) sameHead(own int) []int {
	var numbers []int
	for _, tip := range pr.Tip.Nodes {
		for _, other := range tip.Commit.AssociatedPullRequests.Nodes {
			if other.State == "OPEN" && other.HeadRefOid == pr.HeadRefOid && other.Number != own {
				numbers = append(numbers, other.Number)
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}

var graphEvents = map[string]policy.EventKind{
	"LabeledEvent": policy.EventLabeled, "UnlabeledEvent": policy.EventUnlabeled, "AssignedEvent": policy.EventAssigned,
	"BaseRefChangedEvent": policy.EventRetargeted, "AutomaticBaseChangeSucceededEvent": policy.EventRetargeted,
	"HeadRefForcePushedEvent": policy.EventForcePushed, "ReviewDismissedEvent": policy.EventReviewDismissed,
}

func (e graphEvent) event() policy.Event {
	event := policy.Event{
		Kind: graphEvents[e.Typename], By: e.Actor.actor(), At: e.CreatedAt.UTC(), Label: e.Label.Name, Assignee: e.Assignee.actor(),
		Was: policy.ReviewState(e.PreviousReviewState),
	}
	if e.Review != nil {
		event.ReviewID = e.Review.DatabaseID
	}
	return event
}

func fileStatus(changeType string) policy.FileStatus {
	switch changeType {
	case "ADDED":
		return policy.FileAdded
	case "DELETED":
		return policy.FileRemoved
	case "RENAMED":
		return policy.FileRenamed
	default:
		return policy.FileModified
	}
}
