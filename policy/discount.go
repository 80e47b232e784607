package policy

import (
	"fmt"
)

// discount says in a sentence's second half why a person's vote does not count,
// whichever way it went, or returns "".
func (in Input) discount(vote Vote, requirement Requirement) string {
	rules := in.file().Approval
	if why := in.file().Classify.Agents.IsAgent(vote.By); why != "" && !rules.Agents {
		return why
	}
	standing, known := in.Standings[vote.By.ID]
	switch {
	case !vote.By.Known():
		return "the account is not known"
	case !known:
		return "what " + vote.By.String() + " may do here could not be read"
	case vote.Verdict == VerdictReject:
		return in.discountRejection(vote, requirement, standing)
	default:
		return in.discountApproval(vote, requirement, standing)
	}
}

// discountRejection lets anyone stop a change who could have approved it or may
// write here, whatever part they took in it.
func (in Input) discountRejection(vote Vote, requirement Requirement, standing Standing) string {
	if standing.Permission >= PermissionWrite || requirement.From.Selects(vote.By, standing) {
		return ""
	}
	return fmt.Sprintf("%s has %s here; a rejection needs write", vote.By, standing.Permission)
}

func (in Input) discountApproval(vote Vote, requirement Requirement, standing Standing) string {
	rules, snapshot := in.file().Approval, in.Snapshot
	commit := vote.Commit
	if commit == "" {
		commit = CommitAt(in.Heads, vote.At)
	}
	switch {
	case !rules.Author && vote.By.ID == snapshot.PullRequest.Author.ID:
		return vote.By.String() + " is the author"
	case !rules.Committers && snapshot.committed(vote.By):
		return vote.By.String() + " committed to it"
	case commit == "" || commit == UnknownCommit:
		return "it is not known which commit " + vote.By.String() + " saw; say /approve " + shortSHA(snapshot.PullRequest.HeadSHA)
	case commit != snapshot.PullRequest.HeadSHA:
		return fmt.Sprintf("given for %s, the head is now %s", shortSHA(commit), shortSHA(snapshot.PullRequest.HeadSHA))
	case !requirement.From.Selects(vote.By, standing):
		return fmt.Sprintf("%s is not one of: %s", vote.By, requirement.From)
	default:
		return ""
	}
}
