package policy

import (
	"fmt"
	"slices"
	"strings"
)

// discount says in a sentence's second half why a person's vote does not count,
// whichever way it went, or returns "".
func (j *judge) discount(vote Vote) string {
	if why := j.discountUnasked(vote); why != "" {
		return why
	}
	standing, known := j.Standings[vote.By.ID]
	switch {
	case vote.Verdict == VerdictReject && !known:
		return "" // it may be somebody whose veto counts
	case vote.Verdict == VerdictReject:
		return j.discountRejection(vote, standing)
	case !known:
		return "what " + vote.By.String() + " may do here could not be read"
	case !j.selects(standing):
		return fmt.Sprintf("%s is not one of: %s", vote.By, j.wanted())
	default:
		return ""
	}
}

// discountUnasked says what can be said without asking GitHub about the person.
func (j *judge) discountUnasked(vote Vote) string {
	switch {
	case !vote.By.Known():
		return "the account is not known"
	case vote.Verdict == VerdictReject:
		return j.machine(vote.By)
	case vote.Verdict == VerdictApprove:
		return j.discountApproval(vote)
	default:
		return ""
	}
}

// machine says why a rejection by a machine does not count. It counts if only one
// of the policies takes its giver for a person, or lets machines approve.
func (j *judge) machine(by Actor) string {
	why := ""
	for _, file := range j.files {
		if why = file.Classify.Agents.IsAgent(by); why == "" || file.Approval.Agents {
			return ""
		}
	}
	return why
}

// discountRejection lets anyone stop a change who could have approved it or may
// write here, whatever part they took in it. It stands until they take it back,
// or somebody lifts it who may.
func (j *judge) discountRejection(vote Vote, standing Standing) string {
	elector := slices.ContainsFunc(j.assessment.electors, func(w Who) bool { return w.Selects(standing) })
	if standing.Permission < PermissionWrite && !elector {
		return fmt.Sprintf("%s has %s here; a rejection needs write", vote.By, standing.Permission)
	}
	if j.mayLift(vote) {
		return "lifted by " + vote.LiftedBy.String()
	}
	return ""
}

// mayLift reports whether the rejection was taken back by somebody of a higher
// tier than its giver's, who took no part in the change.
func (j *judge) mayLift(vote Vote) bool {
	lifter := vote.LiftedBy
	if !lifter.Known() || j.agents.IsAgent(lifter) != "" || j.part(lifter) != "" || j.hadDeputy(lifter) {
		return false
	}
	giver, lifting := j.Standings[vote.By.ID], j.Standings[lifter.ID]
	for _, file := range j.files {
		if CompareTiers(file.highestTier(lifting), file.highestTier(giver)) <= 0 {
			return false
		}
	}
	return true
}

// highestTier is the highest tier that the person may approve; auto if none.
func (f PolicyFile) highestTier(standing Standing) ApprovalTier {
	highest := TierAuto
	for tier, requirement := range f.Tiers {
		if requirement.From.Selects(standing) {
			highest = HigherTier(highest, tier)
		}
	}
	return highest
}

func (j *judge) discountApproval(vote Vote) string {
	if why := j.agents.IsAgent(vote.By); why != "" && !j.rules.Agents {
		return why
	}
	if why := j.discountMaker(vote.By); why != "" {
		return why
	}
	if why := SaidByDeputy(j.Deputies, vote.By, vote.At); why != "" {
		return why
	}
	head := j.Snapshot.PullRequest.HeadSHA
	commit := j.about(vote)
	switch {
	case j.Snapshot.Gone(vote.Source):
		return "its text was edited or deleted"
	case commit == "" || commit == UnknownCommit:
		return "it is not known which commit " + vote.By.String() + " saw; say /approve " + shortSHA(head)
	case commit != head && !j.kept(commit):
		return fmt.Sprintf("given for %s, the head is now %s", shortSHA(commit), shortSHA(head))
	case !vote.At.After(j.Snapshot.retargetedAt()):
		return "given for another base branch; the base is now " + j.Snapshot.PullRequest.BaseBranch
	default:
		return ""
	}
}

// discountMaker says which part the approver took that the policy does not
// allow.
func (j *judge) discountMaker(by Actor) string {
	author := by.ID == j.Snapshot.PullRequest.Author.ID
	switch {
	case author && !j.rules.Author:
		return by.String() + " is the author"
	case !author && !j.rules.Author && j.asked(by):
		return by.String() + " asked an agent for it"
	case !j.rules.Committers && j.committed(by):
		return by.String() + " committed to it"
	case !j.rules.Committers && j.pushed(by):
		return by.String() + " pushed to it"
	default:
		return ""
	}
}

// kept reports whether an approval of that commit outlives the push after it.
func (j *judge) kept(commit string) bool {
	return j.rules.OnPush == OnPushKeepIfUnchanged && j.Unchanged[commit]
}

// bound are the votes, each with the commit that it was given for.
func (j *judge) bound() []Vote {
	votes := slices.Clone(j.Votes)
	for i, vote := range votes {
		votes[i].Commit = j.about(vote)
	}
	return votes
}

// about is the commit that the approval was given for, as far as that is known.
func (j *judge) about(vote Vote) string {
	if vote.Commit != "" {
		return vote.Commit
	}
	return CommitAt(j.Heads, vote.At)
}

// selects reports whether one of the requirements wants the person's approval.
func (j *judge) selects(standing Standing) bool {
	for _, r := range j.assessment.Requirements {
		if r.From.Selects(standing) {
			return true
		}
	}
	return false
}

// wanted tells whose approval is wanted.
func (j *judge) wanted() string {
	if len(j.assessment.Requirements) == 0 {
		return Who{}.String()
	}
	var all []string
	for _, r := range j.assessment.Requirements {
		all = append(all, r.From.String())
	}
	return strings.Join(all, "; ")
}
