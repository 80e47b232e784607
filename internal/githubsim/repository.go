package githubsim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Repository holds branches, threads (issues and pull requests), checks and rules.
type Repository struct {
	sim       *Sim
	net       *network
	id        int64
	owner     *account
	org       *Organization // nil when a user owns it
	name      string
	parent    *Repository // what it was forked from
	private   bool
	gone      bool              // deleted
	archived  bool              // read-only
	branch    string            // the default branch
	branches  map[string]string // name to head SHA
	roles     map[int64]role
	labels    map[string]*label // by lower-case name
	lastNum   int
	threads   map[int]*thread
	left      map[int]*thread // issues that are somewhere else now; nil for those that were deleted
	pulls     map[int]*PullRequest
	open      int                       // open threads
	bySHA     map[string][]*PullRequest // those that ever had this head
	byRef     map[headRef][]*PullRequest
	comments  map[int64]*comment
	runs      map[int64]*checkRun
	runsAt    map[string][]*checkRun   // by SHA, oldest first
	suitesAt  map[string][]*checkSuite // by SHA, oldest first
	statuses  map[string][]*status     // by SHA, oldest first
	protected map[string]Protection
	rulesets  []*ruleset
	groups    []*MergeGroup
	workflows []*WorkflowRun // oldest first
	armed     []*PullRequest // to be merged as soon as they may

	secrets      *vault
	environments []*Environment

	noAutoMerge bool
	properties  map[string][]string // values of custom properties, by name
	created     time.Time
	pushed      time.Time
}

// headRef is a branch that pull requests may come from.
type headRef struct {
	repo *Repository
	name string
}

// label is a label that a repository offers.
type label struct {
	id    int64
	name  string
	color string
	text  string
}

// role orders what a person may do; it says "none" by default.
type role int

const (
	roleNone role = iota
	roleRead
	roleTriage
	roleWrite
	roleMaintain
	roleAdmin
)

var roleNames = []string{"none", "read", "triage", "write", "maintain", "admin"}

func (r role) String() string { return roleNames[r] }

// CreateRepository makes a public repository whose first commit, on main, holds the files.
func (o *Organization) CreateRepository(name string, files map[string]string) *Repository {
	s := o.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.newRepository(&o.account, o, name, newNetwork())
	content := tree{}
	for path, text := range files {
		content[path] = r.net.blob(text)
	}
	author := s.users["ghost-owner"].signature()
	first := r.net.store(commit{files: content, message: "Initial commit", author: author, committer: author, at: r.created})
	r.branches[r.branch] = first.sha
	r.emitPush(actor{user: s.users["ghost-owner"]}, "refs/heads/"+r.branch, "", first.sha)
	return r
}

func (s *Sim) newRepository(owner *account, org *Organization, name string, net *network) *Repository {
	key := strings.ToLower(owner.login + "/" + name)
	s.mustBeFreeName(key, name)
	delete(s.moved, key)
	at := s.tick()
	r := &Repository{
		sim: s, net: net, id: s.id(), owner: owner, org: org, name: name, branch: "main",
		branches: map[string]string{}, roles: map[int64]role{}, labels: map[string]*label{},
		threads: map[int]*thread{}, pulls: map[int]*PullRequest{}, bySHA: map[string][]*PullRequest{}, byRef: map[headRef][]*PullRequest{}, comments: map[int64]*comment{},
		runs: map[int64]*checkRun{}, runsAt: map[string][]*checkRun{}, suitesAt: map[string][]*checkSuite{},
		statuses: map[string][]*status{}, protected: map[string]Protection{}, secrets: s.newVault(), created: at, pushed: at,
	}
	s.repos[key], s.reposByID[r.id] = r, r
	return r
}

// Fork copies the repository to u's account, where u is admin; u may open pull requests from it as "login:branch".
func (r *Repository) Fork(u *User) *Repository {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	fork := r.sim.newRepository(&u.account, nil, r.name, r.net)
	fork.parent, fork.private, fork.branch = r, r.private, r.branch
	maps.Copy(fork.branches, r.branches)
	return fork
}

// Delete takes the repository away, as its owner may. Pull requests from it stay, and their head repository is null.
func (r *Repository) Delete() {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	delete(r.sim.repos, strings.ToLower(r.fullName()))
	delete(r.sim.reposByID, r.id)
	r.gone = true
	r.sim.tick()
}

// Repository finds a repository by "owner/name", in any case, or returns nil.
func (s *Sim) Repository(fullName string) *Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[strings.ToLower(fullName)]
}

// Owner is the login of the organization or user that owns it.
func (r *Repository) Owner() string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.owner.login
}

// Name is the short name.
func (r *Repository) Name() string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.name
}

// FullName is "owner/name".
func (r *Repository) FullName() string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.fullName()
}

func (r *Repository) fullName() string { return r.owner.login + "/" + r.name }

// ID is the number that survives a rename.
func (r *Repository) ID() int64 { return r.id }

// DefaultBranch is the branch that pull requests go to by default.
func (r *Repository) DefaultBranch() string { return r.branch }

// SetPrivate hides the repository from everybody without a role (members of its organization read it).
func (r *Repository) SetPrivate(private bool) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.private = private
}

// SetRole makes u a collaborator: read, triage, write, maintain or admin; "none" or "" ends it. Apps hear member.added, edited or removed.
func (r *Repository) SetRole(u *User, roleName string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.setRole(r.sim.users["ghost-owner"], u, mustRole(roleName))
}

// role is what u may do here: owners of the organization everything, its members read, everybody read when public.
func (r *Repository) role(u *User) role {
	if u == nil {
		return r.publicRole()
	}
	if r.owner.id == u.id || r.org != nil && r.org.owners[u.id] {
		return roleAdmin
	}
	if given := max(r.roles[u.id], r.teamRole(u)); given != roleNone {
		return given
	}
	if r.org.has(u) {
		return roleRead
	}
	return r.publicRole()
}

func (r *Repository) publicRole() role {
	if r.private {
		return roleNone
	}
	return roleRead
}

// has is isMember for an organization that may not be there.
func (o *Organization) has(u *User) bool { return o != nil && o.isMember(u) }

// CreateLabel offers a label; nothing happens when the name, in any case, exists.
func (r *Repository) CreateLabel(name string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	r.label(name, r.sim.users["ghost-owner"])
}

// DeleteLabel takes the label away from the repository and from every thread, with no unlabeled event, only label.deleted.
func (r *Repository) DeleteLabel(name string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if l := r.labels[strings.ToLower(name)]; l != nil {
		r.deleteLabel(r.sim.users["ghost-owner"], l)
	}
}

// RemoveLabel is DeleteLabel by somebody, who needs write.
func (r *Repository) RemoveLabel(u *User, name string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	l := r.labels[strings.ToLower(name)]
	switch {
	case r.role(u) < roleWrite:
		return refuse(http.StatusForbidden, "Must have push access to delete a label.")
	case l == nil:
		return notFound()
	}
	r.deleteLabel(u, l)
	return nil
}

func (r *Repository) deleteLabel(by *User, l *label) {
	name := l.name
	delete(r.labels, strings.ToLower(name))
	for _, t := range r.threads {
		t.labels = slices.DeleteFunc(t.labels, func(have *label) bool { return have == l })
	}
	r.sim.tick()
	r.sim.emit(r, "label", "deleted", by, obj{"label": r.labelJSON(l)})
}

// RenameLabel changes the name everywhere; Apps hear label.edited with changes.name.from and nothing else.
func (r *Repository) RenameLabel(from, to string) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	l := r.labels[strings.ToLower(from)]
	if l == nil || r.labels[strings.ToLower(to)] != nil {
		panic(fmt.Sprintf("githubsim: cannot rename label %q to %q", from, to))
	}
	r.renameLabel(r.sim.users["ghost-owner"], l, to)
}

// EditLabel is RenameLabel by somebody, who needs write.
func (r *Repository) EditLabel(u *User, from, to string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	l := r.labels[strings.ToLower(from)]
	switch {
	case r.role(u) < roleWrite:
		return refuse(http.StatusForbidden, "Must have push access to edit a label.")
	case l == nil:
		return notFound()
	case to == "" || r.labels[strings.ToLower(to)] != nil:
		return invalid("Label", "name", "already_exists", "")
	}
	r.renameLabel(u, l, to)
	return nil
}

func (r *Repository) renameLabel(by *User, l *label, to string) {
	delete(r.labels, strings.ToLower(l.name))
	r.labels[strings.ToLower(to)] = l
	old := l.name
	l.name = to
	r.sim.tick()
	r.sim.emit(r, "label", "edited", by, obj{
		"label": r.labelJSON(l), "changes": obj{"name": obj{"from": old}},
	})
}

// label finds the label, making it if need be.
func (r *Repository) label(name string, by *User) *label {
	key := strings.ToLower(name)
	if r.labels[key] == nil {
		r.labels[key] = &label{id: r.sim.id(), name: name, color: "ededed"}
		r.sim.tick()
		r.sim.emit(r, "label", "created", by, obj{"label": r.labelJSON(r.labels[key])})
	}
	return r.labels[key]
}

// resolve turns a branch, a ref, a SHA or a unique start of one (seven digits or more) into a commit, or nil.
func (r *Repository) resolve(ref string) *commit {
	name := strings.TrimPrefix(strings.TrimPrefix(ref, "refs/"), "heads/")
	if sha := r.branches[name]; sha != "" {
		return r.net.commits[sha]
	}
	if c := r.net.commits[ref]; c != nil || len(ref) < 7 {
		return c
	}
	var found *commit
	for sha, c := range r.net.commits {
		if strings.HasPrefix(sha, ref) {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// Head is the SHA that a branch points to, or "" when there is no such branch.
func (r *Repository) Head(branch string) string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.branches[branch]
}

// File is the content of a file on a branch or commit; ok is false when it is not there.
func (r *Repository) File(ref, path string) (content string, ok bool) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	c := r.resolve(ref)
	if c == nil || c.files[path] == nil {
		return "", false
	}
	return c.files[path].content, true
}
