package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// platform is GitHub as the kill switch asks for it.
type platform struct {
	*githubapi.Client
}

var _ killswitch.Platform = platform{}

// FindIssues lists the open issues with the label, the oldest first.
func (p platform) FindIssues(ctx context.Context, repository policy.Repository, label string) ([]killswitch.Issue, error) {
	found, err := p.Client.FindIssues(ctx, repository, label)
	issues := make([]killswitch.Issue, len(found))
	for i, issue := range found {
		issues[i] = asIssue(issue)
	}
	return issues, err
}

// Issue reads one.
func (p platform) Issue(ctx context.Context, repository policy.Repository, number int) (killswitch.Issue, bool, error) {
	issue, found, err := p.Client.Issue(ctx, repository, number)
	return asIssue(issue), found, err
}

func asIssue(i githubapi.Issue) killswitch.Issue {
	return killswitch.Issue{Number: i.Number, Open: i.Open, Title: i.Title, Author: i.Author, Labels: i.Labels}
}

// takingEvents are the entries of an issue's history after which it is a switch no
// more, puttingEvents those after which it is one.
var (
	takingEvents  = map[string]bool{"unlabeled": true, "closed": true, "transferred": true}
	puttingEvents = map[string]bool{"labeled": true, "reopened": true}
)

// WhoTook finds the last of the first kind.
func (p platform) WhoTook(ctx context.Context, carrier killswitch.Carrier, since time.Time) (by policy.Actor, at time.Time, found bool, err error) {
	events, err := p.eventsOf(ctx, carrier, since)
	for _, e := range events {
		if takingEvents[e.Kind] {
			by, at, found = e.By, e.At, true
		}
	}
	return by, at, found, err
}

// WhoPut finds the last of the second kind, unless one of the first came after it.
func (p platform) WhoPut(ctx context.Context, carrier killswitch.Carrier, since time.Time) (by policy.Actor, at time.Time, found bool, err error) {
	events, err := p.eventsOf(ctx, carrier, since)
	for _, e := range events {
		if puttingEvents[e.Kind] {
			by, at = e.By, e.At
		}
		found = puttingEvents[e.Kind] || found && !takingEvents[e.Kind]
	}
	return by, at, found, err
}

// eventsOf are the entries of the carrier's history that are not about another label,
// the oldest first.
func (p platform) eventsOf(ctx context.Context, carrier killswitch.Carrier, since time.Time) ([]githubapi.IssueEvent, error) {
	events, err := p.IssueEvents(ctx, carrier.Repository, carrier.Number, since)
	return slices.DeleteFunc(events, func(e githubapi.IssueEvent) bool { return e.Label != "" && !strings.EqualFold(e.Label, carrier.Label) }), err
}

// QueueLimits are those of the rulesets with a merge queue.
func (p platform) QueueLimits(ctx context.Context, repository policy.Repository) (map[int64]int, error) {
	found, err := p.Client.QueueLimits(ctx, repository)
	limits := map[int64]int{}
	for _, queue := range found {
		limits[queue.RulesetID] = queue.MaxEntries
	}
	return limits, err
}

// SetQueueLimit changes one.
func (p platform) SetQueueLimit(ctx context.Context, repository policy.Repository, ruleset int64, entries int) error {
	_, err := p.Client.SetQueueLimit(ctx, repository, ruleset, entries)
	return err
}

// errNoDefaultBranch is returned for a repository without commits.
var errNoDefaultBranch = errors.New("it has no default branch")

// FindRepository finds a repository of the owner by its name, through the owner's
// installation.
func (p platform) FindRepository(ctx context.Context, owner policy.Repository, name string) (policy.Repository, string, error) {
	repository, branch, err := p.OwnRepository(ctx, owner, name)
	if err == nil && branch == "" {
		err = fmt.Errorf("find %s: %w", repository, errNoDefaultBranch)
	}
	return repository, branch, err
}
