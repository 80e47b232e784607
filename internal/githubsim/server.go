package githubsim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is one API request on its way through the simulator, and the answer as it takes shape.
type call struct {
	sim    *Sim
	req    *http.Request
	segs   []string // of the path below /api/v3, unescaped
	path   string   // the same, joined
	query  url.Values
	body   []byte
	params map[string]string
	actor  actor
	route  *route
	repo   *Repository   // of a route below repos/
	org    *Organization // of a route below orgs/

	graph     bool          // GraphQL, not REST
	operation string        // the name of the GraphQL operation
	points    int           // what it costs, when it is billed
	strike    *GraphQLError // a fault that hits one field

	started time.Time
	status  int
	header  http.Header
	out     any    // nil: no body
	raw     []byte // a body that is not JSON, or a fault's
}

// Request is one line of the log of API requests. Path is what comes after /api/v3. Billed says whether it counted against the
// rate limit: a 304 and an unauthenticated request do not. AppID is set for an App, its installations and users through it. GraphQL has the path
// /graphql, and an Operation if the query has a name; Points is what was billed: 1 over REST, what the query costs in GraphQL.
type Request struct {
	Method, Path, Query string
	Status              int // 0: the connection was cut
	Billed              bool
	AppID               int64
	Operation           string
	Points              int
	Login               string
	StartedAt           time.Time
}

// Requests is the log of every API request since the start or ResetRequests.
func (s *Sim) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ResetRequests empties the log.
func (s *Sim) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// largestBody is the most that a request may carry.
const largestBody = 25 << 20

// ServeHTTP answers one request: latency, faults, what a test put before it, the request itself, then a late fault.
func (s *Sim) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if s.servedPage(w, req) {
		return
	}
	c, err := s.newCall(req)
	if err != nil {
		http.Error(w, `{"message":"Problems reading the request"}`, http.StatusBadRequest)
		return
	}
	defer s.begin(req)()
	if !s.delay(req) {
		return
	}
	f := s.takeFault(req.Method, c.path)
	if f != nil && f.GraphQLError != nil && len(f.GraphQLError.Path) > 0 {
		c.strike, f = f.GraphQLError, nil // the rest of the query is answered
	}
	if f == nil || f.After {
		s.runBefores(req.Method, c.path)
		s.carryOut(c)
		c.encode()
	}
	if f != nil {
		c.fail(f)
	}
	s.settle(c)
	c.send(w)
}

func (s *Sim) newCall(req *http.Request) (*call, error) {
	c := &call{sim: s, req: req, query: req.URL.Query(), started: s.now(), header: http.Header{}, points: 1}
	var err error
	if c.body, err = io.ReadAll(io.LimitReader(req.Body, largestBody)); err != nil {
		return nil, err
	}
	if req.URL.Path == "/api"+graphPath {
		c.graph, c.path = true, graphPath
		return c, nil
	}
	below, ok := strings.CutPrefix(req.URL.EscapedPath(), "/api/v3/")
	if !ok {
		c.path = req.URL.Path
		return c, nil
	}
	for seg := range strings.SplitSeq(below, "/") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return nil, err
		}
		c.segs = append(c.segs, plain)
	}
	c.path = "/" + strings.Join(c.segs, "/")
	return c, nil
}

// carryOut is the request itself, under the lock.
func (s *Sim) carryOut(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.handle(); err != nil {
		c.refused(err)
	}
}

func (c *call) handle() error {
	if asksIssuer(c.req) {
		return serveIssuer(c)
	}
	if asksLogin(c.req) {
		return serveLogin(c)
	}
	if asksArchive(c.req) {
		return serveArchive(c)
	}
	if err := c.checkHeaders(); err != nil {
		return err
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.checkSecondary(); err != nil {
		return err
	}
	if c.graph {
		return serveGraphQL(c)
	}
	c.followAlias()
	rt, params := c.sim.match(c.req.Method, c.segs)
	if rt == nil {
		return notFound()
	}
	c.params, c.route = params, rt
	if !rt.free {
		if err := c.checkLimit(); err != nil {
			return err
		}
	}
	if err := c.admit(rt); err != nil {
		return err
	}
	if c.hasMoved() {
		return c.leadOn()
	}
	return rt.serve(c)
}

// checkHeaders refuses what GitHub refuses before it looks at anything else.
func (c *call) checkHeaders() error {
	if c.req.UserAgent() == "" {
		return refuse(http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.")
	}
	version := c.req.Header.Get("X-GitHub-Api-Version")
	if !slices.Contains([]string{"", "2022-11-28", "2026-03-10"}, version) {
		return refuse(http.StatusBadRequest, "%q is not a supported version of the API.", version)
	}
	if !acceptable(c.req.Header.Values("Accept")) {
		return refuse(http.StatusUnsupportedMediaType, "Unsupported 'Accept' header: %q. Must accept 'application/json'.", c.req.Header.Get("Accept"))
	}
	return nil
}

func acceptable(accepts []string) bool {
	if len(accepts) == 0 {
		return true
	}
	for kind := range strings.SplitSeq(strings.Join(accepts, ","), ",") {
		kind, _, _ = strings.Cut(strings.TrimSpace(kind), ";")
		if kind == "*/*" || kind == "application/*" || kind == "application/json" || strings.HasPrefix(kind, "application/vnd.github") {
			return true
		}
	}
	return false
}

// followAlias turns the numbered paths that Link headers and team URLs use into the named ones.
func (c *call) followAlias() {
	number := func(i int) int64 { return parseID(c.segs[i]) }
	if n := len(c.segs); n > 2 && c.segs[n-1] == "" && c.segs[n-2] == "contents" {
		c.segs = c.segs[:n-1] // the one slash at the end that GitHub takes: go-github asks so for the root directory
	}
	switch {
	case len(c.segs) >= 2 && c.segs[0] == "repositories":
		if r := c.sim.reposByID[number(1)]; r != nil {
			c.segs = append([]string{"repos", r.owner.login, r.name}, c.segs[2:]...)
		}
	case len(c.segs) >= 4 && c.segs[0] == "organizations" && c.segs[2] == "team":
		for _, o := range c.sim.orgs {
			for _, t := range o.teams {
				if o.id == number(1) && t.id == number(3) {
					c.segs = append([]string{"orgs", o.login, "teams", t.slug}, c.segs[4:]...)
					return
				}
			}
		}
	}
}

// decode reads the body; an empty one is an empty object.
func (c *call) decode(into any) error {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\nFor '%s', %s is not a valid value.", wrongType.Field, wrongType.Value)
		}
		return refuse(http.StatusBadRequest, "Problems parsing JSON")
	}
	return nil
}

// reply sets the answer; out nil has no body.
func (c *call) reply(status int, out any) error {
	c.status, c.out = status, out
	return nil
}

// refused turns an error into GitHub's error body.
func (c *call) refused(err error) {
	var no *Refusal
	if !errors.As(err, &no) {
		no = &Refusal{Status: http.StatusInternalServerError, Message: "Server Error"}
	}
	c.status, c.raw = no.Status, nil
	body := obj{"message": no.Message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(no.Status)}
	if len(no.Fields) > 0 {
		body["errors"] = no.Fields
	}
	c.out = body
}
