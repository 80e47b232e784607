package githubsim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// SetETag replaces the formula of the ETags, which GitHub does not document and may change; nil is GitHub's own again.
func (s *Sim) SetETag(formula func(request http.Header, body []byte) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.formula = formula
}

// etag is weak, and differs from token to token as GitHub's do: the address and the links to other pages are not part of it.
func (c *call) etag() string {
	c.sim.mu.Lock()
	formula := c.sim.formula
	c.sim.mu.Unlock()
	if formula == nil {
		formula = hashOfAnswer
	}
	return `W/"` + formula(c.req.Header, c.raw) + `"`
}

// hashOfAnswer is the formula that people measured: the values of the headers in Vary as far as they were sent, each followed
// by a colon, and the body.
func hashOfAnswer(request http.Header, body []byte) string {
	h := sha256.New()
	for _, name := range []string{"Accept", "Authorization", "Cookie"} {
		for _, value := range request.Values(name) {
			h.Write([]byte(value + ":"))
		}
	}
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// replySHA answers the bare name of a commit, which is its ETag as well: GitHub documents that a client may ask with the
// name it knows, whatever token it has.
func (c *call) replySHA(sha string) error {
	c.status, c.raw = http.StatusOK, []byte(sha)
	c.header.Set("Content-Type", "application/vnd.github.sha; charset=utf-8")
	c.header.Set("ETag", `"`+sha+`"`)
	return nil
}

// replyUnlessOld answers with the time of the last change, or with 304 if the client has an answer of that second.
func (c *call) replyUnlessOld(changed time.Time, out any) error {
	c.header.Set("Last-Modified", changed.UTC().Format(http.TimeFormat))
	since, err := http.ParseTime(c.req.Header.Get("If-Modified-Since"))
	if err == nil && c.req.Header.Get("If-None-Match") == "" && !changed.Truncate(time.Second).After(since) {
		c.status = http.StatusNotModified
		return nil
	}
	return c.reply(http.StatusOK, out)
}
