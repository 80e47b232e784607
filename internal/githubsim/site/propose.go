package site

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// proposal is the form that makes commits: for a new pull request, or for one that is there.
type proposal struct {
	Action     string // where it is posted to
	Me         string
	From       string // the commit whose files it shows
	Pull       *githubsim.PullRequestDetails
	Story      string // its number, if one is tried
	Branch     string
	Base       string
	Bases      []string
	Name, Body string
	Draft      bool
	Edits      []edit
}

// edit is one file of the form. A file that is not there yet has a path to fill in.
type edit struct {
	Path, Content string
	New, Delete   bool
	Changed       bool // shown open
}

// blanks is how many files one can make at once.
const blanks = 2

// edits are the files of a commit with changes laid over them, and room for new ones.
func (v *visit) edits(from string, changed map[string]string) []edit {
	var list []edit
	for _, path := range v.repo.Paths(from) {
		e := edit{Path: path}
		e.Content, _ = v.repo.File(from, path)
		if content, given := changed[path]; given {
			e.Changed, e.Content = content != e.Content, content
		}
		list = append(list, e)
	}
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		if _, exists := v.repo.File(from, path); !exists {
			list = append(list, edit{Path: path, Content: changed[path], New: true, Changed: true})
		}
	}
	for range blanks {
		list = append(list, edit{New: true})
	}
	return list
}

// propose is the empty form, or a story's.
func (v *visit) propose() (page, error) {
	base := v.repo.DefaultBranch()
	p := proposal{Base: base, From: v.repo.Head(base), Branch: v.freeBranch(v.me.Login() + "/change")}
	var files map[string]string
	number := v.r.URL.Query().Get("story")
	if story := v.story(number); story != nil {
		p.Story, p.Branch, p.Name, files = number, v.freeBranch(story.Branch), story.Name, story.Files
	} else if path := v.r.URL.Query().Get("path"); path != "" {
		content, _ := v.repo.File(base, path)
		files = map[string]string{path: content}
	}
	p.Edits = v.edits(p.From, files)
	for i, e := range p.Edits {
		p.Edits[i].Changed = e.Changed || e.Path != "" && e.Path == v.r.URL.Query().Get("path")
	}
	return v.proposePage(p), nil
}

func (v *visit) proposePage(p proposal) page {
	p.Action, p.Me, p.Bases = v.path("/compare"), v.me.Login(), v.branches()
	return page{template: "propose", title: "Open a pull request", tab: "pulls", data: p}
}

// freeBranch is a name that no branch has.
func (v *visit) freeBranch(name string) string {
	free := name
	for n := 2; v.repo.Head(free) != ""; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

func (v *visit) story(number string) *Story {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= len(v.Stories) || v.repo != v.Home {
		return nil
	}
	return &v.Stories[n]
}

// storyPath is the form of a story, as the person who opens it.
func (v *visit) storyPath(number string, story *Story) string {
	return v.path("/compare?story=" + number + "&as=" + url.QueryEscape(story.As))
}

// open pushes the branch and opens the pull request.
func (v *visit) open() (page, error) {
	p := proposal{
		From: v.form("from"), Story: v.form("story"), Branch: v.form("branch"), Base: v.form("base"),
		Name: v.form("name"), Body: v.form("body"), Draft: v.form("draft") != "", Edits: v.posted(),
	}
	err := v.mayOpen(p)
	if err == nil {
		err = v.pushEdits(p.Branch, p.Name, p)
	}
	if err == nil {
		v.pull, err = v.repo.Open(v.me, githubsim.PullRequestSpec{Title: p.Name, Body: p.Body, Head: p.Branch, Base: p.Base, Draft: p.Draft})
	}
	if err != nil {
		return v.proposePage(p), err
	}
	if story := v.story(p.Story); story != nil {
		v.mu.Lock()
		v.starts[v.pull.Number()] = story
		v.mu.Unlock()
	}
	v.settle()
	return page{to: v.pullPath("")}, nil
}

// mayOpen finds what GitHub would refuse after the branch was pushed, before it is.
func (v *visit) mayOpen(p proposal) error {
	switch {
	case p.Name == "":
		return unfinished("The pull request needs a title.")
	case p.Branch == "":
		return unfinished("The branch needs a name.")
	case v.repo.Head(p.Branch) != "":
		return unfinished("There is a branch %q already: take another name.", p.Branch)
	case v.repo.Head(p.Base) == "":
		return unfinished("There is no branch %q to merge into.", p.Base)
	}
	return nil
}

// pushPage is the form for another commit.
func (v *visit) pushPage() page {
	d := v.pull.Details()
	return v.pushAgain(proposal{From: d.HeadSHA, Edits: v.edits(d.HeadSHA, nil)})
}

func (v *visit) pushAgain(p proposal) page {
	d := v.pull.Details()
	p.Action, p.Me, p.Pull, p.Branch = v.pullPath("/push"), v.me.Login(), &d, d.Head
	return page{template: "propose", title: fmt.Sprintf("Push to #%d", d.Number), tab: "pulls", data: p}
}

// push adds a commit to the pull request's branch.
func (v *visit) push() (page, error) {
	p := proposal{From: v.form("from"), Name: v.form("name"), Edits: v.posted()}
	if err := v.pushEdits(v.pull.Details().Head, p.Name, p); err != nil {
		return v.pushAgain(p), err
	}
	v.settle()
	return page{to: v.pullPath("")}, nil
}

// posted reads the form's files back.
func (v *visit) posted() []edit {
	var list []edit
	for i, path := range v.r.PostForm["path"] {
		e := edit{Path: path, New: v.form(fmt.Sprint("new-", i)) != "", Delete: v.form(fmt.Sprint("delete-", i)) != ""}
		e.Content = v.form(fmt.Sprint("content-", i))
		was, _ := v.repo.File(v.form("from"), path)
		e.Changed = e.Delete || e.Content != unixLines(was)
		list = append(list, e)
	}
	return list
}

// pushEdits commits what the visitor changed, against the files that the form showed.
func (v *visit) pushEdits(branch, message string, p proposal) error {
	c := githubsim.Commit{Message: message, Files: map[string]string{}}
	for _, e := range p.Edits {
		switch {
		case e.Path == "" && e.Content != "":
			return unfinished("A new file needs a path.")
		case e.Delete && !e.New:
			c.Delete = append(c.Delete, e.Path)
		case e.Changed && e.Path != "":
			c.Files[e.Path] = e.Content
		}
	}
	if len(c.Files)+len(c.Delete) == 0 {
		return unfinished("Nothing is changed yet: open a file below and edit it.")
	}
	_, err := v.repo.Push(v.me, branch, c)
	return err
}

func unfinished(format string, args ...any) error {
	return &githubsim.Refusal{Status: http.StatusUnprocessableEntity, Message: fmt.Sprintf(format, args...)}
}
