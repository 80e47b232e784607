package contract

// revision is one place in which the webhook schemas, which were closed and last
// brought up to date in December 2024, differ from what GitHub sends.
type revision struct {
	at     string // below the definitions, with slashes
	value  string // the JSON that belongs there
	reason string
}

// The newer description is the list x-webhooks of the OpenAPI description.
var since = []revision{
	{
		"team/properties/type", `{"type": "string", "enum": ["enterprise", "organization"]}`,
		"the newer description requires it: teams can be an enterprise's",
	},
	{
		"installation/properties/permissions/properties/organization_custom_properties", `{"type": "string", "enum": ["read", "write", "admin"]}`,
		"the newer description has it",
	},
	{
		"installation/properties/permissions/properties/repository_custom_properties", `{"type": "string", "enum": ["read", "write"]}`,
		"the newer description has it",
	},
	{"installation/properties/permissions/properties/codespaces", readOrWrite, "the newer description has it"},
	{"installation/properties/permissions/properties/codespaces_lifecycle_admin", readOrWrite, codespaces},
	{"installation/properties/permissions/properties/codespaces_metadata", readOrWrite, codespaces},
	{"installation/properties/permissions/properties/organization_codespaces", readOrWrite, codespaces},
	{"installation/properties/client_id", `{"type": "string"}`, "the newer description has it"},
	{
		"ping$event/properties/hook/required", `["id", "type", "name", "active", "events", "config", "created_at", "updated_at"]`,
		"the newer description: the webhook of an App has no address of its own in the API",
	},
	{
		"status$event/properties/commit/properties/commit/properties/verification/properties/verified_at", `{"type": ["string", "null"]}`,
		"the newer description has it; commits over REST have it too",
	},
	{
		"member$added/properties/changes/properties/role_name", `{"type": "object", "properties": {"to": {"type": "string"}}}`,
		"the newer description has it: the role itself, where permission has the legacy one",
	},
	{
		"member$added/properties/changes/properties/permission/properties/to/enum", `["write", "admin", "read"]`,
		"the newer description has read",
	},
	{
		"member$edited/properties/changes/properties/permission",
		`{"type": "object", "properties": {"from": {"type": ["string", "null"]}, "to": {"type": ["string", "null"]}}}`,
		"the newer description has it",
	},
	{"check_run$created" + suite + "/conclusion/enum", conclusions, "the newer description has skipped"},
	{"check_run$completed" + suite + "/conclusion/enum", conclusions, "the newer description has skipped"},
	{"check_run$requested_action" + suite + "/conclusion/enum", conclusions, "the newer description has skipped"},
	{
		"check_run$rerequested" + suite + "/conclusion", `{"type": ["string", "null"], "enum": ` + conclusions + `}`,
		"the description of the rerequest operation: the suite's conclusion is cleared",
	},
	{
		"check_run$rerequested" + suite + "/status/enum", `["queued", "in_progress", "completed"]`,
		"the description of the rerequest operation: the suite's status is reset to queued",
	},
	{
		"check_run$rerequested/properties/check_run/properties/status/enum", `["queued", "in_progress", "completed"]`,
		"the newer description has any status: an App may ask for a run that has not ended",
	},
	{
		"check_run$rerequested/properties/check_run/properties/conclusion", `{"type": ["string", "null"], "enum": ` + conclusions + `}`,
		"as the status",
	},
	{
		"check_run$rerequested/properties/check_run/properties/completed_at", `{"type": ["string", "null"], "format": "date-time"}`,
		"as the status",
	},
	{"deployment_protection_rule$requested/properties/sha", `{"type": "string"}`, "the newer description has it"},
	{"deployment_protection_rule$requested/properties/ref", `{"type": "string"}`, "the newer description has it"},
	{
		"repository$transferred/properties/changes/properties/owner/properties/from/properties/organization", `{"$ref": "#/definitions/organization"}`,
		"the newer description has it: an organization may have owned it",
	},
	{"webhook-events", `{"type": "array", "items": {"type": "string"}}`, "the list of events lacks those that are newer"},
	{"app/properties/events/items", `{"type": "string"}`, "the list of events lacks those that are newer"},
	{"installation/properties/events/items", `{"type": "string"}`, "the list of events lacks those that are newer"},
}

const (
	readOrWrite = `{"type": "string", "enum": ["read", "write"]}`
	codespaces  = "GitHub's pages on what each permission of an App is good for have it"

	suite       = "/properties/check_run/properties/check_suite/properties"
	conclusions = `["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required", "stale", null]`
)

// newer are events that have no schema at all, because the schemas were closed
// before. The OpenAPI description has them.
var newer = map[string]string{
	"repository_ruleset": "announced in 2023 and never added to the schemas",
}
