package githubapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/portcullis-app/portcullis/policy"
)

// maxFlags is how many issues with one label are read. More of them say no more than
// one does.
const maxFlags = 5

// flagFields are the lists of issues that are open and carry one of the labels, which
// are variables of the query. Each list is of one label: whether GitHub takes several
// for all of them or for any is not documented.
func flagFields(labels []string) string {
	var b strings.Builder
	for i := range labels {
		fmt.Fprintf(&b, " flag%d: issues(labels: [$flag%d], states: OPEN, first: %d) {nodes {number title}}", i, i, maxFlags)
	}
	return b.String()
}

func flagParameters(labels []string, variables map[string]any) string {
	var b strings.Builder
	for i, label := range labels {
		variables[alias("flag", i)] = label
		fmt.Fprintf(&b, ", $flag%d: String!", i)
	}
	return b.String()
}

// graphFlag is something with the label, as a query shows it.
type graphFlag struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
}

func (f graphFlag) flag(repository policy.Repository, organization, pullRequest bool, label string) policy.Flag {
	return policy.Flag{Repository: repository, Organization: organization, Number: f.Number, PullRequest: pullRequest, Label: label, Title: f.Title}
}

// readFlags are what the lists of one repository show.
func readFlags(answer json.RawMessage, labels []string, repository policy.Repository, organization bool) ([]policy.Flag, error) {
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(answer, &lists); err != nil {
		return nil, err
	}
	var found []policy.Flag
	for i, label := range labels {
		var list graphList[graphFlag]
		if err := json.Unmarshal(lists[alias("flag", i)], &list); err != nil {
			return nil, err
		}
		for _, node := range list.Nodes {
			found = append(found, node.flag(repository, organization, false, label))
		}
	}
	return found, nil
}

// restFlags reads by REST what the query would have shown: the issues of the
// repository and of the organization's own.
func (c *Client) restFlags(ctx context.Context, repository policy.Repository) ([]policy.Flag, error) {
	labels := c.options.switchLabels(repository)
	places := []policy.Flag{{Repository: repository, Organization: c.isOrganizations(repository)}}
	if !places[0].Organization {
		floor, _, err := c.OwnRepository(ctx, repository, c.options.OrganizationRepository)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if err == nil {
			places = append(places, policy.Flag{Repository: floor, Organization: true})
		}
	}
	found := make([][]policy.Flag, len(places)*len(labels))
	var reads errgroup.Group
	for i, place := range places {
		for j, label := range labels {
			reads.Go(func() error {
				issues, err := c.FindIssues(ctx, place.Repository, label)
				for _, issue := range issues {
					flag := place
					flag.Number, flag.Label, flag.Title = issue.Number, label, issue.Title
					found[i*len(labels)+j] = append(found[i*len(labels)+j], flag)
				}
				return err
			})
		}
	}
	err := reads.Wait()
	return slices.Concat(found...), err
}

// switchLabels are the names that the label may have in the repository, each once:
// GitHub's names of labels have no case.
func (o Options) switchLabels(repository policy.Repository) []string {
	if o.SwitchLabels == nil {
		return nil
	}
	var labels []string
	for _, label := range o.SwitchLabels(repository) {
		if !slices.ContainsFunc(labels, func(known string) bool { return strings.EqualFold(known, label) }) {
			labels = append(labels, label)
		}
	}
	return labels
}

// isOrganizations reports whether it is the repository whose issues are about the
// organization.
func (c *Client) isOrganizations(repository policy.Repository) bool {
	return strings.EqualFold(repository.Name, c.options.OrganizationRepository)
}
