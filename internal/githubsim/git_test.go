package githubsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// gitListing is what git itself says of the tree that TestTrees pushes: git ls-tree -r -t of its write-tree.
const gitListing = `100644 blob ce013625030ba8dba906f756967f9e9ca394464a README.md
100644 blob 587be6b4c3f93f93c489c0111bba5596147a26cb a-b
040000 tree 9d56cff9030574a0d3b116cd1d29f7e695372671 a
040000 tree 7b0c5d2afa30e0b524990e5c6f6a5bc4dd63a09a a/b
100644 blob 4cdb2265d30204be5463b38174b2e8e717982405 a/b/c.txt
100755 blob 1a2485251c33a70432394c93fb89330ef214bfc9 a/run.sh
100644 blob 975fbec8256d3e8a3797e7a3611380f27c49f4ac a0
120000 blob 42061c01a1c70097d1e4579f29a5adf40abdec95 link
160000 commit 1111111111111111111111111111111111111111 vendored`

const gitTree = "5d6368629aaca1f03a79fdaf3b0eb802f7e4c4e8"

// Trees have git's own names, and are listed whole or directory by directory.
func TestTrees(t *testing.T) {
	w := newWorld(t)
	head, err := w.repo.Push(w.alice, "topic", githubsim.Commit{
		Delete: []string{"src/main.go"},
		Files: map[string]string{
			"a/run.sh": "#!/bin/sh\n", "a/b/c.txt": "deep\n", "a-b": "x\n", "a0": "y\n", "link": "README.md", "vendored": strings.Repeat("1", 40),
		},
		Modes: map[string]string{"a/run.sh": "100755", "link": "120000", "vendored": "160000"},
	})
	must(t, err)
	listing := func(sha string, recursive bool) string {
		got, _, err := w.gh.Git.GetTree(ctx, "acme", "castle", sha, recursive)
		must(t, err)
		equal(t, "truncated", got.GetTruncated(), false)
		var lines []string
		for _, e := range got.Entries {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", e.GetMode(), e.GetType(), e.GetSHA(), e.GetPath()))
		}
		return strings.Join(lines, "\n")
	}
	made, _, err := w.gh.Git.GetCommit(ctx, "acme", "castle", head)
	must(t, err)
	equal(t, "tree", made.GetTree().GetSHA(), gitTree)
	equal(t, "author", made.GetAuthor().GetName(), "alice")
	for _, name := range []string{gitTree, head, "topic"} {
		equal(t, "recursive listing of "+name, listing(name, true), gitListing)
	}
	equal(t, "of a directory", listing("9d56cff9030574a0d3b116cd1d29f7e695372671", false),
		"040000 tree 7b0c5d2afa30e0b524990e5c6f6a5bc4dd63a09a b\n100755 blob 1a2485251c33a70432394c93fb89330ef214bfc9 run.sh")
	equal(t, "top level", len(strings.Split(listing("topic", false), "\n")), 6)
	_, _, err = w.gh.Git.GetTree(ctx, "acme", "castle", strings.Repeat("2", 40), true)
	refused(t, err, 404, "")
	blob, _, err := w.gh.Git.GetBlob(ctx, "acme", "castle", "42061c01a1c70097d1e4579f29a5adf40abdec95")
	must(t, err)
	equal(t, "blob", fmt.Sprint(blob.GetSize(), blob.GetEncoding()), "9base64")
	_, _, err = w.gh.Git.GetBlob(ctx, "acme", "castle", strings.Repeat("1", 40))
	refused(t, err, 404, "")
	_, _, err = w.gh.Git.GetCommit(ctx, "acme", "castle", "topic")
	refused(t, err, 404, "") // unlike commits/{ref}, it takes no branch
}

// A change of mode alone is a change: in a pull request, a comparison and a push.
func TestModeChanges(t *testing.T) {
	tests := []struct {
		mode, content string
		status        string
		changes       int
	}{
		{"100755", "", "modified", 0},
		{"120000", "", "changed", 0},
		{"160000", strings.Repeat("1", 40), "changed", 2},
	}
	for _, test := range tests {
		t.Run(test.mode, func(t *testing.T) {
			w := newWorld(t)
			change := githubsim.Commit{Modes: map[string]string{"README.md": test.mode}}
			if test.content != "" {
				change.Files = map[string]string{"README.md": test.content}
			}
			_, err := w.repo.Push(w.alice, "topic", change)
			must(t, err)
			equal(t, "pushed", at(w.last("push", ""), "head_commit", "modified", 0), any("README.md"))
			_, err = w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Mode", Head: "topic"})
			must(t, err)
			files, _, err := w.gh.PullRequests.ListFiles(ctx, "acme", "castle", 1, nil)
			must(t, err)
			compared, _, err := w.gh.Repositories.CompareCommits(ctx, "acme", "castle", "main", "topic", nil)
			must(t, err)
			for _, list := range [][]*github.CommitFile{files, compared.Files} {
				equal(t, "files", len(list), 1)
				equal(t, "status", list[0].GetStatus(), test.status)
				equal(t, "changed lines", list[0].GetChanges(), test.changes)
			}
			graph := w.askPull(w.bob.Token(), `files(first: 9) { nodes { changeType } } commits(last: 1) { nodes { commit { file(path: "README.md") { mode type } } } }`)
			equal(t, "changeType", at(graph, "files", "nodes", 0, "changeType"), any(strings.ToUpper(test.status)))
			mode := at(graph, "commits", "nodes", 0, "commit", "file", "mode")
			equal(t, "mode", fmt.Sprintf("%o", int(mode.(float64))), test.mode)
		})
	}
}

// A path keeps its mode; modes are checked; symbolic links and submodules are shown as what they are.
func TestModes(t *testing.T) {
	w := newWorld(t)
	push := func(c githubsim.Commit) error {
		_, err := w.repo.Push(w.alice, "topic", c)
		return err
	}
	must(t, push(githubsim.Commit{Files: map[string]string{"run": "one\n", "docs/link": "../README.md", "far": "/etc/passwd"}, Modes: map[string]string{"run": "100755", "docs/link": "120000", "far": "120000"}}))
	must(t, push(githubsim.Commit{Files: map[string]string{"run": "two\n"}}))
	must(t, push(githubsim.Commit{Rename: map[string]string{"run": "bin/run"}}))
	got, _, err := w.gh.Git.GetTree(ctx, "acme", "castle", "topic", true)
	must(t, err)
	for _, e := range got.Entries {
		if e.GetPath() == "bin/run" {
			equal(t, "mode after a change and a rename", e.GetMode(), "100755")
		}
	}
	refused(t, push(githubsim.Commit{Modes: map[string]string{"README.md": "100600"}}), 422, "100600")
	refused(t, push(githubsim.Commit{Modes: map[string]string{"nothing": "100755"}}), 422, "nothing")
	refused(t, push(githubsim.Commit{Modes: map[string]string{"README.md": "160000"}}), 422, "does not name a commit")

	options := &github.RepositoryContentGetOptions{Ref: "topic"}
	file, _, _, err := w.gh.Repositories.GetContents(ctx, "acme", "castle", "docs/link", options)
	must(t, err)
	text, err := file.GetContent()
	must(t, err)
	equal(t, "a link to a file is the file", text, "hello\n")
	file, _, _, err = w.gh.Repositories.GetContents(ctx, "acme", "castle", "far", options)
	must(t, err)
	equal(t, "a link out of the repository", file.GetType()+file.GetTarget(), "symlink/etc/passwd")
	must(t, push(githubsim.Commit{Files: map[string]string{"lib": strings.Repeat("1", 40)}, Modes: map[string]string{"lib": "160000"}}))
	file, _, _, err = w.gh.Repositories.GetContents(ctx, "acme", "castle", "lib", options)
	must(t, err)
	equal(t, "a submodule", file.GetType()+file.GetSHA(), "submodule"+strings.Repeat("1", 40))
}

// Push can make every commit that a stranger's clone can.
func TestStrangeCommits(t *testing.T) {
	w := newWorld(t)
	w.bob.AddEmail("bob@example.org")
	side, err := w.repo.Push(w.alice, "side", githubsim.Commit{Files: map[string]string{"evil.sh": "rm -rf\n"}})
	must(t, err)
	must(t, w.repo.DeleteBranch(w.alice, "side"))
	_, err = w.repo.Push(w.alice, "topic",
		githubsim.Commit{Message: "Merge", MergeOf: side},
		githubsim.Commit{Message: "By bob?", AuthorEmail: "Bob@Example.org", Files: map[string]string{"1": "1"}},
		githubsim.Commit{Message: "By nobody", AuthorEmail: "who@example.org", CommitterEmail: w.bob.Email(), Files: map[string]string{"2": "2"}},
		githubsim.Commit{Message: "Together\n\nCo-authored-by: Bob <bob@example.org>", Files: map[string]string{"3": "3"}},
	)
	must(t, err)
	_, err = w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Strange", Head: "topic"})
	must(t, err)
	list, _, err := w.gh.PullRequests.ListCommits(ctx, "acme", "castle", 1, nil)
	must(t, err)
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprintf("%s/%s/%d", c.GetAuthor().GetLogin(), c.GetCommitter().GetLogin(), len(c.Parents)))
	}
	equal(t, "author, committer and parents", strings.Join(got, " "), "alice/alice/1 alice/alice/2 bob/alice/1 /bob/1 alice/alice/1")
	equal(t, "reached by the second parent only", list[0].GetSHA(), side)
	equal(t, "address as written", list[2].GetCommit().GetAuthor().GetEmail(), "Bob@Example.org")
	equal(t, "trailer", list[4].GetCommit().GetMessage(), "Together\n\nCo-authored-by: Bob <bob@example.org>")

	ours, err := w.repo.Push(w.alice, "ours", githubsim.Commit{Message: "Ours", Parents: []string{side}})
	must(t, err)
	_, ok := w.repo.File("ours", "evil.sh")
	equal(t, "nothing is brought in", ok, false)
	comparison, _, err := w.gh.Repositories.CompareCommits(ctx, "acme", "castle", "main", ours, nil)
	must(t, err)
	equal(t, "and yet it is there", comparison.Commits[0].GetSHA(), side)
	_, err = w.repo.Push(w.alice, "ours", githubsim.Commit{Parents: []string{"nothing"}})
	refused(t, err, 422, "No commit found")
}

// A push names the paths of each commit, whoever moved the branch and how.
func TestPushedPaths(t *testing.T) {
	paths := func(payload any) string {
		head := at(payload, "head_commit")
		return fmt.Sprint(at(head, "added"), at(head, "removed"), at(head, "modified"))
	}
	w := newWorld(t)
	w.repo.SetFiles("main", map[string]string{".github/policy.yml": "a: 1\n", "README.md": "new\n"})
	equal(t, "SetFiles", paths(w.last("push", "")), "[.github/policy.yml] [] [README.md]")
	_, err := w.repo.Push(w.alice, "topic",
		githubsim.Commit{Rename: map[string]string{"src/main.go": "main.go"}},
		githubsim.Commit{Delete: []string{"README.md"}, Files: map[string]string{".github/policy.yml": "a: 2\n"}},
	)
	must(t, err)
	payload := w.last("push", "")
	equal(t, "each commit", fmt.Sprint(at(payload, "commits", 0, "added"), at(payload, "commits", 0, "removed"), at(payload, "commits", 1, "modified")), "[main.go] [src/main.go] [.github/policy.yml]")
	equal(t, "the last", paths(payload), "[] [README.md] [.github/policy.yml]")
	p, err := w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Change", Head: "topic"})
	must(t, err)
	must(t, p.Merge(w.bob))
	equal(t, "merged", paths(w.last("push", "")), "[main.go] [README.md src/main.go] [.github/policy.yml]")

	queued := w.pull("queued")
	group, err := queued.Enqueue(w.bob)
	must(t, err)
	equal(t, "the group's own branch", paths(w.last("push", "")), "[queued.txt] [] []")
	equal(t, "by the queue", group.Try(), "merged")
	for _, d := range w.sim.Deliveries() {
		if d.Event == "push" && strings.Contains(string(d.Payload), `"ref":"refs/heads/main"`) {
			payload = decoded(t, d.Payload)
		}
	}
	equal(t, "onto main", paths(payload), "[queued.txt] [] []")
	content := &github.RepositoryContentFileOptions{Message: new("Put"), Content: []byte("x"), Branch: new("main")}
	_, _, err = w.as(w.bob).Repositories.CreateFile(ctx, "acme", "castle", "put.txt", content)
	must(t, err)
	equal(t, "PUT contents", paths(w.last("push", "")), "[put.txt] [] []")
}

// Lists end where GitHub's do, while the pull request tells the true numbers.
func TestBeyondLimits(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 3005 {
		files[fmt.Sprintf("f/%04d", i)] = "x\n"
	}
	var commits []githubsim.Commit
	for i := range 255 {
		commits = append(commits, githubsim.Commit{Files: map[string]string{"README.md": fmt.Sprint(i)}})
	}
	_, err := w.repo.Push(w.alice, "wide", githubsim.Commit{Files: files})
	must(t, err)
	equal(t, "paths in a push", len(at(w.last("push", ""), "head_commit", "added").([]any)), 3000)
	_, err = w.repo.Push(w.alice, "long", commits...)
	must(t, err)
	for _, head := range []string{"wide", "long"} {
		_, err = w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: head, Head: head})
		must(t, err)
	}
	wide, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "changed_files", wide.GetChangedFiles(), 3005)
	long, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 2)
	must(t, err)
	equal(t, "commits", long.GetCommits(), 255)
	equal(t, "listed files", listed(w, "/repos/acme/castle/pulls/1/files"), 3000)
	equal(t, "listed commits", listed(w, "/repos/acme/castle/pulls/2/commits"), 250)
}

// listed counts a list by following its pages.
func listed(w *world, path string) int {
	w.t.Helper()
	total := 0
	for page := 1; ; page++ {
		resp, list := w.do(http.MethodGet, fmt.Sprintf("%s?per_page=100&page=%d", path, page), w.bearer(w.bob), "")
		equal(w.t, "status", resp.StatusCode, 200)
		total += len(list.([]any))
		if !strings.Contains(resp.Header.Get("Link"), `rel="next"`) {
			return total
		}
	}
}
