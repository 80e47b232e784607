package githubsim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Commit is one change to push. Rename is carried out first, then Delete, then Files.
type Commit struct {
	Message           string
	Files             map[string]string // path to content
	Modes             map[string]string // path to 100644, 100755, 120000 (Files has its target) or 160000 (Files has its commit)
	Delete            []string
	Rename            map[string]string // from to
	Author, Committer *User             // by default the pusher
	AuthorEmail       string            // instead of Author: the account is whoever the address belongs to, or nobody
	CommitterEmail    string            // likewise
	UnmappedEmail     string            // when set, author and committer have this e-mail and no account: null over REST
	MergeOf           string            // the SHA of a second parent: a merge commit that brings in its changes
	Parents           []string          // SHAs of further parents whose changes are not brought in, as by git merge -s ours
}

// zeroSHA stands for "no commit" in push events.
const zeroSHA = "0000000000000000000000000000000000000000"

// Push adds commits to a branch, which starts at the default branch when it is not there. It needs write and is refused by
// the rules of the branch as at GitHub: a protected branch takes only commits whose required checks already pass.
func (r *Repository) Push(u *User, branch string, commits ...Commit) (headSHA string, err error) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	from := r.branches[branch]
	if from == "" {
		from = r.branches[r.branch]
	}
	return r.push(actor{user: u}, branch, from, false, commits)
}

// ForcePush makes the branch fromSHA with the commits on top.
func (r *Repository) ForcePush(u *User, branch, fromSHA string, commits ...Commit) (string, error) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.net.commits[fromSHA] == nil {
		return "", unprocessable("No commit found for SHA: " + fromSHA)
	}
	return r.push(actor{user: u}, branch, fromSHA, true, commits)
}

// SetFiles commits files to a branch past all rules, as if they had been there by agreement: it sets a scene, no person can
// do it. It sends the same webhooks as a push by "ghost-owner" and returns the new head.
func (r *Repository) SetFiles(branch string, files map[string]string) string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	owner := actor{user: r.sim.users["ghost-owner"]}
	from := r.branches[branch]
	if from == "" {
		from = r.branches[r.branch]
	}
	sha, err := r.commitOn(owner, from, Commit{Message: "Set files", Files: files})
	if err != nil {
		panic("githubsim: " + err.Error()) // only MergeOf, Parents and Modes can be refused
	}
	r.moveBranch(owner, branch, sha)
	return sha
}

func (r *Repository) push(a actor, branch, from string, force bool, commits []Commit) (string, error) {
	if r.roleOf(a) < roleWrite {
		return "", refuse(http.StatusForbidden, "Permission to %s.git denied to %s.", r.fullName(), a.login())
	}
	sha := from
	for _, c := range commits {
		next, err := r.commitOn(a, sha, c)
		if err != nil {
			return "", err
		}
		sha = next
	}
	return sha, r.updateBranch(a, branch, sha, force)
}

// updateBranch moves a branch for somebody, if the rules let them.
func (r *Repository) updateBranch(a actor, branch, sha string, force bool) error {
	was := r.branches[branch]
	if was == sha {
		return nil
	}
	if was != "" && !force && !r.net.contains(sha, was) {
		return unprocessable("Update is not a fast forward")
	}
	if reasons := r.pushReasons(a, branch, sha); len(reasons) > 0 {
		return refuse(http.StatusConflict, "Repository rule violations found\n\n%s", strings.Join(reasons, "\n\n"))
	}
	r.moveBranch(a, branch, sha)
	return nil
}

// commitOn stores one commit on top of a parent and moves nothing.
func (r *Repository) commitOn(a actor, parent string, c Commit) (string, error) {
	files := maps.Clone(r.net.commits[parent].files)
	parents := []string{parent}
	if c.MergeOf != "" {
		if r.net.commits[c.MergeOf] == nil {
			return "", unprocessable("No commit found for SHA: " + c.MergeOf)
		}
		merged, clean := r.net.mergeTrees(parent, c.MergeOf)
		if !clean {
			return "", refuse(http.StatusConflict, "Merge conflict")
		}
		files, parents = merged, append(parents, c.MergeOf)
	}
	for _, sha := range c.Parents {
		if r.net.commits[sha] == nil {
			return "", unprocessable("No commit found for SHA: " + sha)
		}
		parents = append(parents, sha)
	}
	for from, to := range c.Rename {
		if b := files[from]; b != nil {
			delete(files, from)
			files[to] = b
		}
	}
	for _, path := range c.Delete {
		delete(files, path)
	}
	if err := r.net.write(files, c.Files, c.Modes); err != nil {
		return "", err
	}
	author, committer := r.sim.signatures(c, a.user)
	message := c.Message
	if message == "" {
		message = "Update"
	}
	return r.net.store(commit{
		parents: parents, files: files, message: message, author: author, committer: committer, at: r.sim.tick(),
	}).sha, nil
}

func (s *Sim) signatures(c Commit, pusher *User) (author, committer signature) {
	if c.UnmappedEmail != "" {
		name, _, _ := strings.Cut(c.UnmappedEmail, "@")
		unmapped := signature{name: name, email: c.UnmappedEmail}
		return unmapped, unmapped
	}
	author, committer = pusher.signature(), pusher.signature()
	if c.Author != nil {
		author = c.Author.signature()
	}
	if c.Committer != nil {
		committer = c.Committer.signature()
	}
	if c.AuthorEmail != "" {
		author = s.signatureOf(c.AuthorEmail)
	}
	if c.CommitterEmail != "" {
		committer = s.signatureOf(c.CommitterEmail)
	}
	return author, committer
}

// signatureOf is what a commit with that address says of its maker; anybody can write any address.
func (s *Sim) signatureOf(address string) signature {
	name, _, _ := strings.Cut(address, "@")
	return signature{name: name, email: address, user: s.userOfEmail(address)}
}

// moveBranch points a branch at a commit and does all that follows from it: push, check suites, pull requests that the branch
// heads (synchronize) or that it now contains (merged), merge groups built on it.
func (r *Repository) moveBranch(a actor, branch, sha string) {
	was := r.branches[branch]
	r.branches[branch] = sha
	r.pushed = r.sim.tick()
	r.emitPush(a, "refs/heads/"+branch, was, sha)
	r.requestSuites(a, sha, branch, was)
	for _, p := range r.pullsFrom(r, branch) {
		p.synchronize(a, sha)
	}
	for _, p := range r.openPulls() {
		if p.base == branch && was != "" && r.net.contains(sha, p.head) {
			p.markMerged(a, was, sha, roadPush)
		}
	}
	r.rebuildGroups(a, branch)
}

// deleteBranch takes a branch away; pull requests from it and into it are closed.
func (r *Repository) deleteBranch(a actor, branch string) {
	was := r.branches[branch]
	delete(r.branches, branch)
	r.sim.tick()
	r.emitPush(a, "refs/heads/"+branch, was, "")
	for _, p := range r.pullsFrom(r, branch) {
		p.become(a, "closed")
	}
	r.closeInto(a, branch)
}

// pullsFrom lists the open pull requests whose head is that branch, in this repository, in what it was forked from, and in its forks.
func (r *Repository) pullsFrom(head *Repository, branch string) []*PullRequest {
	var list []*PullRequest
	for target := r; target != nil; target = target.parent {
		for _, p := range target.byRef[head.ref(branch)] {
			if p.state == "open" {
				list = append(list, p)
			}
		}
	}
	return list
}

func (r *Repository) openPulls() []*PullRequest {
	var list []*PullRequest
	for _, p := range r.pulls {
		if p.state == "open" {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *PullRequest) int { return a.number - b.number })
	return list
}

func (r *Repository) emitPush(a actor, ref, before, after string) {
	body := obj{
		"ref": ref, "before": before, "after": after, "created": before == "", "deleted": after == "", "forced": false,
		"base_ref": nil, "commits": []obj{}, "head_commit": nil,
		"pusher": obj{"name": a.login(), "email": a.user.signature().email},
	}
	if before == "" {
		body["before"] = zeroSHA
	}
	if after == "" {
		body["after"] = zeroSHA
	} else {
		body["forced"] = before != "" && !r.net.contains(after, before)
		body["head_commit"] = r.pushedJSON(r.net.commits[after])
		from := before
		if from == "" {
			from = r.branches[r.branch]
		}
		ahead := r.net.compare(from, after).ahead
		body["commits"] = each(ahead[:min(mostPushedCommits, len(ahead))], r.pushedJSON)
	}
	body["compare"] = r.sim.base + "/" + r.fullName() + "/compare/" + before + "..." + after
	r.sim.emit(r, "push", "", a.user, body)
	switch branch := strings.TrimPrefix(ref, "refs/heads/"); "" {
	case before:
		r.emitRef(a, "create", branch)
	case after:
		r.emitRef(a, "delete", branch)
	}
}
