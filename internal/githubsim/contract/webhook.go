package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
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
	if len(e.Causes) == 0 {
		where := "body /" + strings.Join(e.InstanceLocation, "/")
		return []finding{found(where, "%s", e.BasicOutput().Error)}
	}
	var findings []finding
	for _, cause := range e.Causes {
		findings = append(findings, leaves(cause)...)
	}
	return findings
}

// bringUpToDate adds what GitHub has added since the schemas were closed.
func bringUpToDate(definitions map[string]any) error {
	for _, s := range since {
		properties, ok := dig(definitions[s.definition], append(s.path, "properties")...).(map[string]any)
		if !ok {
			return fmt.Errorf("the webhook schemas have no definition %q with properties; webhook_since.go is out of date", s.definition)
		}
		if _, known := properties[s.property]; known {
			return fmt.Errorf("the webhook schemas know %s.%s by now; take it out of webhook_since.go", s.definition, s.property)
		}
		var schema any
		if err := json.Unmarshal([]byte(s.schema), &schema); err != nil {
			return fmt.Errorf("the schema of %s.%s: %w", s.definition, s.property, err)
		}
		properties[s.property] = schema
	}
	return nil
}
