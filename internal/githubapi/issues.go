package githubapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// Issue is an issue, or the issue's side of a pull request.
type Issue struct {
	Number      int
	PullRequest bool
	Open        bool
	Title       string
	Body        string
	Author      policy.Actor
	Labels      []string
	// CreatedAt and UpdatedAt are by GitHub's clock, to the second.
	CreatedAt, UpdatedAt time.Time
}

// carries reports whether the label is on it; GitHub's names of labels have no case.
func (i Issue) carries(label string) bool {
	return slices.ContainsFunc(i.Labels, func(own string) bool { return strings.EqualFold(own, label) })
}

func asIssue(i *github.Issue) Issue {
	issue := Issue{
		Number: i.GetNumber(), PullRequest: i.IsPullRequest(), Open: i.GetState() == "open", Title: i.GetTitle(), Body: i.GetBody(),
		Author: actor(i.User), CreatedAt: i.GetCreatedAt().UTC(), UpdatedAt: i.GetUpdatedAt().UTC(),
	}
	for _, label := range i.Labels {
		issue.Labels = append(issue.Labels, label.GetName())
	}
	return issue
}

// OpenIssue opens an issue with the label and returns its number. body is our part
// of its text, which [Client.PutIssueSection] changes. It is one call: GitHub makes
// a label that is not there yet. It documents as well that a label is silently
// dropped for who may not put it, and refuses one that cannot be made; then the
// label is made and put by itself. The number is not 0 if the issue was opened,
// also with an error. It needs issues: write.
func (c *Client) OpenIssue(ctx context.Context, repository policy.Repository, title, body, label string) (int, error) {
	client, err := c.rest(repository)
	if err != nil {
		return 0, err
	}
	body = section(body)
	open := func() (*github.Issue, error) {
		opened, _, err := client.Issues.Create(ctx, repository.Owner, repository.Name, &github.IssueRequest{Title: &title, Body: &body, Labels: &[]string{label}})
		return opened, err
	}
	opened, err := open()
	if statusOf(err) == http.StatusUnprocessableEntity {
		if err := makeLabel(ctx, client, repository, label); err != nil {
			return 0, err
		}
		opened, err = open()
	}
	if err != nil {
		return 0, failed(err, "open an issue in %s", repository)
	}
	if asIssue(opened).carries(label) {
		return opened.GetNumber(), nil
	}
	if err := makeLabel(ctx, client, repository, label); err != nil {
		return opened.GetNumber(), err
	}
	return opened.GetNumber(), c.AddLabel(ctx, repository, opened.GetNumber(), label)
}

// makeLabel makes a label; one that is there already stays as it is.
func makeLabel(ctx context.Context, client *github.Client, repository policy.Repository, label string) error {
	_, _, err := client.Issues.CreateLabel(ctx, repository.Owner, repository.Name, &github.Label{Name: &label})
	if statusOf(err) == http.StatusUnprocessableEntity {
		return nil // what is wrong with it otherwise is said when it is put
	}
	return failed(err, "make the label %s of %s", label, repository)
}

// FindIssues lists the open issues with the label, the oldest first; pull requests
// are none. It costs nothing of the budget while nothing changed.
func (c *Client) FindIssues(ctx context.Context, repository policy.Repository, label string) ([]Issue, error) {
	all, err := c.labeled(ctx, repository, label)
	return slices.DeleteFunc(all, func(i Issue) bool { return i.PullRequest }), err
}

// labeled lists what is open and has the label, issues and pull requests, the oldest
// first.
func (c *Client) labeled(ctx context.Context, repository policy.Repository, label string) ([]Issue, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	asked := []string{label}
	if strings.Contains(label, ",") {
		asked = nil // GitHub takes the comma for the end of a name
	}
	all, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.Issue, *github.Response, error) {
		return client.Issues.ListByRepo(ctx, repository.Owner, repository.Name, &github.IssueListByRepoOptions{
			State: "open", Labels: asked, Sort: "created", Direction: "asc", ListOptions: *page,
		})
	})
	if err != nil {
		return nil, failed(err, "list what has the label %s in %s", label, repository)
	}
	var found []Issue
	for _, one := range all {
		if issue := asIssue(one); issue.carries(label) {
			found = append(found, issue)
		}
	}
	return found, nil
}

// Issue reads an issue or the issue's side of a pull request, for nothing while it
// is unchanged; found is false if GitHub does not show it there: it was deleted or
// moved to another repository, or never was.
func (c *Client) Issue(ctx context.Context, repository policy.Repository, number int) (issue Issue, found bool, err error) {
	client, err := c.rest(repository)
	if err != nil {
		return Issue{}, false, err
	}
	read, response, err := client.Issues.Get(ctx, repository.Owner, repository.Name, number)
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusGone {
		return Issue{}, false, nil
	}
	if err != nil {
		return Issue{}, false, failed(err, "read the issue %s#%d", repository, number)
	}
	if read.GetNumber() != number || !stayed(response, read, repository) {
		return Issue{}, false, nil
	}
	return asIssue(read), true, nil
}

// stayed reports whether the issue is of the repository: GitHub leads on to where
// one was moved. A repository that was renamed is the same one by its number, which
// is in the address that GitHub leads on to.
func stayed(response *github.Response, issue *github.Issue, repository policy.Repository) bool {
	if strings.HasSuffix(strings.ToLower(issue.GetRepositoryURL()), "/"+strings.ToLower(repository.String())) {
		return true
	}
	return strings.Contains(response.Request.URL.Path, "/repositories/"+strconv.FormatInt(repository.ID, 10)+"/")
}

// Marks around what is ours in an issue's text.
const (
	sectionBegins = "<!-- portcullis kill switch -->"
	sectionEnds   = "<!-- /portcullis kill switch -->"
)

// section is our part of a text. What people wrote and is told in it ends nothing.
func section(text string) string {
	text = strings.NewReplacer(sectionBegins, "", sectionEnds, "").Replace(text)
	return sectionBegins + "\n" + strings.TrimSpace(text) + "\n" + sectionEnds
}

// PutIssueSection makes our part of the issue's text say what text says, and leaves
// what people wrote around it. It reads first, for nothing while the issue is
// unchanged, and writes only if that changes anything. What somebody writes between
// the two is lost. An issue that is gone is an [*Error] that says so.
func (c *Client) PutIssueSection(ctx context.Context, repository policy.Repository, number int, text string) error {
	issue, found, err := c.Issue(ctx, repository, number)
	if err != nil {
		return err
	}
	if !found {
		return &Error{Operation: fmt.Sprintf("read the issue %s#%d", repository, number), Status: http.StatusGone}
	}
	body := withSection(issue.Body, section(text))
	if body == issue.Body {
		return nil
	}
	return c.editIssue(ctx, repository, number, &github.IssueRequest{Body: &body})
}

// withSection puts the section in the place of the last one that is there, or after
// the text. A mark that lost its other half is part of the text.
func withSection(body, section string) string {
	if begin := strings.LastIndex(body, sectionBegins); begin >= 0 {
		if was, after, ended := strings.Cut(body[begin:], sectionEnds); ended {
			// A browser ends lines in its own way.
			if strings.ReplaceAll(was, "\r\n", "\n")+sectionEnds == section {
				return body
			}
			return body[:begin] + section + after
		}
	}
	if strings.TrimSpace(body) == "" {
		return section
	}
	return strings.TrimRight(body, "\r\n") + "\n\n" + section
}

func (c *Client) editIssue(ctx context.Context, repository policy.Repository, number int, change *github.IssueRequest) error {
	client, err := c.rest(repository)
	if err != nil {
		return err
	}
	_, _, err = client.Issues.Edit(ctx, repository.Owner, repository.Name, number, change)
	return failed(err, "change the issue %s#%d", repository, number)
}

// SetIssueState opens an issue again or closes it as completed, in one call.
func (c *Client) SetIssueState(ctx context.Context, repository policy.Repository, number int, open bool) error {
	state, reason := "closed", "completed"
	if open {
		state, reason = "open", "reopened"
	}
	return c.editIssue(ctx, repository, number, &github.IssueRequest{State: &state, StateReason: &reason})
}

// AddLabel puts a label on an issue or a pull request, in one call; twice is once.
func (c *Client) AddLabel(ctx context.Context, repository policy.Repository, number int, label string) error {
	client, err := c.rest(repository)
	if err != nil {
		return err
	}
	_, _, err = client.Issues.AddLabelsToIssue(ctx, repository.Owner, repository.Name, number, []string{label})
	return failed(err, "put the label %s on %s#%d", label, repository, number)
}

// RemoveLabel takes a label off, in one call; one that is not there, or whose issue
// is not, is off already.
func (c *Client) RemoveLabel(ctx context.Context, repository policy.Repository, number int, label string) error {
	client, err := c.rest(repository)
	if err != nil {
		return err
	}
	// go-github does not escape the name.
	address := fmt.Sprintf("repos/%s/issues/%d/labels/%s", repository, number, url.PathEscape(label))
	err = call(ctx, client, http.MethodDelete, address, nil, nil)
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusGone {
		return nil
	}
	return failed(err, "take the label %s off %s#%d", label, repository, number)
}

// IssueEvent is an entry of an issue's history, by GitHub's name for it.
type IssueEvent struct {
	Kind  string
	By    policy.Actor
	At    time.Time
	Label string
}

// IssueEvents lists what was done to the issue after that time, the oldest first; of
// one that is gone, nothing. GitHub lists the oldest first, so it is one call for up
// to a hundred entries, and otherwise one for the first page and one for each hundred
// that is new enough.
func (c *Client) IssueEvents(ctx context.Context, repository policy.Repository, number int, since time.Time) ([]IssueEvent, error) {
	client, err := c.rest(repository)
	if err != nil {
		return nil, err
	}
	all, err := newest(ctx, since, func(ctx context.Context, page *github.ListOptions) ([]*github.IssueEvent, *github.Response, error) {
		return client.Issues.ListIssueEvents(ctx, repository.Owner, repository.Name, number, page)
	})
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusGone {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err, "list the events of %s#%d", repository, number)
	}
	var events []IssueEvent
	for _, e := range all {
		if at := e.GetCreatedAt().UTC(); at.After(since) {
			events = append(events, IssueEvent{Kind: e.GetEvent(), At: at, Label: e.GetLabel().GetName(), By: actor(e.Actor)})
		}
	}
	slices.SortStableFunc(events, func(a, b IssueEvent) int { return a.At.Compare(b.At) })
	return events, nil
}

// newest reads a history from its end back to what is not after since. Where the end
// is, the first page tells; it may have been kept from when there was less, so that
// full pages are followed.
func newest(ctx context.Context, since time.Time, fetch func(context.Context, *github.ListOptions) ([]*github.IssueEvent, *github.Response, error)) ([]*github.IssueEvent, error) {
	first, response, err := fetch(ctx, &github.ListOptions{PerPage: pageSize})
	if err != nil || len(first) < pageSize {
		return first, err
	}
	var events []*github.IssueEvent
	last := max(response.LastPage, 2)
	for at := last; ; at++ {
		page, _, err := fetch(ctx, &github.ListOptions{PerPage: pageSize, Page: at})
		if err != nil {
			return nil, err
		}
		events = append(events, page...)
		if len(page) < pageSize {
			break
		}
	}
	for at := last - 1; at > 1; at-- {
		if len(events) > 0 && !events[0].GetCreatedAt().After(since) {
			return events, nil
		}
		page, _, err := fetch(ctx, &github.ListOptions{PerPage: pageSize, Page: at})
		if err != nil {
			return nil, err
		}
		events = append(page, events...)
	}
	return append(first, events...), nil
}
