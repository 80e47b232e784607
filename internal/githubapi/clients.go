package githubapi

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/google/go-github/v60/github"
	"github.com/gregjones/httpcache"
	lru "github.com/hashicorp/golang-lru"
	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
)

// clients makes one client for each installation and keeps it, with its token and
// its answers; REST and GraphQL share it. On its way out a call passes
//
//	logging       go-githubapp's
//	sharing       reads of the same share one call
//	renewing      a refused token is replaced
//	ghinstallation, httpcache
//	conditional   answers outlive the token
//	transport     no more calls at once than GitHub allows
//	governed      no call that GitHub's limits forbid
//	timely        no write by whoever ran out of time
//	straight      no write that GitHub leads elsewhere
//
// and go-github itself is told nothing of limits.
type clients struct {
	config    githubapp.Config
	options   Options
	graphPath string
	governor  *governor
	calls     transport
	vain      atomic.Int64

	mu   sync.Mutex
	kept *lru.Cache // of *keptClient, by installation; 0 is the App itself
}

type keptClient struct {
	*github.Client

	answers httpcache.Cache
}

// keeper is the cache of an installation, as go-githubapp asks for it.
type keeper func() httpcache.Cache

func newClients(config githubapp.Config, options Options, governor *governor) (*clients, error) {
	graphURL, err := url.Parse(config.V4APIURL)
	if err != nil {
		return nil, fmt.Errorf("read github.v4_api_url: %w", err)
	}
	kept, err := lru.New(clientCapacity)
	if err != nil {
		return nil, fmt.Errorf("create GitHub clients: %w", err)
	}
	return &clients{config: config, options: options, graphPath: graphURL.Path, governor: governor, calls: newTransport(), kept: kept}, nil
}

// NewAppClient returns the client that speaks as the App itself.
func (c *clients) NewAppClient() (*github.Client, error) { return c.of(0) }

// NewInstallationClient returns the installation's client.
func (c *clients) NewInstallationClient(installation int64) (*github.Client, error) {
	return c.of(installation)
}

// of returns the one client there is: two would have two tokens.
func (c *clients) of(installation int64) (*github.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.kept.Get(installation); ok {
		if kept, ok := found.(*keptClient); ok {
			return kept.Client, nil
		}
	}
	answers := newCache()
	client, err := c.create(installation, func() httpcache.Cache { return answers })
	if err != nil {
		return nil, err
	}
	c.kept.Add(installation, &keptClient{client, answers})
	return client, nil
}

func (c *clients) create(installation int64, keep keeper) (*github.Client, error) {
	logging := githubapp.ClientLogging(zerolog.DebugLevel)
	share := func(next http.RoundTripper) http.RoundTripper { return sharing{next, new(singleflight.Group)} }
	renew := func(next http.RoundTripper) http.RoundTripper {
		return &renewing{signed: next, now: c.options.Now, sign: func() (http.RoundTripper, error) { return c.signing(installation, keep) }}
	}
	if installation == 0 {
		return c.creator(installation, keep, logging, share).NewAppClient()
	}
	return c.creator(installation, keep, logging, share, renew).NewInstallationClient(installation)
}

// outgoing is the end of the way, from transport on: it signs nothing and keeps nothing.
func (c *clients) outgoing(installation int64) transport {
	held := governed{governor: c.governor, installation: installation, graphPath: c.graphPath, next: timely{straight{c.calls.next}}}
	return transport{next: held, slots: c.calls.slots, urgent: c.calls.urgent, allowed: held.allowed}
}

// beside is the end of the way to what is beside the API, where no budget counts.
func (c *clients) beside() transport {
	return transport{next: timely{straight{c.calls.next}}, slots: c.calls.slots, urgent: c.calls.urgent}
}

func (c *clients) creator(installation int64, keep keeper, outer ...githubapp.ClientMiddleware) githubapp.ClientCreator {
	return githubapp.NewClientCreator(
		c.config.V3APIURL, c.config.V4APIURL, c.config.App.IntegrationID, []byte(c.config.App.PrivateKey),
		githubapp.WithClientUserAgent(c.options.UserAgent),
		githubapp.WithClientTimeout(callTimeout),
		githubapp.WithTransport(conditional{c.outgoing(installation), keep(), &c.vain}),
		// Always ask GitHub whether a cached answer still holds: go-githubapp's other
		// setting shows a pull request as it was up to a minute ago.
		githubapp.WithClientCaching(true, keep),
		githubapp.WithClientMiddleware(outer...),
	)
}
