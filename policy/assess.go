package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Assessment is what the change itself asks for, before anybody has approved
// it.
type Assessment struct {
	Tier ApprovalTier
	// Requirements must all be met; there is more than one only if several policy
	// files govern the pull request and ask for different things.
	Requirements []Requirement
	Score        Score
	// Reasons say which rules put the change in this tier, the deciding ones first.
	Reasons []Reason
	// electors are all whose approval one of the files asks for, also where another
	// requirement includes it: they may reject.
	electors []Who
	// own are the tiers that each file sees.
	own [][]ApprovalTier
}

// Reason is one rule's demand.
type Reason struct {
	Tier ApprovalTier
	Why  string
}

// Assess classifies the change under all the files that govern it: the tier is
// the highest that one of them sees, and what each of them asks for must be met.
// policyPath is where the policy file stands, a protected path. The error is a
// [*ComplexityRangeError] and cannot occur with a score of [ScoreComplexity]; it
// is returned so that nobody reads a tier that was not computed.
func Assess(files []PolicyFile, policyPath string, s Snapshot) (Assessment, error) {
	joined := Assessment{Tier: TierAuto}
	own := make([][]ApprovalTier, len(files))
	for i, file := range files {
		one, err := assessUnder(file, policyPath, s)
		if err != nil {
			return Assessment{}, err
		}
		own[i] = []ApprovalTier{one.Tier}
		joined.Tier = HigherTier(joined.Tier, one.Tier)
		if one.Score.Value > joined.Score.Value {
			joined.Score = one.Score
		}
		for _, reason := range one.Reasons {
			if !slices.Contains(joined.Reasons, reason) {
				joined.Reasons = append(joined.Reasons, reason)
			}
		}
	}
	joined.own = own
	joined.Requirements, joined.electors = joinRequirements(files, own, joined.Tier)
	joined.Reasons = decidingFirst(joined.Tier, joined.Reasons)
	return joined, nil
}

// assessUnder classifies the change under one file.
func assessUnder(file PolicyFile, policyPath string, s Snapshot) (Assessment, error) {
	security := securityReasons(file, policyPath, s)
	infrastructure := file.Classify.Infrastructure.first(s)
	score := ScoreComplexity(file.Classify, s, len(security) > 0)

	tier, err := ClassifyApprovalTier(ApprovalClassificationInput{
		ComplexityScore:      score.Value,
		SecuritySensitive:    len(security) > 0,
		InfrastructureChange: infrastructure != "",
	})
	if err != nil {
		return Assessment{}, fmt.Errorf("classify %s: %w", s.PullRequest.Ref, err)
	}

	var reasons []Reason
	for _, why := range security {
		reasons = append(reasons, Reason{TierSecurityReview, "security-sensitive: " + why})
	}
	if infrastructure != "" {
		reasons = append(reasons, Reason{TierTeamLead, "infrastructure: " + infrastructure})
	}
	reasons = append(reasons, Reason{tierOfScore(score.Value), fmt.Sprintf("complexity %d of %d", score.Value, MaxComplexity)})
	for _, floor := range floors(file.Classify.Agents, s) {
		reasons = append(reasons, floor)
		tier = HigherTier(tier, floor.Tier)
	}
	return Assessment{Tier: tier, Score: score, Reasons: reasons}, nil
}

// securityReasons lists why the change is security-sensitive.
func securityReasons(file PolicyFile, policyPath string, s Snapshot) []string {
	var reasons []string
	protected := Match{Paths: protectedPaths(policyPath)}
	if why := protected.first(s); why != "" {
		reasons = append(reasons, why+" (always protected)")
	}
	if why := file.Classify.SecuritySensitive.first(s); why != "" {
		reasons = append(reasons, why)
	}
	return reasons
}

// floors are the demands that do not come from the content of the change: who
// made it, and what could not be read about that.
func floors(agents Agents, s Snapshot) []Reason {
	var found []Reason
	for _, evidence := range agents.Evidence(s) {
		found = append(found, Reason{agents.MinimumTier, "made by an agent: " + evidence})
	}
	if !s.PullRequest.Author.Known() {
		found = append(found, Reason{TierPeerReview, "the author of the pull request is not known"})
	}
	for _, commit := range s.Commits {
		if !commit.Author.Known() || !commit.Committer.Known() {
			found = append(found, Reason{TierPeerReview, "commit " + shortSHA(commit.SHA) + " is by an e-mail address that belongs to no account"})
			break
		}
	}
	return found
}

// decidingFirst moves the reasons that demand the tier to the front.
func decidingFirst(tier ApprovalTier, reasons []Reason) []Reason {
	sorted := make([]Reason, 0, len(reasons))
	for _, r := range reasons {
		if r.Tier == tier {
			sorted = append(sorted, r)
		}
	}
	for _, r := range reasons {
		if r.Tier != tier {
			sorted = append(sorted, r)
		}
	}
	return sorted
}

// first says what in the pull request matches, or returns "".
func (m Match) first(s Snapshot) string {
	globs := newGlobs(m.Paths)
	for _, file := range s.Files {
		for _, p := range file.paths() {
			if glob := globs.first(p); glob != "" {
				return p + " matches " + glob
			}
		}
	}
	for _, label := range s.PullRequest.Labels {
		if containsFold(m.Labels, label) {
			return "label " + label + s.offBy[strings.ToLower(label)]
		}
	}
	return ""
}
