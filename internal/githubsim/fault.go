package githubsim

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// Fault is a failure that the simulator reports instead of the truth. For each API request the faults are asked in the order
// in which they were injected; the first that matches wins.
type Fault struct {
	Method string            // "" is any
	Path   *regexp.Regexp    // nil is any; matched against the path below /api/v3 and against the whole; "/graphql" for GraphQL
	After  bool              // the effect happens, then the failure is reported; else nothing happens
	Status int               // 0 cuts the connection
	Header map[string]string // added to the answer
	Body   string            // by default what GitHub says with this status; a 429 is a limit that is over at once
	Times  int               // how often; 0 until removed
	Skip   int               // let the first so many matching requests through

	// GraphQLError makes this a fault of GraphQL requests alone: a 200 (unless Status says otherwise) with this error. With a path,
	// only that field fails, and the rest of the query is answered as usual; without one there is no data.
	GraphQLError *GraphQLError
}

type fault struct {
	Fault
	seen, fired int
}

type before struct {
	method string
	path   *regexp.Regexp
	run    func()
}

// Inject adds a fault; remove takes it away again and may be called more than once.
func (s *Sim) Inject(f Fault) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := &fault{Fault: f}
	s.faults = append(s.faults, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(x *fault) bool { return x == added })
	}
}

// SetLatency makes every API answer take at least that long.
func (s *Sim) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// Before runs f right before a matching request is carried out, outside the lock, so that f may act on the Sim: the way to
// make a race. It runs for every match until removed; a method of "" and a nil path match all.
func (s *Sim) Before(method string, path *regexp.Regexp, f func()) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := &before{method: method, path: path, run: f}
	s.befores = append(s.befores, added)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.befores = slices.DeleteFunc(s.befores, func(x *before) bool { return x == added })
	}
}

func matches(method string, pattern *regexp.Regexp, gotMethod, path string) bool {
	if method != "" && method != gotMethod {
		return false
	}
	whole := "/api/v3" + path
	if path == graphPath {
		whole = "/api" + path
	}
	return pattern == nil || pattern.MatchString(path) || pattern.MatchString(whole)
}

// takeFault finds the fault that strikes this request, and counts.
func (s *Sim) takeFault(method, path string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if !matches(f.Method, f.Path, method, path) || f.Times > 0 && f.fired >= f.Times {
			continue
		}
		if f.GraphQLError != nil && path != graphPath {
			continue
		}
		f.seen++
		if f.seen <= f.Skip {
			continue
		}
		f.fired++
		return f
	}
	return nil
}

func (s *Sim) runBefores(method, path string) {
	s.mu.Lock()
	list := slices.Clone(s.befores)
	s.mu.Unlock()
	for _, b := range list {
		if matches(b.method, b.path, method, path) {
			b.run()
		}
	}
}

// delay waits for the latency; false when the client went away or the Sim is closing.
func (s *Sim) delay(req *http.Request) bool {
	s.mu.Lock()
	latency := s.latency
	s.mu.Unlock()
	if latency <= 0 {
		return true
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-req.Context().Done():
		return false
	case <-s.ctx.Done():
		return false
	}
}

var faultMessages = map[int]string{
	http.StatusUnauthorized: "Bad credentials", http.StatusForbidden: "Resource not accessible by integration", http.StatusNotFound: "Not Found",
	http.StatusTooManyRequests:     "API rate limit exceeded.",
	http.StatusInternalServerError: "Server Error", http.StatusBadGateway: "Server Error", http.StatusServiceUnavailable: "Service unavailable",
}

// fail replaces the answer by the fault's.
func (c *call) fail(f *fault) {
	c.header, c.raw = http.Header{}, nil
	if e := f.GraphQLError; e != nil {
		c.status, c.out = cmp.Or(f.Status, http.StatusOK), obj{"data": nil, "errors": []obj{{"type": e.Type, "message": e.Message}}}
	} else {
		message := faultMessages[f.Status]
		if message == "" {
			message = http.StatusText(f.Status)
		}
		c.refused(refuse(f.Status, "%s", message))
	}
	c.encode()
	if f.Body != "" {
		c.raw = []byte(f.Body)
	}
	if f.Status == http.StatusTooManyRequests {
		c.header.Set("Retry-After", "0") // how long a limit lasts is the fault's to say
	}
	for name, value := range f.Header {
		c.header.Set(name, value)
	}
}
