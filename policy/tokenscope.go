package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tokenPermissions are the repository permissions of GitHub Apps that an installation
// token may be lent with, each with the highest level. What lets its holder get more is
// not among them: administration, secrets, environments, actions variables and workflows
// of the repository, and whatever is the organization's. What a gate goes by is only to
// be read, since the token acts in the App's own name: checks, statuses, deployments,
// and issues and pull requests, whose labels are the kill switch. Nor are those among
// them that go-github v60 has no field for, by which they are asked for, as attestations
// and discussions.
var tokenPermissions = map[string]string{
	"actions": "read", "checks": "read", "contents": "write", "deployments": "read", "issues": "read", "metadata": "read", "packages": "write",
	"pages": "write", "pull_requests": "read", "repository_projects": "write", "security_events": "read", "statuses": "read",
}

// TokenPermission reads a scope of an installation token, as contents:read. It is an
// error for one that GitHub does not have, and for one by which its holder could get
// more than it was lent.
func TokenPermission(scope string) (name, level string, _ error) {
	name, level, _ = strings.Cut(scope, ":")
	highest, known := tokenPermissions[name]
	switch {
	case !known:
		return "", "", fmt.Errorf("%s is not a permission that a token may be lent with; those are %s", quote(scope), strings.Join(slices.Sorted(maps.Keys(tokenPermissions)), ", "))
	case level == "read", level == "write" && highest == "write":
		return name, level, nil
	case level == "write":
		return "", "", fmt.Errorf("%s would let its holder get more than it was lent; %s:read may be lent", quote(scope), name)
	default:
		return "", "", fmt.Errorf("%s has no level; say %s:read", quote(scope), name)
	}
}
