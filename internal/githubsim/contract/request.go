package contract

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// judgeRequest holds a request's parameters and body against the operation.
func (op *operation) judgeRequest(r *http.Request, path map[string]string, body []byte) []finding {
	var findings []finding
	query := r.URL.Query()
	declared := map[string]bool{}
	for _, ref := range op.spec.Parameters {
		p := ref.Value
		switch p.In {
		case openapi3.ParameterInPath:
			findings = append(findings, judgeParameter("path "+p.Name, p, path[p.Name])...)
		case openapi3.ParameterInQuery:
			declared[p.Name] = true
			for _, value := range query[p.Name] {
				findings = append(findings, judgeParameter("query "+p.Name, p, value)...)
			}
			if p.Required && !query.Has(p.Name) {
				findings = append(findings, found("query "+p.Name, "it is required"))
			}
		}
	}
	for name, values := range query {
		if !declared[name] {
			findings = append(findings, found("query "+name, "GitHub has no such parameter"))
		}
		findings = append(findings, judgePage(name, values)...)
	}
	return append(findings, op.judgeRequestBody(body)...)
}

// judgeParameter reads the text as the type that the schema names.
func judgeParameter(where string, p *openapi3.Parameter, text string) []finding {
	if p.Schema == nil || p.Schema.Value == nil {
		return nil
	}
	var value any = text
	schema := p.Schema.Value
	switch {
	case schema.Type.Is("integer"), schema.Type.Is("number"):
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return []finding{found(where, "%q is no number", text)}
		}
		value = number
	case schema.Type.Is("boolean"):
		truth, err := strconv.ParseBool(text)
		if err != nil {
			return []finding{found(where, "%q is neither true nor false", text)}
		}
		value = truth
	case schema.Type.Is("array"):
		var items []any
		for item := range strings.SplitSeq(text, ",") {
			items = append(items, item)
		}
		value = items
	}
	return reasons(where, schema.VisitJSON(value, openapi3.MultiErrors()))
}

func (op *operation) judgeRequestBody(body []byte) []finding {
	// ghinstallation asks for a token with the body null, and GitHub takes it.
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || string(trimmed) == "null" {
		if op.spec.RequestBody != nil && op.spec.RequestBody.Value.Required {
			return []finding{found("body", "it is required")}
		}
		return nil
	}
	if op.spec.RequestBody == nil {
		return []finding{found("body", "the operation has none")}
	}
	media := op.spec.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return nil
	}
	findings := op.judgeBody(Request, 0, media.Schema.Value, body)
	return append(findings, op.judgeConclusion(body)...)
}

// mostOnAPage is what GitHub's documentation of every list says; the
// description has no maximum.
const mostOnAPage = 100

func judgePage(name string, values []string) []finding {
	most := map[string]int{"per_page": mostOnAPage, "page": 1 << 30}[name]
	if most == 0 {
		return nil
	}
	for _, value := range values {
		if n, err := strconv.Atoi(value); err == nil && (n < 1 || n > most) {
			return []finding{found("query "+name, "%d is not between 1 and %d", n, most)}
		}
	}
	return nil
}

// judgeConclusion holds the rule that the description only says in words: a
// conclusion is "Required if you provide completed_at or a status of completed".
// It also says that only GitHub Actions may set some of the statuses.
func (op *operation) judgeConclusion(body []byte) []finding {
	if !slices.Contains([]string{
		"POST /repos/{owner}/{repo}/check-runs",
		"PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
	}, op.name) {
		return nil
	}
	var run struct {
		Status      string  `json:"status"`
		Conclusion  *string `json:"conclusion"`
		CompletedAt *string `json:"completed_at"`
	}
	if json.Unmarshal(body, &run) != nil {
		return nil // the schema has said so
	}
	var findings []finding
	if run.Conclusion == nil && (run.Status == "completed" || run.CompletedAt != nil) {
		findings = append(findings, found("body /conclusion", "it is required with a status of completed or a completed_at"))
	}
	if slices.Contains([]string{"waiting", "requested", "pending"}, run.Status) {
		findings = append(findings, found("body /status", "only GitHub Actions can set %q", run.Status))
	}
	if run.Conclusion != nil && *run.Conclusion == "stale" {
		findings = append(findings, found("body /conclusion", "only GitHub can set \"stale\""))
	}
	return findings
}
