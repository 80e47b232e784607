package app

import (
	"fmt"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestWhatGitHubDoesNotListWholeIsClosed opens pull requests beyond what GitHub
// lists, with the way out in the check, by the query and by REST.
func TestWhatGitHubDoesNotListWholeIsClosed(t *testing.T) {
	many := func(n int) map[string]string {
		files := map[string]string{}
		for i := range n {
			files[fmt.Sprintf("catalogue/%04d.go", i)] = "package catalogue\n"
		}
		return files
	}
	commits := func(n int) []githubsim.Commit {
		all := make([]githubsim.Commit, n)
		for i := range all {
			all[i] = githubsim.Commit{Message: "step", Files: map[string]string{"catalogue/x.go": fmt.Sprintf("package catalogue // %d\n", i)}}
		}
		return all
	}
	for name, rest := range map[string]bool{"by the query": false, "by REST": true} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			if rest {
				tw.withoutGraphQL()
			}
			for branch, c := range map[string]struct {
				commits []githubsim.Commit
				want    string
			}{
				"files":     {[]githubsim.Commit{{Message: "many", Files: many(3001)}}, "failure: the change cannot be read whole: GitHub lists 3000 of the 3001 changed files; split the pull request"},
				"commits":   {commits(251), "failure: the change cannot be read whole: GitHub lists 250 of the 251 commits; squash them or split"},
				"just full": {commits(250), "success: auto"},
			} {
				branch = "big-" + branch[:4]
				_, err := tw.shop.Push(tw.github.User("ann"), branch, c.commits...)
				tw.must(err)
				pr, err := tw.shop.Open(tw.github.User("ann"), githubsim.PullRequestSpec{Title: branch, Head: branch, Base: "main"})
				tw.must(err)
				tw.settled()
				tw.wantCheck(pr, c.want)
			}
		})
	}
}
