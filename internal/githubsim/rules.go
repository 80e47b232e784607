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
// "refs/heads/" may be left out. Nobody is above it but the Apps that it names.
type Ruleset struct {
	Name              string
	Enforcement       string // active, disabled or evaluate; by default active
	Branches          []string
	RequiredChecks    []RequiredCheck
	RequiredApprovals int
	Update            bool        // nobody may move the branch, neither by pushing nor by merging
	MergeQueue        *MergeQueue // pull requests are merged by the queue alone; not in an organization's
	BypassApps        []int64     // MergeQueueApp is GitHub's own queue

	// Of an organization's ruleset, one of these says for which repositories it is: all, unless one is set. An edit that sets none
	// leaves it as it is.
	Repositories  []string            // names, patterns or "~ALL"
	RepositoryIDs []int64             // ids
	Properties    map[string][]string // custom properties that must all have one of these values
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
	queue            *MergeQueue
	bypass           []bypassActor
	target           target            // of an organization's: which of its repositories
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
	r.sim.look(r)
}

// allRulesets are the repository's own rulesets and those of its organization's that are for it.
func (r *Repository) allRulesets() []*ruleset {
	list := slices.Clone(r.rulesets)
	if r.org != nil {
		for _, rs := range r.org.rulesets {
			if rs.target.has(r) {
				list = append(list, rs)
			}
		}
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
	queue     bool // forbids a merge past the merge queue
	paused    bool // the merge queue merges no entry
}

// demands adds up every active ruleset and the branch protection for somebody: admins are above the protection unless it says
// otherwise, and Apps above the rulesets that let them bypass. The zero actor is above nothing.
func (r *Repository) demands(branch string, a actor) demand {
	var d demand
	if p, ok := r.protected[branch]; ok && !r.bypasses(a, branch) {
		d = demand{checks: slices.Clone(p.RequiredChecks), approvals: p.RequiredApprovals, strict: p.Strict, pull: p.RequiredApprovals > 0}
	}
	for _, rs := range r.activeRulesets(branch) {
		if rs.bypassedBy(a) {
			continue
		}
		for _, c := range rs.checks {
			if !slices.Contains(d.checks, c) {
				d.checks = append(d.checks, c)
			}
		}
		d.approvals = max(d.approvals, rs.approvals)
		d.strict = d.strict || rs.strict
		d.update = d.update || rs.update
		d.pull = d.pull || rs.pullRequest
		d.queue = d.queue || rs.queue != nil
		d.paused = d.paused || rs.queue != nil && rs.queue.MaxEntriesToMerge == 0
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
