package site

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// pullRow is one pull request in a list.
type pullRow struct {
	githubsim.PullRequestDetails

	Checks   []check
	Labels   []string
	Comments int
}

func (v *visit) rows(keep func(githubsim.PullRequestDetails) bool) []pullRow {
	var rows []pullRow
	for _, pull := range v.repo.PullRequests() {
		if d := pull.Details(); keep(d) {
			rows = append(rows, pullRow{d, v.checks(d.HeadSHA), pull.Labels(), len(pull.Comments())})
		}
	}
	return rows
}

func isOpen(d githubsim.PullRequestDetails) bool { return d.State == "open" }

func (v *visit) start() (page, error) {
	return page{template: "start", title: "Start", tab: "start", data: struct {
		About   string
		Stories []Story
		Pulls   []pullRow
	}{v.About, v.Stories, v.rows(isOpen)}}, nil
}

func (v *visit) list() (page, error) {
	closed := v.r.URL.Query().Get("state") == "closed"
	rows := v.rows(func(d githubsim.PullRequestDetails) bool { return isOpen(d) != closed })
	return page{template: "list", title: "Pull requests", tab: "pulls", data: struct {
		Closed bool
		Pulls  []pullRow
		Total  int
	}{closed, rows, len(v.repo.PullRequests())}}, nil
}

func (v *visit) code() (page, error) {
	ref := v.r.PathValue("ref")
	if ref == "" {
		ref = v.repo.DefaultBranch()
	}
	paths := v.repo.Paths(ref)
	if len(paths) == 0 {
		return page{}, errNotFound
	}
	sha := v.repo.Head(ref)
	if sha == "" {
		sha = ref
	}
	readme, _ := v.repo.File(ref, "README.md")
	return page{template: "code", title: "Code", tab: "code", data: struct {
		Ref, SHA, Readme string
		Paths, Branches  []string
	}{ref, sha, readme, paths, v.branches()}}, nil
}

// branches are the branches that people made; the merge queue's are GitHub's own.
func (v *visit) branches() []string {
	return slices.DeleteFunc(v.repo.Branches(), func(name string) bool { return strings.HasPrefix(name, "gh-readonly-queue/") })
}

func (v *visit) file() (page, error) {
	path := v.r.PathValue("path")
	content, ok := v.repo.File(v.r.PathValue("ref"), path)
	if !ok {
		return page{}, errNotFound
	}
	return page{template: "file", title: path, tab: "code", data: struct {
		Ref, Path string
		Lines     []string
	}{v.r.PathValue("ref"), path, strings.Split(strings.TrimSuffix(content, "\n"), "\n")}}, nil
}

func (v *visit) commit() (page, error) {
	commit, changes, ok := v.repo.Commit(v.r.PathValue("sha"))
	if !ok {
		return page{}, errNotFound
	}
	return page{template: "commit", title: "Commit " + commit.SHA[:7], tab: "code", data: struct {
		githubsim.CommitDetails

		Checks []check
		Files  []changedFile
	}{commit, v.checks(commit.SHA), v.files(changes, commit.SHA)}}, nil
}

// run sends to the pull request whose head a check run is about, which is where it is shown.
func (v *visit) run() (page, error) {
	id, _ := strconv.ParseInt(v.r.PathValue("id"), 10, 64) // 0 is nobody's id
	head := v.repo.CheckRunHead(id)
	for _, pull := range v.repo.PullRequests() {
		if head != "" && pull.HeadSHA() == head {
			return page{to: v.path("/pull/" + strconv.Itoa(pull.Number()) + "/checks")}, nil
		}
	}
	if head != "" {
		return page{to: v.path("/commit/" + head)}, nil
	}
	return page{}, errNotFound
}

// people sends from a profile or a team to the page that says who is who.
func (v *visit) people() (page, error) {
	login := v.r.PathValue("login")
	if login != "" && v.Sim.User(login) == nil && login != v.repo.Owner() {
		return page{}, errNotFound
	}
	return page{to: v.path("/rules#people")}, nil
}

// rule is a check that the default branch demands.
type rule struct{ Check, App string }

func (v *visit) rules() (page, error) {
	branch := v.repo.DefaultBranch()
	policy, exists := v.repo.File(branch, v.Policy)
	if given := v.form("content"); given != "" {
		policy = given
	}
	var rules []rule
	for _, required := range v.repo.RequiredChecks(branch) {
		rules = append(rules, rule{required.Context, v.Sim.AppSlug(required.AppID)})
	}
	return page{template: "rules", title: "Rules and people", tab: "rules", data: struct {
		Branch, Path, Policy string
		Exists, Saved        bool
		Rules                []rule
		Teams                []*githubsim.Team
	}{branch, v.Policy, policy, exists, v.r.URL.Query().Has("saved"), rules, v.teams()}}, nil
}

func (v *visit) teams() []*githubsim.Team {
	if org := v.repo.Organization(); org != nil {
		return org.Teams()
	}
	return nil
}

// setPolicy sets the scene: it writes the policy file past all rules, which no person could.
func (v *visit) setPolicy() (page, error) {
	content := v.form("content")
	if strings.TrimSpace(content) == "" {
		p, _ := v.rules() // has no other way to end
		return p, &githubsim.Refusal{Status: http.StatusUnprocessableEntity, Message: "The file would be empty."}
	}
	v.repo.SetFiles(v.repo.DefaultBranch(), map[string]string{v.Policy: content})
	v.settle()
	if story := v.story(v.form("story")); story != nil {
		return page{to: v.storyPath(v.form("story"), story)}, nil
	}
	return page{to: v.path("/rules?saved=1#policy")}, nil
}
