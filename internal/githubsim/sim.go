package githubsim

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options set up a Sim.
type Options struct {
	// Now is the wall clock, by default time.Now. Lifetimes of tokens and JWTs and rate limits use it directly.
	Now func() time.Time
	// TokenNow is another clock for the lifetimes of tokens and JWTs, for a Now that runs faster than the clients' own clocks do; nil
	// is Now.
	TokenNow func() time.Time
	// Wrap goes around the handler that Start serves; nil changes nothing. Tests put a judge there.
	Wrap func(http.Handler) http.Handler
}

// Sim is one simulated GitHub. It is an http.Handler that serves REST under /api/v3 and GraphQL at /api/graphql, as
// GitHub Enterprise Server does.
type Sim struct {
	now    func() time.Time
	valid  func() time.Time // by which tokens live
	routes []route          // immutable after New

	mu             sync.Mutex // guards everything below and all state reachable from it
	base           string
	lastAct        time.Time
	lastID         int64
	users          map[string]*User         // by lower-case login
	orgs           map[string]*Organization // by lower-case login
	repos          map[string]*Repository   // by lower-case full name
	moved          map[string]*Repository   // by lower-case full names that they had
	reposByID      map[int64]*Repository
	pullsByID      map[int64]*PullRequest
	apps           map[int64]*App
	installs       map[int64]*Installation
	tokens         map[string]*token
	renewals       map[string]*token // by refresh token
	devices        map[string]*device
	consents       map[string]*consent // by code
	packed         map[string]packed   // by the word in the address
	buckets        map[string]*bucket
	codespaces     []*Codespace // the oldest first
	codespaceKnobs CodespaceKnobs
	secondary      SecondaryLimits
	spent          map[int64]*spending // by installation
	requests       []Request
	faults         []*fault
	befores        []*before
	latency        time.Duration
	web            post
	pages          http.HandlerFunc // what people see in a browser, or nil
	mutation       Mutation
	formula        func(http.Header, []byte) string // of ETags; nil is GitHub's
	impostor       *App                             // whose runs they are under WrongAppOnRun
	issuerKey      *rsa.PrivateKey                  // of id-tokens; nil until one is asked for

	waiting map[*Repository]bool // where something waits for a change
	looks   map[*Repository]bool // where GitHub is about to look whether it goes on
	looking bool

	stop   context.CancelFunc // ends deliveries in flight
	ctx    context.Context    // lives until Close; deliveries run under it
	work   sync.WaitGroup     // delivery goroutines and the server's
	server *http.Server
	client *http.Client // sends webhooks
}

// New makes a Sim that nothing serves yet: the caller serves it, calls SetURL, and Close when done.
func New(opts Options) *Sim {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.TokenNow == nil {
		opts.TokenNow = opts.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sim{
		now: opts.Now, valid: opts.TokenNow, base: "http://github.invalid", lastID: 1000,
		users: map[string]*User{}, orgs: map[string]*Organization{},
		repos: map[string]*Repository{}, moved: map[string]*Repository{}, reposByID: map[int64]*Repository{}, pullsByID: map[int64]*PullRequest{},
		waiting: map[*Repository]bool{}, looks: map[*Repository]bool{},
		apps: map[int64]*App{}, installs: map[int64]*Installation{},
		tokens: map[string]*token{}, renewals: map[string]*token{}, devices: map[string]*device{}, consents: map[string]*consent{}, packed: map[string]packed{},
		buckets: map[string]*bucket{}, spent: map[int64]*spending{},
		ctx: ctx, stop: stop,
		client: &http.Client{
			Timeout:       10 * time.Second,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.web.changed = make(chan struct{})
	s.routes = allRoutes()
	s.createUser("ghost-owner", "User", 0)
	return s
}

// Start is New, listening on a free loopback port. Close stops it.
func Start(opts Options) (*Sim, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the simulated GitHub: %w", err)
	}
	s := New(opts)
	s.SetURL("http://" + listener.Addr().String())
	var handler http.Handler = s
	if opts.Wrap != nil {
		handler = opts.Wrap(s)
	}
	s.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.work.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.stop()
		}
	})
	return s, nil
}

// SetURL tells the Sim where it is served, for instance "http://127.0.0.1:4711"; html_url, url and Link use it.
func (s *Sim) SetURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = strings.TrimSuffix(base, "/")
}

// URL is where people would point their browser.
func (s *Sim) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base
}

// APIURL is the base of the REST API, with a slash at the end, as go-github wants it.
func (s *Sim) APIURL() string { return s.URL() + "/api/v3/" }

// Close stops serving, gives up deliveries in flight and waits for every goroutine. It may be called twice.
func (s *Sim) Close() {
	s.mu.Lock()
	s.web.closed = true
	s.mu.Unlock()
	s.stop()
	if s.server != nil {
		_ = s.server.Close() // it only reports that a connection was already closed
	}
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// tick is the time of one state-changing act: to the second, later than every act before it.
func (s *Sim) tick() time.Time {
	if at := s.now().UTC().Truncate(time.Second); at.After(s.lastAct) {
		s.lastAct = at
	} else {
		s.lastAct = s.lastAct.Add(time.Second)
	}
	return s.lastAct
}

// today is the later of the wall clock and the state's: what ages are measured against.
func (s *Sim) today() time.Time {
	if now := s.now().UTC(); now.After(s.lastAct) {
		return now
	}
	return s.lastAct
}

func (s *Sim) id() int64 {
	s.lastID++
	return s.lastID
}

// Refusal is GitHub's "no": the HTTP status that REST would answer with, its sentence, and for a 422 what was wrong.
type Refusal struct {
	Status  int
	Message string
	Fields  []FieldError
}

// FieldError is one entry of a validation error's list; Code is missing, missing_field, invalid, already_exists,
// unprocessable or custom, as GitHub documents.
type FieldError struct {
	Resource string `json:"resource"`
	Field    string `json:"field"`
	Code     string `json:"code"`
	Message  string `json:"message,omitempty"`
}

func (r *Refusal) Error() string {
	var text strings.Builder
	text.WriteString(r.Message)
	for _, f := range r.Fields {
		if f.Message != "" {
			text.WriteString(": " + f.Message)
		} else {
			fmt.Fprintf(&text, ": %s.%s is %s", f.Resource, f.Field, f.Code)
		}
	}
	return text.String()
}

func refuse(status int, format string, args ...any) error {
	return &Refusal{Status: status, Message: fmt.Sprintf(format, args...)}
}

func invalid(resource, field, code, message string) error {
	return &Refusal{
		Status: http.StatusUnprocessableEntity, Message: "Validation Failed",
		Fields: []FieldError{{Resource: resource, Field: field, Code: code, Message: message}},
	}
}

// unprocessable is GitHub's 422 with a sentence of its own.
func unprocessable(sentence string) error {
	return refuse(http.StatusUnprocessableEntity, "%s", sentence)
}

func notFound() error { return refuse(http.StatusNotFound, "Not Found") }
