package githubsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// PullRequest asks to merge a head branch into a base branch.
type PullRequest struct {
	*thread
	headRepo *Repository
	headRef  string
	head     string // SHA
	previous string // the head before the last push
	base     string // branch
	baseSHA  string // the base's head when the pull request last changed, or was merged
	draft    bool
	merged   bool
	mergedAt time.Time
	mergedBy *User
	mergeSHA string
	reviews  []*review
	group    *MergeGroup // while it is in the merge queue
	auto     *autoMerge  // nil unless GitHub merges it by itself
	road     string      // how it was merged; empty while it is not
}

// PullRequestSpec says what to open. Head is "branch", or "owner:branch" for a fork; Base is by default the default branch.
type PullRequestSpec struct {
	Title, Body, Head, Base string
	Draft                   bool
}

// Open opens a pull request. Who opens it must be able to read the base and push to the head.
func (r *Repository) Open(u *User, spec PullRequestSpec) (*PullRequest, error) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.openPull(actor{user: u}, spec)
}

// PullRequest finds a pull request by number, or returns nil.
func (r *Repository) PullRequest(number int) *PullRequest {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.pulls[number]
}

func (r *Repository) openPull(a actor, spec PullRequestSpec) (*PullRequest, error) {
	if spec.Base == "" {
		spec.Base = r.branch
	}
	headRepo, headRef := r.headOf(spec.Head)
	if err := r.checkOpen(a, spec, headRepo, headRef); err != nil {
		return nil, err
	}
	t := r.newThread(a, spec.Title, spec.Body)
	p := &PullRequest{
		thread: t, headRepo: headRepo, headRef: headRef,
		base: spec.Base, baseSHA: r.branches[spec.Base], draft: spec.Draft,
	}
	t.pull = p
	r.pulls[p.number], r.sim.pullsByID[p.id] = p, p
	ref := headRepo.ref(headRef)
	r.byRef[ref] = append(r.byRef[ref], p)
	p.setHead(headRepo.branches[headRef])
	if headRepo != r {
		r.requestSuites(a, p.head, "", "")
	}
	p.emit(a, "", "opened", obj{})
	return p, nil
}

func (r *Repository) checkOpen(a actor, spec PullRequestSpec, headRepo *Repository, headRef string) error {
	switch {
	case r.roleOf(a) < roleRead:
		return notFound()
	case spec.Title == "":
		return invalid("PullRequest", "title", "missing_field", "")
	case r.branches[spec.Base] == "":
		return invalid("PullRequest", "base", "invalid", "")
	case headRepo == nil || headRepo.branches[headRef] == "":
		return invalid("PullRequest", "head", "invalid", "")
	case headRepo.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Must have push access to the head branch.")
	}
	head := headRepo.branches[headRef]
	if r.net.contains(r.branches[spec.Base], head) {
		return invalid("PullRequest", "", "custom", fmt.Sprintf("No commits between %s and %s", spec.Base, spec.Head))
	}
	for _, p := range r.byRef[headRepo.ref(headRef)] {
		if p.state == "open" && p.base == spec.Base {
			return invalid("PullRequest", "", "custom", fmt.Sprintf("A pull request already exists for %s:%s.", headRepo.owner.login, headRef))
		}
	}
	return nil
}

// headOf finds the repository and branch that "branch" or "owner:branch" means, or nil.
func (r *Repository) headOf(head string) (*Repository, string) {
	owner, ref, cross := strings.Cut(head, ":")
	if !cross {
		return r, head
	}
	if strings.EqualFold(owner, r.owner.login) {
		return r, ref
	}
	for _, other := range r.sim.repos {
		if other.net == r.net && strings.EqualFold(other.owner.login, owner) {
			return other, ref
		}
	}
	return nil, ref
}

// HeadSHA is the newest commit of the pull request.
func (p *PullRequest) HeadSHA() string {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.head
}

// Merged says whether it was merged.
func (p *PullRequest) Merged() bool {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.merged
}

// SetTitle needs write, or to be the author; Apps hear pull_request.edited with changes.title.
func (p *PullRequest) SetTitle(u *User, title string) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.edit(actor{user: u}, &title, nil)
}

// SetBody is SetTitle for the description.
func (p *PullRequest) SetBody(u *User, body string) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.edit(actor{user: u}, nil, &body)
}

func (p *PullRequest) mayEdit(a actor) error {
	if p.repo.roleOf(a) < roleWrite && a.user != p.author {
		return refuse(http.StatusForbidden, "You do not have permission to edit this pull request.")
	}
	return nil
}

func (p *PullRequest) edit(a actor, title, body *string) error {
	if err := p.mayEdit(a); err != nil {
		return err
	}
	changes, was := obj{}, p.title
	if title != nil && *title != p.title {
		changes["title"] = obj{"from": p.title}
		p.title = *title
	}
	if body != nil && *body != p.body {
		changes["body"] = obj{"from": p.body}
		p.body = *body
	}
	if len(changes) > 0 {
		p.touch()
		if changes["title"] != nil {
			p.record(a, timelineEntry{event: "renamed", from: was, to: p.title})
		}
		if changes["body"] != nil {
			p.edited = edit{a.user, p.updated}
		}
		p.emit(a, "", "edited", obj{"changes": changes})
	}
	return nil
}

// Retarget points the pull request at another base branch; Apps hear pull_request.edited with changes.base.
func (p *PullRequest) Retarget(u *User, base string) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.retarget(actor{user: u}, base)
}

func (p *PullRequest) retarget(a actor, base string) error {
	if err := p.mayEdit(a); err != nil {
		return err
	}
	switch {
	case base == p.base:
		return nil
	case p.repo.branches[base] == "":
		return invalid("PullRequest", "base", "invalid", "")
	case p.state != "open":
		return invalid("PullRequest", "base", "custom", "Cannot change the base branch of a closed pull request.")
	}
	from := obj{"ref": obj{"from": p.base}, "sha": obj{"from": p.baseSHA}}
	p.leaveQueue(a, "QUEUE_CLEARED")
	was := p.base
	p.disarmFor(a)
	p.base, p.baseSHA = base, p.repo.branches[base]
	p.touch()
	p.record(a, timelineEntry{event: "base_ref_changed", from: was, to: base})
	p.emit(a, "", "edited", obj{"changes": obj{"base": from}})
	return nil
}

// SetDraft turns a pull request into a draft, which cannot be merged, or declares it ready; it needs write, or to be the author.
func (p *PullRequest) SetDraft(u *User, draft bool) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	a := actor{user: u}
	if err := p.mayEdit(a); err != nil || draft == p.draft {
		return err
	}
	p.draft = draft
	p.touch()
	if draft {
		p.record(a, timelineEntry{event: "convert_to_draft"})
		p.leaveQueue(a, "MANUAL")
		p.emit(a, "", "converted_to_draft", obj{})
	} else {
		p.record(a, timelineEntry{event: "ready_for_review"})
		p.emit(a, "", "ready_for_review", obj{})
	}
	return nil
}

// synchronize follows the head branch; a pull request in the merge queue leaves it.
func (p *PullRequest) synchronize(a actor, sha string) {
	before := p.head
	if before == sha {
		return
	}
	p.leaveQueue(a, "MANUAL")
	p.disarmFor(a)
	p.previous = before
	p.setHead(sha)
	p.baseSHA = p.repo.branches[p.base]
	if p.headRepo != p.repo {
		p.repo.requestSuites(a, sha, "", before)
	}
	p.touch()
	if !p.repo.net.contains(sha, before) {
		p.record(a, timelineEntry{event: "head_ref_force_pushed", from: before, to: sha, commit: sha})
	}
	p.emit(a, "", "synchronize", obj{"before": before, "after": sha})
}

func (p *PullRequest) reopen(a actor) error {
	if p.merged {
		return unprocessable("Merged pull requests cannot be reopened.")
	}
	head := p.headRepo.branches[p.headRef]
	if head == "" || p.headRepo.gone {
		return invalid("PullRequest", "state", "custom", "state cannot be changed. The head branch has been deleted.")
	}
	if p.repo.branches[p.base] == "" {
		return invalid("PullRequest", "state", "custom", "state cannot be changed. The base branch has been deleted.")
	}
	if p.state == "closed" {
		p.setHead(head) // what was pushed while it was closed counts from now on
	}
	return p.setState(a, "open")
}

// stateChanged is told by the thread before the event goes out.
func (p *PullRequest) stateChanged(a actor) {
	if p.state == "closed" {
		p.leaveQueue(a, "MANUAL")
		p.disarm(a)
	}
}

// setHead moves the head; the repository can find the pull request by it from now on.
func (p *PullRequest) setHead(sha string) {
	p.head = sha
	p.repo.bySHA[sha] = append(p.repo.bySHA[sha], p)
}

// ref names a branch of the repository.
func (r *Repository) ref(branch string) headRef { return headRef{r, branch} }

// openWithHead are the open pull requests whose head is the commit and lies in the repository itself, not in a fork.
func (r *Repository) openWithHead(sha string) []*PullRequest {
	var list []*PullRequest
	for _, p := range r.bySHA[sha] {
		if p.head == sha && p.state == "open" && p.headRepo == r && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// baseTip is what the pull request would be merged into; for a merged one, what it was merged into.
func (p *PullRequest) baseTip() string {
	if p.merged || p.repo.branches[p.base] == "" {
		return p.baseSHA
	}
	return p.repo.branches[p.base]
}

func (p *PullRequest) commits() []*commit { return p.repo.net.compare(p.baseTip(), p.head).ahead }

func (p *PullRequest) files() []fileChange {
	return p.repo.net.diff(p.repo.net.compare(p.baseTip(), p.head).mergeBase, p.head)
}
