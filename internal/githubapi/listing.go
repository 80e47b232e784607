package githubapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// Installations lists where the App is installed, as places without a name, those
// apart that are suspended: there it may do nothing.
func (c *Client) Installations(ctx context.Context) (active, suspended []policy.Repository, err error) {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return nil, nil, fmt.Errorf("create the App's client: %w", err)
	}
	all, err := pages(ctx, app.Apps.ListInstallations)
	if err != nil {
		return nil, nil, failed(err, "list the App's installations")
	}
	for _, installation := range all {
		place := policy.Repository{Installation: installation.GetID(), Owner: installation.GetAccount().GetLogin()}
		if installation.SuspendedAt == nil {
			active = append(active, place)
		} else {
			suspended = append(suspended, place)
		}
	}
	return active, suspended, nil
}

// Repositories lists the installation's repositories by id, but for those that are
// archived: nothing can be merged there.
func (c *Client) Repositories(ctx context.Context, installation int64) ([]policy.Repository, error) {
	client, err := c.rest(policy.Repository{Installation: installation})
	if err != nil {
		return nil, err
	}
	all, err := pages(ctx, func(ctx context.Context, options *github.ListOptions) ([]*github.Repository, *github.Response, error) {
		list, response, err := client.Apps.ListRepos(ctx, options)
		if err != nil {
			return nil, response, err
		}
		return list.Repositories, response, nil
	})
	if err != nil {
		return nil, failed(err, "list the repositories of installation %d", installation)
	}
	var found []policy.Repository
	for _, repository := range all {
		if !repository.GetArchived() {
			found = append(found, policy.Repository{
				Installation: installation, ID: repository.GetID(), Owner: repository.GetOwner().GetLogin(), Name: repository.GetName(),
			})
		}
	}
	slices.SortFunc(found, func(a, b policy.Repository) int { return int(a.ID - b.ID) })
	return found, nil
}

const (
	// listedTogether is how many repositories one query lists. GitHub gives a query
	// ten seconds, and counts a point for each hundred lists in it.
	listedTogether = 10
	// listedFirst is how many pull requests of each the query lists; a repository with
	// more is asked for the others by itself.
	listedFirst = 50
)

// settling is how long after its last update a pull request may be updated again
// without looking different: GitHub tells the time to the second.
const settling = 3 * time.Second

// OpenPullRequests lists the open pull requests of some repositories, all of one
// installation, at a point of GitHub's budget for ten repositories with up to 50
// and for each hundred beyond. By repository and number it says what each looks
// like, in words that change when anything does that a decision depends on: the
// time of its last update, its commits' tip, its base and the policy files that
// govern it. A repository that is not there any more, or that cannot be read, is
// not in the answer.
func (c *Client) OpenPullRequests(ctx context.Context, repositories []policy.Repository) (map[int64]map[int]string, error) {
	listed := map[int64]map[int]string{}
	for together := range slices.Chunk(repositories, listedTogether) {
		if err := c.listTogether(ctx, together, listed); err != nil {
			return nil, err
		}
	}
	return listed, nil
}

// listing is one repository in the answer.
type listing struct {
	DatabaseID       int64         `json:"databaseId"`
	DefaultBranchRef *listedBranch `json:"defaultBranchRef"`
	PullRequests     struct {
		PageInfo struct {
			HasNextPage bool   `json:"hasNextPage"`
			EndCursor   string `json:"endCursor"`
		} `json:"pageInfo"`
		Nodes []struct {
			Number      int           `json:"number"`
			UpdatedAt   time.Time     `json:"updatedAt"`
			HeadRefOid  string        `json:"headRefOid"`
			BaseRefName string        `json:"baseRefName"`
			BaseRef     *listedBranch `json:"baseRef"`
		} `json:"nodes"`
	} `json:"pullRequests"`
}

// listedBranch is a branch with the name that git gives to the policy file's
// content.
type listedBranch struct {
	Target struct {
		File *struct {
			OID string `json:"oid"`
		} `json:"file"`
	} `json:"target"`
}

func (b *listedBranch) policy() string {
	if b == nil || b.Target.File == nil {
		return "none"
	}
	return b.Target.File.OID
}

const listedPolicy = `{target {... on Commit {file(path: $path) {oid}}}}`

const listedFields = ` {databaseId defaultBranchRef ` + listedPolicy + `
    pullRequests(states: OPEN, first: %d, after: %s) {
      pageInfo {hasNextPage endCursor}
      nodes {number updatedAt headRefOid baseRefName baseRef ` + listedPolicy + `}}}`

func (c *Client) listTogether(ctx context.Context, repositories []policy.Repository, listed map[int64]map[int]string) error {
	asked := listQuery{client: c, variables: map[string]any{"path": c.options.PolicyPath, "floor": c.options.OrganizationRepository, "owner": repositories[0].Owner}}
	for i, repository := range repositories {
		asked.add(i, repository, listedFirst, "null")
	}
	answer, at, err := asked.send(ctx, repositories[0])
	if err != nil {
		return err
	}
	floor := answer["floor"].floor()
	for i, repository := range repositories {
		found := answer[alias("r", i)]
		if found == nil || found.DatabaseID != repository.ID {
			continue
		}
		listed[repository.ID] = map[int]string{}
		for {
			found.into(listed[repository.ID], floor, at)
			if !found.PullRequests.PageInfo.HasNextPage {
				break
			}
			if found, at, err = c.listMore(ctx, repository, found.PullRequests.PageInfo.EndCursor); err != nil {
				return err
			}
		}
	}
	return nil
}

// listMore reads the next hundred of one repository.
func (c *Client) listMore(ctx context.Context, repository policy.Repository, after string) (*listing, time.Time, error) {
	asked := listQuery{client: c, variables: map[string]any{"path": c.options.PolicyPath, "after": after}}
	asked.parameters = append(asked.parameters, "$after: String!")
	asked.add(0, repository, pageSize, "$after")
	answer, at, err := asked.send(ctx, repository)
	if err != nil {
		return nil, at, err
	}
	if found := answer[alias("r", 0)]; found != nil {
		return found, at, nil
	}
	return nil, at, &Error{Operation: "list the open pull requests of " + repository.String()}
}

// into adds what the pull requests look like. One that was updated just now looks
// different the next time in any case.
func (l *listing) into(listed map[int]string, floor string, at time.Time) {
	for _, pr := range l.PullRequests.Nodes {
		updated := pr.UpdatedAt.UTC().Format(time.RFC3339)
		if at.Sub(pr.UpdatedAt) < settling {
			updated += " as of " + at.UTC().Format(time.RFC3339)
		}
		listed[pr.Number] = strings.Join([]string{
			updated, pr.HeadRefOid, pr.BaseRef.policy(), l.DefaultBranchRef.policy(), floor, pr.BaseRefName,
		}, " ")
	}
}

// floor is what the organization's policy is; the repository need not be there.
func (l *listing) floor() string {
	if l == nil {
		return "none"
	}
	return l.DefaultBranchRef.policy()
}

// listQuery is a query that lists several repositories.
type listQuery struct {
	client     *Client
	variables  map[string]any
	parameters []string
	fields     []string
}

func (q *listQuery) add(i int, repository policy.Repository, first int, after string) {
	owner, name := alias("o", i), alias("n", i)
	q.variables[owner], q.variables[name] = repository.Owner, repository.Name
	q.parameters = append(q.parameters, "$"+owner+": String!", "$"+name+": String!")
	q.fields = append(q.fields, fmt.Sprintf("%s: repository(owner: $%s, name: $%s)"+listedFields, alias("r", i), owner, name, first, after))
}

// send returns what could be answered. A repository that is not there is null and
// an error of the query, which is no error here. The time is GitHub's.
func (q *listQuery) send(ctx context.Context, repository policy.Repository) (map[string]*listing, time.Time, error) {
	client, err := q.client.rest(repository)
	if err != nil {
		return nil, time.Time{}, err
	}
	if _, withFloor := q.variables["floor"]; withFloor {
		q.parameters = append(q.parameters, "$owner: String!", "$floor: String!")
		q.fields = append(q.fields, "floor: repository(owner: $owner, name: $floor) {defaultBranchRef "+listedPolicy+"}")
	}
	text := "query OpenPullRequests($path: String!, " + strings.Join(q.parameters, ", ") + ") {\n  " + strings.Join(q.fields, "\n  ") + "\n}"
	answer := map[string]*listing{}
	at, faults, err := q.client.graphql(ctx, client, text, q.variables, &answer)
	if err != nil {
		return nil, at, failed(err, "list the open pull requests of %s and others", repository)
	}
	for _, fault := range faults {
		if fault.Type != "NOT_FOUND" {
			return nil, at, failed(fault, "list the open pull requests of %s and others", repository)
		}
	}
	return answer, at, nil
}
