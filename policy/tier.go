package policy

import (
	"cmp"
	"fmt"
)

// ApprovalTier says how much human review a pull request needs. The zero value
// is unknown, and unknown ranks above every known tier: nobody can satisfy it.
type ApprovalTier string

// The tiers, from the least review to the most.
const (
	TierAuto           ApprovalTier = "auto"
	TierPeerReview     ApprovalTier = "peer-review"
	TierTeamLead       ApprovalTier = "team-lead"
	TierSecurityReview ApprovalTier = "security-review"
)

// ApprovalTiers lists the known tiers in ascending order.
func ApprovalTiers() []ApprovalTier {
	return []ApprovalTier{TierAuto, TierPeerReview, TierTeamLead, TierSecurityReview}
}

// Known reports whether t is one of the four tiers.
func (t ApprovalTier) Known() bool { return t.rank() <= rankSecurityReview }

const (
	rankAuto = iota
	rankPeerReview
	rankTeamLead
	rankSecurityReview
	rankUnknown
)

func (t ApprovalTier) rank() int {
	switch t {
	case TierAuto:
		return rankAuto
	case TierPeerReview:
		return rankPeerReview
	case TierTeamLead:
		return rankTeamLead
	case TierSecurityReview:
		return rankSecurityReview
	default:
		return rankUnknown
	}
}

// CompareTiers is negative if a asks for less review than b, positive if it
// asks for more, and zero if they ask for the same. An unknown tier asks for
// more than any known one.
func CompareTiers(a, b ApprovalTier) int { return cmp.Compare(a.rank(), b.rank()) }

// HigherTier returns the stricter of the two.
func HigherTier(a, b ApprovalTier) ApprovalTier {
	if CompareTiers(a, b) >= 0 {
		return a
	}
	return b
}

// The bounds of a complexity score, both included.
const (
	MinComplexity = 1
	MaxComplexity = 10
)

// ApprovalClassificationInput is what a tier is chosen from.
type ApprovalClassificationInput struct {
	// ComplexityScore is between MinComplexity and MaxComplexity; see
	// [ScoreComplexity] for how Portcullis computes it.
	ComplexityScore int
	// SecuritySensitive changes always need a security review.
	SecuritySensitive bool
	// InfrastructureChange needs a team lead at least.
	InfrastructureChange bool
}

// ComplexityRangeError is returned for a score outside 1–10.
type ComplexityRangeError struct{ Score int }

func (e *ComplexityRangeError) Error() string {
	return fmt.Sprintf("complexity score %d is outside %d to %d", e.Score, MinComplexity, MaxComplexity)
}

// ClassifyApprovalTier maps a score of 1–3 to auto, 4–6 to peer-review, 7–8 to
// team-lead and 9–10 to security-review; an infrastructure change is at least
// team-lead and a security-sensitive one is always security-review. A score
// outside 1–10 gives the unknown tier and a [*ComplexityRangeError].
func ClassifyApprovalTier(in ApprovalClassificationInput) (ApprovalTier, error) {
	if in.ComplexityScore < MinComplexity || in.ComplexityScore > MaxComplexity {
		return "", &ComplexityRangeError{Score: in.ComplexityScore}
	}
	if in.SecuritySensitive {
		return TierSecurityReview, nil
	}
	tier := tierOfScore(in.ComplexityScore)
	if in.InfrastructureChange {
		tier = HigherTier(tier, TierTeamLead)
	}
	return tier, nil
}

func tierOfScore(score int) ApprovalTier {
	switch {
	case score <= 3:
		return TierAuto
	case score <= 6:
		return TierPeerReview
	case score <= 8:
		return TierTeamLead
	default:
		return TierSecurityReview
	}
}
