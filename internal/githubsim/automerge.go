package githubsim

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// The roads by which a pull request is merged, as MergeRoad says them.
const (
	roadButton = "button"
	roadAPI    = "api"
	roadQueue  = "queue"
	roadAuto   = "auto-merge"
	roadPush   = "push"
)

// SetAllowAutoMerge is the repository's setting, which is on at first. What is armed stays so.
func (r *Repository) SetAllowAutoMerge(allowed bool) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.noAutoMerge = !allowed
}

// EnableAutoMerge has GitHub merge the pull request as soon as its rules allow, for somebody with write. As at GitHub one that
// could be merged at once is refused. Apps hear pull_request.auto_merge_enabled.
func (p *PullRequest) EnableAutoMerge(u *User) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.arm(actor{user: u}, mergeSpec{})
}

// DisableAutoMerge takes that back, which needs write; Apps hear pull_request.auto_merge_disabled.
func (p *PullRequest) DisableAutoMerge(u *User) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.unarm(actor{user: u})
}

// AutoMerge says whether GitHub will merge it by itself.
func (p *PullRequest) AutoMerge() bool {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.auto != nil
}

// MergeRoad is how the pull request was merged: button, api, queue, auto-merge, or push when its head came into the base in another
// way; empty if it was not.
func (p *PullRequest) MergeRoad() string {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.road
}

// MergedBy is who merged it, for auto-merge who armed it and for the queue who put it there; nil if it was not merged.
func (p *PullRequest) MergedBy() *User {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.mergedBy
}

func (p *PullRequest) arm(a actor, spec mergeSpec) error {
	switch {
	case p.repo.roleOf(a) < roleRead:
		return notFound()
	case p.repo.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Enabling auto-merge needs write access to this repository.")
	case p.repo.noAutoMerge:
		return unprocessable("Auto merge is not allowed for this repository")
	case p.state != "open":
		return unprocessable("Pull request is closed")
	case spec.SHA != "" && spec.SHA != p.head:
		return unprocessable("Head branch was modified. Review and try again.")
	case spec.Method == "rebase":
		return unprocessable("Merge method rebase merging is not allowed on this repository")
	case p.group != nil:
		return unprocessable("Pull request is already in the queue")
	case len(p.verdict(a, false).reasons) == 0:
		return unprocessable("Pull request is in clean status")
	}
	if p.auto == nil {
		p.repo.armed = append(p.repo.armed, p)
	}
	p.touch()
	spec.SHA = "" // what is pushed later is merged as well
	p.auto = &autoMerge{pull: p, by: a, at: p.updated, spec: spec}
	p.repo.wait()
	p.record(a, timelineEntry{event: "auto_merge_enabled"})
	p.emit(a, "", "auto_merge_enabled", obj{"reason": ""})
	return nil
}

func (p *PullRequest) unarm(a actor) error {
	switch {
	case p.repo.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Disabling auto-merge needs write access to this repository.")
	case p.auto == nil:
		return unprocessable("Can't disable auto-merge for this pull request.")
	}
	p.disarm(a)
	return nil
}

func (p *PullRequest) disarm(a actor) {
	if p.auto == nil {
		return
	}
	p.auto = nil
	p.repo.armed = slices.DeleteFunc(p.repo.armed, func(x *PullRequest) bool { return x == p })
	p.repo.wait()
	if p.state == "open" {
		p.touch()
		p.record(a, timelineEntry{event: "auto_merge_disabled"})
		p.emit(a, "", "auto_merge_disabled", obj{"reason": "Auto-merge was disabled"})
	}
}

// disarmFor disarms when somebody without write pushes to the head or changes the base, as documented.
func (p *PullRequest) disarmFor(a actor) {
	if p.repo.roleOf(a) < roleWrite {
		p.disarm(a)
	}
}

// autoMerge merges what is armed, or where the base has a merge queue puts it there, if the person who armed it could now.
func (p *PullRequest) autoMerge() {
	by, spec, d := p.auto.by, p.auto.spec, p.repo.demands(p.base, p.auto.by)
	switch {
	case p.repo.roleOf(by) < roleWrite:
		p.disarm(actor{user: p.repo.sim.users["ghost-owner"]})
	case d.update: // thousands may be armed while an organization is locked: this is the cheap part of the verdict
	case d.queue:
		if p.verdict(by, true).err() == nil {
			p.disarm(by)
			p.enqueue(by)
		}
	default:
		_, _ = p.merge(by, spec, roadAuto) // what is refused stays armed
	}
}

func (p *PullRequest) autoMergeJSON() any {
	if p.auto == nil {
		return nil
	}
	a := p.auto
	return obj{"enabled_by": a.by.user.json(), "merge_method": a.method(), "commit_title": a.spec.Title, "commit_message": a.spec.Message}
}

func (a *autoMerge) method() string { return cmp.Or(a.spec.Method, "merge") }

var autoMergeFields = fields{
	"enabledAt":      get(func(a *autoMerge) any { return stamp(a.at) }),
	"enabledBy":      get(func(a *autoMerge) any { return shown(a.by.user) }),
	"mergeMethod":    get(func(a *autoMerge) any { return strings.ToUpper(a.method()) }),
	"commitHeadline": get(func(a *autoMerge) any { return text(a.spec.Title) }),
	"commitBody":     get(func(a *autoMerge) any { return text(a.spec.Message) }),
	"pullRequest":    get(func(a *autoMerge) any { return a.pull }),
}
