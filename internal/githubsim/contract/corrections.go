package contract

import "slices"

// correct puts right, in any part of the description, what makes it say
// something else than GitHub does:
//
//   - Examples are dropped. Many are stale, and none is judged by.
//   - A discriminator over inline schemas without a mapping refuses every value
//     that leaves the property out. The alternatives say enough without it.
//   - oneOf becomes anyOf: alternatives overlap, as `{"labels": []}` does in
//     both ways of setting labels.
//   - The repository of a pull request's head may be null: it is when a fork
//     was deleted, as the webhook schemas say.
//   - A repository's homepage is text that people write; GitHub shows an empty
//     one as "".
//   - Lists of events are dropped: those that are copied into webhooks lack the
//     newer ones.
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
			case "enum":
				if values := list(value); slices.Contains(values, any("check_run")) && slices.Contains(values, any("push")) {
					delete(node, key)
				}
			case "default": // a value, not a schema
			case "properties": // its keys are names
				properties := value.(map[string]any) //nolint:forcetypeassert // a schema's properties are an object
				for _, property := range properties {
					correct(property)
				}
				if homepage, ok := properties["homepage"].(map[string]any); ok {
					delete(homepage, "format")
				}
				if head, ok := dig(properties, "head", "properties").(map[string]any); ok && head["repo"] != nil {
					head["repo"] = map[string]any{"nullable": true, "anyOf": []any{head["repo"]}}
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

// correctOperation undoes what @octokit/openapi does to single operations.
//
// It takes out of request bodies what is no object. GitHub's documentation of
// both ways to give labels allows an array or a single label "directly", and for
// setting labels says "You can pass an empty array to remove all labels".
//
// Where installations are listed it repeats their schema with an account that is
// a user and an enterprise at once, and lets the copy fall behind.
//
// GET /meta answers with installed_version on GitHub Enterprise Server, which
// the simulated GitHub is; the description is that of github.com.
func correctOperation(name string, spec map[string]any) {
	switch name {
	case "GET /meta":
		if media, ok := dig(spec, "responses", "200", "content", "application/json").(map[string]any); ok {
			media["schema"] = map[string]any{"allOf": []any{media["schema"], map[string]any{
				"type": "object", "properties": map[string]any{"installed_version": map[string]any{"type": "string"}},
			}}}
		}
	case "GET /app/installations":
		if schema, ok := dig(spec, "responses", "200", "content", "application/json", "schema").(map[string]any); ok {
			schema["items"] = map[string]any{"$ref": "#/components/schemas/installation"}
		}
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
