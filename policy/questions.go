package policy

import (
	"slices"
)

// Questions are what a decision has to know beside what GitHub shows with the
// pull request. Votes that do not count whatever the answers are asked nothing
// about, so that passers-by cost nothing.
type Questions struct {
	// People are those whose standing matters, under the name they have now, if
	// the snapshot shows it.
	People []Actor
	// Asks is what to ask about each of them.
	Asks Ask
	// Commits are former heads that somebody approved, if the policy keeps
	// approvals over a push that leaves the change the same.
	Commits []string
}

// Ask is what to ask about a person.
type Ask struct {
	// Teams are those whose membership matters.
	Teams []string
	// Permission is true if their role in the repository matters.
	Permission bool
}

// Covers reports whether an answer to a answers other as well.
func (a Ask) Covers(other Ask) bool {
	missing := slices.ContainsFunc(other.Teams, func(team string) bool { return !slices.Contains(a.Teams, team) })
	return !missing && (a.Permission || !other.Permission)
}

// Questions lists what [Decide] will look up in Standings and Unchanged. The
// error is that of [Assess].
func (in Input) Questions() (Questions, error) {
	j, err := newJudge(in)
	if err != nil {
		return Questions{}, err
	}
	q := j.questions()
	if rule, _, why := in.joinSandbox(); why == "" && rule.Start == StartForAgents && j.byAgent {
		q = q.Join(in.LaunchQuestions(LaunchRequest{}))
	}
	return q, nil
}

// questions are those of what the assessment asks for.
func (j *judge) questions() Questions {
	var q Questions
	for _, r := range j.assessment.Requirements {
		q.Asks.Teams = append(q.Asks.Teams, r.From.Teams...)
		q.Asks.Permission = q.Asks.Permission || r.From.Permission != PermissionNone
	}
	for _, vote := range latestByPerson(j.Votes) {
		if vote.Verdict == VerdictWithdrawn {
			continue
		}
		if j.keeps(vote) {
			q.Commits = append(q.Commits, j.about(vote))
			q.People = append(q.People, j.Snapshot.Current(vote.By))
			continue
		}
		if j.discountUnasked(vote) != "" {
			continue
		}
		q.People = append(q.People, j.Snapshot.Current(vote.By))
		if vote.Verdict == VerdictReject {
			q.Asks.Permission = true
			for _, who := range j.assessment.electors {
				q.Asks.Teams = append(q.Asks.Teams, who.Teams...)
			}
		}
		if vote.Verdict == VerdictReject && vote.LiftedBy.Known() {
			q.People = append(q.People, j.Snapshot.Current(vote.LiftedBy))
			q.Asks.Teams = append(q.Asks.Teams, j.allTeams()...)
		}
	}
	return q.sorted()
}

// Join are both questions.
func (q Questions) Join(other Questions) Questions {
	return Questions{
		People:  append(slices.Clone(q.People), other.People...),
		Asks:    Ask{Teams: append(slices.Clone(q.Asks.Teams), other.Asks.Teams...), Permission: q.Asks.Permission || other.Asks.Permission},
		Commits: append(slices.Clone(q.Commits), other.Commits...),
	}.sorted()
}

// sorted asks for nothing twice.
func (q Questions) sorted() Questions {
	slices.Sort(q.Asks.Teams)
	q.Asks.Teams = slices.Compact(q.Asks.Teams)
	slices.Sort(q.Commits)
	q.Commits = slices.Compact(q.Commits)
	return q
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

// Current returns the account as the snapshot shows it.
func (s Snapshot) Current(account Actor) Actor {
	for _, seen := range s.Shown() {
		if seen.ID == account.ID {
			return seen
		}
	}
	return account
}

// Shown are the accounts that the snapshot shows under the name they have now.
func (s Snapshot) Shown() []Actor {
	shown := []Actor{s.PullRequest.Author}
	for _, review := range s.Reviews {
		shown = append(shown, review.By)
	}
	for _, comment := range s.Comments {
		shown = append(shown, comment.By)
	}
	return slices.DeleteFunc(shown, func(a Actor) bool { return !a.Known() })
}
