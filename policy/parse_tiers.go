package policy

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

const maxApprovals = 100

// tiers reads over the default's requirements, one tier at a time.
func (r *reader) tiers(v value, to map[ApprovalTier]Requirement) {
	var allowed []string
	for _, tier := range ApprovalTiers() {
		if tier != TierAuto {
			allowed = append(allowed, string(tier))
		}
	}
	entries, _ := r.entries(v)
	for _, e := range entries {
		switch tier := ApprovalTier(e.name); {
		case tier == TierAuto:
			r.lacking(e.value, "cannot be set: auto needs no approval; remove it, and list what needs review under classify")
		case !tier.Known():
			r.unknown(v, e, allowed)
		case !r.empty(e.value):
			to[tier] = r.requirement(e.value)
		}
	}
}

func (r *reader) requirement(v value) Requirement {
	var to Requirement
	given := r.mapping(v,
		field{"approvals", func(v value) { r.number(v, maxApprovals, &to.Approvals) }},
		field{"from", func(v value) { to.From = r.who(v) }},
	)
	if given != nil && !given["approvals"] {
		r.lacking(v, "does not say how many must approve; add `approvals: 1`")
	}
	if given != nil && !given["from"] {
		r.lacking(v, "does not say who may approve; add `from: {permission: write}`")
	}
	return to
}

// who reads a selection of people that stands in a mapping of its own.
func (r *reader) who(v value) Who {
	var to Who
	r.selection(v, &to)
	return to
}

// selection reads the fields that select people, and others beside them. A
// selection that is empty because its parts are wrong has its fault already.
func (r *reader) selection(v value, to *Who, beside ...field) {
	before := len(r.faults)
	r.mapping(v, append([]field{
		{"permission", func(v value) { r.permission(v, &to.Permission) }},
		{"teams", func(v value) { to.Teams = r.list(v, ignoreCase, r.team) }},
		{"users", func(v value) { to.Users = r.list(v, ignoreCase, r.login) }},
	}, beside...)...)
	if to.IsZero() && len(r.faults) == before {
		r.lacking(v, "selects nobody; name a permission, a team or a user")
	}
}

func (r *reader) permission(v value, to *Permission) {
	allowed := permissionNames[PermissionTriage:]
	var name string
	if literal, _ := scalar(v.node); literal == PermissionRead.String() {
		r.wrong(v, "must not be read, which everybody has on a public repository; use one of %s", strings.Join(allowed, ", "))
		return
	}
	r.choice(v, &name, allowed...)
	*to, _ = ParsePermission(name)
}

var teamPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (r *reader) team(v value) (string, bool) {
	s, ok := r.text(v)
	if ok && !teamPattern.MatchString(s) {
		r.wrong(v, "must be organization/team-slug, such as acme/security, not %s", quote(s))
		return "", false
	}
	return s, ok
}

func (r *reader) approval(v value, to *ApprovalRules) {
	r.mapping(v,
		field{"author", func(v value) { r.boolean(v, &to.Author) }},
		field{"committers", func(v value) { r.boolean(v, &to.Committers) }},
		field{"agents", func(v value) { r.boolean(v, &to.Agents) }},
		field{"on_push", func(v value) {
			r.choice(v, (*string)(&to.OnPush), string(OnPushDismiss), string(OnPushKeepIfUnchanged))
		}},
		field{"expires_after", func(v value) { r.duration(v, &to.ExpiresAfter) }},
	)
}

func (r *reader) killSwitch(v value, to *KillSwitchRules) {
	r.mapping(v,
		field{"label", func(v value) { r.switchLabel(v, &to.Label) }},
		field{"activate", func(v value) { to.Activate = r.who(v) }},
		field{"deactivate", func(v value) { to.Deactivate = r.release(v) }},
		field{"merge_queue", func(v value) {
			r.choice(v, (*string)(&to.MergeQueue), string(QueueHalt), string(QueuePause), string(QueueDrain))
		}},
		field{"cancel_workflows", func(v value) { r.boolean(v, &to.CancelWorkflows) }},
	)
}

// release reads who may lift the switch: a selection with a number beside it.
func (r *reader) release(v value) Requirement {
	to := Requirement{Approvals: 1}
	r.selection(v, &to.From, field{"approvals", func(v value) { r.number(v, maxApprovals, &to.Approvals) }})
	return to
}

// maxSwitchLabel leaves room for -agents within GitHub's 50 characters.
const maxSwitchLabel = 50 - len("-agents")

func (r *reader) switchLabel(v value, to *string) {
	s, ok := r.text(v)
	switch {
	case !ok:
	case strings.ContainsAny(s, "/%?#,"):
		// GitHub takes a list of labels to filter by with commas between them.
		r.wrong(v, "is %s, but the label's name is part of an address; remove the characters / %% ? # ,", quote(s))
	case utf8.RuneCountInString(s) > maxSwitchLabel:
		r.wrong(v, "is longer than %d characters, which leaves no room for -agents; shorten it", maxSwitchLabel)
	default:
		*to = s
	}
}
