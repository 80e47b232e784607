package githubsim

import (
	"crypto/sha1" //nolint:gosec // git's own object names
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
)

// The modes that git gives to what a tree holds.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeSymlink    = "120000"
	modeSubmodule  = "160000"
	modeTree       = "040000"
)

var fileModes = []string{modeFile, modeExecutable, modeSymlink, modeSubmodule}

// entry is a file with a mode. The content of a symbolic link is its target, that of a submodule the commit that it points to.
// Two trees hold the same entry exactly when they hold the same pointer.
func (n *network) entry(content, mode string) *blob {
	sha := gitHash("blob", content)
	if mode == modeSubmodule {
		sha, content = content, "Subproject commit "+content+"\n"
	}
	key := mode + sha
	if n.blobs[key] == nil {
		n.blobs[key] = &blob{sha: sha, content: content, mode: mode}
	}
	return n.blobs[key]
}

// text is what a Commit would be given to make this entry.
func (b *blob) text() string {
	if b.mode == modeSubmodule {
		return b.sha
	}
	return b.content
}

// kind is what GitHub calls the entry in contents.
func (b *blob) kind() string {
	switch b.mode {
	case modeSymlink:
		return "symlink"
	case modeSubmodule:
		return "submodule"
	}
	return "file"
}

// write puts the files of a commit into a tree: a path keeps its mode unless it is given another.
func (n *network) write(files tree, contents, modes map[string]string) error {
	for name, text := range contents {
		mode := modeFile
		if old := files[name]; old != nil {
			mode = old.mode
		}
		files[name] = n.entry(text, mode)
	}
	for name, mode := range modes {
		old := files[name]
		switch {
		case !slices.Contains(fileModes, mode):
			return unprocessable(fmt.Sprintf("mode %q is none of %v", mode, fileModes))
		case old == nil:
			return unprocessable("there is no " + name + " to give a mode to")
		}
		text := old.text()
		if given, ok := contents[name]; ok {
			text = given
		}
		if raw, err := hex.DecodeString(text); mode == modeSubmodule && (err != nil || len(raw) != sha1.Size) {
			return unprocessable(name + " is to be a submodule and does not name a commit")
		}
		files[name] = n.entry(text, mode)
	}
	return nil
}

// treeEntry is one line of a tree as GitHub lists it.
type treeEntry struct {
	path, mode, kind, sha string
	size                  int
}

// treeSHA names the tree as git does.
func treeSHA(files tree) string {
	return hashTree(files, slices.Sorted(maps.Keys(files)), "", nil)
}

// directorySHA names the tree of a directory.
func directorySHA(files tree, directory string) string {
	prefix := directory + "/"
	if directory == "" {
		prefix = ""
	}
	paths := slices.Sorted(maps.Keys(files))
	below := slices.DeleteFunc(paths, func(p string) bool { return !strings.HasPrefix(p, prefix) })
	return hashTree(files, below, prefix, nil)
}

// hashTree names the tree of the paths, which are sorted and all begin with the prefix. That order is git's own: a directory
// sorts as if its name ended with a slash. With list set, every entry below is added to it, a directory before what it holds.
func hashTree(files tree, paths []string, prefix string, list *[]treeEntry) string {
	var text strings.Builder
	add := func(mode, name, sha string) {
		raw, _ := hex.DecodeString(sha) // git's names are hexadecimal; a submodule's may be anything and is then empty
		fmt.Fprintf(&text, "%s %s\x00%s", strings.TrimPrefix(mode, "0"), name, raw)
	}
	for len(paths) > 0 {
		name, _, deeper := strings.Cut(paths[0][len(prefix):], "/")
		if !deeper {
			b := files[paths[0]]
			add(b.mode, name, b.sha)
			if list != nil {
				*list = append(*list, b.treeEntry(paths[0]))
			}
			paths = paths[1:]
			continue
		}
		below := prefix + name + "/"
		end := slices.IndexFunc(paths, func(p string) bool { return !strings.HasPrefix(p, below) })
		if end < 0 {
			end = len(paths)
		}
		at := -1
		if list != nil {
			at = len(*list)
			*list = append(*list, treeEntry{path: prefix + name, mode: modeTree, kind: "tree"})
		}
		sha := hashTree(files, paths[:end], below, list)
		if list != nil {
			(*list)[at].sha = sha
		}
		add(modeTree, name, sha)
		paths = paths[end:]
	}
	return gitHash("tree", text.String())
}

func (b *blob) treeEntry(name string) treeEntry {
	if b.mode == modeSubmodule {
		return treeEntry{path: name, mode: b.mode, kind: "commit", sha: b.sha}
	}
	return treeEntry{path: name, mode: b.mode, kind: "blob", sha: b.sha, size: len(b.content)}
}

func gitRoutes() []route {
	const at = "repos/{owner}/{repo}/git"
	read := needs("contents=read")
	return []route{
		endpoint("GET "+at+"/trees/{sha...}", serveTree, read),
		endpoint("GET "+at+"/commits/{sha}", serveGitCommit, read),
		endpoint("GET "+at+"/blobs/{sha}", serveBlob, read),
	}
}

// mostTreeEntries is where a recursive listing ends, as documented, and says that it is truncated.
const mostTreeEntries = 100000

// serveTree takes the name of a tree, of a commit or of a branch. A directory's tree can be asked for by the name under which a
// listing showed it.
func serveTree(c *call) error {
	files, sha := c.treeNamed(c.params["sha"])
	if files == nil {
		return notFound()
	}
	var list []treeEntry
	hashTree(files, slices.Sorted(maps.Keys(files)), "", &list)
	c.rememberTrees(files, list)
	recursive := c.query.Has("recursive") // any value counts, as documented: "0" and "false" too
	list = slices.DeleteFunc(list, func(e treeEntry) bool { return !recursive && strings.Contains(e.path, "/") })
	shown := list[:min(mostTreeEntries, len(list))]
	return c.reply(http.StatusOK, obj{
		"sha": sha, "url": c.repo.url("git/trees/%s", sha), "truncated": len(shown) < len(list), "tree": each(shown, c.repo.treeEntryJSON),
	})
}

// treeNamed finds the files below a tree, and the tree's name.
func (c *call) treeNamed(name string) (tree, string) {
	n := c.repo.net
	if files, ok := n.trees[name]; ok {
		return files, name
	}
	if at := c.repo.resolve(name); at != nil {
		return at.files, at.treeSHA
	}
	for _, at := range n.commits {
		if at.treeSHA == name {
			return at.files, name
		}
	}
	return nil, ""
}

// rememberTrees keeps the directories that a listing shows, so that they can be asked for.
func (c *call) rememberTrees(files tree, list []treeEntry) {
	for _, e := range list {
		if e.kind != "tree" || c.repo.net.trees[e.sha] != nil {
			continue
		}
		below := tree{}
		for name, b := range files {
			if rest, ok := strings.CutPrefix(name, e.path+"/"); ok {
				below[rest] = b
			}
		}
		c.repo.net.trees[e.sha] = below
	}
}

func (r *Repository) treeEntryJSON(e treeEntry) obj {
	out := obj{"path": e.path, "mode": e.mode, "type": e.kind, "sha": e.sha}
	switch e.kind {
	case "tree":
		out["url"] = r.url("git/trees/%s", e.sha)
	case "blob":
		out["url"], out["size"] = r.url("git/blobs/%s", e.sha), e.size
	}
	return out
}

// serveGitCommit is the commit as git has it, by its whole SHA.
func serveGitCommit(c *call) error {
	at := c.repo.net.commits[c.params["sha"]]
	if at == nil {
		return notFound()
	}
	out := c.repo.commitJSON(at)
	plain, _ := out["commit"].(obj)
	return c.reply(http.StatusOK, obj{
		"sha": at.sha, "node_id": out["node_id"], "url": c.repo.url("git/commits/%s", at.sha), "html_url": out["html_url"],
		"author": plain["author"], "committer": plain["committer"], "tree": plain["tree"], "message": at.message,
		"parents": each(at.parents, func(sha string) obj {
			return obj{"sha": sha, "url": c.repo.url("git/commits/%s", sha), "html_url": c.repo.html("commit/%s", sha)}
		}),
		"verification": plain["verification"],
	})
}

func serveBlob(c *call) error {
	for _, mode := range fileModes[:3] {
		if b := c.repo.net.blobs[mode+c.params["sha"]]; b != nil {
			return c.reply(http.StatusOK, obj{
				"sha": b.sha, "node_id": nodeID("B", c.repo.id) + b.sha, "size": len(b.content), "url": c.repo.url("git/blobs/%s", b.sha),
				"content": wrapped(base64.StdEncoding.EncodeToString([]byte(b.content))), "encoding": "base64",
			})
		}
	}
	return notFound()
}

// follow is what contents answers for a path: a symbolic link to a file of the repository is that file, as documented.
func follow(files tree, name string) *blob {
	b := files[name]
	if b == nil || b.mode != modeSymlink {
		return b
	}
	target := files[path.Join(path.Dir(name), b.content)]
	if target != nil && (target.mode == modeFile || target.mode == modeExecutable) {
		return target
	}
	return b
}

// special fills in what contents says of a symbolic link and of a submodule instead of a content.
func (r *Repository) special(out obj, b *blob) obj {
	if b.mode == modeSymlink {
		out["target"] = b.content
	} else {
		out["submodule_git_url"] = r.sim.base + "/" + r.owner.login + "/" + path.Base(fmt.Sprint(out["path"])) + ".git"
		out["size"] = 0
	}
	return out
}

// listedKind is the type in the listing of a directory, where a submodule is a file: documented as there for old clients.
func listedKind(b *blob) string {
	if b.mode == modeSubmodule {
		return "file"
	}
	return b.kind()
}
