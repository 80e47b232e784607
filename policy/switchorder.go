package policy

import (
	"slices"
	"strings"
)

// SwitchOrder is what a /killswitch command asks for.
type SwitchOrder struct {
	// Verb says whether to stop, to start again, or only to tell.
	Verb SwitchVerb
	// Scope is what is to be stopped or started; empty if the command does not say.
	Scope SwitchScope
	// Reason is the rest of the line; it may be empty.
	Reason string
}

// SwitchVerb is what is to be done to the switch.
type SwitchVerb string

// The verbs of /killswitch. To stop is the one that needs no word.
const (
	SwitchOn     SwitchVerb = "on"
	SwitchOff    SwitchVerb = "off"
	SwitchStatus SwitchVerb = "status"
)

// SwitchScope is the word for what is to be stopped.
type SwitchScope string

// The words for scopes.
const (
	SwitchPullRequest  SwitchScope = "pr"
	SwitchRepository   SwitchScope = "repo"
	SwitchOrganization SwitchScope = "org"
	SwitchAgents       SwitchScope = "agents"
)

var switchScopes = []SwitchScope{SwitchPullRequest, SwitchRepository, SwitchOrganization, SwitchAgents}

// SwitchOrder reads the words after /killswitch. Whatever is not clearly something
// else is a reason to stop.
func (c Command) SwitchOrder() SwitchOrder {
	order, rest := SwitchOrder{Verb: SwitchOn}, c.Args
	first := func() string {
		if len(rest) == 0 {
			return ""
		}
		return strings.ToLower(rest[0])
	}
	switch {
	case first() == string(SwitchStatus) && len(rest) == 1:
		return SwitchOrder{Verb: SwitchStatus}
	case first() == string(SwitchOff):
		order.Verb, rest = SwitchOff, rest[1:]
	case first() == string(SwitchOn):
		rest = rest[1:]
	}
	if scope := SwitchScope(first()); slices.Contains(switchScopes, scope) {
		order.Scope, rest = scope, rest[1:]
	}
	order.Reason = strings.Join(rest, " ")
	return order
}
