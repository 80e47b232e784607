package githubsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// encode turns the answer into bytes and, for a GET that succeeded, into an ETag; a client that has it gets a 304.
func (c *call) encode() {
	if c.raw == nil && c.out != nil {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if strings.HasPrefix(c.req.UserAgent(), "curl/") {
			enc.SetIndent("", "  ") // as GitHub does for people
		}
		if err := enc.Encode(c.out); err != nil {
			panic("githubsim: encoding an answer: " + err.Error()) // answers are made of maps, strings and numbers
		}
		c.raw = bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	}
	if c.header.Get("Content-Type") == "" && c.raw != nil {
		c.header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if c.req.Method != http.MethodGet || c.status != http.StatusOK {
		return
	}
	tag := c.header.Get("ETag")
	if tag == "" {
		tag = c.etag()
		c.header.Set("ETag", tag)
	}
	if slices.Contains(split(c.req.Header.Get("If-None-Match")), strings.TrimPrefix(tag, "W/")) {
		c.status, c.raw = http.StatusNotModified, nil
		c.header.Del("Link") // HTTP does not ask for it in a 304
	}
}

// split parts an If-None-Match list and forgets which tags are weak.
func split(list string) []string {
	var out []string
	for tag := range strings.SplitSeq(list, ",") {
		out = append(out, strings.TrimPrefix(strings.TrimSpace(tag), "W/"))
	}
	return out
}

// settle bills the request, adds the headers that every answer has, and writes the log.
func (s *Sim) settle(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	billed := c.actor.token != nil && c.status != http.StatusNotModified && c.status != 0 && c.path != "/rate_limit"
	s.bill(c, billed)
	c.header.Set("Date", s.today().UTC().Format(http.TimeFormat))
	c.header.Set("Cache-Control", "private, max-age=60, s-maxage=60")
	c.header.Set("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP")
	c.header.Set("X-GitHub-Media-Type", "github.v3; format=json")
	c.header.Set("X-GitHub-Api-Version-Selected", "2022-11-28")
	c.header.Set("X-GitHub-Request-Id", fmt.Sprintf("%04X:%08X", len(s.requests)&0xffff, s.lastID))
	line := Request{
		Method: c.req.Method, Path: c.path, Query: c.req.URL.RawQuery, Status: c.status, Billed: billed, StartedAt: c.started,
		Operation: c.operation,
	}
	if billed {
		line.Points = c.points
	}
	if app := c.actor.through(); app != nil {
		line.AppID = app.id
	}
	if c.actor.user != nil {
		line.Login = c.actor.user.login
	}
	s.requests = append(s.requests, line)
}

// send writes the answer; a status of 0 cuts the connection in the middle of the status line, so that no client retries by itself.
func (c *call) send(w http.ResponseWriter) {
	if c.status == 0 {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler) // net/http's way to drop a connection
		}
		_, _ = buf.WriteString("HTTP/1.1 ") // what follows is the cut itself
		_ = buf.Flush()
		_ = conn.Close()
		return
	}
	maps.Copy(w.Header(), c.header)
	w.WriteHeader(c.status)
	_, _ = w.Write(c.raw) //nolint:gosec // it is JSON and says so; a client that went away has nothing to be told
}

// page cuts one page out of a list, 30 long by default and 100 at most, and sets Link.
func page[T any](c *call, list []T) []T {
	size, number := c.number("per_page", 30), c.number("page", 1)
	size = min(size, 100)
	if c.sim.mutation == DroppedSecondPage {
		list = list[:min(size, len(list))]
	}
	last := max(1, (len(list)+size-1)/size)
	if last > 1 {
		c.header.Set("Link", c.links(number, last))
	}
	start := min((number-1)*size, len(list))
	return append([]T{}, list[start:min(start+size, len(list))]...)
}

func (c *call) number(key string, fallback int) int {
	n, err := strconv.Atoi(c.query.Get(key))
	if err != nil || n < 1 {
		return fallback
	}
	return n
}

func (c *call) links(number, last int) string {
	var parts []string
	add := func(rel string, n int) {
		parts = append(parts, fmt.Sprintf(`<%s>; rel=%q`, c.pageURL("page", strconv.Itoa(n)), rel))
	}
	if number > 1 {
		add("prev", min(number-1, last))
	}
	if number < last {
		add("next", number+1)
		add("last", last)
	}
	if number > 1 {
		add("first", 1)
	}
	return strings.Join(parts, ", ")
}

// pageURL is this request's URL with one query parameter changed; repositories go by number, as GitHub's links do.
func (c *call) pageURL(key, value string) string {
	query := c.req.URL.Query()
	query.Set(key, value)
	path := strings.TrimPrefix(c.req.URL.EscapedPath(), "/api/v3/")
	if c.repo != nil && strings.HasPrefix(path, "repos/") {
		path = fmt.Sprintf("repositories/%d/%s", c.repo.id, strings.SplitN(path, "/", 4)[3])
	}
	return c.sim.api("%s", path) + "?" + query.Encode()
}

// replyList answers with one page of a list.
func replyList[T any](c *call, list []T, shape func(T) obj) error {
	return c.reply(http.StatusOK, each(page(c, list), shape))
}

// replyCounted answers with one page in an object with total_count, as the newer endpoints do.
func replyCounted[T any](c *call, key string, list []T, shape func(T) obj) error {
	return c.reply(http.StatusOK, obj{"total_count": len(list), key: each(page(c, list), shape)})
}

func parseID(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
