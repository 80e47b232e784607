package policy

import (
	"strings"
	"time"
)

// PolicyFile is the policy file, `.github/portcullis.yml` on the base branch, as
// [ParsePolicyFile] returns it: every field filled in, by the file or by the default
// policy. The type is the manual of the format.
type PolicyFile struct {
	// Classify says what makes a change sensitive or complex.
	Classify Classify
	// Tiers says for each tier but auto who must approve. A tier that the file
	// leaves out keeps the default policy's requirement.
	Tiers map[ApprovalTier]Requirement
	// Approval says whose approvals count and for how long.
	Approval ApprovalRules
	// KillSwitch says who may stop and who may start again.
	KillSwitch KillSwitchRules
	// Credentials are the just-in-time credentials that may be asked for, by name.
	Credentials map[string]CredentialRule
	// Sandbox says what a sandbox is and who may start one; nil: none may be.
	Sandbox *SandboxRules
}

// Classify holds the rules that look at what a pull request changes. Paths are
// doublestar globs matched against the whole path; a renamed file is looked at
// under both of its names.
type Classify struct {
	SecuritySensitive Match
	Infrastructure    Match
	APIChange         Match
	DatabaseMigration Match
	Agents            Agents
}

// Match is true of a pull request if any of its changed paths matches a glob or
// any of its labels is listed. Labels compare without regard to case, as on
// GitHub.
type Match struct {
	Paths  []string
	Labels []string
}

// Agents says which pull requests count as made by an agent, beyond the
// built-in list and all bots, and how much review they need at least.
type Agents struct {
	// Users are logins.
	Users []string
	// Branches are globs on the head branch.
	Branches []string
	// MinimumTier is never unknown in a parsed file; the default is peer-review.
	MinimumTier ApprovalTier
}

// Requirement is what a tier asks for: so many approvals, each by a different
// person out of From.
type Requirement struct {
	Approvals int
	From      Who
}

// Who selects people. A person is selected who has at least the permission, or
// is an active member of one of the teams, or is one of the users: any one of
// them is enough. The zero Who selects nobody.
type Who struct {
	Permission Permission
	// Teams are `organization/team-slug`.
	Teams []string
	// Users are logins.
	Users []string
}

// IsZero reports whether nobody is selected.
func (w Who) IsZero() bool {
	return w.Permission == PermissionNone && len(w.Teams) == 0 && len(w.Users) == 0
}

// String tells in words whom w selects: "acme/leads, alice or anyone with write".
func (w Who) String() string {
	parts := append(append([]string{}, w.Teams...), w.Users...)
	if w.Permission != PermissionNone {
		parts = append(parts, "anyone with "+w.Permission.String())
	}
	switch len(parts) {
	case 0:
		return "nobody"
	case 1:
		return parts[0]
	default:
		return strings.Join(parts[:len(parts)-1], ", ") + " or " + parts[len(parts)-1]
	}
}

// Permission is a role in a repository; a higher one includes the lower ones.
type Permission int

// GitHub's repository roles. A custom role counts as the built-in one it
// extends.
const (
	PermissionNone Permission = iota
	PermissionRead
	PermissionTriage
	PermissionWrite
	PermissionMaintain
	PermissionAdmin
)

var permissionNames = []string{"none", "read", "triage", "write", "maintain", "admin"}

func (p Permission) String() string {
	if p < PermissionNone || p > PermissionAdmin {
		return permissionNames[PermissionNone]
	}
	return permissionNames[p]
}

// ParsePermission reads a role's name as the policy file and GitHub spell it.
func ParsePermission(name string) (Permission, bool) {
	for i, known := range permissionNames {
		if known == name {
			return Permission(i), true
		}
	}
	return PermissionNone, false
}

// OnPush says what a push does to the approvals given before it.
type OnPush string

// The choices for on_push.
const (
	// OnPushDismiss makes every approval stale; the default.
	OnPushDismiss OnPush = "dismiss"
	// OnPushKeepIfUnchanged keeps them if the change itself is the same, as
	// after a rebase.
	OnPushKeepIfUnchanged OnPush = "keep-if-unchanged"
)

// ApprovalRules says whose approvals count and for how long.
type ApprovalRules struct {
	// Author: may the author of the pull request approve it.
	Author bool
	// Committers: may somebody approve who committed to it.
	Committers bool
	// Agents: may bots and agents approve.
	Agents bool
	OnPush OnPush
	// ExpiresAfter is how long an approval counts; never zero in a parsed file.
	ExpiresAfter time.Duration
}

// KillSwitchRules says who may throw the switch, and who may lift it.
type KillSwitchRules struct {
	Label      string
	Activate   Who
	Deactivate Requirement
	// MergeQueue is what happens to entries of merge queues.
	MergeQueue QueueMode
	// CancelWorkflows is true if runs of workflows on agents' branches are cancelled.
	CancelWorkflows bool
}

// CredentialProvider is what makes a credential.
type CredentialProvider string

// The providers. The default is opaque: a random token that is accepted as long as
// Portcullis says so.
const (
	ProviderOpaque            CredentialProvider = "opaque"
	ProviderInstallationToken CredentialProvider = "installation-token"
	ProviderLend              CredentialProvider = "lend"
	ProviderVault             CredentialProvider = "vault"
)

// CredentialRule is one credential that may be lent.
type CredentialRule struct {
	// Secret is the name of the repository or environment secret.
	Secret   string
	Provider CredentialProvider
	// Scope is what it is for, in the words of whoever takes it: never empty in a
	// parsed file.
	Scope []string
	// TTL is how long it is lent at most.
	TTL time.Duration
	// Environment is the one whose jobs get it; empty: the repository's.
	Environment string
	// Source is what is lent: the name in the secret store, or the path at Vault.
	Source string
	// Tier is the approval that lending it needs.
	Tier ApprovalTier
}

// Secrets are the names of the secrets that it is lent through: with several fields of
// Vault's, one for each.
func (r CredentialRule) Secrets() []string {
	if r.Provider != ProviderVault {
		return []string{r.Secret}
	}
	source, err := ParseVaultSource(r.Source)
	if err != nil || len(source.Endings()) == 0 {
		return []string{r.Secret}
	}
	names := make([]string, 0, len(source.Fields))
	for _, ending := range source.Endings() {
		names = append(names, r.Secret+"_"+ending)
	}
	return names
}

// Caveat is what whoever approves a loan is to know of it, as a sentence; empty: nothing.
func (r CredentialRule) Caveat() string {
	if r.Provider != ProviderLend {
		return ""
	}
	return "it cannot be taken back once it is lent: change it at its source afterwards"
}

// SandboxRules says what a sandbox may do.
type SandboxRules struct {
	Provider    string
	Image       string
	Constraints SandboxConstraints
	// Tier is the approval that starting one needs.
	Tier ApprovalTier
	// Start says when one is started without being asked for.
	Start SandboxStart
	// Credentials are given on the way to a host, by its name: those of the file's names of
	// credentials. The sandbox does not have them.
	Credentials map[string]string
}

// SandboxStart is when a sandbox is started.
type SandboxStart string

// When a sandbox is started: when somebody asks for it, the default, or also on each head
// of a pull request in which an agent takes part.
const (
	StartOnRequest SandboxStart = "on-request"
	StartForAgents SandboxStart = "agents"
)

// SandboxConstraints bound a sandbox; zero means the provider's default.
type SandboxConstraints struct {
	MemoryMB   int
	CPUPercent int
	DiskMB     int
	// Network is none, egress-only or full.
	Network string
	// Egress are the hosts that egress-only reaches.
	Egress       []string
	Timeout      time.Duration
	AllowedPaths []string
	// Runtime is what must isolate it; empty: what the operator has chosen.
	Runtime string
}
