package githubapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/gregjones/httpcache"
	"github.com/palantir/go-githubapp/githubapp"

	"github.com/portcullis-app/portcullis/policy"
)

const (
	// callTimeout bounds one HTTP call, answer read.
	callTimeout = 10 * time.Second
	// clientCapacity is how many installations keep their token and cache.
	clientCapacity = 1024
	// cachedResponses is how many answers an installation's cache holds.
	cachedResponses = 2048
	pageSize        = 100
)

// Client calls GitHub as one App. It may be used by several goroutines.
type Client struct {
	creator  *clients
	governor *governor
	appID    int64
	options  Options
	teams    knownTeams
	owners   owners
	// self is the login of the App's own account, once it was asked for.
	self atomic.Pointer[string]
	// graphqlURL is absolute.
	graphqlURL string
}

// Options say how a client asks, and for what. All fields but Budgets are required.
type Options struct {
	UserAgent string
	// PolicyPath is the policy file's path in every repository, and
	// OrganizationRepository the name of the one that holds the organization's.
	PolicyPath             string
	OrganizationRepository string
	// CheckName is the name of the check that branches require.
	CheckName string
	// SwitchLabels are the names that the label of a kill switch may have in the
	// repository; nil: none is looked for.
	SwitchLabels func(policy.Repository) []string
	Now          func() time.Time
	// Wait waits so long, or until ctx ends.
	Wait func(ctx context.Context, d time.Duration) error
	// Budgets is where replicas tell each other of GitHub's limits; nil keeps them in
	// this process alone. See [Client.ShareBudgets].
	Budgets Budgets
}

// New returns a client for the App in the configuration. It makes no call. A
// private key that cannot be read is an error here, before anything is served.
func New(config githubapp.Config, options Options) (*Client, error) {
	governor := newGovernor(options.Now, options.Budgets)
	creator, err := newClients(config, options, governor)
	if err != nil {
		return nil, err
	}
	if _, err := creator.NewAppClient(); err != nil {
		return nil, fmt.Errorf("read github.app.private_key: %w", err)
	}
	return &Client{creator: creator, governor: governor, appID: config.App.IntegrationID, options: options, graphqlURL: config.V4APIURL}, nil
}

// ReadInVain counts the reads that GitHub billed although nothing had changed. It
// grows by more than what was kept when a token was replaced once GitHub makes its
// ETags in a way that is not known here.
func (c *Client) ReadInVain() int64 { return c.creator.vain.Load() }

// Error says which call to GitHub failed. It never holds a token.
type Error struct {
	// Operation is what was being done, as "list the files of acme/shop#7".
	Operation string
	// Status is GitHub's answer; 0 if there was none.
	Status int
	cause  error
}

func (e *Error) Error() string {
	if limit, ok := errors.AsType[*LimitError](e.cause); ok {
		return e.Operation + ": " + limit.Error()
	}
	if e.Status == 0 {
		return e.Operation + ": GitHub could not be reached"
	}
	return fmt.Sprintf("%s: GitHub answered %d", e.Operation, e.Status)
}

// Unwrap returns go-github's own error, for the log.
func (e *Error) Unwrap() error { return e.cause }

// failed turns go-github's error into an [*Error], and nil into nil.
func failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Operation: fmt.Sprintf(format, args...), Status: statusOf(err), cause: err}
}

func statusOf(err error) int {
	var ours *Error
	var response *github.ErrorResponse
	switch {
	case errors.As(err, &ours):
		return ours.Status
	case errors.As(err, &response) && response.Response != nil:
		return response.Response.StatusCode
	default:
		return 0
	}
}

// Gone reports whether GitHub does not have what was to be changed.
func (e *Error) Gone() bool {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity, http.StatusMovedPermanently:
		return true
	default:
		return false
	}
}

// Refused reports whether GitHub does not let the App do it: it lacks a permission,
// or the plan does not have what is asked for. Asking again changes nothing until
// somebody grants more. A limit is not meant.
func (e *Error) Refused() bool { return e.Status == http.StatusForbidden }

// Outage reports whether GitHub did not answer at all, or could not.
func (e *Error) Outage() bool { return e.Status == 0 || e.Status >= http.StatusInternalServerError }

// Invalid reports whether GitHub does not take what was sent as it is.
func (e *Error) Invalid() bool { return e.Status == http.StatusUnprocessableEntity }

func isNotFound(err error) bool { return statusOf(err) == http.StatusNotFound }

// ErrNoInstallation is returned for a repository whose installation is unknown.
var ErrNoInstallation = errors.New("the App's installation for this repository is not known")

func (c *Client) rest(repository policy.Repository) (*github.Client, error) {
	if repository.Installation == 0 {
		return nil, fmt.Errorf("%s: %w", repository, ErrNoInstallation)
	}
	client, err := c.creator.NewInstallationClient(repository.Installation)
	if err != nil {
		return nil, fmt.Errorf("create the client of installation %d: %w", repository.Installation, err)
	}
	return client, nil
}

// Repository finds a repository by name, and the App's installation there.
func (c *Client) Repository(ctx context.Context, owner, name string) (policy.Repository, error) {
	app, err := c.creator.NewAppClient()
	if err != nil {
		return policy.Repository{}, fmt.Errorf("create the App's client: %w", err)
	}
	installation, _, err := app.Apps.FindRepositoryInstallation(ctx, owner, name)
	if isNotFound(err) {
		return policy.Repository{}, &Error{Operation: "find " + owner + "/" + name + ", which does not exist or in which the App is not installed", Status: http.StatusNotFound}
	}
	if err != nil {
		return policy.Repository{}, failed(err, "find the installation in %s/%s", owner, name)
	}
	found := policy.Repository{Installation: installation.GetID(), Owner: owner, Name: name}
	client, err := c.rest(found)
	if err != nil {
		return policy.Repository{}, err
	}
	repository, _, err := client.Repositories.Get(ctx, owner, name)
	found.ID, found.Owner, found.Name = repository.GetID(), repository.GetOwner().GetLogin(), repository.GetName()
	return found, failed(err, "read the repository %s/%s", owner, name)
}

// pages reads a list to its end.
func pages[T any](ctx context.Context, fetch func(context.Context, *github.ListOptions) ([]T, *github.Response, error)) ([]T, error) {
	var all []T
	options := &github.ListOptions{PerPage: pageSize}
	for {
		page, response, err := fetch(ctx, options)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		// A kept answer names the pages that there were, and a full page is the same
		// when others follow it.
		if response.NextPage == 0 && (len(page) < pageSize || response.Header.Get(httpcache.XFromCache) == "") {
			return all, nil
		}
		options.Page = max(options.Page, 1) + 1
	}
}
