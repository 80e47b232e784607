package contract

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Watch is a handler that judges all traffic with the one behind it and changes
// none of it. It may be used by several goroutines.
type Watch struct {
	judge *Judge
	next  http.Handler

	mu         sync.Mutex
	violations map[Violation]bool
	operations map[string]bool
	read       map[string]bool // pages that were asked for
	offers     map[Page]bool
}

// Watch puts a judge before a handler.
func (j *Judge) Watch(next http.Handler) *Watch {
	return &Watch{judge: j, next: next, violations: map[Violation]bool{}, operations: map[string]bool{}, read: map[string]bool{}, offers: map[Page]bool{}}
}

// Violations are what was found so far, each once, in the order of their text.
func (w *Watch) Violations() []Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(maps.Keys(w.violations), func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
}

// Operations are the operations that were asked for, as "GET /repos/{owner}/{repo}".
func (w *Watch) Operations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.operations))
}

// Page is a next page that an answer offered.
type Page struct{ Operation, Address string }

// Unread are the next pages that answers offered and nobody asked for.
func (w *Watch) Unread() []Page {
	w.mu.Lock()
	defer w.mu.Unlock()
	var unread []Page
	for page := range w.offers {
		if !w.read[page.Address] {
			unread = append(unread, page)
		}
	}
	slices.SortFunc(unread, func(a, b Page) int { return strings.Compare(a.Address, b.Address) })
	return unread
}

// prefix is where GitHub Enterprise Server has its REST API. What is not under
// it (GraphQL, pages for people) is passed through and judged elsewhere.
const (
	prefix  = "/api/v3"
	graphQL = "/api/graphql"
)

// ServeHTTP passes the request on and judges it together with its answer. An
// answer that was cut off is not judged.
func (w *Watch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	path, isREST := strings.CutPrefix(r.URL.EscapedPath(), prefix)
	if !isREST {
		if r.URL.Path == graphQL {
			w.note(r.Method + " /graphql")
		}
		w.next.ServeHTTP(rw, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(rw, "the request could not be read", http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.asked(path, r.URL.Query())
	copied := &recorder{ResponseWriter: rw, header: rw.Header()}
	w.next.ServeHTTP(copied, r)
	if copied.status != 0 {
		w.exchange(path, r, body, answered{copied.status, copied.header.Clone(), copied.body.Bytes()})
	}
}

// exchange judges one request and its answer.
func (w *Watch) exchange(path string, r *http.Request, body []byte, a answered) {
	template, parameters := w.judge.find(r.Method, path)
	if template == "" {
		w.report(Request, r.Method+" "+path, a.status, found("path", "GitHub has no such operation"))
		return
	}
	op, err := w.judge.operation(r.Method, template)
	if err != nil {
		w.report(Request, r.Method+" "+template, a.status, found("description", "%v", err))
		return
	}
	w.report(Request, op.name, a.status, op.judgeRequest(r, parameters, body)...)
	w.report(Answer, op.name, a.status, op.judgeAnswer(r, a)...)
	w.report(Answer, op.name, a.status, w.judge.judgeLinks(template, r.Method, a.header)...)
	w.offered(op.name, path, a.header)
	w.note(op.name)
}

func (w *Watch) note(operation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.operations[operation] = true
}

func (w *Watch) report(by, operation string, status int, findings ...finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range findings {
		w.violations[Violation{By: by, Operation: operation, Status: status, Where: f.where, Why: f.why}] = true
	}
}

// link is one target of a Link header.
var link = regexp.MustCompile(`<([^>]*)>; rel="(\w+)"`)

// judgeLinks holds that every page that is offered belongs to the same operation.
func (j *Judge) judgeLinks(template, method string, header http.Header) []finding {
	for _, match := range link.FindAllStringSubmatch(header.Get("Link"), -1) {
		target, err := url.Parse(match[1])
		if err != nil {
			return []finding{found("header Link", "its target cannot be read")}
		}
		if got, _ := j.find(method, strings.TrimPrefix(target.EscapedPath(), prefix)); got != template {
			return []finding{found("header Link", "its target %s is another operation", target.Path)}
		}
	}
	return nil
}

// asked and offered keep account of next pages. GitHub's links go by the
// repository's number and clients often ask by its name, so a page is known by
// the path that was asked for and the query that was offered.
func (w *Watch) asked(path string, query url.Values) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if query.Has("page") {
		w.read[path+"?"+query.Encode()] = true
	}
}

func (w *Watch) offered(operation, path string, header http.Header) {
	for _, match := range link.FindAllStringSubmatch(header.Get("Link"), -1) {
		target, err := url.Parse(match[1])
		if err != nil || match[2] != "next" {
			continue
		}
		w.mu.Lock()
		w.offers[Page{operation, path + "?" + target.Query().Encode()}] = true
		w.mu.Unlock()
	}
}

// recorder passes an answer on as it is written and keeps a copy.
type recorder struct {
	http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

// Unwrap lets http.ResponseController flush and hijack.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if status >= http.StatusOK && r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.body.Write(p)
	return r.ResponseWriter.Write(p)
}
