package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// LaunchRequest is somebody who asks for a sandbox on a pull request.
type LaunchRequest struct {
	// By is who asks; the zero Actor: the policy does, by its `start`.
	By Actor
	// Provider is where it is asked for; empty: where the policy says.
	Provider string
}

// Launch is what sandbox may run on a pull request's head, or why none may. The zero
// Launch starts nothing.
type Launch struct {
	// Rule is what the governing files allow together; its tier is the highest of theirs.
	Rule    SandboxRules
	HeadSHA string
	// ByAgent is true if there is evidence that an agent took part in the change.
	ByAgent bool
	// ApprovedBy are the people whose approval of the head counts for it.
	ApprovedBy []Actor
	// Policy names the files that held.
	Policy string
	// Granted is true if it may run now.
	Granted bool
	// Why says in a sentence why it may not; Waits is true if that may change without
	// anybody asking anew: approvals are missing, or a kill switch is on.
	Why   string
	Waits bool
}

// LaunchSandbox judges whether a sandbox may run on the pull request: an open one that
// nobody rejected and no kill switch reaches, for somebody who may write, with the
// approvals of the sandbox's tier for the head. A fork's may too: nothing is in a sandbox
// that the fork has not.
func LaunchSandbox(in Input, request LaunchRequest) Launch {
	l := Launch{HeadSHA: in.Snapshot.PullRequest.HeadSHA, Policy: in.describe()}
	j, rule, why := in.launcher(request)
	if l.Rule = rule; why != "" {
		l.Why, l.Waits = why, why == in.stopped()
		return l
	}
	l.ByAgent = j.byAgent
	if request.By.Known() {
		l.Why = j.mayAsk(request.By, "a sandbox")
	} else if rule.Start != StartForAgents || !l.ByAgent {
		l.Why = "nobody asked for it, and the policy starts none here by itself"
	}
	if l.Why != "" {
		return l
	}
	counted := j.tally(Decision{Assessment: j.assessment})
	switch {
	case counted.Fault != "":
		l.Why = counted.Fault
	case len(counted.Rejections) > 0:
		l.Why = rejectionSentence(counted.Rejections[0])
	case counted.Status != StatusApproved:
		l.Waits, l.Why = true, string(rule.Tier)+": "+counted.approvalsMissing()
	default:
		l.Granted = true
		for _, c := range counted.Counted {
			l.ApprovedBy = append(l.ApprovedBy, c.Vote.By)
		}
	}
	return l
}

// LaunchQuestions lists what [LaunchSandbox] will look up in Standings and Unchanged.
func (in Input) LaunchQuestions(request LaunchRequest) Questions {
	j, _, why := in.launcher(request)
	if why != "" {
		return Questions{}
	}
	q := j.questions()
	if request.By.Known() {
		q.People = append(q.People, in.Snapshot.Current(request.By))
		q.Asks.Permission = true
	}
	return q
}

// startsSandbox reports whether the policy has one started without being asked.
func (in Input) startsSandbox() bool {
	rule, _, why := in.joinSandbox()
	return why == "" && rule.Start == StartForAgents && LaunchSandbox(in, LaunchRequest{}).Granted
}

// launcher is a judge of what the sandbox's tier asks for, with what may run at most; why
// says why nothing may.
func (in Input) launcher(request LaunchRequest) (j *judge, rule SandboxRules, why string) {
	by := request.By
	if !by.Known() {
		by = in.Snapshot.PullRequest.Author // nobody asks, and nobody's rights are needed
	}
	if why := in.withheld(by, "nothing is started"); why != "" {
		return nil, rule, why
	}
	rule, tiers, why := in.joinSandbox()
	if why == "" && request.Provider != "" && request.Provider != rule.Provider {
		why = "the policy has sandboxes run on " + rule.Provider + ", not on " + quote(request.Provider)
	}
	if why != "" {
		return nil, rule, why
	}
	j, why = in.electorate(tiers, rule.Tier)
	return j, rule, why
}

// joinSandbox is what the policies allow together, each file with its own tier. All of
// the repository's files say the same of where and what runs; the organization's, if it
// says something, is a ceiling, and if they say nothing holds for them.
func (in Input) joinSandbox() (joined SandboxRules, tiers [][]ApprovalTier, why string) {
	listed := slices.ContainsFunc(in.Policies, func(s PolicySource) bool { return !s.Organization && s.File.Sandbox != nil })
	var joining *SandboxRules
	image := "" // the repository's own
	var own *SandboxRules
	for _, source := range in.Policies {
		if source.Present {
			tiers = append(tiers, []ApprovalTier{TierAuto})
		}
		rule := source.File.Sandbox
		switch {
		case rule == nil && (source.Organization || !listed):
			continue
		case rule == nil:
			return joined, nil, source.String() + " allows no sandboxes; add `sandbox:` there"
		case joining == nil:
			first := *rule
			joining = &first
		case !source.Organization && own != nil && !maps.Equal(own.Credentials, rule.Credentials):
			return joined, nil, "the policies that hold here give different credentials to a sandbox"
		case joining.Provider != rule.Provider, !source.Organization && image != "" && image != rule.Image:
			return joined, nil, "the policies that hold here say different things of what runs in a sandbox, and where"
		}
		if !source.Organization {
			image, joining.Image, joining.Credentials, own = rule.Image, rule.Image, rule.Credentials, rule
		}
		tiers[len(tiers)-1] = []ApprovalTier{rule.Tier}
		if why := joining.tighten(*rule); why != "" {
			return joined, nil, why
		}
	}
	if joining == nil {
		return joined, nil, "the policy allows no sandboxes; add `sandbox:` to it"
	}
	return *joining, tiers, ""
}

// tighten leaves what both allow, and says why nothing is left if that is so.
func (r *SandboxRules) tighten(other SandboxRules) (why string) {
	r.Tier = HigherTier(r.Tier, other.Tier)
	if other.Start != StartForAgents {
		r.Start = other.Start
	}
	mine, theirs := &r.Constraints, other.Constraints
	mine.MemoryMB, mine.CPUPercent, mine.DiskMB = lower(mine.MemoryMB, theirs.MemoryMB), lower(mine.CPUPercent, theirs.CPUPercent), lower(mine.DiskMB, theirs.DiskMB)
	mine.Timeout = min(mine.Timeout, theirs.Timeout)
	named := len(mine.Egress) > 0 && len(theirs.Egress) > 0
	mine.Network, mine.Egress = narrower(*mine, theirs)
	if named && len(mine.Egress) == 0 {
		return "the policies that hold here have no host in common that a sandbox may reach"
	}
	if mine.Runtime != "" && theirs.Runtime != "" && mine.Runtime != theirs.Runtime {
		return "the policies that hold here want a sandbox isolated by " + mine.Runtime + " and by " + theirs.Runtime
	}
	mine.Runtime = cmp.Or(mine.Runtime, theirs.Runtime)
	switch {
	case len(mine.AllowedPaths) == 0:
		mine.AllowedPaths = theirs.AllowedPaths
	case len(theirs.AllowedPaths) > 0:
		mine.AllowedPaths = common(mine.AllowedPaths, theirs.AllowedPaths, isAtOrBelow)
		if len(mine.AllowedPaths) == 0 {
			return "the policies that hold here have no path in common that a sandbox may write"
		}
	}
	return ""
}

// narrower is the network that both allow.
func narrower(a, b SandboxConstraints) (network string, egress []string) {
	switch {
	case a.Network == "full":
		return b.Network, b.Egress
	case b.Network == "full":
		return a.Network, a.Egress
	case a.Network == "none" || b.Network == "none":
		return "none", nil
	default:
		return "egress-only", common(a.Egress, b.Egress, isWithin)
	}
}

// common is what of the one list is within something of the other.
func common(a, b []string, within func(narrow, wide string) bool) []string {
	var both []string
	for _, lists := range [][2][]string{{a, b}, {b, a}} {
		for _, one := range lists[0] {
			if !slices.Contains(both, one) && slices.ContainsFunc(lists[1], func(wide string) bool { return within(one, wide) }) {
				both = append(both, one)
			}
		}
	}
	return both
}

func isAtOrBelow(narrow, wide string) bool {
	return narrow == wide || strings.HasPrefix(narrow, strings.TrimSuffix(wide, "/")+"/")
}

// isWithin reports whether whatever the one host matches the other does too. Both were
// parsed before.
func isWithin(narrow, wide string) bool {
	n, errN := ParseEgressHost(narrow)
	w, errW := ParseEgressHost(wide)
	return errN == nil && errW == nil && w.covers(n)
}

// lower is the lower of two limits, of which zero is none.
func lower(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
