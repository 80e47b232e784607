package contract

import (
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/url"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// seed makes the verdicts' keys; nothing outlives the process.
var seed = maphash.MakeSeed()

// judgeBody holds a JSON body against a schema: its types, and that it has no
// property that GitHub does not know. A body that was judged before is not
// judged again.
func (op *operation) judgeBody(by string, status int, schema *openapi3.Schema, body []byte) []finding {
	var key maphash.Hash
	key.SetSeed(seed)
	_, _ = key.WriteString(by + strconv.Itoa(status))
	_, _ = key.Write(body)
	sum := key.Sum64()
	op.mu.Lock()
	defer op.mu.Unlock()
	if known, ok := op.verdicts[sum]; ok {
		return known
	}
	findings := op.judgeJSON(by, schema, body)
	op.verdicts[sum] = findings
	return findings
}

func (op *operation) judgeJSON(by string, schema *openapi3.Schema, body []byte) []finding {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []finding{found("body", "it is no JSON")}
	}
	findings := reasons("body", schema.VisitJSON(value, visit...))
	if by == Webhook {
		return findings // see Judge.Webhook
	}
	return append(findings, op.undeclared("body ", []*openapi3.Schema{schema}, value)...)
}

// visit is how values are held against schemas.
var visit = []openapi3.SchemaValidationOption{openapi3.MultiErrors(), openapi3.WithStringFormatValidators(formats)}

// formats are those that kin-openapi does not hold by itself.
var formats = map[string]openapi3.StringFormatValidator{
	"uri": openapi3.NewCallbackValidator(func(s string) error {
		if u, err := url.Parse(s); err != nil || u.Scheme == "" {
			return errors.New("no URI")
		}
		return nil
	}),
}

// reasons turns what kin-openapi finds into findings.
func reasons(where string, err error) []finding {
	var several openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &several):
		var findings []finding
		for _, each := range several {
			findings = append(findings, reasons(where, each)...)
		}
		return findings
	case errors.As(err, &one):
		where = below(where, one.JSONPointer())
		if one.SchemaField == "anyOf" {
			return nearest(where, one)
		}
		return []finding{found(where, "%s", one.Reason)}
	default:
		return []finding{found(where, "%s", err)}
	}
}

// nearest says what is wrong by the alternative that the value fits best.
func nearest(where string, e *openapi3.SchemaError) []finding {
	best := []finding{found(where, "%s", e.Reason)}
	for i, alternative := range e.Schema.AnyOf {
		got := reasons(where, alternative.Value.VisitJSON(e.Value, visit...))
		if len(got) > 0 && (i == 0 || len(got) < len(best)) {
			best = got
		}
	}
	return best
}

// below writes a place below another, with * for each index, so that what is
// wrong with every item of a list is said once.
func below(where string, keys []string) string {
	if len(keys) > 0 && !strings.Contains(where, " /") {
		where += " "
	}
	for _, key := range keys {
		if _, err := strconv.Atoi(key); err == nil {
			key = "*"
		}
		where += "/" + key
	}
	return where
}

// shape is what a schema and its alternatives together say about an object or a
// list.
type shape struct {
	open       bool // other properties are welcome
	properties map[string][]*openapi3.Schema
	items      []*openapi3.Schema
}

// undeclared finds properties that none of the schemas knows. GitHub's
// description leaves objects open, but a property that it does not have is one
// that GitHub ignores in a request, and that nobody may rely on in an answer.
func (op *operation) undeclared(where string, schemas []*openapi3.Schema, value any) []finding {
	var findings []finding
	switch value := value.(type) {
	case []any:
		items := op.merged(schemas).items
		for _, item := range value {
			findings = append(findings, op.undeclared(where+"/*", items, item)...)
		}
	case map[string]any:
		known := op.merged(schemas)
		for name, property := range value {
			inner, ok := known.properties[name]
			if !ok && !known.open && len(known.properties) > 0 {
				findings = append(findings, found(where+"/"+name, "GitHub has no such property"))
			}
			findings = append(findings, op.undeclared(where+"/"+name, inner, property)...)
		}
	}
	return findings
}

// merged is the shape of any of the schemas.
func (op *operation) merged(schemas []*openapi3.Schema) *shape {
	if len(schemas) == 1 {
		return op.shape(schemas[0])
	}
	all := &shape{properties: map[string][]*openapi3.Schema{}}
	for _, schema := range schemas {
		all.add(op.shape(schema))
	}
	return all
}

func (op *operation) shape(schema *openapi3.Schema) *shape {
	if known, ok := op.shapes[schema]; ok {
		return known
	}
	s := &shape{properties: map[string][]*openapi3.Schema{}}
	op.shapes[schema] = s // before its parts: a schema may hold itself
	for name, property := range schema.Properties {
		s.properties[name] = append(s.properties[name], property.Value)
	}
	if schema.Items != nil {
		s.items = append(s.items, schema.Items.Value)
	}
	more := schema.AdditionalProperties
	// An object of which nothing is said may hold anything.
	untold := schema.Type.Is("object") && len(schema.Properties)+len(schema.AllOf)+len(schema.AnyOf) == 0
	s.open = untold || more.Schema != nil || more.Has != nil && *more.Has
	for _, parts := range []openapi3.SchemaRefs{schema.AllOf, schema.AnyOf} {
		for _, part := range parts {
			s.add(op.shape(part.Value))
		}
	}
	return s
}

func (s *shape) add(other *shape) {
	s.open = s.open || other.open
	s.items = append(s.items, other.items...)
	for name, schemas := range other.properties {
		s.properties[name] = append(s.properties[name], schemas...)
	}
}
