package app

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

func (j *judging) agent(login string, files []policy.PolicyFile) bool {
	return strings.HasSuffix(login, "[bot]") || slices.ContainsFunc(files, func(f policy.PolicyFile) bool { return slices.Contains(f.Classify.Agents.Users, login) })
}

func (j *judging) byAgent(files []policy.PolicyFile) bool {
	if j.agent(j.about.Author, files) {
		return true
	}
	for _, file := range files {
		if slices.ContainsFunc(file.Classify.Agents.Branches, func(glob string) bool { return globbed(glob, j.about.Head) }) {
			return true
		}
	}
	return slices.ContainsFunc(j.pr.Commits(), func(c githubsim.CommitDetails) bool { return j.agent(c.Author, files) })
}

// part reports whether the person took part in making the change.
func (j *judging) part(login string) bool {
	return login == j.about.Author || j.committed(login) || j.pushed(login) || j.asked(login)
}

func (j *judging) committed(login string) bool {
	return slices.ContainsFunc(j.pr.Commits(), func(c githubsim.CommitDetails) bool { return c.Author == login })
}

// pushed knows pushes while the pull request was open: of others GitHub tells
// only as of pushes to a branch.
func (j *judging) pushed(login string) bool {
	for i, head := range j.heads[j.about.Number] {
		if head.by == login && !j.believed[doubt{doubtPusher, int64(i)}] {
			return true
		}
	}
	return slices.ContainsFunc(j.pr.Timeline(), func(e githubsim.TimelineEvent) bool {
		return e.Kind == "head_ref_force_pushed" && e.Actor == login
	})
}

// asked reports whether an agent took part, and the person called one.
func (j *judging) asked(login string) bool {
	commented := slices.ContainsFunc(j.pr.Comments(), func(c githubsim.Comment) bool {
		return c.User == login && strings.Contains(c.Body, "@claude")
	})
	reviewed := slices.ContainsFunc(j.pr.Reviews(), func(r githubsim.Review) bool {
		return r.User == login && strings.Contains(r.Body, "@claude")
	})
	return j.byAgent(j.files) && (commented || reviewed)
}

// vote is what a person said last.
type vote struct {
	verdict string
	at      time.Time
	commit  string
	lifters []string
}

// latest has each person's last verdict; of those of one moment the stricter,
// and a review's own before that of its text.
func (j *judging) latest() map[string]vote {
	strictness := []string{"approve", "withdrawn", "reject"}
	latest := map[string]vote{}
	for _, w := range j.words[j.about.Number] {
		if j.believed[doubt{doubtUnheard, w.id}] || strings.HasSuffix(w.by, "[bot]") && !w.shown {
			continue
		}
		for _, s := range w.verdicts {
			v, ok := j.vote(w, s)
			have, before := latest[w.by]
			later := !before || v.at.After(have.at) || slices.Index(strictness, v.verdict) > slices.Index(strictness, have.verdict)
			if ok && later {
				latest[w.by] = v
			}
		}
	}
	return latest
}

func (j *judging) vote(w *word, s spoken) (vote, bool) {
	v := vote{verdict: s.verdict, at: w.at, commit: w.commit}
	for _, t := range w.taken {
		switch {
		case v.verdict != "reject":
			v.verdict = "withdrawn"
		case t.lost && !t.seen && j.believed[doubt{doubtTaking, w.id}]:
		case t.by == w.by:
			v.verdict = "withdrawn"
		default:
			v.lifters = append(v.lifters, t.by)
		}
	}
	switch {
	case s.verdict == "approve" && s.sha != "":
		var known bool
		v.commit, known = j.named(s.sha)
		return v, known
	case w.commit == "":
		v.commit = j.seen(w.at)
	}
	return v, true
}

// named is the head that begins so.
func (j *judging) named(sha string) (string, bool) {
	for i, head := range j.heads[j.about.Number] {
		if strings.HasPrefix(head.sha, sha) && (len(sha) == 40 || head.sha == j.about.HeadSHA || !j.believed[doubt{doubtHead, int64(i)}]) {
			return head.sha, true
		}
	}
	return sha, len(sha) == 40
}

// seen is the head that somebody saw at that time.
func (j *judging) seen(at time.Time) string {
	commit := ""
	for i, head := range j.heads[j.about.Number] {
		if !head.at.Before(at) {
			if commit != "" && j.believed[doubt{doubtReopened, int64(i)}] {
				return "unknown"
			}
			break
		}
		commit = head.sha
		if j.believed[doubt{doubtHead, int64(i)}] {
			commit = "unknown"
		}
	}
	return commit
}

// counts reports whether the approval is one, whoever is asked for.
func (j *judging) counts(login string, v vote) bool {
	every := func(allows func(policy.ApprovalRules) bool) bool {
		return !slices.ContainsFunc(j.files, func(f policy.PolicyFile) bool { return !allows(f.Approval) })
	}
	author := every(func(r policy.ApprovalRules) bool { return r.Author })
	committers := every(func(r policy.ApprovalRules) bool { return r.Committers })
	agents := every(func(r policy.ApprovalRules) bool { return r.Agents })
	keeps := every(func(r policy.ApprovalRules) bool { return r.OnPush == policy.OnPushKeepIfUnchanged })
	switch {
	case j.agent(login, j.files) && !agents,
		(login == j.about.Author || j.asked(login)) && !author,
		(j.committed(login) || j.pushed(login)) && !committers:
		return false
	case v.commit != j.about.HeadSHA && (!keeps || !j.unchanged(v.commit)):
		return false
	}
	for _, e := range j.pr.Timeline() {
		if e.Kind == "base_ref_changed" && !v.at.After(e.At) {
			return false
		}
	}
	return true
}

// unchanged reports whether the commit changes the base as the head does.
func (j *judging) unchanged(commit string) bool {
	if _, _, ok := j.w.shop.Commit(commit); !ok {
		return false
	}
	return maps.Equal(j.change(commit), j.change(j.about.HeadSHA))
}

// change is what becomes of each file between the branch point and the commit.
func (j *judging) change(commit string) map[string][2]string {
	base := j.ancestors(j.w.shop.Head(j.about.Base))
	from := commit
	for !base[from] {
		c, _, _ := j.w.shop.Commit(from)
		from = c.Parents[0] // no branch of these tests merges another
	}
	changed := map[string][2]string{}
	for _, path := range slices.Concat(j.w.shop.Paths(from), j.w.shop.Paths(commit)) {
		before, _ := j.w.shop.File(from, path)
		after, _ := j.w.shop.File(commit, path)
		if before != after {
			changed[path] = [2]string{before, after}
		}
	}
	return changed
}

func (j *judging) ancestors(sha string) map[string]bool {
	found := map[string]bool{}
	for next := []string{sha}; len(next) > 0; next = next[1:] {
		if c, _, ok := j.w.shop.Commit(next[0]); ok && !found[c.SHA] {
			found[c.SHA] = true
			next = append(next, c.Parents...)
		}
	}
	return found
}

// vetoes reports whether the rejection holds.
func (j *judging) vetoes(login string, v vote, needs []policy.Requirement) bool {
	everyFile := func(is func(policy.PolicyFile) bool) bool {
		return !slices.ContainsFunc(j.files, func(f policy.PolicyFile) bool { return !is(f) })
	}
	// One policy under which it counts is enough.
	if everyFile(func(f policy.PolicyFile) bool { return j.agent(login, []policy.PolicyFile{f}) && !f.Approval.Agents }) {
		return false
	}
	wanted := slices.ContainsFunc(needs, func(r policy.Requirement) bool { return j.selects(r.From, login) })
	if !wanted && !j.atLeast(login, policy.PermissionWrite) {
		return false
	}
	return !slices.ContainsFunc(v.lifters, func(lifter string) bool {
		return !j.agent(lifter, j.files) && !j.part(lifter) &&
			everyFile(func(f policy.PolicyFile) bool { return j.rank(f, lifter) > j.rank(f, login) })
	})
}

// rank is the highest tier that the person may approve.
func (j *judging) rank(file policy.PolicyFile, login string) int {
	highest := 0
	for i, tier := range tierOrder {
		if i > 0 && j.selects(file.Tiers[tier].From, login) {
			highest = i
		}
	}
	return highest
}

func (j *judging) selects(who policy.Who, login string) bool {
	if who.Permission != policy.PermissionNone && j.atLeast(login, who.Permission) || slices.Contains(who.Users, login) {
		return true
	}
	return slices.ContainsFunc(who.Teams, func(name string) bool {
		team := j.team(name)
		return team != nil && slices.Contains(team.Members(), login)
	})
}

func (j *judging) atLeast(login string, least policy.Permission) bool {
	have, _ := policy.ParsePermission(j.w.shop.Role(j.w.github.User(login)))
	return have >= least
}
