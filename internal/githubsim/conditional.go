package githubsim

import (
	"net/http"
	"time"
)

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
