package policy

import (
	"fmt"
	"slices"
	"strings"
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

// PolicySource is a policy file as it was found on the base branch.
type PolicySource struct {
	// Path is where the file stands or would stand; never empty.
	Path string
	// Branch is the base branch, on which it was read.
	Branch string
	// Present is false if there is no file: the default policy holds.
	Present bool
	// File is the parsed file, the default policy if there is none.
	File PolicyFile
	// Fault is why the file cannot be used; nil if it can.
	Fault error
	// Repaired is true if the pull request replaces a broken file with one that
	// can be used.
	Repaired bool
}

// Input is everything that a decision depends on.
type Input struct {
	Policy   PolicySource
	Snapshot Snapshot
	Votes    []Vote
	// Heads are the heads the pull request is known to have had.
	Heads []Head
	// Standings has what GitHub says of each of [Input.Voters], by account id. A
	// missing entry means unknown, and the vote does not count.
	Standings map[int64]Standing
	Now       time.Time
}

// file is the policy that holds: the built-in one where the repository's own is
// missing or broken.
func (in Input) file() PolicyFile {
	if !in.Policy.Present || in.Policy.Fault != nil {
		return DefaultPolicy()
	}
	return in.Policy.File
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
	// Tally is zero if it did not come to counting.
	Tally
	// Fault says why the gate is closed though nobody rejected: an unreadable
	// policy, a change that cannot be read whole, a call to GitHub that failed.
	Fault string
	// Policy names the file that held, or says that it was the default.
	Policy string
}

// Closed is the decision for when nothing could be decided.
func Closed(headSHA, fault string) Decision {
	return Decision{Outcome: OutcomeClosed, HeadSHA: headSHA, Fault: fault}
}

// Decide judges a pull request. It opens the gate only if the change could be
// read whole, under a usable policy, with every approval that the tier asks for
// and no rejection. A broken policy closes the gate for everything but the pull
// request that repairs it, which needs a security review under the default
// policy.
func Decide(in Input) Decision {
	decision := Decision{HeadSHA: in.Snapshot.PullRequest.HeadSHA, Policy: in.Policy.describe()}
	if in.Policy.Fault != nil && !in.Policy.Repaired {
		decision.Fault = "the policy cannot be used: " + in.Policy.Fault.Error()
		return decision
	}
	if why := in.Snapshot.Incomplete(); why != "" {
		decision.Fault = "the change cannot be read whole: " + why
		return decision
	}
	assessment, err := Assess(in.file(), in.Policy.Path, in.Snapshot)
	if err != nil {
		decision.Fault = err.Error()
		return decision
	}
	if in.Policy.Repaired {
		assessment = securityReview(assessment, in.file(), "it repairs the broken policy file")
	}
	decision.Assessment = assessment
	return in.tally(decision)
}

func securityReview(a Assessment, file PolicyFile, why string) Assessment {
	a.Tier, a.Requirement = TierSecurityReview, file.Tiers[TierSecurityReview]
	a.Reasons = decidingFirst(a.Tier, append([]Reason{{TierSecurityReview, why}}, a.Reasons...))
	return a
}

// tally counts the votes and opens the gate if they suffice.
func (in Input) tally(d Decision) Decision {
	requirement := d.Assessment.Requirement
	if d.Assessment.Tier == TierAuto {
		requirement.Approvals = 0
	} else if requirement.Approvals < 1 || requirement.From.IsZero() {
		d.Fault = fmt.Sprintf("the policy names nobody who may approve the tier %q", d.Assessment.Tier)
		return d
	}
	d.ExpiresAfter = in.file().Approval.ExpiresAfter
	d.Tally = Ballot{
		Required:     requirement.Approvals,
		Votes:        in.Votes,
		Discount:     func(v Vote) string { return in.discount(v, requirement) },
		ExpiresAfter: d.ExpiresAfter,
		Now:          in.Now,
	}.Count()
	switch d.Status {
	case StatusApproved:
		d.Outcome = OutcomeOpen
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

func (p PolicySource) describe() string {
	switch {
	case p.Fault != nil:
		return "the default policy, because " + p.Path + " is broken"
	case !p.Present:
		return "the default policy, because there is no " + p.Path + " on " + p.Branch
	default:
		return p.Path + " on " + p.Branch
	}
}

// LoadPolicy turns the content of the policy file on a branch into a
// PolicySource; nil content means that there is no file.
func LoadPolicy(path, branch string, content []byte) PolicySource {
	source := PolicySource{Path: path, Branch: branch, Present: content != nil}
	if content == nil {
		source.File = DefaultPolicy()
		return source
	}
	file, err := ParsePolicyFile(path, content)
	if err != nil {
		source.Fault = err
		return source
	}
	source.File = file
	return source
}

// UnknownTeamsError is the fault of a policy that names teams which do not exist
// or which the App may not see.
type UnknownTeamsError struct{ Teams []string }

func (e *UnknownTeamsError) Error() string {
	return "it names the team " + strings.Join(e.Teams, ", ") + ", which does not exist or which the App may not see"
}

// Teams lists every team that the file names, each once.
func (f PolicyFile) Teams() []string {
	teams := append(slices.Clone(f.KillSwitch.Activate.Teams), f.KillSwitch.Deactivate.From.Teams...)
	for _, requirement := range f.Tiers {
		teams = append(teams, requirement.From.Teams...)
	}
	slices.Sort(teams)
	return slices.Compact(teams)
}

// Teams lists the teams whose members the decision will ask for.
func (in Input) Teams() ([]string, error) {
	assessment, err := Assess(in.file(), in.Policy.Path, in.Snapshot)
	if err != nil {
		return nil, err
	}
	if in.Policy.Repaired {
		return in.file().Tiers[TierSecurityReview].From.Teams, nil
	}
	return assessment.Requirement.From.Teams, nil
}

// Required is how many approvals the decision's tier needs.
func (d Decision) Required() int {
	if d.Assessment.Tier == TierAuto {
		return 0
	}
	return d.Assessment.Requirement.Approvals
}
