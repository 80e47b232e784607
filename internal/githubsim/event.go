package githubsim

import (
	"maps"
	"slices"
)

// eventPermission is what an App must hold to hear an event, as GitHub's webhook documentation says.
var eventPermission = map[string]string{
	"pull_request": "pull_requests", "pull_request_review": "pull_requests",
	"issues": "issues", "issue_comment": "issues", "label": "metadata", "repository": "metadata",
	"check_run": "checks", "check_suite": "checks", "status": "statuses",
	"push": "contents", "merge_group": "merge_queues",
	"create": "contents", "delete": "contents",
	"member": "members", "membership": "members", "team": "members", "organization": "members", "repository_ruleset": "metadata", "custom_property_values": "organization_custom_properties",
	"workflow_job": "actions", "workflow_run": "actions", "deployment_protection_rule": "deployments",
}

// ownersOnly are the actions that only the App which made the run or suite hears, subscribed or not, if it may write checks.
var ownersOnly = []string{"requested", "rerequested", "requested_action"}

// emit sends an event of a repository to every App that is installed there, subscribed and permitted.
func (s *Sim) emit(r *Repository, event, action string, by *User, body obj) {
	s.look(r)
	for _, i := range r.installations() {
		if slices.Contains(i.app.events, event) {
			s.emitTo(i, r, event, action, by, body)
		}
	}
}

// emitTo sends an event of a repository to one installation, if it is permitted.
func (s *Sim) emitTo(i *Installation, r *Repository, event, action string, by *User, body obj) {
	level := "read"
	if slices.Contains(ownersOnly, action) {
		level = "write"
	}
	if i.suspended || !i.allows(eventPermission[event], level) {
		return
	}
	full := maps.Clone(body)
	full["repository"] = r.payload()
	full["organization"] = i.org.summary()
	full["sender"] = by.json()
	full["installation"] = i.short()
	s.deliver(i.app, i, event, action, full)
}

// emitOrganization sends an event that belongs to no repository.
func (s *Sim) emitOrganization(o *Organization, event, action string, by *User, body obj) {
	s.lookAll(o)
	for _, i := range o.installs {
		if i.suspended || !slices.Contains(i.app.events, event) || !i.allows(eventPermission[event], "read") {
			continue
		}
		full := maps.Clone(body)
		full["organization"] = o.summary()
		full["sender"] = by.json()
		full["installation"] = i.short()
		s.deliver(i.app, i, event, action, full)
	}
}
