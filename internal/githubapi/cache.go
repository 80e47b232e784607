package githubapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gregjones/httpcache"
	lru "github.com/hashicorp/golang-lru"
)

// cache bounds an httpcache by number of answers: its own memory cache grows for
// ever. An entry holds no token.
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

// Delete does nothing. httpcache deletes an answer when a later call fails, which
// would make every read after a limit or a cut line a billed one; and an answer is
// never served before GitHub has said that it still holds.
func (c cache) Delete(string) {}

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

// byFormula marks a kept answer whose ETag is the one that etag makes.
const byFormula = "X-Portcullis-Etag"

// conditional stands below httpcache and lets its answers outlive the token that
// they were read with. GitHub makes the token part of an ETag, so that every answer
// would be read anew, and billed, when the token of the hour is replaced. Where the
// ETag was seen to be made by the formula that people measured, it is made again
// for the token of now; otherwise GitHub is asked with the one that it gave.
type conditional struct {
	next http.RoundTripper
	kept httpcache.Cache
	// vain counts what was read and billed although nothing had changed.
	vain *atomic.Int64
}

// RoundTrip asks with the ETag that GitHub would give now, and prepares the answer
// for being kept.
func (c conditional) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		return c.next.RoundTrip(r)
	}
	kept := c.asked(r)
	if kept != nil && kept.tagged {
		if tag := etag(r.Header, kept.body); tag != bare(kept.tag) {
			r = r.Clone(r.Context())
			r.Header.Set("If-None-Match", strings.Replace(kept.tag, bare(kept.tag), tag, 1))
		}
	}
	response, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	withoutToken(response.Header)
	if response.StatusCode != http.StatusOK || response.Header.Get("ETag") == "" {
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	response.Body, response.ContentLength, response.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	if etag(r.Header, body) == bare(response.Header.Get("ETag")) {
		response.Header.Set(byFormula, "1")
	}
	if kept != nil && bytes.Equal(kept.body, body) {
		c.vain.Add(1)
	}
	return response, nil
}

// keptAnswer is an answer in the cache.
type keptAnswer struct {
	tag    string
	tagged bool // by the formula
	body   []byte
}

// asked is the kept answer about which httpcache asks whether it still holds.
func (c conditional) asked(r *http.Request) *keptAnswer {
	tag := r.Header.Get("If-None-Match")
	if tag == "" {
		return nil
	}
	response, err := httpcache.CachedResponse(c.kept, r)
	if err != nil || response == nil || response.Header.Get("ETag") != tag {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if errors.Join(err, response.Body.Close()) != nil {
		return nil
	}
	return &keptAnswer{tag, response.Header.Get(byFormula) != "", body}
}

// etag is GitHub's formula, which it does not document: the values of the headers
// that an answer varies with, as far as they were sent, each followed by a colon,
// and the body before compression.
func etag(request http.Header, body []byte) string {
	h := sha256.New()
	for _, name := range []string{"Accept", "Authorization", "Cookie"} {
		for _, value := range request.Values(name) {
			h.Write([]byte(value + ":"))
		}
	}
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// bare is an ETag without its quotes, and without the mark of a weak one.
func bare(tag string) string { return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`) }

// withoutToken makes httpcache forget the token: it keeps the values of the
// request's headers that Vary names. A cache is one installation's alone, so that
// it need not tell tokens apart.
func withoutToken(header http.Header) {
	header.Del(byFormula)
	header.Del("X-Varied-Authorization")
	var vary []string
	for name := range strings.SplitSeq(strings.Join(header.Values("Vary"), ","), ",") {
		if name = strings.TrimSpace(name); name != "" && !strings.EqualFold(name, "Authorization") {
			vary = append(vary, name)
		}
	}
	header.Del("Vary")
	if len(vary) > 0 {
		header.Set("Vary", strings.Join(vary, ", "))
	}
}
