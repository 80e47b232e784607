package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// Judge holds traffic against one OpenAPI description. It may be used by
// several goroutines.
type Judge struct {
	paths      map[string]map[string]json.RawMessage // by template, then by method in lower case
	webhooks   map[string]map[string]json.RawMessage // by name, as "label-created", all with the method post
	components map[string]map[string]json.RawMessage // by section, then by name
	routes     map[string][]route                    // by first segment

	mu       sync.Mutex
	compiled map[string]*operation // by name
}

// Load reads GitHub's OpenAPI description. Operations are compiled when they
// are first asked for: compiling all of them takes seconds.
func Load(file string) (*Judge, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the caller says which file
	if err != nil {
		return nil, fmt.Errorf("read GitHub's OpenAPI description: %w", err)
	}
	var document struct {
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Webhooks   map[string]map[string]json.RawMessage `json:"x-webhooks"`
		Components map[string]map[string]json.RawMessage `json:"components"`
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("parse GitHub's OpenAPI description: %w", err)
	}
	if len(document.Paths) == 0 || len(document.Components["schemas"]) == 0 {
		return nil, errors.New("parse GitHub's OpenAPI description: it has no paths or no schemas")
	}
	j := &Judge{paths: document.Paths, webhooks: document.Webhooks, components: document.Components, compiled: map[string]*operation{}}
	j.routes, err = j.allRoutes()
	return j, err
}

// operation is one compiled operation of the description.
type operation struct {
	name string // as "GET /repos/{owner}/{repo}"
	spec *openapi3.Operation

	mu       sync.Mutex
	shapes   map[*openapi3.Schema]*shape
	verdicts map[uint64][]finding // what was judged before, by what it was
}

// operation compiles the operation, once.
func (j *Judge) operation(method, template string) (*operation, error) {
	return j.compileOnce(method+" "+template, method, j.paths[template][strings.ToLower(method)])
}

func (j *Judge) compileOnce(name, method string, raw json.RawMessage) (*operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if known, ok := j.compiled[name]; ok {
		return known, nil
	}
	spec, err := j.compile(name, method, raw)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", name, err)
	}
	op := &operation{name: name, spec: spec, shapes: map[*openapi3.Schema]*shape{}, verdicts: map[uint64][]finding{}}
	j.compiled[name] = op
	return op, nil
}

// compile makes a document of this operation and of what it refers to alone.
func (j *Judge) compile(name, method string, raw json.RawMessage) (*openapi3.Operation, error) {
	var spec map[string]any
	if err := json.Unmarshal(raw, &spec); err != nil {
		return nil, err
	}
	correctOperation(name, spec)
	correct(spec)
	parts := map[string]map[string]any{}
	if err := j.collect(spec, parts); err != nil {
		return nil, err
	}
	// The path is of no matter: requests have been matched to the operation.
	document, err := json.Marshal(map[string]any{
		"openapi": "3.0.3", "info": map[string]any{"title": "GitHub", "version": "1"},
		"paths":      map[string]any{"/": map[string]any{strings.ToLower(method): spec}},
		"components": parts,
	})
	if err != nil {
		return nil, err
	}
	loaded, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	return loaded.Paths.Value("/").GetOperation(method), nil
}

// collect adds to parts every component that the node refers to, and what those
// refer to.
func (j *Judge) collect(node any, parts map[string]map[string]any) error {
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			if err := j.collect(item, parts); err != nil {
				return err
			}
		}
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok {
			return j.collectRef(ref, parts)
		}
		for _, key := range slices.Sorted(maps.Keys(node)) {
			if err := j.collect(node[key], parts); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *Judge) collectRef(ref string, parts map[string]map[string]any) error {
	section, name, ok := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
	raw, known := j.components[section][name]
	if !ok || !known {
		return fmt.Errorf("%s refers to nothing", ref)
	}
	if _, done := parts[section][name]; done {
		return nil
	}
	var part map[string]any
	if err := json.Unmarshal(raw, &part); err != nil {
		return fmt.Errorf("parse %s: %w", ref, err)
	}
	correct(part)
	if parts[section] == nil {
		parts[section] = map[string]any{}
	}
	parts[section][name] = part
	return j.collect(part, parts)
}

// CompileAll compiles every operation, and every webhook, and returns how many
// there are.
func (j *Judge) CompileAll() (int, error) {
	n := 0
	for template, operations := range j.paths {
		for method := range operations {
			n++
			if _, err := j.operation(strings.ToUpper(method), template); err != nil {
				return n, err
			}
		}
	}
	for name, raw := range j.webhooks {
		n++
		if _, err := j.compileOnce("webhook "+name, http.MethodPost, raw["post"]); err != nil {
			return n, err
		}
	}
	return n, nil
}
