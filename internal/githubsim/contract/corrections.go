package contract

// correct puts right, in any part of the description, what makes it say
// something else than GitHub does:
//
//   - Examples are dropped. Many are stale, and none is judged by.
//   - A discriminator over inline schemas without a mapping refuses every value
//     that leaves the property out. The alternatives say enough without it.
//   - oneOf becomes anyOf: alternatives overlap, as `{"labels": []}` does in
//     both ways of setting labels.
func correct(node any) {
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			correct(item)
		}
	case map[string]any:
		for _, key := range []string{"example", "examples", "discriminator"} {
			delete(node, key)
		}
		if alternatives, ok := node["oneOf"].([]any); ok {
			delete(node, "oneOf")
			if others, both := node["anyOf"].([]any); both {
				node["allOf"] = append(list(node["allOf"]), map[string]any{"anyOf": others})
			}
			node["anyOf"] = alternatives
		}
		for key, value := range node {
			switch key {
			case "enum", "default": // values, not schemas
			case "properties": // its keys are names
				for _, property := range value.(map[string]any) { //nolint:forcetypeassert // a schema's properties are an object
					correct(property)
				}
			default:
				correct(value)
			}
		}
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// correctOperation restores what @octokit/openapi takes out of request bodies
// so that its clients see objects only. GitHub's documentation of both
// operations allows an array or a single label "directly", and for setting
// labels says "You can pass an empty array to remove all labels".
func correctOperation(name string, spec map[string]any) {
	switch name {
	case "POST /repos/{owner}/{repo}/issues/{issue_number}/labels", "PUT /repos/{owner}/{repo}/issues/{issue_number}/labels":
		schema, ok := dig(spec, "requestBody", "content", "application/json", "schema").(map[string]any)
		if !ok {
			return
		}
		schema["oneOf"] = append(list(schema["oneOf"]),
			map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
			map[string]any{"type": "string"},
		)
		for _, alternative := range list(schema["oneOf"]) {
			if labels, ok := dig(alternative, "properties", "labels").(map[string]any); ok {
				delete(labels, "minItems")
			}
		}
	}
}

func dig(node any, keys ...string) any {
	for _, key := range keys {
		object, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = object[key]
	}
	return node
}
