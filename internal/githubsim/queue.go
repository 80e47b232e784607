package githubsim

import (
	"fmt"
	"slices"
)

// MergeGroup is one pull request in the merge queue: a merge commit on top of the base, on a branch of its own.
type MergeGroup struct {
	pull  *PullRequest
	head  string
	ref   string // refs/heads/gh-readonly-queue/…
	base  string // SHA that it is built on
	state string
	by    actor
	held  bool // green, and waits for a paused queue to go on
}

// Enqueue puts the pull request into the merge queue. As at GitHub it must itself meet the rules first, save that its head may
// be behind. It makes the branch gh-readonly-queue/<base>/pr-<number>-<base SHA>; Apps hear merge_group.checks_requested.
func (p *PullRequest) Enqueue(u *User) (*MergeGroup, error) {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	a := actor{user: u}
	if err := p.verdict(a, true).err(); err != nil {
		return nil, err
	}
	if p.group != nil {
		return nil, unprocessable("Pull request is already in the queue")
	}
	return p.enqueue(a), nil
}

// enqueue puts the pull request into the queue; the caller knows that it may.
func (p *PullRequest) enqueue(a actor) *MergeGroup {
	g := &MergeGroup{pull: p, state: "queued", by: a}
	p.group = g
	p.repo.groups = append(p.repo.groups, g)
	p.touch()
	p.record(a, timelineEntry{event: "added_to_merge_queue"})
	p.emit(a, "", "enqueued", obj{})
	g.build()
	return g
}

// HeadSHA is the merge commit whose checks decide.
func (g *MergeGroup) HeadSHA() string {
	g.pull.repo.sim.mu.Lock()
	defer g.pull.repo.sim.mu.Unlock()
	return g.head
}

// HeadRef is the group's own branch, with refs/heads/ before it.
func (g *MergeGroup) HeadRef() string {
	g.pull.repo.sim.mu.Lock()
	defer g.pull.repo.sim.mu.Unlock()
	return g.ref
}

// State is queued, merged or dequeued.
func (g *MergeGroup) State() string {
	g.pull.repo.sim.mu.Lock()
	defer g.pull.repo.sim.mu.Unlock()
	return g.state
}

// Try does what GitHub does when a check on the group changes, and returns the state: merged when all required checks on the
// group's head pass, dequeued when one failed or when an update rule forbids the queue's own App to move the base, else still queued.
// While a merge_queue rule allows no entry to be merged, it stays queued; when that ends, a green entry that was tried merges by itself.
func (g *MergeGroup) Try() string {
	g.pull.repo.sim.mu.Lock()
	defer g.pull.repo.sim.mu.Unlock()
	g.try()
	return g.state
}

func (g *MergeGroup) try() {
	if g.state != "queued" {
		return
	}
	p := g.pull
	d := p.repo.demands(p.base, mergeQueue)
	g.held = false
	switch {
	case g.failed(d.checks):
		p.leaveQueue(g.by, "CI_FAILURE")
	case len(p.repo.checkReasons(d.checks, g.head)) > 0:
	case d.paused:
		g.held = true
	case d.update:
		p.leaveQueue(g.by, "BRANCH_PROTECTIONS")
	default:
		g.merge()
	}
	p.repo.wait()
}

// failed says whether a required check has ended badly on the group's head.
func (g *MergeGroup) failed(required []RequiredCheck) bool {
	for _, c := range required {
		if g.pull.repo.checkReason(c, g.head) == "is failing" {
			return true
		}
	}
	return false
}

func (g *MergeGroup) build() {
	p, r := g.pull, g.pull.repo
	g.base = r.branches[p.base]
	message := fmt.Sprintf("Merge pull request #%d from %s/%s", p.number, p.headRepo.owner.login, p.headRef)
	g.head = p.mergeCommit(g.by, []string{g.base, p.head}, message).sha
	branch := fmt.Sprintf("gh-readonly-queue/%s/pr-%d-%s", p.base, p.number, g.base)
	g.ref = "refs/heads/" + branch
	r.branches[branch] = g.head
	r.emitPush(g.by, g.ref, "", g.head)
	r.requestSuites(g.by, g.head, branch, "")
	g.emit("checks_requested", obj{})
}

func (g *MergeGroup) merge() {
	g.state = "merged"
	g.remove("merged")
	g.pull.emit(g.by, "", "dequeued", obj{"reason": "MERGE"})
	g.pull.land(g.by, g.head, roadQueue)
}

// remove takes the group's branch away and tells why: merged, invalidated or dequeued.
func (g *MergeGroup) remove(reason string) {
	r := g.pull.repo
	branch := g.ref[len("refs/heads/"):]
	was := r.branches[branch]
	delete(r.branches, branch)
	r.sim.tick()
	r.emitPush(g.by, g.ref, was, "")
	g.emit("destroyed", obj{"reason": reason})
	if g.state != "queued" {
		r.groups = slices.DeleteFunc(r.groups, func(x *MergeGroup) bool { return x == g })
		g.pull.group, g.held = nil, false
		r.wait()
	}
}

// leaveQueue takes the pull request out of the queue, if it is in it; reason is one of pull_request.dequeued's.
func (p *PullRequest) leaveQueue(a actor, reason string) {
	if p.group == nil {
		return
	}
	g := p.group
	g.state = "dequeued"
	g.remove("dequeued")
	p.record(a, timelineEntry{event: "removed_from_merge_queue"})
	p.emit(a, "", "dequeued", obj{"reason": reason})
}

// rebuildGroups puts what is queued for a branch on top of its new head, after it moved; what conflicts with it leaves.
func (r *Repository) rebuildGroups(a actor, branch string) {
	for _, g := range slices.Clone(r.groups) {
		if g.pull.base != branch || g.state != "queued" || g.base == r.branches[branch] {
			continue
		}
		if _, clean := r.net.mergeTrees(r.branches[branch], g.pull.head); !clean {
			g.pull.leaveQueue(a, "MERGE_CONFLICT")
			continue
		}
		g.remove("invalidated")
		g.build()
	}
}

func (g *MergeGroup) emit(action string, body obj) {
	r := g.pull.repo
	body["merge_group"] = obj{
		"head_sha": g.head, "head_ref": g.ref, "base_sha": g.base, "base_ref": "refs/heads/" + g.pull.base,
		"head_commit": headCommitJSON(r.net.commits[g.head]),
	}
	r.sim.emit(r, "merge_group", action, g.by.user, body)
}
