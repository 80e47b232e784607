package githubapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// verdict is what an answer says of GitHub's limits.
type verdict struct {
	// resource is empty if the answer does not name it.
	resource         string
	limit, remaining int // limit is 0 if not told
	reset            time.Time

	refused, secondary bool
	// retryAfter is when GitHub asks to come back; zero if it does not say.
	retryAfter time.Time
	message    string
}

// exhausted reports whether the budget of the hour is used up.
func (v verdict) exhausted() bool { return v.limit > 0 && v.remaining == 0 }

const (
	// anonymousLimit is what GitHub allows an hour without a token, or with one that
	// it refuses.
	anonymousLimit = 60
	// refusalSize is how much of a refusal is looked at.
	refusalSize = 64 << 10
	// longestWait bounds what an answer can make us wait: no limit of GitHub's lasts
	// longer than an hour.
	longestWait = 24 * time.Hour
)

// judge reads what an answer says of limits. It leaves the answer readable, but for
// the headers of the budget: go-github would keep a second account by them.
func judge(response *http.Response, resource string, now time.Time) (verdict, error) {
	v := verdict{resource: response.Header.Get("X-RateLimit-Resource")}
	v.limit, v.remaining = headerNumber(response.Header, "X-RateLimit-Limit"), headerNumber(response.Header, "X-RateLimit-Remaining")
	v.reset = time.Unix(int64(headerNumber(response.Header, "X-RateLimit-Reset")), 0).UTC()
	if v.limit <= anonymousLimit {
		v.limit = 0 // of whoever GitHub did not recognize, and not the installation's
	}
	v.retryAfter = retryAfter(response.Header.Get("Retry-After"), now)
	for _, name := range []string{"Limit", "Remaining", "Used", "Reset", "Resource"} {
		response.Header.Del("X-RateLimit-" + name)
	}
	var err error
	switch {
	case response.StatusCode == http.StatusForbidden, response.StatusCode == http.StatusTooManyRequests:
		err = v.judgeRefusal(response)
	case response.StatusCode == http.StatusOK && resource == graphResource:
		err = v.judgeQuery(response)
	}
	return v, err
}

// judgeRefusal tells a limit from a missing permission, which is a 403 as well.
func (v *verdict) judgeRefusal(response *http.Response) error {
	body, err := peek(response, refusalSize)
	if err != nil {
		return err
	}
	var told struct {
		Message          string `json:"message"`
		DocumentationURL string `json:"documentation_url"`
	}
	// What is not JSON has no message.
	_ = json.Unmarshal(body, &told)
	text := told.Message + " " + told.DocumentationURL
	v.refused = response.StatusCode == http.StatusTooManyRequests || !v.retryAfter.IsZero() || v.exhausted() || speaksOfLimit(text)
	v.name(text, told.Message)
	return nil
}

// judgeQuery looks for a limit among the errors of a query, which GitHub answers
// with 200.
func (v *verdict) judgeQuery(response *http.Response) error {
	body, err := peek(response, -1)
	if err != nil || !bytes.Contains(body, []byte(`"errors"`)) {
		return err
	}
	var told struct {
		Errors []GraphQLError `json:"errors"`
	}
	// Whoever asked finds out if it is no JSON.
	_ = json.Unmarshal(body, &told)
	for _, e := range told.Errors {
		if strings.HasPrefix(e.Type, "RATE_LIMIT") || speaksOfLimit(e.Message) {
			v.refused = true
			v.name(e.Message, e.Message)
			v.secondary = v.secondary && speaksOfLimit(e.Message)
		}
	}
	return nil
}

// name says which kind of limit it is, and in which words GitHub says so.
func (v *verdict) name(text, message string) {
	text = strings.ToLower(text)
	secondary := strings.Contains(text, "secondary") || strings.Contains(text, "abuse")
	v.secondary = secondary || (!v.exhausted() && !strings.Contains(text, "api rate limit"))
	v.message = message
	if runes := []rune(message); len(runes) > 200 {
		v.message = string(runes[:200]) + "…"
	}
	if v.message == "" {
		v.message = "GitHub asks to slow down."
	}
}

// ofLimits are GitHub's words for a limit, in messages and in the addresses of its
// documentation. Names that people give cannot hold them.
var ofLimits = []string{"secondary rate limit", "api rate limit", "abuse detection", "secondary-rate-limits", "abuse-rate-limits"}

func speaksOfLimit(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(ofLimits, func(words string) bool { return strings.Contains(text, words) })
}

// peek reads up to so many bytes of the body, all of it if most is negative, and
// puts them back.
func peek(response *http.Response, most int64) ([]byte, error) {
	from := io.Reader(response.Body)
	if most >= 0 {
		from = io.LimitReader(response.Body, most)
	}
	body, err := io.ReadAll(from)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read an answer: %w", err), response.Body.Close())
	}
	rest := response.Body
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), rest}
	return body, nil
}

// headerNumber is a header's number; 0 if there is none.
func headerNumber(header http.Header, name string) int {
	n, err := strconv.Atoi(header.Get(name))
	if err != nil {
		return 0
	}
	return n
}

// retryAfter reads the header, which is in seconds or a date.
func retryAfter(value string, now time.Time) time.Time {
	if seconds, err := strconv.Atoi(value); err == nil {
		return now.Add(min(time.Duration(max(seconds, 0))*time.Second, longestWait))
	}
	if at, err := http.ParseTime(value); err == nil {
		return at
	}
	return time.Time{}
}
