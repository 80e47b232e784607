package policy

import (
	"slices"
	"strings"
)

// Place is where a policy file stands or would stand.
type Place struct {
	// Repository is "owner/name".
	Repository string
	Branch     string
	Path       string
	// Organization is true of the organization's own file, the floor of all its
	// repositories.
	Organization bool
}

func (p Place) String() string {
	if p.Organization {
		return p.Path + " of " + p.Repository
	}
	return p.Path + " on " + p.Branch
}

// PolicyText is a policy file as GitHub showed it.
type PolicyText struct {
	Place
	// Commit is the tip of the branch at which it was read.
	Commit string
	// Content is nil only if it is certain that there is no file.
	Content []byte
}

// PolicySource is a policy file as it was found.
type PolicySource struct {
	Place
	// Present is false if there is no file.
	Present bool
	// File is the parsed file; the zero file if there is none or it has a fault.
	File PolicyFile
	// Fault is why the file cannot be used; nil if it can.
	Fault error
	// Repaired is true if the pull request replaces a broken file with one that
	// can be used.
	Repaired bool
}

// LoadPolicy parses a policy file.
func LoadPolicy(text PolicyText) PolicySource {
	source := PolicySource{Place: text.Place, Present: text.Content != nil}
	if source.Present {
		source.File, source.Fault = ParsePolicyFile(text.Path, text.Content)
	}
	return source
}

// UnknownTeamsError is the fault of a policy that names teams which do not exist
// or which the App may not see.
type UnknownTeamsError struct{ Teams []string }

func (e *UnknownTeamsError) Error() string {
	return "it names the team " + strings.Join(e.Teams, ", ") + ", which does not exist or which the App may not see"
}

// Teams lists every team that the file names, each once.
func (f PolicyFile) Teams() []string {
	teams := append(slices.Clone(f.KillSwitch.Activate.Teams), f.KillSwitch.Deactivate.From.Teams...)
	for _, requirement := range f.Tiers {
		teams = append(teams, requirement.From.Teams...)
	}
	slices.Sort(teams)
	return slices.Compact(teams)
}

// governing are the policies that hold together: every file that is there, the
// built-in policy in the place of a broken one, and the built-in policy alone
// if there is no file at all. What one of them forbids, no other allows.
func (in Input) governing() []PolicyFile {
	var files []PolicyFile
	for _, source := range in.Policies {
		switch {
		case source.Fault != nil:
			files = append(files, DefaultPolicy())
		case source.Present:
			files = append(files, source.File)
		}
	}
	if len(files) == 0 {
		files = append(files, DefaultPolicy())
	}
	return files
}

// fault says why a governing file cannot be used, or returns "".
func (in Input) fault() string {
	for _, source := range in.Policies {
		if source.Fault != nil && !source.Repaired {
			whose := "the policy"
			if source.Organization {
				whose = "the organization's policy in " + source.Repository
			}
			return whose + " cannot be used: " + source.Fault.Error()
		}
	}
	return ""
}

func (in Input) repaired() bool {
	return slices.ContainsFunc(in.Policies, func(s PolicySource) bool { return s.Repaired })
}

// path is where repositories keep their policy file.
func (in Input) path() string {
	for _, source := range in.Policies {
		if source.Path != "" {
			return source.Path
		}
	}
	return DefaultPath
}

// describe names the files that hold.
func (in Input) describe() string {
	var names []string
	for _, source := range in.Policies {
		switch {
		case source.Fault != nil:
			names = append(names, "the default policy, because "+source.String()+" is broken")
		case source.Present:
			names = append(names, source.String())
		}
	}
	if len(names) > 0 {
		return strings.Join(names, "; and ")
	}
	for _, source := range in.Policies {
		if !source.Organization {
			return "the default policy, because there is no " + source.String()
		}
	}
	return "the default policy"
}

// joinRules is the strictest of the files' rules on approvals.
func joinRules(files []PolicyFile) ApprovalRules {
	joined := files[0].Approval
	for _, file := range files[1:] {
		rules := file.Approval
		joined.Author = joined.Author && rules.Author
		joined.Committers = joined.Committers && rules.Committers
		joined.Agents = joined.Agents && rules.Agents
		if rules.OnPush != OnPushKeepIfUnchanged {
			joined.OnPush = rules.OnPush
		}
		if joined.ExpiresAfter == 0 || (rules.ExpiresAfter != 0 && rules.ExpiresAfter < joined.ExpiresAfter) {
			joined.ExpiresAfter = rules.ExpiresAfter
		}
	}
	return joined
}

// joinAgents regards as an agent whatever one of the files regards as one. It has
// no minimum tier: each file asks for its own.
func joinAgents(files []PolicyFile) Agents {
	var joined Agents
	for _, file := range files {
		agents := file.Classify.Agents
		joined.Users = append(joined.Users, agents.Users...)
		joined.Branches = append(joined.Branches, agents.Branches...)
	}
	return joined
}

// joinRequirements lists what the files ask for together: each its requirement
// for the tiers that it sees itself, and for the tier that holds, in case that
// asks for less. What another requirement includes is left out; electors are the
// people of all of them.
func joinRequirements(files []PolicyFile, own [][]ApprovalTier, holds ApprovalTier) (kept []Requirement, electors []Who) {
	var all []Requirement
	for i, file := range files {
		for _, tier := range append([]ApprovalTier{holds}, own[i]...) {
			if tier != TierAuto {
				all = append(all, file.Tiers[tier])
				electors = append(electors, file.Tiers[tier].From)
			}
		}
	}
	for i, r := range all {
		included := slices.ContainsFunc(all[:i], func(o Requirement) bool { return o.includes(r) }) ||
			slices.ContainsFunc(all[i+1:], func(o Requirement) bool { return o.includes(r) && !r.includes(o) })
		if !included {
			kept = append(kept, r)
		}
	}
	return kept, electors
}

// includes reports whether whatever meets r also meets other.
func (r Requirement) includes(other Requirement) bool {
	return r.Approvals >= other.Approvals && r.From.within(other.From)
}

// within reports whether everybody whom w selects is selected by other as well.
func (w Who) within(other Who) bool {
	if w.Permission != PermissionNone && (other.Permission == PermissionNone || w.Permission < other.Permission) {
		return false
	}
	for _, team := range w.Teams {
		if !containsFold(other.Teams, team) {
			return false
		}
	}
	for _, user := range w.Users {
		if !containsFold(other.Users, user) {
			return false
		}
	}
	return true
}
