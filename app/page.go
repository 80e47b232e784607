package app

import (
	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/githubsim/site"
)

// aboutDemo is what the first page says.
const aboutDemo = `# A gate for pull requests

**Portcullis** is a GitHub App. It looks at what a pull request changes and who made it, says how much review that
takes, and holds the required check until the right people have approved *this* commit. GitHub, here a simulated one,
then decides by its own rules whether **Merge** works.

1. **Choose who you are** in the bar above. ann, bob and lee may write; sam and sue are the security team; claude is an agent.
2. **Open a pull request**, or look at one that is open, and watch the check.
3. **Comment, review, push and press Merge** as several people, and see what it takes.`

// demoCommands are comments to write with one click.
var demoCommands = []string{"/approve", "/reject not yet", "/unapprove", "/tier", "/portcullis help"}

// servePages puts the simulated GitHub's web site where its html_url points, with
// the story's chapters to try.
func (w *world) servePages() {
	people := []*githubsim.User{}
	for _, login := range []string{"ann", "bob", "lee", "sam", "sue", "claude[bot]"} {
		people = append(people, w.github.User(login))
	}
	w.github.ServePages(site.New(site.Options{
		Sim: w.github, Home: w.shop, People: people, About: aboutDemo, Policy: w.config().Policy.Path,
		Commands: demoCommands, Stories: (&narrator{world: w}).stories(), Settle: w.settle,
	}))
}

// stories are the chapters as the site tells them.
func (n *narrator) stories() []site.Story {
	var list []site.Story
	for _, c := range n.story() {
		told := site.Story{
			Title: c.title, Scene: c.scene, As: c.opens.login, Branch: c.opens.branch, Name: c.opens.title, Files: c.opens.files,
		}
		for _, s := range c.steps {
			told.Steps = append(told.Steps, site.Step{Says: s.says, State: s.check, Check: s.title, Merge: s.merge.allowed})
		}
		list = append(list, told)
	}
	return list
}
