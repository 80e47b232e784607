package site

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// check is a check run with who made it. Mark is success, failure or waiting.
type check struct {
	githubsim.CheckRun

	App, Mark string
	Required  bool
	Buttons   []githubsim.CheckButton
}

// Shown is the conclusion, or the status until there is one.
func (c check) Shown() string { return cmp.Or(c.Conclusion, c.Status) }

// checks are the newest runs on a commit, one for each name and App.
func (v *visit) checks(sha string) []check {
	required := v.repo.RequiredChecks(v.repo.DefaultBranch())
	var list []check
	for _, run := range v.repo.CheckRuns(sha) {
		if slices.ContainsFunc(list, func(c check) bool { return c.Name == run.Name && c.AppID == run.AppID }) {
			continue
		}
		c := check{CheckRun: run, App: v.Sim.AppSlug(run.AppID), Mark: mark(run.Status, run.Conclusion), Buttons: v.repo.CheckButtons(run.ID)}
		c.Required = slices.ContainsFunc(required, func(r githubsim.RequiredCheck) bool { return r.Context == run.Name })
		list = append(list, c)
	}
	return list
}

func mark(status, conclusion string) string {
	switch {
	case status != "completed":
		return "waiting"
	case slices.Contains([]string{"success", "neutral", "skipped"}, conclusion):
		return "success"
	}
	return "failure"
}

// pullPage is what the tabs of a pull request share.
type pullPage struct {
	githubsim.PullRequestDetails

	Repo     string // its path
	Path     string
	At       string // the tab that is open
	Me       string
	Checks   []check
	Commits  []githubsim.CommitDetails
	Files    []changedFile
	Typed    string // what was typed into a form that was refused
	Items    []item
	Labels   []string
	Opinions []opinion
	Bases    []string
	Box      githubsim.Mergeability
	Story    *Story
	Commands []string
}

// Bare is the pull request alone.
func (p pullPage) Bare() githubsim.PullRequestDetails { return p.PullRequestDetails }

// Additions and Deletions are the lines of all files.
func (p pullPage) Additions() (n int) {
	for _, f := range p.Files {
		n += f.Additions
	}
	return n
}

// Deletions is the other half of Additions.
func (p pullPage) Deletions() (n int) {
	for _, f := range p.Files {
		n += f.Deletions
	}
	return n
}

// opinion is what a reviewer said last.
type opinion struct {
	Login, State string
	Stale        bool // about another commit than the head
}

func (v *visit) pullPath(rest string) string {
	return v.path("/pull/" + strconv.Itoa(v.pull.Number()) + rest)
}

func (v *visit) conversation() (page, error) { return v.pullPage("conversation"), nil }

func (v *visit) tab() (page, error) {
	switch tab := v.r.PathValue("tab"); tab {
	case "files", "checks":
		return v.pullPage(tab), nil
	case "push":
		return v.pushPage(), nil
	case "version":
		return page{plain: v.version()}, nil
	}
	return page{}, errNotFound
}

func (v *visit) pullPage(tab string) page {
	d := v.pull.Details()
	p := pullPage{
		PullRequestDetails: d, Repo: v.path(""), Path: v.pullPath(""), At: tab, Me: v.me.Login(), Checks: v.checks(d.HeadSHA),
		Commits: v.pull.Commits(), Files: v.files(v.pull.Files(), d.HeadSHA), Labels: v.pull.Labels(),
		Opinions: v.opinions(d), Box: v.pull.Mergeability(v.me), Commands: v.Commands, Typed: v.form("body"),
	}
	p.Items = v.items(p.Commits)
	for _, name := range v.branches() {
		if name != d.Head && name != d.Base {
			p.Bases = append(p.Bases, name)
		}
	}
	if v.repo == v.Home {
		v.mu.Lock()
		p.Story = v.starts[d.Number]
		v.mu.Unlock()
	}
	return page{template: "pull", title: fmt.Sprintf("%s #%d", d.Title, d.Number), tab: "pulls", data: p}
}

// opinions are the latest reviews with an opinion, one for each reviewer.
func (v *visit) opinions(d githubsim.PullRequestDetails) []opinion {
	var list []opinion
	for _, review := range v.pull.Reviews() {
		if review.State == "COMMENTED" {
			continue
		}
		list = slices.DeleteFunc(list, func(o opinion) bool { return o.Login == review.User })
		list = append(list, opinion{review.User, review.State, review.CommitID != d.HeadSHA})
	}
	return list
}

// item is one entry of the conversation: exactly one of the pointers is set.
type item struct {
	At      time.Time
	Comment *comment
	Review  *githubsim.Review
	Commit  *commit
	Event   *githubsim.TimelineEvent
}

type comment struct {
	githubsim.Comment

	Bot       bool
	Edited    bool
	Reactions []reaction
}

// reaction is one kind of reaction and who gave it.
type reaction struct {
	Content string
	By      []string
}

type commit struct {
	githubsim.CommitDetails

	Checks []check
}

// items is the conversation in the order in which it happened.
func (v *visit) items(commits []githubsim.CommitDetails) []item {
	var list []item
	for _, c := range commits {
		list = append(list, item{At: c.At, Commit: &commit{c, v.checks(c.SHA)}})
	}
	for _, c := range v.pull.Comments() {
		shown := &comment{Comment: c, Bot: c.AppID != 0 || v.isBot(c.User), Edited: c.UpdatedAt.After(c.CreatedAt)}
		for _, r := range v.pull.Reactions(c.ID) {
			i := slices.IndexFunc(shown.Reactions, func(have reaction) bool { return have.Content == r.Content })
			if i < 0 {
				i, shown.Reactions = len(shown.Reactions), append(shown.Reactions, reaction{Content: r.Content})
			}
			shown.Reactions[i].By = append(shown.Reactions[i].By, r.User)
		}
		list = append(list, item{At: c.CreatedAt, Comment: shown})
	}
	for _, r := range v.pull.Reviews() {
		list = append(list, item{At: r.SubmittedAt, Review: &r})
	}
	for _, e := range v.pull.Timeline() {
		list = append(list, item{At: e.At, Event: &e})
	}
	slices.SortStableFunc(list, func(a, b item) int { return a.At.Compare(b.At) })
	return list
}

func (v *visit) isBot(login string) bool {
	u := v.Sim.User(login)
	return u != nil && u.IsBot()
}

// version changes whenever the pages of the pull request would.
func (v *visit) version() string {
	d := v.pull.Details()
	sum := fnv.New64a()
	_, _ = fmt.Fprintln(sum, d, v.repo.Head(d.Base), v.pull.Reviews(), len(v.pull.Timeline())) // a hash takes everything
	for _, c := range v.pull.Comments() {
		_, _ = fmt.Fprintln(sum, c.ID, c.UpdatedAt, v.pull.Reactions(c.ID))
	}
	for _, run := range v.repo.CheckRuns(d.HeadSHA) {
		_, _ = fmt.Fprintln(sum, run.ID, run.Updates, run.Status, run.Conclusion)
	}
	return strconv.FormatUint(sum.Sum64(), 36)
}
