package githubapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// Person is somebody for whom the App acts, with the token that lets it.
type Person struct {
	// ID is the account's number, whose budget the calls count against.
	ID    int64
	Token string
}

// Machine is a type of machine that a codespace may run on.
type Machine struct {
	Name         string `json:"name"`
	CPUs         int    `json:"cpus"`
	MemoryBytes  int64  `json:"memory_in_bytes"`
	StorageBytes int64  `json:"storage_in_bytes"`
}

// CodespaceRequest is what a codespace is asked to be.
type CodespaceRequest struct {
	DisplayName string
	Machine     string
	Idle        time.Duration
	// Retention is how long it is kept once it is stopped; zero: not at all.
	Retention time.Duration
}

// Codespace is one as GitHub tells of it.
type Codespace struct {
	Name        string `json:"name"`
	DisplayName string `json:"display_name"`
	State       string `json:"state"`
	// Pending is true if nothing can be done with it but to delete it.
	Pending    bool   `json:"pending_operation"`
	PendingWhy string `json:"pending_operation_disabled_reason"`
	Owner      struct {
		ID    int64  `json:"id"`
		Login string `json:"login"`
	} `json:"owner"`
	Payer struct {
		Login string `json:"login"`
	} `json:"billable_owner"`
	Repository struct {
		ID    int64  `json:"id"`
		Name  string `json:"name"`
		Owner struct {
			Login string `json:"login"`
		} `json:"owner"`
	} `json:"repository"`
	CreatedAt time.Time `json:"created_at"`
}

// Refusal is what GitHub says of a call that it refused. It is the cause of an [*Error].
type Refusal struct {
	Message string `json:"message"`
	// AllowURL is where the person grants what the repository's devcontainer asks for.
	AllowURL string `json:"allow_permissions_url"`
}

func (r *Refusal) Error() string { return "GitHub says: " + strconv.Quote(r.Message) }

// Machines lists the types on which the person may run a codespace of the branch or
// commit, the smallest first.
func (c *Client) Machines(ctx context.Context, by Person, repository policy.Repository, ref string) ([]Machine, error) {
	var told struct {
		Machines []Machine `json:"machines"`
	}
	at := fmt.Sprintf("repos/%s/%s/codespaces/machines?ref=%s", repository.Owner, repository.Name, url.QueryEscape(ref))
	_, err := c.asPerson(ctx, by, "list the machines for codespaces of "+repository.String(), http.MethodGet, at, nil, &told)
	return told.Machines, err
}

// CreateCodespace creates one on the head of a pull request, as the person. retried is
// true if GitHub has not done with that yet. An error that is an Outage leaves open
// whether there is one.
func (c *Client) CreateCodespace(ctx context.Context, by Person, on policy.PullRequestRef, asked CodespaceRequest) (created Codespace, retried bool, err error) {
	body := map[string]any{
		"display_name": asked.DisplayName, "machine": asked.Machine, "multi_repo_permissions_opt_out": true,
		"idle_timeout_minutes": int(asked.Idle / time.Minute), "retention_period_minutes": int(asked.Retention / time.Minute),
	}
	at := fmt.Sprintf("repos/%s/%s/pulls/%d/codespaces", on.Repository.Owner, on.Repository.Name, on.Number)
	status, err := c.asPerson(ctx, by, "create a codespace on "+on.String(), http.MethodPost, at, body, &created)
	return created, status == http.StatusAccepted, err
}

// Codespace reads one of the person's; found is false if it is not there, or not theirs.
func (c *Client) Codespace(ctx context.Context, by Person, name string) (read Codespace, found bool, err error) {
	_, err = c.asPerson(ctx, by, "read the codespace "+name, http.MethodGet, "user/codespaces/"+url.PathEscape(name), nil, &read)
	if isNotFound(err) {
		return Codespace{}, false, nil
	}
	return read, err == nil, err
}

// CodespaceTunnel says where the tunnel to a codespace is; empty: GitHub does not tell. Both
// tokens are secret.
type CodespaceTunnel struct {
	ServiceURI   string `json:"serviceUri"`
	TunnelID     string `json:"tunnelId"`
	ClusterID    string `json:"clusterId"`
	ConnectToken string `json:"connectAccessToken"`
	PortsToken   string `json:"managePortsAccessToken"`
}

// CodespaceTunnel reads in which state one of the person's is, and where its tunnel. GitHub
// tells that to its own command line, by parameters that it does not document.
func (c *Client) CodespaceTunnel(ctx context.Context, by Person, name string) (state string, at CodespaceTunnel, err error) {
	var told struct {
		State      string `json:"state"`
		Connection struct {
			Tunnel CodespaceTunnel `json:"tunnelProperties"`
		} `json:"connection"`
	}
	_, err = c.asPerson(ctx, by, "ask for the tunnel to the codespace "+name, http.MethodGet, "user/codespaces/"+url.PathEscape(name)+"?internal=true&refresh=true", nil, &told)
	return told.State, told.Connection.Tunnel, err
}

// OwnCodespaces lists the person's, as far as the App may see them.
func (c *Client) OwnCodespaces(ctx context.Context, by Person) ([]Codespace, error) {
	var all []Codespace
	for page := 1; ; page++ {
		var told codespacePage
		at := fmt.Sprintf("user/codespaces?per_page=%d&page=%d", pageSize, page)
		if _, err := c.asPerson(ctx, by, "list a person's codespaces", http.MethodGet, at, nil, &told); err != nil {
			return nil, err
		}
		all = append(all, told.Codespaces...)
		if len(told.Codespaces) < pageSize {
			return all, nil
		}
	}
}

type codespacePage struct {
	Codespaces []Codespace `json:"codespaces"`
}

// StopCodespace stops one of the person's. One that is not there is no error.
func (c *Client) StopCodespace(ctx context.Context, by Person, name string) error {
	_, err := c.asPerson(ctx, by, "stop the codespace "+name, http.MethodPost, "user/codespaces/"+url.PathEscape(name)+"/stop", nil, nil)
	return unlessGone(err)
}

// DeleteCodespace has GitHub delete one of the person's, which takes a while. One that is
// not there is no error.
func (c *Client) DeleteCodespace(ctx context.Context, by Person, name string) error {
	_, err := c.asPerson(ctx, by, "delete the codespace "+name, http.MethodDelete, "user/codespaces/"+url.PathEscape(name), nil, nil)
	return unlessGone(err)
}

// CodespaceOrganizations lists where the App may end codespaces without their owners, as
// places without a name.
func (c *Client) CodespaceOrganizations(ctx context.Context) ([]policy.Repository, error) {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return nil, fmt.Errorf("create the App's client: %w", err)
	}
	// go-github has no field for the permission.
	all, err := list[installation](ctx, app, "app/installations", nil)
	if err != nil {
		return nil, failed(err, "list the App's installations")
	}
	var places []policy.Repository
	for _, one := range all {
		may := one.Permissions
		if one.SuspendedAt == nil && one.TargetType == "Organization" && may["organization_codespaces"] == "write" && may["codespaces"] == "write" && may["codespaces_lifecycle_admin"] == "write" {
			places = append(places, policy.Repository{Installation: one.ID, Owner: one.Account.Login})
		}
	}
	return places, nil
}

// OrganizationCodespaces lists those that the organization pays for, whoever made them.
func (c *Client) OrganizationCodespaces(ctx context.Context, place policy.Repository) ([]Codespace, error) {
	client, err := c.rest(place)
	if err != nil {
		return nil, err
	}
	all, err := pages(alone(ctx), func(ctx context.Context, page *github.ListOptions) ([]Codespace, *github.Response, error) {
		request, err := client.NewRequest(http.MethodGet, fmt.Sprintf("orgs/%s/codespaces?per_page=%d&page=%d", place.Owner, page.PerPage, max(1, page.Page)), nil)
		if err != nil {
			return nil, nil, err
		}
		var told codespacePage
		response, err := client.Do(ctx, request, &told)
		return told.Codespaces, response, err
	})
	return all, failed(err, "list the codespaces of %s", place.Owner)
}

// StopMemberCodespace stops one that the organization pays for. One that is not there is
// no error.
func (c *Client) StopMemberCodespace(ctx context.Context, place policy.Repository, login, name string) error {
	return c.memberCodespace(ctx, place, http.MethodPost, login, name, "/stop")
}

// DeleteMemberCodespace has GitHub delete one that the organization pays for, which takes
// a while. One that is not there is no error.
func (c *Client) DeleteMemberCodespace(ctx context.Context, place policy.Repository, login, name string) error {
	return c.memberCodespace(ctx, place, http.MethodDelete, login, name, "")
}

func (c *Client) memberCodespace(ctx context.Context, place policy.Repository, method, login, name, what string) error {
	client, err := c.rest(place)
	if err != nil {
		return err
	}
	err = call(ctx, client, method, fmt.Sprintf("orgs/%s/members/%s/codespaces/%s%s", place.Owner, url.PathEscape(login), url.PathEscape(name), what), nil, nil)
	if _, accepted := errors.AsType[*github.AcceptedError](err); accepted {
		err = nil
	}
	return unlessGone(failed(err, "%s the codespace %s of %s", method, name, login))
}

func unlessGone(err error) error {
	if isNotFound(err) {
		return nil
	}
	return err
}

// PullRequestHead is where the head of a pull request is now.
type PullRequestHead struct {
	SHA, Branch string
	// Repository is the number of the repository that it is in: of a fork, maybe. 0: it
	// is gone.
	Repository int64
	Open       bool
	// MovedAt is when it was last forced to another commit, or the pull request closed or
	// opened again, by GitHub's clock, which has whole seconds: a branch does not come back
	// to a commit without one of these. Zero: never.
	MovedAt time.Time
}

// movesQuery reads the last of what brings a head back to where it was.
const movesQuery = `query Moves($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      timelineItems(last: 1, itemTypes: [HEAD_REF_FORCE_PUSHED_EVENT, CLOSED_EVENT, REOPENED_EVENT]) {nodes {
        ... on HeadRefForcePushedEvent {createdAt}
        ... on ClosedEvent {createdAt}
        ... on ReopenedEvent {createdAt}}}
    }
  }
}`

// Head reads where the head of a pull request is, from GitHub and not from what is kept.
func (c *Client) Head(ctx context.Context, on policy.PullRequestRef) (PullRequestHead, error) {
	client, err := c.rest(on.Repository)
	if err != nil {
		return PullRequestHead{}, err
	}
	read, _, err := client.PullRequests.Get(alone(ctx), on.Repository.Owner, on.Repository.Name, on.Number)
	if err != nil {
		return PullRequestHead{}, failed(err, "read the head of %s", on)
	}
	var told struct {
		Repository struct {
			PullRequest struct {
				TimelineItems struct {
					Nodes []struct{ CreatedAt time.Time }
				}
			}
		}
	}
	asked := map[string]any{"owner": on.Repository.Owner, "name": on.Repository.Name, "number": on.Number}
	if _, faults, err := c.graphql(alone(ctx), client, movesQuery, asked, &told); err != nil || len(faults) > 0 {
		if err == nil {
			err = faults[0]
		}
		return PullRequestHead{}, failed(err, "read when the head of %s was forced", on)
	}
	head := read.GetHead()
	is := PullRequestHead{SHA: head.GetSHA(), Branch: head.GetRef(), Repository: head.GetRepo().GetID(), Open: read.GetState() == "open"}
	for _, moved := range told.Repository.PullRequest.TimelineItems.Nodes {
		is.MovedAt = moved.CreatedAt
	}
	return is, nil
}

// asPerson makes a call with a person's token, which is in no error: of GitHub's own the
// [*Error] has its [Refusal] alone. Nothing of the answer is kept.
func (c *Client) asPerson(ctx context.Context, by Person, operation, method, address string, body, into any) (status int, err error) {
	base, err := url.Parse(c.creator.config.V3APIURL)
	if err != nil {
		return 0, fmt.Errorf("read github.v3_api_url: %w", err)
	}
	client := github.NewClient(nil)
	client.BaseURL = base
	request, err := client.NewRequest(method, address, body)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	request.Header.Set("Authorization", "token "+by.Token)
	// A person's calls count against the person's own limits.
	status, answer, err := c.send(request.WithContext(ctx), operation, c.creator.outgoing(-by.ID))
	if err != nil {
		return status, err
	}
	if status >= http.StatusMultipleChoices {
		said := &Refusal{}
		if json.Unmarshal(answer, said) != nil {
			said = &Refusal{}
		}
		said.Message = said.Message[:min(len(said.Message), maxMessage)]
		return status, &Error{Operation: operation, Status: status, cause: said}
	}
	if into != nil && json.Unmarshal(answer, into) != nil {
		return status, &Error{Operation: operation + ": read GitHub's answer", Status: status}
	}
	return status, nil
}

// maxMessage is how much of what GitHub says is kept.
const maxMessage = 500
