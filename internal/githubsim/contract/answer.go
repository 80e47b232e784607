package contract

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// answered is an answer as it was sent.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// undocumented are statuses that GitHub answers with anywhere, whether the
// description of the operation says so or not: its pages on authentication,
// rate limits, troubleshooting and redirects do.
var undocumented = []int{
	http.StatusMovedPermanently, http.StatusTemporaryRedirect,
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
	http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// judgeAnswer holds an answer against the operation.
func (op *operation) judgeAnswer(r *http.Request, a answered) []finding {
	if a.status == http.StatusNotModified {
		return judgeNotModified(r, a)
	}
	ref := op.spec.Responses.Value(strconv.Itoa(a.status))
	switch {
	case ref == nil && a.status >= http.StatusInternalServerError && slices.Contains(undocumented, a.status):
		return nil // a proxy before GitHub may have said it, in its own words
	case ref == nil && slices.Contains(undocumented, a.status):
		return judgeError(a)
	case ref == nil:
		return []finding{found("status", "GitHub does not document it for this operation")}
	}
	content := ref.Value.Content
	if len(content) == 0 {
		if len(a.body) > 0 && a.status < http.StatusBadRequest {
			return []finding{found("body", "this answer has none")}
		}
		return nil
	}
	return op.judgeContent(r, a, content)
}

func (op *operation) judgeContent(r *http.Request, a answered, content openapi3.Content) []finding {
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return []finding{found("header Content-Type", "it cannot be read")}
	}
	if mediaType != "application/json" && asksForText(r.Header.Values("Accept")) {
		return nil // "raw", "diff" and the like: the description does not show them
	}
	media := content[mediaType]
	if media == nil {
		return []finding{found("header Content-Type", "GitHub does not answer this with %s", mediaType)}
	}
	if media.Schema == nil {
		return nil
	}
	if a.status >= http.StatusBadRequest {
		// Errors differ between the pages that document them; what they share is held.
		return judgeError(a)
	}
	return op.judgeBody(Answer, a.status, media.Schema.Value, a.body)
}

// asksForText is true of GitHub's media types for something else than JSON.
func asksForText(accepts []string) bool {
	for _, kind := range []string{"raw", "diff", "patch", "html", "sha", "text"} {
		for _, accept := range accepts {
			if strings.Contains(accept, "application/vnd.github."+kind) || strings.Contains(accept, "application/vnd.github.v3."+kind) {
				return true
			}
		}
	}
	return false
}

// judgeNotModified holds RFC 9110 15.4.5: a 304 answers a condition, and has no
// body.
func judgeNotModified(r *http.Request, a answered) []finding {
	if r.Header.Get("If-None-Match") == "" && r.Header.Get("If-Modified-Since") == "" {
		return []finding{found("status", "nobody asked whether it was modified")}
	}
	if len(a.body) > 0 {
		return []finding{found("body", "a 304 has none")}
	}
	return nil
}

// judgeError holds the form that GitHub documents for errors.
func judgeError(a answered) []finding {
	if a.status < http.StatusBadRequest {
		return nil
	}
	var body struct {
		Message          string            `json:"message"`
		DocumentationURL string            `json:"documentation_url"`
		Errors           []json.RawMessage `json:"errors"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return []finding{found("body", "an error is an object with a message: %v", err)}
	}
	var findings []finding
	if body.Message == "" {
		findings = append(findings, found("body /message", "an error says what is wrong"))
	}
	if body.DocumentationURL == "" {
		findings = append(findings, found("body /documentation_url", "an error says where to read about it"))
	}
	for _, raw := range body.Errors {
		findings = append(findings, judgeErrorEntry(raw)...)
	}
	return findings
}

// codes are those of "Validation failed" in GitHub's troubleshooting page.
var codes = []string{"missing", "missing_field", "invalid", "already_exists", "unprocessable", "custom"}

func judgeErrorEntry(raw json.RawMessage) []finding {
	var sentence string
	if json.Unmarshal(raw, &sentence) == nil {
		return nil
	}
	var entry struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(raw, &entry); err != nil || !slices.Contains(codes, entry.Code) {
		return []finding{found("body /errors/*/code", "%q is none of GitHub's codes", entry.Code)}
	}
	return nil
}
