package policy

import (
	"slices"
)

// Questions are what a decision has to know beside what GitHub shows with the
// pull request. Votes that do not count whatever the answers are asked nothing
// about, so that passers-by cost nothing.
type Questions struct {
	// People are those whose standing matters.
	People []Actor
	// Teams are those whose membership matters.
	Teams []string
	// Commits are former heads that somebody approved, if the policy keeps
	// approvals over a push that leaves the change the same.
	Commits []string
}

// Questions lists what [Decide] will look up in Standings and Unchanged. The
// error is that of [Assess].
func (in Input) Questions() (Questions, error) {
	j, err := newJudge(in)
	if err != nil {
		return Questions{}, err
	}
	var q Questions
	for _, r := range j.assessment.Requirements {
		q.Teams = append(q.Teams, r.From.Teams...)
	}
	for _, vote := range latestByPerson(j.Votes) {
		if vote.Verdict == VerdictWithdrawn {
			continue
		}
		if j.keeps(vote) {
			q.Commits = append(q.Commits, j.about(vote))
			q.People = append(q.People, vote.By)
			continue
		}
		if j.discountUnasked(vote) != "" {
			continue
		}
		q.People = append(q.People, vote.By)
		if vote.Verdict == VerdictReject && vote.LiftedBy.Known() {
			q.People = append(q.People, vote.LiftedBy)
			q.Teams = append(q.Teams, j.allTeams()...)
		}
	}
	slices.Sort(q.Teams)
	q.Teams = slices.Compact(q.Teams)
	slices.Sort(q.Commits)
	q.Commits = slices.Compact(q.Commits)
	return q, nil
}

// keeps reports whether the approval would count if the change were the same at
// the commit that it was given for.
func (j *judge) keeps(vote Vote) bool {
	commit := j.about(vote)
	if vote.Verdict != VerdictApprove || j.rules.OnPush != OnPushKeepIfUnchanged || commit == "" || commit == UnknownCommit || commit == j.Snapshot.PullRequest.HeadSHA {
		return false
	}
	atHead := vote
	atHead.Commit = j.Snapshot.PullRequest.HeadSHA
	return j.discountUnasked(atHead) == ""
}

// allTeams are the teams of every tier.
func (j *judge) allTeams() []string {
	var teams []string
	for _, file := range j.files {
		for _, r := range file.Tiers {
			teams = append(teams, r.From.Teams...)
		}
	}
	return teams
}
