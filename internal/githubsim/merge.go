package githubsim

import (
	"fmt"
	"net/http"
	"strings"
)

// Mergeability is what the merge box says: whether the button works for this person and, if not, why.
type Mergeability struct {
	Allowed bool
	Reasons []string
}

// Mergeability asks whether u could merge now, by the same rules as Merge.
func (p *PullRequest) Mergeability(u *User) Mergeability {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	v := p.verdict(actor{user: u}, false)
	return Mergeability{Allowed: len(v.reasons) == 0, Reasons: v.reasons}
}

// Merge merges as the button does, with a merge commit; the error is a *Refusal.
func (p *PullRequest) Merge(u *User) error {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	_, err := p.merge(actor{user: u}, mergeSpec{}, roadButton)
	return err
}

// verdict is the one answer that Merge, Mergeability, PUT merge and Enqueue share.
type verdict struct {
	status  int
	reasons []string
}

func (v verdict) err() error {
	if len(v.reasons) == 0 {
		return nil
	}
	return &Refusal{Status: v.status, Message: strings.Join(v.reasons, " ")}
}

// verdict applies GitHub's rules: state, the person, conflicts, then every active ruleset and the branch protection together.
// A merge queue brings the head up to date itself, so queued leaves that rule out.
func (p *PullRequest) verdict(a actor, queued bool) verdict {
	if reason := p.stateReason(); reason != "" {
		return verdict{http.StatusMethodNotAllowed, []string{reason}}
	}
	switch role := p.repo.roleOf(a); {
	case role < roleRead:
		return verdict{http.StatusNotFound, []string{"Not Found"}}
	case role < roleWrite:
		return verdict{http.StatusForbidden, []string{"Merging needs write access to this repository."}}
	}
	if _, clean := p.repo.net.mergeTrees(p.baseTip(), p.head); !clean {
		return verdict{http.StatusMethodNotAllowed, []string{"Pull Request is not mergeable: it has conflicts with the base branch."}}
	}
	d := p.repo.demands(p.base, a)
	var reasons []string
	if d.update {
		reasons = append(reasons, "Cannot update this protected ref.")
	}
	if d.queue && !queued {
		reasons = append(reasons, "Changes must be made through the merge queue")
	}
	if d.strict && !queued && !p.repo.net.contains(p.head, p.baseTip()) {
		reasons = append(reasons, "The head branch is not up to date with the base branch.")
	}
	reasons = append(reasons, p.repo.checkReasons(d.checks, p.head)...)
	reasons = append(reasons, p.approvalReasons(d.approvals)...)
	return verdict{http.StatusMethodNotAllowed, reasons}
}

func (p *PullRequest) stateReason() string {
	switch {
	case p.merged:
		return "Pull Request is not mergeable: it is already merged."
	case p.state != "open":
		return "Pull Request is not mergeable: it is closed."
	case p.draft:
		return "Pull Request is still a draft."
	case p.repo.branches[p.base] == "":
		return "Pull Request is not mergeable: the base branch is gone."
	}
	return ""
}

// approvalReasons count the latest opinion of each person with write; the author's does not count.
func (p *PullRequest) approvalReasons(required int) []string {
	if required == 0 {
		return nil
	}
	approvals, objections := 0, 0
	for u, state := range p.opinions() {
		if u == p.author || p.repo.role(u) < roleWrite {
			continue
		}
		switch state {
		case "APPROVED":
			approvals++
		case "CHANGES_REQUESTED":
			objections++
		}
	}
	var reasons []string
	if approvals < required {
		plural := "review is"
		if required > 1 {
			plural = "reviews are"
		}
		reasons = append(reasons, fmt.Sprintf("At least %d approving %s required by reviewers with write access.", required, plural))
	}
	if objections > 0 {
		reasons = append(reasons, "Changes were requested by a reviewer with write access.")
	}
	return reasons
}

// pushReasons are why a branch may not be moved to a commit by a push.
func (r *Repository) pushReasons(a actor, branch, sha string) []string {
	d := r.demands(branch, a)
	var reasons []string
	if d.update {
		reasons = append(reasons, "Cannot update this protected ref.")
	}
	if d.pull || d.queue {
		reasons = append(reasons, "Changes must be made through a pull request.")
	}
	return append(reasons, r.checkReasons(d.checks, sha)...)
}

// mergeSpec is the body of PUT merge.
type mergeSpec struct {
	SHA     string `json:"sha"`
	Title   string `json:"commit_title"`
	Message string `json:"commit_message"`
	Method  string `json:"merge_method"`
}

// merge checks, merges and tells; it returns the SHA of the new commit on the base branch.
func (p *PullRequest) merge(a actor, spec mergeSpec, road string) (string, error) {
	if v := p.verdict(a, false); len(v.reasons) > 0 {
		return "", v.err()
	}
	if spec.SHA != "" && spec.SHA != p.head {
		return "", refuse(http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	}
	parents := []string{p.baseTip(), p.head}
	title := fmt.Sprintf("Merge pull request #%d from %s/%s", p.number, p.headRepo.owner.login, p.headRef)
	switch spec.Method {
	case "", "merge":
	case "squash":
		parents = parents[:1]
		title = fmt.Sprintf("%s (#%d)", p.title, p.number)
	case "rebase":
		return "", refuse(http.StatusMethodNotAllowed, "Rebase merges are not allowed on this repository.")
	default:
		return "", unprocessable("Invalid merge_method: " + spec.Method)
	}
	if spec.Title != "" {
		title = spec.Title
	}
	c := p.mergeCommit(a, parents, strings.TrimSpace(title+"\n\n"+spec.Message))
	p.land(a, c.sha, road)
	return c.sha, nil
}

// mergeCommit stores the result of merging head into base; the caller knows that they do not conflict.
func (p *PullRequest) mergeCommit(a actor, parents []string, message string) *commit {
	files, _ := p.repo.net.mergeTrees(p.baseTip(), p.head)
	return p.repo.net.store(commit{
		parents: parents, files: files, message: message, author: a.user.signature(),
		committer: signature{name: "GitHub", email: "noreply@github.com"}, at: p.repo.sim.tick(),
	})
}

// land makes a commit the head of the base branch and the pull request merged. Other pull requests are not changed.
func (p *PullRequest) land(a actor, sha, road string) {
	was := p.baseTip()
	p.markMerged(a, was, sha, road)
	p.repo.moveBranch(a, p.base, sha)
}

func (p *PullRequest) markMerged(a actor, was, sha, road string) {
	if p.group != nil && p.group.state == "queued" {
		p.leaveQueue(a, "MERGE")
	}
	p.touch()
	p.baseSHA, p.mergeSHA = was, sha
	p.state, p.closed = "closed", p.updated
	p.repo.open--
	p.merged, p.mergedAt, p.mergedBy, p.road = true, p.updated, a.user, road
	p.disarm(a)
	p.record(a, timelineEntry{event: "merged", commit: sha})
	p.record(a, timelineEntry{event: "closed"})
	p.emit(a, "", "closed", obj{})
}
