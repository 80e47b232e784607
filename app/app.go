package app

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palantir/go-githubapp/githubapp"
	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/handlers"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/web"
)

// The fits that only this package can check.
var (
	_ gate.GitHub      = (*githubapi.Client)(nil)
	_ handlers.GitHub  = (*githubapi.Client)(nil)
	_ handlers.Inbox   = (*store.Store)(nil)
	_ recovery.GitHub  = (*githubapi.Client)(nil)
	_ recovery.Secrets = (*credential.Lending)(nil)
	_ web.Reach        = (*store.Store)(nil)
	_ web.Switches     = (*killswitch.GitHubKillSwitch)(nil)
)

const (
	readHeaderTimeout = 5 * time.Second
	// readTimeout lets a payload of 25 MB arrive; GitHub gives up after 10 s.
	readTimeout  = 15 * time.Second
	writeTimeout = 15 * time.Second
	// closeTimeout lets webhooks be answered that came in last, which takes nine
	// seconds at most. net/http waits five for connections that have sent nothing, as
	// load balancers keep them.
	closeTimeout = 10 * time.Second
)

// Options are what a test or the demo sets beside the configuration. The zero
// value is right for a server.
type Options struct {
	// Log is where the server logs to.
	Log zerolog.Logger
	// Now is the clock; the default is the system's.
	Now func() time.Time
	// Backoff is how long failed work waits before its next attempt; the default
	// grows from a second to an hour.
	Backoff func(attempts int) time.Duration

	// quiet keeps a server from looking for what no webhook told: tests count calls,
	// unless they are sweeping.
	quiet, sweeping bool
	// wait waits between calls that write secrets; the default is the wall clock's.
	wait func(ctx context.Context, d time.Duration) error
	// environ is where secrets are that are lent as they are; the default is the
	// process's environment.
	environ func() []string
	// stoppers are stopped by a kill switch beside the gates.
	stoppers func(killswitch.KillSwitch) map[string]killswitch.Stopper
	// sandboxes are providers of sandboxes instead of those of the configuration.
	sandboxes map[string]sandbox.Sandbox
	// codespaces changes what codespaces are made of.
	codespaces func(*codespaces.Config)
	// tokenNow is the clock by which a world's tokens live, if not by Now.
	tokenNow func() time.Time
	// around goes around a world's simulated GitHub: tests judge what it is asked.
	around func(http.Handler) http.Handler
}

// App is one server.
type App struct {
	config  Config
	log     zerolog.Logger
	store   *store.Store
	workers *workers
	lending *credential.Lending
	// sandboxes are those on this server, and closing gives up their providers.
	sandboxes *sandbox.Lifecycle
	closing   func() error
	gives     *giver
	// exchange lends to jobs that show an id-token.
	exchange exchange
	now      func() time.Time
	server   *http.Server

	listener net.Listener
	serving  sync.WaitGroup
	// stopping is true once Stop was called.
	stopping atomic.Bool
	stopOnce sync.Once
	stopErr  error
}

// New wires a server. It opens the database and reads the key, and makes no
// call to GitHub. The caller must call Stop, also if Start was never called.
func New(ctx context.Context, config Config, options Options) (*App, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Backoff == nil {
		options.Backoff = backoff
	}
	if options.wait == nil {
		options.wait = wait
	}
	if options.environ == nil {
		options.environ = os.Environ
	}
	facts, err := store.Open(ctx, config.Database.URL, options.Now)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	asked := clientOptions(config, options.Now)
	asked.Wait = options.wait
	asked.Budgets = budgets{facts}
	var stop *killswitch.GitHubKillSwitch
	asked.SwitchLabels = func(repository policy.Repository) []string { return stop.Labels(repository) }
	client, err := githubapi.New(config.GitHub, asked)
	if err != nil {
		return nil, errors.Join(err, facts.Close())
	}
	stoppers := map[string]killswitch.Stopper{
		"workflow runs": workflowRuns{client, facts, func(scope killswitch.Scope) bool { return stop.CancelsWorkflows(scope) }},
	}
	stop = killswitch.NewGitHubKillSwitch(killswitch.Config{
		Stoppers: stoppers,
		GitHub:   platform{client}, Store: facts, Gates: facts, Deputies: facts.Deputies, Now: options.Now, Log: options.Log,
		OrganizationRepository: config.Policy.OrganizationRepository, Self: client.Self,
		RepositoryProperty: config.KillSwitch.RepositoryProperty, OrganizationProperty: config.KillSwitch.OrganizationProperty,
	})
	if options.stoppers != nil {
		maps.Copy(stoppers, options.stoppers(stop))
	}
	keeper := gate.New(gate.Config{
		GitHub: client, Workflow: facts, Store: facts, Switch: stop, Now: options.Now,
		CheckName: config.Check.Name, PolicyPath: config.Policy.Path,
	})
	sealed, err := newHandles(config.GitHub.App.PrivateKey)
	if err != nil {
		return nil, errors.Join(err, facts.Close())
	}
	providers, err := newProviders(config, client, options)
	if err != nil {
		return nil, errors.Join(err, facts.Close())
	}
	lending := credential.NewLending(credential.Config{
		GitHub: secrets{client}, Store: facts, Providers: providers,
		Handles: sealed, Now: options.Now, Wait: options.wait, Log: options.Log,
	}, keeper, facts, secrets{client})
	stoppers[credential.Part] = lending
	gives := newGiver(lending, options.Now, options.Log)
	boxes, closing, err := newProvidersOfSandboxes(config, options, gives.secret)
	if err != nil {
		return nil, errors.Join(err, facts.Close())
	}
	people, err := withCodespaces(ctx, boxes, config, client, facts, options)
	if err != nil {
		return nil, errors.Join(err, closing(), facts.Close())
	}
	sandboxes := sandbox.NewLifecycle(sandbox.Config{
		Providers: boxes, Switch: stop, Judge: keeper, GitHub: places{client}, Records: facts, Caps: config.Sandbox.caps(), Ended: gives.ended, Now: options.Now, Log: options.Log,
	})
	var onRequest handlers.Sandboxes // nobody can ask where there are none
	if len(boxes) > 0 {
		stoppers[sandbox.Part], onRequest = sandboxes, sandboxes
	}
	sweeper := &recovery.Sweeper{GitHub: client, Book: facts, Switches: stop, Secrets: lending, Sandboxes: sandboxes, Now: options.Now, KeepDeliveries: config.Database.KeepDeliveries}
	door, err := handlers.New(handlers.Config{
		Secret: config.GitHub.App.WebhookSecret, PreviousSecret: config.Server.PreviousWebhookSecret, Inbox: facts, Gate: keeper, Switch: stop, Lending: lending, Deputies: facts.Deputies, HandsOut: config.Credentials.Exchange.Audience != "", Sandboxes: onRequest, UserTokens: people.tokens(), GitHub: client, Log: options.Log,
		Resync: func(ctx context.Context, installation int64) error {
			return facts.Want(ctx, recovery.KeyResync(installation))
		},
		Reach:      func(ctx context.Context) error { return facts.Want(ctx, recovery.KeyReach) },
		PolicyPath: config.Policy.Path, OrganizationRepository: config.Policy.OrganizationRepository,
	})
	if err != nil {
		return nil, errors.Join(err, facts.Close())
	}
	a := &App{
		config: config, log: options.Log, store: facts,
		workers: newWorkers(facts, door, keeper, client, sweeper, stop, lending, sandboxes, options), lending: lending, sandboxes: sandboxes, closing: func() error { return errors.Join(people.close(), closing()) }, gives: gives,
		exchange: exchange{credential.NewExchange(lending, secrets{client})}, now: options.Now,
	}
	a.server = &http.Server{
		Handler: a.routes(door, people.authorization, web.NewDashboard(facts, stop, options.Now, options.Log), web.NewMetrics(facts, stop, options.Now, options.Log)), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		ErrorLog: log.New(options.Log, "", 0),
	}
	return a, nil
}

func clientOptions(config Config, now func() time.Time) githubapi.Options {
	return githubapi.Options{
		UserAgent: "portcullis/" + Version(), Now: now, Wait: wait,
		PolicyPath: config.Policy.Path, OrganizationRepository: config.Policy.OrganizationRepository, CheckName: config.Check.Name,
		SwitchLabels: killswitch.DefaultLabels,
	}
}

func (a *App) routes(door *handlers.Door, authorization *web.Authorization, dashboard *web.Dashboard, metrics http.Handler) http.Handler {
	routes := http.NewServeMux()
	routes.Handle(githubapp.DefaultWebhookRoute, door)
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	routes.HandleFunc("GET /readyz", a.ready)
	routes.Handle("GET /metrics", metrics)
	routes.Handle("GET /{$}", dashboard)
	routes.HandleFunc("GET /api/v1/status", dashboard.ServeJSON)
	if authorization != nil {
		routes.HandleFunc("GET "+web.AuthorizePath, authorization.Begin)
		routes.HandleFunc("GET "+web.AuthorizedPath, authorization.End)
	}
	var clients []web.Client
	for _, c := range a.config.Credentials.Introspection.Clients {
		clients = append(clients, web.Client{ID: c.ID, Secret: credential.NewSecret(c.Secret)})
	}
	routes.Handle("POST /api/v1/introspect", web.NewIntrospection(a.store, clients, a.log))
	if lender, of := a.exchange, a.config.Credentials.Exchange; of.Audience != "" {
		routes.Handle("POST /api/v1/exchange", web.NewExchange(web.NewIDTokens(of.Issuer, of.Audience, a.now), lender, a.now, a.log))
	}
	return routes
}

// ready says whether webhooks can be kept, and will be for a while. GitHub's own
// health does not count: taking the server out of rotation would not mend it.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	if a.stopping.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	if err := a.store.Ping(r.Context()); err != nil {
		a.log.Error().Err(err).Msg("the database cannot be written")
		http.Error(w, "the database cannot be written", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

// Start listens and begins to work, and returns at once; ctx bounds only that.
func (a *App) Start(ctx context.Context) error {
	address := net.JoinHostPort(a.config.Server.Address, strconv.Itoa(a.config.Server.Port))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	if err := a.workers.start(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	a.listener = listener
	a.serving.Go(func() {
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error().Err(err).Msg("the server stopped serving")
		}
	})
	a.log.Info().Str("address", listener.Addr().String()).Str("webhook_url", a.webhookURL()).Str("version", Version()).Msg("portcullis is listening")
	return nil
}

// URL is where the server can be reached from this machine; empty before Start.
func (a *App) URL() string {
	if a.listener == nil {
		return ""
	}
	return "http://" + a.listener.Addr().String()
}

func (a *App) webhookURL() string {
	base := strings.TrimSuffix(a.config.Server.PublicURL, "/")
	if base == "" {
		base = a.URL()
	}
	return base + githubapp.DefaultWebhookRoute
}

// Settle waits until no work is due: everything that was accepted is done, or
// has failed and waits for its next attempt.
func (a *App) Settle(ctx context.Context) error {
	if err := a.workers.settle(ctx); err != nil {
		return err
	}
	if err := a.sandboxes.Wait(ctx); err != nil {
		return err
	}
	return a.workers.settle(ctx) // what came of it is told
}

// Stop lets /readyz fail, takes up no more work and lets what is running finish
// until ctx ends; what did not is given back. Webhooks are kept meanwhile, and
// for as long as the configuration says, for the next start or another replica.
// Then it closes the database. It may be called twice.
func (a *App) Stop(ctx context.Context) error {
	a.stopOnce.Do(func() {
		a.stopping.Store(true)
		drained := time.NewTimer(a.config.Server.Drain)
		defer drained.Stop()
		errs := []error{a.workers.stop(ctx)}
		if a.listener != nil {
			select {
			case <-drained.C:
			case <-ctx.Done():
			}
			// Webhooks that are being kept are answered, also when the work took all the time.
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			errs = append(errs, a.server.Shutdown(closing))
			a.serving.Wait()
		}
		a.sandboxes.Close(ctx)
		a.stopErr = errors.Join(append(errs, a.closing(), a.store.Close())...)
	})
	return a.stopErr
}
