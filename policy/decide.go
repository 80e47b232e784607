package policy

import (
	"fmt"
	"slices"
	"time"
)

// Outcome is what a decision does to the gate. The zero Outcome is closed.
type Outcome int

// The outcomes. A closed gate needs somebody to mend something, a waiting one
// waits for approvals.
const (
	OutcomeClosed Outcome = iota
	OutcomeWaiting
	OutcomeOpen
)

func (o Outcome) String() string {
	switch o {
	case OutcomeOpen:
		return "open"
	case OutcomeWaiting:
		return "waiting"
	default:
		return "closed"
	}
}

// Input is everything that a decision depends on.
type Input struct {
	// Policies are the policy files that govern the pull request: of the
	// organization, of the repository's default branch, and of the base branch.
	Policies []PolicySource
	Snapshot Snapshot
	Votes    []Vote
	// Heads are the heads the pull request is known to have had.
	Heads []Head
	// Standings has what GitHub says of the people of [Input.Questions], by account
	// id. A missing entry means unknown, and the vote does not count.
	Standings map[int64]Standing
	// Unchanged are the commits of [Input.Questions] at which the change was the
	// same as it is at the head.
	Unchanged map[string]bool
	// Labels are those that classified the pull request when it was decided last.
	Labels []string
	// Deputies are the programs in the repository that have, or had, a person's rights.
	Deputies []Deputy
	// Stops are the kill switches that are on and may reach the pull request.
	Stops []Stop
	Now   time.Time
}

// Decision says whether a pull request may be merged, and why. Its words are
// the same in the check, on the pages and in replies. The zero Decision is
// closed.
type Decision struct {
	Outcome    Outcome
	HeadSHA    string
	Assessment Assessment
	// ExpiresAfter is how long approvals count; zero: for ever.
	ExpiresAfter time.Duration
	// Alike are former heads whose approvals count, because the change was the same.
	Alike []string
	// Tally is zero if it did not come to counting.
	Tally
	// Fault says why the gate is closed though nobody rejected: an unreadable
	// policy, a change that cannot be read whole, a call to GitHub that failed.
	Fault string
	// Hold says what the gate waits for although the approvals suffice; empty:
	// nothing.
	Hold string
	// AwaitsRelease is true if that is only that a kill switch is being lifted.
	AwaitsRelease bool
	// Undecided is true if an error kept it from being decided, and it is tried
	// again.
	Undecided bool
	// Labels are those that classify the pull request, on it or not.
	Labels []string
	// Policy names the files that held, or says that it was the default.
	Policy string
	// ByAgent is true if there is evidence that an agent took part in the change.
	ByAgent bool
	// StartsSandbox is true if the policy has a sandbox started on it without being asked.
	StartsSandbox bool
	// Stops are the kill switches that hold the gate closed, whatever else it is.
	Stops []Stop
	// Underneath is the outcome if there were no kill switch, and QueueGoesOn true if
	// entries of merge queues are held to that.
	Underneath  Outcome
	QueueGoesOn bool
}

// Closed is the decision for when nothing could be decided.
func Closed(headSHA, fault string) Decision {
	return Decision{Outcome: OutcomeClosed, HeadSHA: headSHA, Fault: fault}
}

// Decide judges a pull request. It opens the gate only if the change could be
// read whole, under usable policies, with every approval that the tier asks for
// and no rejection. A broken policy closes the gate for everything but the pull
// request that repairs it, which needs a security review under the default
// policy. A kill switch that reaches the pull request closes it whatever else.
func Decide(in Input) Decision { return in.stop(decide(in)) }

func decide(in Input) Decision {
	decision := Decision{HeadSHA: in.Snapshot.PullRequest.HeadSHA, Policy: in.describe()}
	if decision.Fault = in.fault(); decision.Fault != "" {
		return decision
	}
	if in.Snapshot.empty() {
		decision.Fault = "there is nothing to merge: " + in.Snapshot.PullRequest.BaseBranch + " has every commit"
		return decision
	}
	if why := in.Snapshot.Incomplete(); why != "" {
		decision.Fault = "the change cannot be read whole: " + why
		return decision
	}
	j, err := newJudge(in)
	if err != nil {
		decision.Fault = err.Error()
		return decision
	}
	decision.Assessment, decision.Labels = j.assessment, j.labels
	return j.tally(decision)
}

// judge is an input with what follows from it alone.
type judge struct {
	Input
	files      []PolicyFile
	rules      ApprovalRules
	agents     Agents
	byAgent    bool
	assessment Assessment
	// labels are those that classify.
	labels []string
}

func newJudge(in Input) (*judge, error) {
	j := judgeUnder(in, in.governing())
	classified := j.classifying()
	j.labels = classified.PullRequest.Labels
	var err error
	if j.assessment, err = Assess(j.files, in.path(), classified); err != nil {
		return nil, err
	}
	if len(j.files) > 1 {
		if err := j.joinAlone(classified); err != nil {
			return nil, err
		}
	}
	if in.repaired() {
		j.assessment = securityReview(j.assessment, j.files, "it repairs the broken policy file")
	}
	return j, nil
}

// judgeUnder knows the rules and has not looked at the change yet.
func judgeUnder(in Input, files []PolicyFile) *judge {
	j := &judge{Input: in, files: files, rules: joinRules(files), agents: joinAgents(files)}
	j.byAgent = j.agents.tookPart(in.Snapshot)
	return j
}

// joinAlone adds what each file would ask for alone: under another one, somebody
// may be an agent who is none under it, and a label count that would not. With the
// same labels it asks for the same.
func (j *judge) joinAlone(classified Snapshot) error {
	for i, file := range j.files {
		alone := judgeUnder(j.Input, []PolicyFile{file}).classifying()
		if slices.Equal(alone.PullRequest.Labels, classified.PullRequest.Labels) {
			continue
		}
		assessed, err := assessUnder(file, j.path(), alone)
		if err != nil {
			return err
		}
		j.assessment.own[i] = append(j.assessment.own[i], assessed.Tier)
	}
	j.assessment.Requirements, j.assessment.electors = joinRequirements(j.files, j.assessment.own, j.assessment.Tier)
	return nil
}

func securityReview(a Assessment, files []PolicyFile, why string) Assessment {
	a.Tier = TierSecurityReview
	a.Requirements, a.electors = joinRequirements(files, a.own, TierSecurityReview)
	a.Reasons = decidingFirst(a.Tier, append([]Reason{{TierSecurityReview, why}}, a.Reasons...))
	return a
}

// tally counts the votes and opens the gate if they suffice.
func (j *judge) tally(d Decision) Decision {
	if j.assessment.Tier != TierAuto && len(j.assessment.Requirements) == 0 {
		d.Fault = fmt.Sprintf("the policy names nobody who may approve the tier %q", j.assessment.Tier)
		return d
	}
	var quorums []Quorum
	for _, r := range j.assessment.Requirements {
		if r.Approvals < 1 || r.From.IsZero() {
			d.Fault = fmt.Sprintf("the policy names nobody who may approve the tier %q", j.assessment.Tier)
			return d
		}
		quorums = append(quorums, Quorum{r.Approvals, func(v Vote) bool { return r.From.Selects(j.Standings[v.By.ID]) }})
	}
	d.ExpiresAfter = j.rules.ExpiresAfter
	for commit, same := range j.Unchanged {
		if same && j.kept(commit) {
			d.Alike = append(d.Alike, commit)
		}
	}
	slices.Sort(d.Alike)
	d.Tally = Ballot{
		Quorums:      quorums,
		Votes:        j.bound(),
		Discount:     j.discount,
		ExpiresAfter: d.ExpiresAfter,
		Now:          j.Now,
	}.Count()
	switch d.Status {
	case StatusApproved:
		d.Outcome = OutcomeOpen
		if j.Snapshot.Detour {
			d.Outcome = OutcomeWaiting
			d.Hold = fmt.Sprintf("%s does not require this check and has commits of its own; merge those first, or change the base of this one", j.Snapshot.PullRequest.BaseBranch)
		}
	case StatusRejected:
		d.Outcome = OutcomeClosed
	default:
		d.Outcome = OutcomeWaiting
	}
	return d
}

// VoteOutcome says how the vote with that source fared: whether it counts, and
// if not, why. A vote that the decision does not mention was overtaken by a
// later one of the same person.
func (d Decision) VoteOutcome(source string) (counts bool, why string) {
	for _, c := range d.Counted {
		if c.Vote.Source == source {
			return true, ""
		}
	}
	for _, r := range d.Rejections {
		if r.Source == source {
			return true, ""
		}
	}
	for _, dis := range d.Discounted {
		if dis.Vote.Source == source {
			return false, dis.Why
		}
	}
	if d.Fault != "" {
		return false, d.Fault
	}
	return false, "it was taken back, or replaced by a later verdict of the same person"
}

// Required is how many different people must approve at least.
func (d Decision) Required() int {
	most := 0
	for _, r := range d.Assessment.Requirements {
		most = max(most, r.Approvals)
	}
	return most
}
