package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Webhooks holds payloads against GitHub's webhook schemas. It may be used by
// several goroutines.
type Webhooks struct {
	definitions map[string]any

	mu       sync.Mutex // jsonschema's compiler is not safe for several
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// schemaURL is the name that the schemas have inside the compiler.
const schemaURL = "webhooks.json"

// LoadWebhooks reads schema.json of @octokit/webhooks-schemas.
func LoadWebhooks(file string) (*Webhooks, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the caller says which file
	if err != nil {
		return nil, fmt.Errorf("read GitHub's webhook schemas: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("parse GitHub's webhook schemas: %w", err)
	}
	definitions, ok := dig(document, "definitions").(map[string]any)
	if !ok {
		return nil, errors.New("parse GitHub's webhook schemas: there are no definitions")
	}
	if err := bringUpToDate(definitions); err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	// The library refuses {/sha}, which RFC 6570 has and every payload uses.
	compiler.RegisterFormat(&jsonschema.Format{Name: "uri-template", Validate: func(any) error { return nil }})
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return nil, fmt.Errorf("read GitHub's webhook schemas: %w", err)
	}
	return &Webhooks{definitions: definitions, compiler: compiler, compiled: map[string]*jsonschema.Schema{}}, nil
}

// Judge holds one payload against the schema of its event and action.
func (w *Webhooks) Judge(event string, payload []byte) []Violation {
	if newer[event] != "" {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return []Violation{{By: Webhook, Operation: event, Where: "body", Why: "it is no JSON"}}
	}
	name, operation := event+"$event", event
	if action, ok := dig(value, "action").(string); ok {
		name, operation = event+"$"+action, event+"."+action
	}
	schema, err := w.schema(name)
	if err != nil {
		return []Violation{{By: Webhook, Operation: operation, Where: "event", Why: err.Error()}}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(schema.Validate(value), &invalid) {
		return nil
	}
	var violations []Violation
	for _, f := range leaves(invalid) {
		violations = append(violations, Violation{By: Webhook, Operation: operation, Where: f.where, Why: f.why})
	}
	return violations
}

// Webhook holds one payload against what the OpenAPI description says of
// webhooks. It is newer than the webhook schemas and knows more events, but it
// is open, and some of the repositories in it are copies that lack properties:
// what is there is held to its type, and what is required must be there.
func (j *Judge) Webhook(event string, payload []byte) []Violation {
	name, operation := strings.ReplaceAll(event, "_", "-"), event
	var body struct {
		Action string `json:"action"`
	}
	if err := json.Unmarshal(payload, &body); err != nil {
		return []Violation{{By: Webhook, Operation: event, Where: "body", Why: "it is no JSON"}}
	}
	if body.Action != "" {
		name, operation = name+"-"+strings.ReplaceAll(body.Action, "_", "-"), event+"."+body.Action
	}
	raw, ok := j.webhooks[name]
	if !ok {
		return []Violation{{By: Webhook, Operation: operation, Where: "event", Why: "GitHub describes no such event and action"}}
	}
	op, err := j.compileOnce("webhook "+name, http.MethodPost, raw["post"])
	if err != nil {
		return []Violation{{By: Webhook, Operation: operation, Where: "event", Why: err.Error()}}
	}
	media := op.spec.RequestBody.Value.Content.Get("application/json")
	var violations []Violation
	for _, f := range op.judgeBody(Webhook, 0, media.Schema.Value, payload) {
		violations = append(violations, Violation{By: Webhook, Operation: operation, Where: f.where, Why: f.why})
	}
	return violations
}

func (w *Webhooks) schema(name string) (*jsonschema.Schema, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.compiled[name]; ok {
		return known, nil
	}
	if _, ok := w.definitions[name]; !ok {
		return nil, errors.New("GitHub publishes no schema for this event and action")
	}
	schema, err := w.compiler.Compile(schemaURL + "#/definitions/" + name)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	w.compiled[name] = schema
	return schema, nil
}

// leaves are the causes that have no further cause.
func leaves(e *jsonschema.ValidationError) []finding {
	where := below("body", e.InstanceLocation)
	var findings []finding
	switch what := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range what.Properties {
			findings = append(findings, found(below(where, []string{name}), "GitHub has no such property"))
		}
		return findings
	case *kind.Required:
		for _, name := range what.Missing {
			findings = append(findings, found(below(where, []string{name}), "it is missing"))
		}
		return findings
	}
	if len(e.Causes) == 0 {
		return []finding{found(where, "%s", e.BasicOutput().Error)}
	}
	for _, cause := range e.Causes {
		findings = append(findings, leaves(cause)...)
	}
	return findings
}

// bringUpToDate revises what GitHub has changed since the schemas were closed.
func bringUpToDate(definitions map[string]any) error {
	for _, r := range since {
		var value any
		if err := json.Unmarshal([]byte(r.value), &value); err != nil {
			return fmt.Errorf("the revision of %s: %w", r.at, err)
		}
		if err := put(definitions, strings.Split(r.at, "/"), value); err != nil {
			return fmt.Errorf("the revision of %s: %w; bring webhook_since.go up to date", r.at, err)
		}
	}
	return nil
}

// put sets a value below a node; everything above it must be there, and it must
// be another than before.
func put(node any, keys []string, value any) error {
	if items, ok := node.([]any); ok {
		index, err := strconv.Atoi(keys[0])
		if err != nil || index >= len(items) || len(keys) == 1 {
			return fmt.Errorf("the schemas have no item %s", keys[0])
		}
		return put(items[index], keys[1:], value)
	}
	object, ok := node.(map[string]any)
	if !ok {
		return fmt.Errorf("the schemas have nothing above %s", keys[0])
	}
	if len(keys) > 1 {
		return put(object[keys[0]], keys[1:], value)
	}
	if reflect.DeepEqual(object[keys[0]], value) {
		return errors.New("the schemas say so by now")
	}
	object[keys[0]] = value
	return nil
}
