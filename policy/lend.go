package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// LoanRequest is somebody who asks for a credential on a pull request.
type LoanRequest struct {
	// Credential is the name that the policy gives it.
	Credential string
	// By is who asks, or with Run whoever started the workflow run that does.
	By Actor
	// Sandbox is true if one on the head asks, that By started, or the policy if nobody did:
	// that it was let run is enough.
	Sandbox bool
	// Run is true if a run on the head asks: that it was let run is enough, whatever
	// its starter may do.
	Run bool
	// TTL is how long it is asked for; empty: as long as the policy allows.
	TTL string
	// Scope is what it is asked for; nil: all that the policy allows.
	Scope []string
}

// Loan is what may be lent on a pull request's head, or why not. The zero Loan lends
// nothing.
type Loan struct {
	Credential string
	// Rule is what the governing files allow together; its tier is the highest of
	// theirs.
	Rule    CredentialRule
	TTL     time.Duration
	HeadSHA string
	// ByAgent is true if there is evidence that an agent took part in the change.
	ByAgent bool
	// ApprovedBy are the people whose approval of the head counts for it.
	ApprovedBy []Actor
	// Policy names the files that held.
	Policy string
	// Granted is true if it may be lent now.
	Granted bool
	// Why says in a sentence why it may not; Waits is true if that may change without
	// anybody asking anew: approvals are missing, or a kill switch is on.
	Why   string
	Waits bool
}

// Lend judges whether a credential may be lent on the pull request. It is lent only on
// an open pull request from the repository itself that nobody rejected and no kill
// switch reaches, to somebody who may write, with the approvals of the credential's
// tier for the head, none of which is the one who asks.
func Lend(in Input, request LoanRequest) Loan {
	l := Loan{Credential: request.Credential, HeadSHA: in.Snapshot.PullRequest.HeadSHA, Policy: in.describe()}
	j, rule, why := in.lender(request)
	if l.Rule = rule; why != "" {
		l.Why, l.Waits = why, why == in.stopped()
		return l
	}
	l.ByAgent = j.byAgent
	if l.TTL, l.Rule.Scope, l.Why = rule.grant(request); l.Why != "" {
		return l
	}
	if !request.Run && !request.Sandbox {
		if l.Why = j.mayAsk(request.By, "a credential"); l.Why != "" {
			return l
		}
	}
	counted := j.tally(Decision{Assessment: j.assessment})
	switch {
	case counted.Fault != "":
		l.Why = counted.Fault
	case len(counted.Rejections) > 0:
		l.Why = rejectionSentence(counted.Rejections[0])
	case counted.Status != StatusApproved:
		l.Waits, l.Why = true, string(rule.Tier)+": "+counted.approvalsMissing()
		if caveat := rule.Caveat(); caveat != "" {
			l.Why += "; whoever approves should know that " + caveat
		}
	default:
		l.Granted = true
		for _, c := range counted.Counted {
			l.ApprovedBy = append(l.ApprovedBy, c.Vote.By)
		}
	}
	return l
}

// LendTo judges each credential that the policies lend to the environment, in the order
// of their names.
func LendTo(in Input, request LoanRequest, environment string) []Loan {
	var loans []Loan
	for _, name := range in.lentTo(environment) {
		request.Credential = name
		loans = append(loans, Lend(in, request))
	}
	return loans
}

// LoanQuestionsTo lists what [LendTo] will look up.
func (in Input) LoanQuestionsTo(request LoanRequest, environment string) Questions {
	var all Questions
	for _, name := range in.lentTo(environment) {
		request.Credential = name
		all = all.Join(in.LoanQuestions(request))
	}
	return all
}

// lentTo lists the credentials of the environment. Environments differ by more than
// the case of their names.
func (in Input) lentTo(environment string) []string {
	names := map[string]bool{}
	for _, source := range in.Policies {
		for name, rule := range source.File.Credentials {
			if environment != "" && strings.EqualFold(rule.Environment, environment) {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// LoanQuestions lists what [Lend] will look up in Standings and Unchanged.
func (in Input) LoanQuestions(request LoanRequest) Questions {
	j, _, why := in.lender(request)
	if why != "" {
		return Questions{}
	}
	q := j.questions()
	if !request.Run && !request.Sandbox {
		q.People = append(q.People, in.Snapshot.Current(request.By))
		q.Asks.Permission = true
	}
	return q
}

// lender is a judge of what the credential's tier asks for, with what may be lent at
// most; why says why nothing may.
func (in Input) lender(request LoanRequest) (j *judge, rule CredentialRule, why string) {
	pr := in.Snapshot.PullRequest
	by := request.By
	if request.Sandbox && !by.Known() {
		by = pr.Author // nobody asks, and nobody's rights are needed
	}
	if why := in.withheld(by, "nothing is lent"); why != "" {
		return nil, rule, why
	}
	if pr.HeadRepositoryID != pr.Ref.Repository.ID {
		return nil, rule, "nothing is lent to a pull request from a fork"
	}
	rule, tiers, why := in.joinCredential(request.Credential)
	if why != "" {
		return nil, rule, why
	}
	if j, why = in.electorate(tiers, rule.Tier); why != "" {
		return nil, rule, why
	}
	// Whoever asks does not approve it.
	j.Votes = slices.DeleteFunc(slices.Clone(j.Votes), func(v Vote) bool {
		return v.Verdict == VerdictApprove && v.By.ID == request.By.ID
	})
	return j, rule, ""
}

// withheld says why nothing is given on the pull request, to anybody; nothing is how that
// is called.
func (in Input) withheld(by Actor, nothing string) string {
	switch {
	case in.fault() != "":
		return in.fault()
	case in.repaired():
		return "the policy is broken, and " + nothing + " until it is repaired"
	case !in.Snapshot.PullRequest.Open:
		return "the pull request is closed"
	case in.stopped() != "":
		return in.stopped()
	case !by.Known():
		return "who asks is not known"
	case in.Snapshot.Incomplete() != "":
		return "the change cannot be read whole: " + in.Snapshot.Incomplete()
	default:
		return ""
	}
}

// stopped is the kill switch that stops the pull request; empty: none does.
func (in Input) stopped() string {
	for _, s := range in.Stops {
		if !s.Agents || joinAgents(in.governing()).tookPart(in.Snapshot) {
			return s.String()
		}
	}
	return ""
}

// electorate is a judge of what the tier asks for, each file by its own of tiers.
func (in Input) electorate(tiers [][]ApprovalTier, tier ApprovalTier) (*judge, string) {
	j, err := newJudge(in)
	if err != nil {
		return nil, err.Error()
	}
	j.assessment = Assessment{Tier: tier}
	j.assessment.Requirements, j.assessment.electors = joinRequirements(j.files, tiers, tier)
	return j, ""
}

// joinCredential is what the policies allow together, each file with its own tier. A
// branch that anybody may make does not lend what the default branch does not: either
// all of the repository's files name the credential, or none has a list and the
// organization's names it. The organization's list, if it has one, is a ceiling.
func (in Input) joinCredential(name string) (joined CredentialRule, tiers [][]ApprovalTier, why string) {
	listed := slices.ContainsFunc(in.Policies, func(s PolicySource) bool { return !s.Organization && len(s.File.Credentials) > 0 })
	found := false
	for _, source := range in.Policies {
		if source.Present {
			tiers = append(tiers, []ApprovalTier{TierAuto})
		}
		if len(source.File.Credentials) == 0 && (source.Organization || !listed) {
			continue
		}
		rule, named := source.File.Credentials[name]
		switch {
		case !named:
			return joined, nil, fmt.Sprintf("%s names no credential %s", source.Place, quote(name)) + source.File.credentialNames()
		case !found:
			joined, found = rule, true
		case joined.Secret != rule.Secret || joined.Provider != rule.Provider || joined.Environment != rule.Environment || joined.Source != rule.Source:
			return joined, nil, fmt.Sprintf("the policies that hold here say different things of the credential %s", quote(name))
		}
		tiers[len(tiers)-1] = []ApprovalTier{rule.Tier}
		joined.TTL, joined.Tier = min(joined.TTL, rule.TTL), HigherTier(joined.Tier, rule.Tier)
		joined.Scope = slices.DeleteFunc(slices.Clone(joined.Scope), func(s string) bool { return !slices.Contains(rule.Scope, s) })
	}
	switch {
	case !found:
		return joined, nil, "the policy names no credentials; add one under `credentials:`"
	case len(joined.Scope) == 0:
		return joined, nil, fmt.Sprintf("the policies that hold here have no scope of the credential %s in common", quote(name))
	default:
		return joined, tiers, ""
	}
}

// credentialNames lists what may be asked for, as the end of a sentence.
func (f PolicyFile) credentialNames() string {
	if len(f.Credentials) == 0 {
		return ""
	}
	return "; it names " + strings.Join(slices.Sorted(maps.Keys(f.Credentials)), ", ")
}

// grant is what is asked for of what may be lent at most.
func (r CredentialRule) grant(request LoanRequest) (ttl time.Duration, scope []string, why string) {
	ttl, scope = r.TTL, r.Scope
	if request.TTL != "" {
		asked, err := ParseTTL(request.TTL, r.TTL)
		if err != nil {
			return 0, nil, err.Error()
		}
		ttl = asked
	}
	if request.Scope == nil {
		return ttl, scope, ""
	}
	if len(request.Scope) == 0 {
		return 0, nil, "it is asked for nothing: name a scope of " + strings.Join(r.Scope, ", ")
	}
	for _, s := range request.Scope {
		if !slices.Contains(r.Scope, s) {
			return 0, nil, fmt.Sprintf("the policy does not allow the scope %s; it allows %s", quote(s), strings.Join(r.Scope, ", "))
		}
	}
	return ttl, request.Scope, ""
}

// mayAsk says why the person may not ask for something, or returns "".
func (j *judge) mayAsk(by Actor, something string) string {
	standing, known := j.Standings[by.ID]
	switch {
	case !known:
		return "what " + by.String() + " may do here could not be read"
	case standing.Permission < PermissionWrite:
		return fmt.Sprintf("%s has %s here; to ask for %s takes write", by, standing.Permission, something)
	default:
		return ""
	}
}
