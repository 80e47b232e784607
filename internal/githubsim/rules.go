package githubsim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// RequiredCheck names a check that must pass. AppID pins it to one App; 0 takes any.
type RequiredCheck struct {
	Context string
	AppID   int64
}

// Protection is classic branch protection. Admins are above it unless EnforceAdmins.
type Protection struct {
	RequiredChecks    []RequiredCheck
	RequiredApprovals int
	Strict            bool // the head must contain the base
	EnforceAdmins     bool
}

// Ruleset is a set of rules for the branches that it names: "~DEFAULT_BRANCH", "~ALL", or an fnmatch pattern of a ref, where
// "refs/heads/" may be left out. Nobody is above it.
type Ruleset struct {
	Name              string
	Enforcement       string // active, disabled or evaluate; by default active
	Branches          []string
	RequiredChecks    []RequiredCheck
	RequiredApprovals int
	Update            bool // nobody may move the branch, neither by pushing nor by merging
}

// ruleset is what is kept of a ruleset, however it was made.
type ruleset struct {
	id               int64
	repo             *Repository   // either this
	org              *Organization // or this
	name             string
	enforcement      string
	include, exclude []string
	checks           []RequiredCheck
	strict           bool
	pullRequest      bool
	approvals        int
	update           bool
	other            []json.RawMessage // rules that decide nothing here, kept as given
	created, updated time.Time
}

var enforcements = []string{"active", "disabled", "evaluate"}

// Protect protects a branch, replacing what protected it.
func (r *Repository) Protect(branch string, p Protection) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.protected[branch] = p
	r.sim.tick()
}

// CreateRuleset adds a ruleset to the repository.
func (r *Repository) CreateRuleset(rs Ruleset) (id int64) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	made := r.sim.newRuleset(rs)
	made.repo = r
	r.rulesets = append(r.rulesets, made)
	return made.id
}

// CreateRuleset adds a ruleset to every repository of the organization.
func (o *Organization) CreateRuleset(rs Ruleset) (id int64) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	made := o.sim.newRuleset(rs)
	made.org = o
	o.rulesets = append(o.rulesets, made)
	return made.id
}

func (s *Sim) newRuleset(rs Ruleset) *ruleset {
	if rs.Enforcement == "" {
		rs.Enforcement = "active"
	}
	mustEnforce(rs.Enforcement)
	at := s.tick()
	return &ruleset{
		id: s.id(), name: rs.Name, enforcement: rs.Enforcement, include: rs.Branches, checks: rs.RequiredChecks,
		pullRequest: rs.RequiredApprovals > 0, approvals: rs.RequiredApprovals, update: rs.Update, created: at, updated: at,
	}
}

func mustEnforce(enforcement string) {
	if !slices.Contains(enforcements, enforcement) {
		panic(fmt.Sprintf("githubsim: enforcement %q is none of %v", enforcement, enforcements))
	}
}

// SetRulesetEnforcement flips a ruleset of the repository, as an admin does on the settings page.
func (r *Repository) SetRulesetEnforcement(id int64, enforcement string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	mustEnforce(enforcement)
	for _, rs := range r.rulesets {
		if rs.id == id {
			r.sim.changeRuleset(r.sim.users["ghost-owner"], rs, func() { rs.enforcement = enforcement })
			return
		}
	}
	panic(fmt.Sprintf("githubsim: %s has no ruleset %d", r.FullName(), id))
}

// SetRulesetEnforcement flips a ruleset of the organization.
func (o *Organization) SetRulesetEnforcement(id int64, enforcement string) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	mustEnforce(enforcement)
	for _, rs := range o.rulesets {
		if rs.id == id {
			o.sim.changeRuleset(o.sim.users["ghost-owner"], rs, func() { rs.enforcement = enforcement })
			return
		}
	}
	panic(fmt.Sprintf("githubsim: organization %s has no ruleset %d", o.login, id))
}

// changeRuleset changes a ruleset and tells Apps, which hear repository_ruleset.edited with changes.enforcement.
func (s *Sim) changeRuleset(by *User, rs *ruleset, change func()) {
	was := rs.enforcement
	change()
	rs.updated = s.tick()
	changes := obj{}
	if was != rs.enforcement {
		changes["enforcement"] = obj{"from": was}
	}
	s.emitRuleset(by, rs, "edited", obj{"changes": changes})
}

func (s *Sim) emitRuleset(by *User, rs *ruleset, action string, body obj) {
	body["repository_ruleset"] = rs.json(s, true)
	if rs.repo != nil {
		s.emit(rs.repo, "repository_ruleset", action, by, body)
		return
	}
	s.emitOrganization(rs.org, "repository_ruleset", action, by, body)
}

// allRulesets are the repository's own rulesets and its organization's.
func (r *Repository) allRulesets() []*ruleset {
	list := slices.Clone(r.rulesets)
	if r.org != nil {
		list = append(list, r.org.rulesets...)
	}
	return list
}

// activeRulesets are the rulesets in force on a branch.
func (r *Repository) activeRulesets(branch string) []*ruleset {
	return slices.DeleteFunc(r.allRulesets(), func(rs *ruleset) bool {
		return rs.enforcement != "active" || !rs.matches(r, branch)
	})
}

func (rs *ruleset) matches(r *Repository, branch string) bool {
	match := func(pattern string) bool { return matchesRef(pattern, branch, r.branch) }
	return slices.ContainsFunc(rs.include, match) && !slices.ContainsFunc(rs.exclude, match)
}

func matchesRef(pattern, branch, defaultBranch string) bool {
	switch pattern {
	case "~ALL":
		return true
	case "~DEFAULT_BRANCH":
		return branch == defaultBranch
	}
	return fnmatch("refs/heads/"+strings.TrimPrefix(pattern, "refs/heads/"), "refs/heads/"+branch)
}

// fnmatch matches as GitHub documents for rulesets: * stops at a slash, ** does not.
func fnmatch(pattern, name string) bool {
	var expr strings.Builder
	expr.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		switch {
		case strings.HasPrefix(pattern[i:], "**"):
			expr.WriteString(".*")
			i++
		case pattern[i] == '*':
			expr.WriteString("[^/]*")
		case pattern[i] == '?':
			expr.WriteString("[^/]")
		default:
			expr.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	matched, err := regexp.MatchString(expr.String()+"$", name)
	return err == nil && matched
}

// demand is what the rules of a branch ask for, together.
type demand struct {
	checks    []RequiredCheck
	approvals int
	strict    bool
	update    bool // forbids any move
	pull      bool // forbids a push past pull requests
}

// demands adds up every active ruleset and the branch protection; bypass leaves the protection out.
func (r *Repository) demands(branch string, bypass bool) demand {
	var d demand
	if p, ok := r.protected[branch]; ok && !bypass {
		d = demand{checks: slices.Clone(p.RequiredChecks), approvals: p.RequiredApprovals, strict: p.Strict, pull: p.RequiredApprovals > 0}
	}
	for _, rs := range r.activeRulesets(branch) {
		for _, c := range rs.checks {
			if !slices.Contains(d.checks, c) {
				d.checks = append(d.checks, c)
			}
		}
		d.approvals = max(d.approvals, rs.approvals)
		d.strict = d.strict || rs.strict
		d.update = d.update || rs.update
		d.pull = d.pull || rs.pullRequest
	}
	return d
}

// bypasses says whether a is an admin whom the branch protection lets pass.
func (r *Repository) bypasses(a actor, branch string) bool {
	return r.roleOf(a) == roleAdmin && !r.protected[branch].EnforceAdmins
}

// checkReasons are the required checks that do not pass on a commit, each as GitHub's sentence.
func (r *Repository) checkReasons(required []RequiredCheck, sha string) []string {
	var reasons []string
	for _, c := range required {
		if reason := r.checkReason(c, sha); reason != "" {
			reasons = append(reasons, fmt.Sprintf("Required status check %q %s.", c.Context, reason))
		}
	}
	return reasons
}

// checkReason is why one required check blocks, or "". A pinned check looks only at its App's newest run of that name; an
// unpinned one takes the newest run by anybody, and a commit status of the name must pass too.
func (r *Repository) checkReason(required RequiredCheck, sha string) string {
	var run *checkRun
	others := false
	for _, c := range r.latestRuns(sha) { // newest first
		if c.name != required.Context {
			continue
		}
		if required.AppID != 0 && c.app.id != required.AppID {
			others = true
		} else if run == nil {
			run = c
		}
	}
	var named *status
	for _, s := range r.latestStatuses(sha) {
		if s.context == required.Context {
			named = s
		}
	}
	switch {
	case run != nil && !run.passes():
		return runReason(run)
	case run == nil && required.AppID != 0 && (others || named != nil):
		return "was not set by the expected GitHub App"
	case run == nil && (required.AppID != 0 || named == nil):
		return "is expected"
	case required.AppID == 0 && named != nil && named.state == "pending":
		return "is pending"
	case required.AppID == 0 && named != nil && named.state != "success":
		return "is failing"
	}
	return ""
}

func runReason(run *checkRun) string {
	switch {
	case run.status == "in_progress":
		return "is in progress"
	case run.status != "completed":
		return "is queued"
	}
	return "is failing"
}
