package githubsim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// This file is what a page for people needs to show: views, taken under the lock, that share nothing with the state.

// ServePages makes pages answer everything outside /api: that is where html_url points. Requests to it are no API requests:
// no fault, latency or log concerns them. Without pages they are answered 404.
func (s *Sim) ServePages(pages http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages = pages.ServeHTTP
}

// servedPage says whether the request was one for the pages.
func (s *Sim) servedPage(w http.ResponseWriter, req *http.Request) bool {
	s.mu.Lock()
	pages := s.pages
	s.mu.Unlock()
	if pages == nil || req.URL.Path == "/api" || strings.HasPrefix(req.URL.Path, "/api/") || asksIssuer(req) || asksLogin(req) || asksArchive(req) {
		return false
	}
	pages(w, req)
	return true
}

// AppSlug is the slug of an App, or "" when there is none of that id.
func (s *Sim) AppSlug(id int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app := s.apps[id]; app != nil {
		return app.slug
	}
	return ""
}

// IsBot says whether the account is of type Bot.
func (u *User) IsBot() bool { return u.kind == "Bot" }

// Organization is the one that owns the repository, or nil when a user owns it.
func (r *Repository) Organization() *Organization {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.org
}

// Role is what u may do here: none, read, triage, write, maintain or admin.
func (r *Repository) Role(u *User) string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.role(u).String()
}

// Branches are the names of the branches, sorted.
func (r *Repository) Branches() []string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return sortedKeys(r.branches)
}

// Paths are the files of a branch or commit, sorted; none when there is no such ref.
func (r *Repository) Paths(ref string) []string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	c := r.resolve(ref)
	if c == nil {
		return nil
	}
	return sortedKeys(c.files)
}

// PullRequests are all pull requests, newest first.
func (r *Repository) PullRequests() []*PullRequest {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	list := make([]*PullRequest, 0, len(r.pulls))
	for _, p := range r.pulls {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *PullRequest) int { return b.number - a.number })
	return list
}

// RequiredChecks are the checks that a branch demands by its active rulesets and its protection.
func (r *Repository) RequiredChecks(branch string) []RequiredCheck {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.demands(branch, actor{}).checks
}

// CheckButton is a button of a check run, for RequestAction.
type CheckButton struct{ Identifier, Label, Description string }

// CheckButtons are the buttons that the App put on a check run.
func (r *Repository) CheckButtons(runID int64) []CheckButton {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	run := r.runs[runID]
	if run == nil {
		return nil
	}
	var list []CheckButton
	for _, a := range run.actions {
		list = append(list, CheckButton{Identifier: a.Identifier, Label: a.Label, Description: a.Description})
	}
	return list
}

// CheckRunHead is the commit that a check run is about, or "".
func (r *Repository) CheckRunHead(runID int64) string {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if run := r.runs[runID]; run != nil {
		return run.sha
	}
	return ""
}

// Teams are the teams, by slug.
func (o *Organization) Teams() []*Team {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	list := make([]*Team, 0, len(o.teams))
	for _, slug := range sortedKeys(o.teams) {
		list = append(list, o.teams[slug])
	}
	return list
}

// Members are the logins of the team's members, in the order in which their accounts were made.
func (t *Team) Members() []string {
	t.org.sim.mu.Lock()
	defer t.org.sim.mu.Unlock()
	var logins []string
	for _, u := range sortedUsers(t.members) {
		logins = append(logins, u.login)
	}
	return logins
}

// PullRequestDetails is a pull request at one moment. MergedBy is "" unless it was merged.
type PullRequestDetails struct {
	Number                int
	Title, Body, Author   string
	State                 string // open or closed
	Draft, Merged, Queued bool
	MergedBy              string
	Head, HeadSHA, Base   string // Head is "owner:branch" for a fork
	CreatedAt, UpdatedAt  time.Time
}

// Details is the pull request as it is now.
func (p *PullRequest) Details() PullRequestDetails {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	d := PullRequestDetails{
		Number: p.number, Title: p.title, Body: p.body, Author: p.author.login, State: p.state,
		Draft: p.draft, Merged: p.merged, Queued: p.group != nil, Head: p.headRef, HeadSHA: p.head, Base: p.base,
		CreatedAt: p.created, UpdatedAt: p.updated,
	}
	if p.headRepo != p.repo {
		d.Head = p.headRepo.owner.login + ":" + p.headRef
	}
	if p.mergedBy != nil {
		d.MergedBy = p.mergedBy.login
	}
	return d
}

// MergeGroup is the pull request's place in the merge queue, or nil.
func (p *PullRequest) MergeGroup() *MergeGroup {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return p.group
}

// CommitDetails is one commit. Author is a login, or the name in the commit when no account has its e-mail.
type CommitDetails struct {
	SHA, Message, Author string
	Parents              []string
	At                   time.Time
}

// Commits are the commits of the pull request, oldest first.
func (p *PullRequest) Commits() []CommitDetails {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	var list []CommitDetails
	for _, c := range p.commits() {
		list = append(list, c.details())
	}
	return list
}

func (c *commit) details() CommitDetails {
	d := CommitDetails{SHA: c.sha, Message: c.message, Author: c.author.name, Parents: slices.Clone(c.parents), At: c.at}
	if c.author.user != nil {
		d.Author = c.author.user.login
	}
	return d
}

// FileChange is one file of a comparison; Status is added, removed, modified or renamed, Patch one hunk without context.
type FileChange struct {
	Path, Previous, Status string
	Additions, Deletions   int
	Patch                  string
}

// Files is what the pull request changes, by path.
func (p *PullRequest) Files() []FileChange {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	return changes(p.files())
}

// Commit finds a commit by its SHA, and what it changes against its first parent; ok is false when it is not there.
func (r *Repository) Commit(sha string) (c CommitDetails, files []FileChange, ok bool) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	found := r.net.commits[sha]
	if found == nil {
		return CommitDetails{}, nil, false
	}
	parent := ""
	if len(found.parents) > 0 {
		parent = found.parents[0]
	}
	return found.details(), changes(r.net.diff(parent, sha)), true
}

func changes(list []fileChange) []FileChange {
	views := make([]FileChange, 0, len(list))
	for _, f := range list {
		views = append(views, FileChange{
			Path: f.path, Previous: f.previous, Status: f.status, Additions: f.additions, Deletions: f.deletions, Patch: f.patch,
		})
	}
	return views
}

// TimelineEvent is one line of a pull request's history that is neither a comment, a review nor a commit. Kind is spelled as in
// REST's issue events. Subject is a label, the new title, base or head, the reviewer whose review was dismissed; From is what
// it was before.
type TimelineEvent struct {
	At            time.Time
	Actor, Kind   string
	From, Subject string
}

// Timeline is what happened to the pull request, oldest first. That a merge also closed it goes without saying.
func (p *PullRequest) Timeline() []TimelineEvent {
	p.repo.sim.mu.Lock()
	defer p.repo.sim.mu.Unlock()
	var list []TimelineEvent
	for _, entry := range p.timeline {
		e := TimelineEvent{At: entry.at, Actor: entry.actor.login, Kind: entry.event, From: entry.from, Subject: entry.to}
		switch {
		case entry.event == "closed" && p.merged && entry.at.Equal(p.mergedAt):
			continue
		case entry.label != nil:
			e.Subject = entry.label.name
		case entry.review != nil:
			e.Subject = entry.review.author.login
		case entry.assignee != nil:
			e.Subject = entry.assignee.login
		}
		list = append(list, e)
	}
	return list
}
