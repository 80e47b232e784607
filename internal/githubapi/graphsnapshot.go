package githubapi

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// graphPageSize is how much of each list one query shows; GitHub allows no more.
const graphPageSize = 100

// floor asks for the organization's policy file beside the repository's own.
const floor = `
  floor: repository(owner: $owner, name: $organizationRepository) {defaultBranchRef ` + branch + `}`

// snapshotQuery reads a pull request whole: one call, one moment, one point of
// GitHub's budget.
func snapshotQuery(withFloor bool) string {
	parameters, organization := "", ""
	if withFloor {
		parameters, organization = ", $organizationRepository: String!", floor
	}
	return `query Snapshot($owner: String!, $name: String!, $number: Int!, $path: String!` + parameters + `) {` + organization + `
  repository(owner: $owner, name: $name) {
    databaseId
    defaultBranchRef ` + branch + `
    pullRequest(number: $number) {
      title state createdAt updatedAt headRefOid headRefName baseRefName changedFiles
      author ` + account + `
      baseRef ` + branch + `
      labels(first: 100) {totalCount nodes {name}}
      files(first: 100) {totalCount nodes {path changeType additions deletions}}
      commits(first: 100) {totalCount nodes {commit {oid message
        authors(first: 20) {totalCount nodes {user {login databaseId}}} author {user {login databaseId}} committer {user {login databaseId}}}}}
      tip: commits(last: 1) {nodes {commit {oid associatedPullRequests(first: 50) {nodes {number state headRefOid}}}}}
      reviews(first: 100, states: [APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED]) {totalCount nodes {
        databaseId state body submittedAt lastEditedAt author ` + account + ` commit {oid}}}
      comments(first: 100) {totalCount nodes {databaseId body createdAt lastEditedAt author ` + account + `}}
      timelineItems(first: 100, itemTypes: [LABELED_EVENT, UNLABELED_EVENT, ASSIGNED_EVENT, BASE_REF_CHANGED_EVENT,
        AUTOMATIC_BASE_CHANGE_SUCCEEDED_EVENT, HEAD_REF_FORCE_PUSHED_EVENT, REVIEW_DISMISSED_EVENT]) {totalCount nodes {__typename
        ... on LabeledEvent {actor ` + account + ` createdAt label {name}}
        ... on UnlabeledEvent {actor ` + account + ` createdAt label {name}}
        ... on AssignedEvent {actor ` + account + ` createdAt assignee ` + assignee + `}
        ... on BaseRefChangedEvent {actor ` + account + ` createdAt}
        ... on AutomaticBaseChangeSucceededEvent {actor ` + account + ` createdAt}
        ... on HeadRefForcePushedEvent {actor ` + account + ` createdAt}
        ... on ReviewDismissedEvent {actor ` + account + ` createdAt previousReviewState review {databaseId}}}}
    }
  }
}`
}

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
	Title        string        `json:"title"`
	State        string        `json:"state"`
	CreatedAt    time.Time     `json:"createdAt"`
	UpdatedAt    time.Time     `json:"updatedAt"`
	HeadRefOid   string        `json:"headRefOid"`
	HeadRefName  string        `json:"headRefName"`
	BaseRefName  string        `json:"baseRefName"`
	BaseRef      *graphBranch  `json:"baseRef"`
	ChangedFiles int           `json:"changedFiles"`
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
func (c *Client) graphSnapshot(ctx context.Context, ref policy.PullRequestRef) (policy.Snapshot, error) {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return policy.Snapshot{}, err
	}
	own := strings.EqualFold(ref.Repository.Name, c.places.OrganizationRepository)
	variables := map[string]any{"owner": ref.Repository.Owner, "name": ref.Repository.Name, "number": ref.Number, "path": c.places.Path}
	if !own {
		variables["organizationRepository"] = c.places.OrganizationRepository
	}
	var data graphSnapshot
	at, problems, err := c.graphql(ctx, client, snapshotQuery(!own), variables, &data)
	if err == nil {
		// An organization without such a repository has no policy of its own.
		err = firstError(problems, func(e *GraphQLError) bool { return e.Type == "NOT_FOUND" && e.at("floor") })
	}
	if err != nil {
		return policy.Snapshot{}, failed(err, "query %s", ref)
	}
	if data.Repository == nil || data.Repository.DatabaseID != ref.Repository.ID || data.Repository.PullRequest == nil {
		return policy.Snapshot{}, failed(errUnseen, "query %s", ref)
	}
	pr := data.Repository.PullRequest
	s := pr.snapshot(ref, at)
	if err := pr.complete(ctx, restReader{client, ref}, &s); err != nil {
		return s, err
	}
	s.Policies, err = c.graphPolicies(ctx, client, ref.Repository, data, own)
	return s, err
}

// snapshot is what the query shows.
func (pr *graphPullRequest) snapshot(ref policy.PullRequestRef, at time.Time) policy.Snapshot {
	s := policy.Snapshot{ReadAt: at, PullRequest: policy.PullRequest{
		Ref: ref, Title: pr.Title, Author: pr.Author.actor(), HeadSHA: pr.HeadRefOid, HeadBranch: pr.HeadRefName, BaseBranch: pr.BaseRefName,
		Open: pr.State == "OPEN", Merged: pr.State == "MERGED", ChangedFiles: pr.ChangedFiles, CommitCount: pr.Commits.TotalCount,
		CreatedAt: pr.CreatedAt.UTC(), UpdatedAt: pr.UpdatedAt.UTC(),
	}}
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
