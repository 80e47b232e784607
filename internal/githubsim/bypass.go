package githubsim

import "slices"

// MergeQueueApp is the App as which GitHub's own merge queue moves branches.
const MergeQueueApp = 262318

// mergeQueue is that App as an actor.
var mergeQueue = actor{app: &App{id: MergeQueueApp}}

// bypassActor is who may pass a ruleset.
type bypassActor struct {
	ActorID    *int64 `json:"actor_id"`
	ActorType  string `json:"actor_type"`
	BypassMode string `json:"bypass_mode"`
}

// unknown says whether it is a kind of bypass that the simulator does not have.
func (b bypassActor) unknown() bool {
	kinds := []string{"Integration", "OrganizationAdmin", "Team", "User"}
	needsID := b.ActorType != "OrganizationAdmin"
	return !slices.Contains(kinds, b.ActorType) || needsID && b.ActorID == nil || !slices.Contains([]string{"", "always", "exempt"}, b.BypassMode)
}

// is says whether it is that actor.
func (b bypassActor) is(o *Organization, a actor) bool {
	if a.app != nil { // an installation acts as its App, whatever its bot is
		return b.ActorType == "Integration" && *b.ActorID == a.app.id
	}
	if a.user == nil {
		return false
	}
	switch b.ActorType {
	case "User":
		return *b.ActorID == a.user.id
	case "OrganizationAdmin":
		return o != nil && o.owners[a.user.id]
	case "Team":
		for _, t := range o.allTeams() {
			if t.id == *b.ActorID && t.members[a.user.id] != nil {
				return true
			}
		}
	}
	return false
}

func (o *Organization) allTeams() map[string]*Team {
	if o == nil {
		return nil
	}
	return o.teams
}

// place is the organization that a ruleset belongs to, or whose repository it belongs to; nil for a person's.
func (rs *ruleset) place() *Organization {
	if rs.repo != nil {
		return rs.repo.org
	}
	return rs.org
}

func (rs *ruleset) bypassedBy(a actor) bool {
	return slices.ContainsFunc(rs.bypass, func(b bypassActor) bool { return b.is(rs.place(), a) })
}
