package githubapi

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/policy"
)

// query reads a pull request whole, with the organization's policy and what
// some people may do: one call, one moment, one point of GitHub's budget.
type query struct {
	variables map[string]any
	// own is true if the repository is the one with the organization's policy.
	own    bool
	likely policy.Questions
	// labels are those of kill switches.
	labels []string
}

// The most teams and people that one query asks about; others are asked about
// one by one.
const (
	maxQueriedTeams  = 5
	maxQueriedPeople = 10
)

func newQuery(options Options, ref policy.PullRequestRef, likely policy.Questions) query {
	q := query{
		own:    strings.EqualFold(ref.Repository.Name, options.OrganizationRepository),
		likely: likely,
		labels: options.switchLabels(ref.Repository),
		variables: map[string]any{
			"owner": ref.Repository.Owner, "name": ref.Repository.Name, "number": ref.Number, "path": options.PolicyPath,
		},
	}
	if !q.own {
		q.variables["organizationRepository"] = options.OrganizationRepository
	}
	if len(likely.People) > maxQueriedPeople || len(likely.Asks.Teams) > maxQueriedTeams {
		q.likely = policy.Questions{}
	}
	for i, team := range q.likely.Asks.Teams {
		organization, slug, _ := strings.Cut(team, "/")
		q.variables[alias("organization", i)], q.variables[alias("team", i)] = organization, slug
	}
	if q.likely.Asks.Permission {
		for i, person := range q.likely.People {
			q.variables[alias("login", i)] = person.Login
		}
	}
	return q
}

func alias(name string, i int) string { return fmt.Sprintf("%s%d", name, i) }

// text is the query in GraphQL.
func (q query) text() string {
	var parameters, outside, inside strings.Builder
	parameters.WriteString(flagParameters(q.labels, q.variables))
	inside.WriteString(flagFields(q.labels))
	if !q.own {
		parameters.WriteString(", $organizationRepository: String!")
		fmt.Fprintf(&outside, "\n  floor: repository(owner: $owner, name: $organizationRepository) {databaseId name defaultBranchRef %s%s}", branch, flagFields(q.labels))
	}
	if len(q.likely.People) > 0 {
		for i := range q.likely.Asks.Teams {
			fmt.Fprintf(&parameters, ", $organization%d: String!, $team%d: String!", i, i)
			fmt.Fprintf(&outside, "\n  team%d: organization(login: $organization%d) {team(slug: $team%d) {members(first: 100) {totalCount nodes {databaseId}}}}", i, i, i)
		}
		for i := range q.likely.People {
			if q.likely.Asks.Permission {
				fmt.Fprintf(&parameters, ", $login%d: String!", i)
				fmt.Fprintf(&inside, "\n    login%d: collaborators(login: $login%d, first: 1) {edges {permission node {login databaseId}}}", i, i)
			}
		}
	}
	return fmt.Sprintf(snapshotQuery, parameters.String(), outside.String(), inside.String())
}

const snapshotQuery = `query Snapshot($owner: String!, $name: String!, $number: Int!, $path: String!%s) {%s
  repository(owner: $owner, name: $name) {%s
    databaseId
    defaultBranchRef ` + branch + `
    pullRequest(number: $number) {
      title state createdAt updatedAt headRefOid headRefName headRepository {databaseId} baseRefName changedFiles
      autoMergeRequest {enabledAt}
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

// tolerates reports whether a query is as good as whole with that error: an
// organization without a repository for it has no policy of its own, and what
// the query does not tell of people is asked by REST.
func (q query) tolerates(e *GraphQLError) bool {
	switch {
	case e.at("floor"):
		return e.Type == "NOT_FOUND"
	case len(e.Path) > 0 && strings.HasPrefix(fmt.Sprint(e.Path[0]), "team"):
		return true
	default:
		return len(e.Path) > 1 && e.at("repository") && strings.HasPrefix(fmt.Sprint(e.Path[1]), "login")
	}
}

// flags are the issues that the query shows with labels of kill switches.
func (q query) flags(answer json.RawMessage, repository policy.Repository) ([]policy.Flag, error) {
	var shown struct{ Repository, Floor json.RawMessage }
	if err := json.Unmarshal(answer, &shown); err != nil {
		return nil, err
	}
	found, err := readFlags(shown.Repository, q.labels, repository, q.own)
	if err != nil || shown.Floor == nil || string(shown.Floor) == "null" {
		return found, err
	}
	var floor struct {
		DatabaseID int64  `json:"databaseId"`
		Name       string `json:"name"`
	}
	if err := json.Unmarshal(shown.Floor, &floor); err != nil {
		return nil, err
	}
	repository.ID, repository.Name = floor.DatabaseID, floor.Name
	more, err := readFlags(shown.Floor, q.labels, repository, true)
	return append(found, more...), err
}

type graphTeam struct {
	Team *struct {
		Members graphList[struct {
			DatabaseID int64 `json:"databaseId"`
		}] `json:"members"`
	} `json:"team"`
}

type graphCollaborators struct {
	Edges []struct {
		Permission string       `json:"permission"`
		Node       graphAccount `json:"node"`
	} `json:"edges"`
}

// standings are the people of whom the query tells all that was asked. A team
// with more members than one page shows tells nothing.
func (q query) standings(answer json.RawMessage, s policy.Snapshot) map[int64]policy.Standing {
	var outside, inside map[string]json.RawMessage
	if json.Unmarshal(answer, &outside) != nil || json.Unmarshal(outside["repository"], &inside) != nil {
		return nil
	}
	teams := map[string]map[int64]bool{}
	for i, team := range q.likely.Asks.Teams {
		var found graphTeam
		if json.Unmarshal(outside[alias("team", i)], &found) != nil || found.Team == nil || !found.Team.Members.whole() {
			return nil
		}
		teams[team] = map[int64]bool{}
		for _, member := range found.Team.Members.Nodes {
			teams[team][member.DatabaseID] = true
		}
	}
	standings := map[int64]policy.Standing{}
	for i, person := range q.likely.People {
		standing := policy.Standing{Login: s.Current(person).Login}
		if q.likely.Asks.Permission {
			var found graphCollaborators
			if json.Unmarshal(inside[alias("login", i)], &found) != nil || len(found.Edges) != 1 || found.Edges[0].Node.DatabaseID != person.ID {
				continue
			}
			standing.Login = found.Edges[0].Node.Login
			standing.Permission, _ = policy.ParsePermission(strings.ToLower(found.Edges[0].Permission))
		}
		for _, team := range q.likely.Asks.Teams {
			if teams[team][person.ID] {
				standing.Teams = append(standing.Teams, team)
			}
		}
		standings[person.ID] = standing
	}
	return standings
}
