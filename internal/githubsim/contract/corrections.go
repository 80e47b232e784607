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
//   - Permissions of Apps lack some on codespaces; GitHub's pages on what each
//     permission is good for have them.
func correct(node any) {
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			correct(item)
		}
	case map[string]any:
		correctSchema(node)
		for key, value := range node {
			switch key {
			case "enum", "default": // values, not schemas
			case "properties": // its keys are names
				correctProperties(value)
			default:
				correct(value)
			}
		}
	}
}

func correctSchema(schema map[string]any) {
	for _, key := range []string{"example", "examples", "discriminator"} {
		delete(schema, key)
	}
	if permissions, ok := schema["properties"].(map[string]any); ok && schema["title"] == "App Permissions" {
		for _, name := range []string{"codespaces_lifecycle_admin", "codespaces_metadata", "organization_codespaces"} {
			permissions[name] = map[string]any{"type": "string", "enum": []any{"read", "write"}}
		}
	}
	if values := list(schema["enum"]); slices.Contains(values, any("check_run")) && slices.Contains(values, any("push")) {
		delete(schema, "enum")
	}
	alternatives, ok := schema["oneOf"].([]any)
	if !ok {
		return
	}
	delete(schema, "oneOf")
	if others, both := schema["anyOf"].([]any); both {
		schema["allOf"] = append(list(schema["allOf"]), map[string]any{"anyOf": others})
	}
	schema["anyOf"] = alternatives
}

func correctProperties(value any) {
	properties, _ := value.(map[string]any)
	for _, property := range properties {
		correct(property)
	}
	if homepage, ok := properties["homepage"].(map[string]any); ok {
		delete(homepage, "format")
	}
	if head, ok := dig(properties, "head", "properties").(map[string]any); ok && head["repo"] != nil {
		head["repo"] = map[string]any{"nullable": true, "anyOf": []any{head["repo"]}}
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
// What GitHub's own command line asks of a codespace, to connect to it, GitHub does not
// document; cli/cli has it (internal/codespaces/api).
//
// GET /meta answers with installed_version on GitHub Enterprise Server, which
// the simulated GitHub is; the description is that of github.com.
func correctOperation(name string, spec map[string]any) {
	text := map[string]any{"type": "string"}
	switch name {
	case "GET /meta":
		answerHas(spec, map[string]any{"installed_version": text})
	case "GET /user/codespaces/{codespace_name}":
		for _, parameter := range []string{"internal", "refresh"} {
			spec["parameters"] = append(list(spec["parameters"]), map[string]any{"name": parameter, "in": "query", "schema": map[string]any{"type": "boolean"}})
		}
		answerHas(spec, map[string]any{"connection": map[string]any{"type": "object", "properties": map[string]any{
			"tunnelProperties": map[string]any{"type": "object", "properties": map[string]any{
				"serviceUri": text, "tunnelId": text, "clusterId": text, "domain": text, "connectAccessToken": text, "managePortsAccessToken": text,
			}},
		}}})
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

// answerHas adds properties to what an operation answers with.
func answerHas(spec, properties map[string]any) {
	if media, ok := dig(spec, "responses", "200", "content", "application/json").(map[string]any); ok {
		media["schema"] = map[string]any{"allOf": []any{media["schema"], map[string]any{"type": "object", "properties": properties}}}
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
