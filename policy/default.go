package policy

import (
	_ "embed"
	"maps"
	"slices"
	"sync"
)

//go:embed default.yml
var defaultYAML []byte

// builtIn is the embedded file, parsed over nothing: it must say everything.
var builtIn = sync.OnceValue(func() PolicyFile {
	file, err := parsePolicy("default.yml", defaultYAML, PolicyFile{Tiers: map[ApprovalTier]Requirement{}})
	if err != nil {
		panic("policy: the built-in policy file: " + err.Error())
	}
	return file
})

// DefaultPolicy is the policy of a repository that has no policy file, and of
// the fields that a file leaves out. The caller may change what it gets.
func DefaultPolicy() PolicyFile {
	file := builtIn()
	for _, m := range []*Match{
		&file.Classify.SecuritySensitive, &file.Classify.Infrastructure,
		&file.Classify.APIChange, &file.Classify.DatabaseMigration,
	} {
		m.Paths, m.Labels = slices.Clone(m.Paths), slices.Clone(m.Labels)
	}
	file.Classify.Agents.Users = slices.Clone(file.Classify.Agents.Users)
	file.Classify.Agents.Branches = slices.Clone(file.Classify.Agents.Branches)
	file.Tiers = maps.Clone(file.Tiers)
	for tier, requirement := range file.Tiers {
		requirement.From = requirement.From.clone()
		file.Tiers[tier] = requirement
	}
	file.KillSwitch.Activate = file.KillSwitch.Activate.clone()
	file.KillSwitch.Deactivate.From = file.KillSwitch.Deactivate.From.clone()
	return file
}

func (w Who) clone() Who {
	w.Teams, w.Users = slices.Clone(w.Teams), slices.Clone(w.Users)
	return w
}
