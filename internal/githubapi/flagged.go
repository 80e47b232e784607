package githubapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/policy"
)

const (
	// flaggedTogether is how many repositories one query of a sweep reads, and
	// flaggedLists how many lists: a hundred are a point of GitHub's budget.
	flaggedTogether = 25
	flaggedLists    = 100
	// flaggedFirst is how much of each list the query reads. The rest is asked for by
	// itself.
	flaggedFirst = 20
)

// Flagged lists, by repository, all that is open and carries a label that may be a
// kill switch there, once for each such label. All repositories are of one
// installation; it is a point of GitHub's budget for twenty-five of them with up to
// two labels. A repository that could not be read is not in the answer, one with
// nothing is with nothing. It is an error if none could be read that may be there.
func (c *Client) Flagged(ctx context.Context, repositories []policy.Repository) (map[int64][]policy.Flag, error) {
	found := map[int64][]policy.Flag{}
	for len(repositories) > 0 {
		asked := newFlaggedQuery(c)
		for len(repositories) > 0 && asked.room(repositories[0]) {
			asked.add(repositories[0])
			repositories = repositories[1:]
		}
		if err := asked.into(ctx, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// flaggedQuery reads several repositories.
type flaggedQuery struct {
	client       *Client
	repositories []policy.Repository
	// labels are those of all the repositories, as variables, and own which of them
	// are asked for in each.
	labels     []string
	own        [][]int
	lists      int
	variables  map[string]any
	parameters []string
	fields     []string
}

func newFlaggedQuery(client *Client) *flaggedQuery {
	return &flaggedQuery{client: client, variables: map[string]any{}}
}

// room reports whether one more repository is to be asked for by the same query.
func (q *flaggedQuery) room(repository policy.Repository) bool {
	lists := q.lists + 2*len(q.client.options.switchLabels(repository))
	return len(q.repositories) == 0 || len(q.repositories) < flaggedTogether && lists <= flaggedLists
}

func (q *flaggedQuery) add(repository policy.Repository) {
	i := len(q.repositories)
	owner, name := alias("o", i), alias("n", i)
	q.variables[owner], q.variables[name] = repository.Owner, repository.Name
	q.parameters = append(q.parameters, "$"+owner+": String!", "$"+name+": String!")
	var fields strings.Builder
	var own []int
	for _, label := range q.client.options.switchLabels(repository) {
		at := slices.Index(q.labels, label)
		if at < 0 {
			at = len(q.labels)
			q.labels = append(q.labels, label)
			q.variables[alias("l", at)] = label
			q.parameters = append(q.parameters, "$"+alias("l", at)+": String!")
		}
		own = append(own, at)
		for _, kind := range []string{"issues", "pullRequests"} {
			fmt.Fprintf(&fields, "\n    %s: %s(labels: [$%s], states: OPEN, first: %d) {pageInfo {hasNextPage} nodes {number title}}",
				alias(kind, at), kind, alias("l", at), flaggedFirst)
		}
	}
	q.fields = append(q.fields, fmt.Sprintf("%s: repository(owner: $%s, name: $%s) {databaseId%s}", alias("r", i), owner, name, fields.String()))
	q.repositories, q.own, q.lists = append(q.repositories, repository), append(q.own, own), q.lists+2*len(own)
}

// into sends the query and adds what it shows.
func (q *flaggedQuery) into(ctx context.Context, found map[int64][]policy.Flag) error {
	client, err := q.client.rest(q.repositories[0])
	if err != nil {
		return err
	}
	text := "query Flagged(" + strings.Join(q.parameters, ", ") + ") {\n  " + strings.Join(q.fields, "\n  ") + "\n}"
	answer := map[string]json.RawMessage{}
	_, faults, err := q.client.graphql(ctx, client, text, q.variables, &answer)
	if err == nil {
		err = firstError(faults, q.ofOne)
	}
	if err != nil {
		return failed(err, "look for kill switches in %s and others", q.repositories[0])
	}
	read := 0
	var unread error
	for i, repository := range q.repositories {
		at := slices.IndexFunc(faults, func(e *GraphQLError) bool { return e.at(alias("r", i)) })
		if at >= 0 {
			if fault := faults[at]; fault.Type != "NOT_FOUND" {
				unread = failed(fault, "look for kill switches in %s", repository)
				zerolog.Ctx(ctx).Warn().Err(unread).AnErr("cause", fault).Msg("a repository was not searched for kill switches")
			}
			continue
		}
		flags, there, err := q.flags(ctx, i, answer[alias("r", i)])
		if err != nil {
			return failed(err, "look for kill switches in %s", repository)
		}
		if there {
			found[repository.ID] = flags
			read++
		}
	}
	if read > 0 {
		return nil
	}
	return unread
}

// ofOne reports whether the error is about one of the repositories.
func (q *flaggedQuery) ofOne(e *GraphQLError) bool {
	for i := range q.repositories {
		if e.at(alias("r", i)) {
			return true
		}
	}
	return false
}

// flaggedList is one list of the answer.
type flaggedList struct {
	PageInfo struct {
		HasNextPage bool `json:"hasNextPage"`
	} `json:"pageInfo"`
	Nodes []graphFlag `json:"nodes"`
}

// flags is what the answer shows of one repository; there is false if it is another
// one.
func (q *flaggedQuery) flags(ctx context.Context, i int, answer json.RawMessage) (found []policy.Flag, there bool, err error) {
	repository := q.repositories[i]
	var shown map[string]json.RawMessage
	var id int64
	if err := json.Unmarshal(answer, &shown); err != nil || shown == nil {
		return nil, false, err
	}
	if err := json.Unmarshal(shown["databaseId"], &id); err != nil || id != repository.ID {
		return nil, false, err
	}
	organization := q.client.isOrganizations(repository)
	for _, at := range q.own[i] {
		label := q.labels[at]
		var issues, pulls flaggedList
		for kind, into := range map[string]*flaggedList{"issues": &issues, "pullRequests": &pulls} {
			if err := json.Unmarshal(shown[alias(kind, at)], into); err != nil {
				return nil, false, err
			}
		}
		if issues.PageInfo.HasNextPage || pulls.PageInfo.HasNextPage {
			all, err := q.client.labeled(ctx, repository, label)
			if err != nil {
				return nil, false, err
			}
			for _, one := range all {
				found = append(found, graphFlag{one.Number, one.Title}.flag(repository, organization, one.PullRequest, label))
			}
			continue
		}
		for _, node := range issues.Nodes {
			found = append(found, node.flag(repository, organization, false, label))
		}
		for _, node := range pulls.Nodes {
			found = append(found, node.flag(repository, organization, true, label))
		}
	}
	return found, true, nil
}
