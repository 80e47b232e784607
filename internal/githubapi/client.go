package githubapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/gregjones/httpcache"
	lru "github.com/hashicorp/golang-lru"
	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

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
	creator githubapp.ClientCreator
	appID   int64
	options Options
	teams   knownTeams
	// graphqlURL is absolute.
	graphqlURL string
}

// Options say how a client asks, and for what. All fields are required.
type Options struct {
	UserAgent string
	// PolicyPath is the policy file's path in every repository, and
	// OrganizationRepository the name of the one that holds the organization's.
	PolicyPath             string
	OrganizationRepository string
	// CheckName is the name of the check that branches require.
	CheckName string
	Now       func() time.Time
}

// New returns a client for the App in the configuration. It makes no call. A
// private key that cannot be read is an error here, before anything is served.
func New(config githubapp.Config, options Options) (*Client, error) {
	creator := githubapp.NewClientCreator(
		config.V3APIURL, config.V4APIURL, config.App.IntegrationID, []byte(config.App.PrivateKey),
		githubapp.WithClientUserAgent(options.UserAgent),
		githubapp.WithClientTimeout(callTimeout),
		githubapp.WithTransport(newTransport()),
		// Always ask GitHub whether a cached answer still holds: go-githubapp's other
		// setting shows a pull request as it was up to a minute ago.
		githubapp.WithClientCaching(true, newCache),
		githubapp.WithClientMiddleware(githubapp.ClientLogging(zerolog.DebugLevel)),
	)
	caching, err := githubapp.NewCachingClientCreator(creator, clientCapacity)
	if err != nil {
		return nil, fmt.Errorf("create GitHub clients: %w", err)
	}
	if _, err := caching.NewAppClient(); err != nil {
		return nil, fmt.Errorf("read github.app.private_key: %w", err)
	}
	return &Client{creator: caching, appID: config.App.IntegrationID, options: options, graphqlURL: config.V4APIURL}, nil
}

// cache bounds an httpcache by number of answers: its own memory cache grows for
// ever. Entries hold the request's token, so they stay in memory.
type cache struct{ entries *lru.Cache }

func newCache() httpcache.Cache {
	entries, err := lru.New(cachedResponses)
	if err != nil {
		// Only a capacity that is not positive is refused.
		return httpcache.NewMemoryCache()
	}
	return cache{entries}
}

func (c cache) Get(key string) ([]byte, bool) {
	value, ok := c.entries.Get(key)
	if !ok {
		return nil, false
	}
	response, ok := value.([]byte)
	return response, ok
}

// Set keeps a good answer. httpcache would keep a bad one as well, and serve it
// again when GitHub answers that nothing has changed.
func (c cache) Set(key string, response []byte) {
	head, body, _ := bytes.Cut(response, endOfHead)
	if goodAnswer.Match(head) && !askedByVersion.MatchString(key) {
		c.entries.Add(key, slices.Concat(answeredAt.ReplaceAll(head, longAgo), endOfHead, body))
	}
}

var (
	// answeredAt is made to say long ago: where GitHub's clock is ahead of ours,
	// httpcache takes an answer for fresh until ours has caught up, and does not ask
	// whether it still holds.
	answeredAt = regexp.MustCompile(`(?m)^Date: [^\r\n]*`)
	longAgo    = []byte("Date: Thu, 01 Jan 1970 00:00:00 GMT")
	endOfHead  = []byte("\r\n\r\n")
	goodAnswer = regexp.MustCompile(`^HTTP/[0-9.]+ 200 `)
	// askedByVersion are the addresses that are asked with a version of our own, the
	// time of the last update or the tip that is known: httpcache would ask with
	// that of an older answer instead.
	askedByVersion = regexp.MustCompile(`/pulls/\d+$|/commits/heads/`)
)

func (c cache) Delete(key string) { c.entries.Remove(key) }

// Error says which call to GitHub failed. It never holds a token.
type Error struct {
	// Operation is what was being done, as "list the files of acme/shop#7".
	Operation string
	// Status is GitHub's answer; 0 if there was none.
	Status int
	cause  error
}

func (e *Error) Error() string {
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
	var limit *github.RateLimitError
	var abuse *github.AbuseRateLimitError
	switch {
	case errors.As(err, &ours):
		return ours.Status
	case errors.As(err, &response) && response.Response != nil:
		return response.Response.StatusCode
	case errors.As(err, &limit), errors.As(err, &abuse):
		return http.StatusForbidden
	default:
		return 0
	}
}

// Gone reports whether GitHub does not have what was to be changed.
func (e *Error) Gone() bool {
	return e.Status == http.StatusNotFound || e.Status == http.StatusGone || e.Status == http.StatusUnprocessableEntity
}

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
		if response.NextPage == 0 {
			return all, nil
		}
		options.Page = response.NextPage
	}
}
