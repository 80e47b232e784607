package githubsim

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// graphCommit is a commit as a repository shows it.
type graphCommit struct {
	*commit

	repo *Repository
}

// graphTree is a directory; it has a name and nothing else here.
type graphTree struct{ oid string }

// commitThing is the commit with that name, or nil.
func (r *Repository) commitThing(sha string) any {
	if c := r.net.commits[sha]; c != nil {
		return graphCommit{c, r}
	}
	return nil
}

// gitObject is what a revision names ("main", "HEAD", a SHA, "main:path") or what has that object name; else null.
func (q *query) gitObject(r *Repository, args arguments) (any, error) {
	if err := q.allow(r, "contents"); err != nil {
		return nil, err
	}
	if oid := args.text("oid"); oid != "" {
		for _, b := range r.net.blobs {
			if b.sha == oid {
				return b, nil
			}
		}
		return r.commitThing(oid), nil
	}
	revision, file, isPath := strings.Cut(args.text("expression"), ":")
	if revision == "HEAD" {
		revision = r.branch
	}
	at := r.resolve(revision)
	switch {
	case at == nil || revision == "":
		return nil, nil //nolint:nilnil // what is not there is null, and no error
	case !isPath:
		return graphCommit{at, r}, nil
	}
	if entry, ok := at.entry(file); ok {
		return entry.object(), nil
	}
	return nil, nil //nolint:nilnil // what is not there is null, and no error
}

// graphEntry is a file or a directory in a commit.
type graphEntry struct {
	path, oid string
	blob      *blob // nil for a directory
}

// entry finds a path, "" being the root.
func (c *commit) entry(file string) (graphEntry, bool) {
	file = strings.Trim(file, "/")
	if b := c.files[file]; b != nil {
		return graphEntry{file, b.sha, b}, true
	}
	if file == "" {
		return graphEntry{file, c.treeSHA, nil}, true
	}
	for name := range c.files {
		if strings.HasPrefix(name, file+"/") {
			return graphEntry{file, directorySHA(c.files, file), nil}, true
		}
	}
	return graphEntry{}, false
}

func (e graphEntry) object() any {
	switch {
	case e.blob == nil:
		return graphTree{e.oid}
	case e.blob.mode == modeSubmodule:
		return nil // a commit of another repository
	}
	return e.blob
}

var entryFields = fields{
	"name":   get(func(e graphEntry) any { return path.Base(e.path) }),
	"path":   get(func(e graphEntry) any { return e.path }),
	"oid":    get(func(e graphEntry) any { return e.oid }),
	"object": get(func(e graphEntry) any { return e.object() }),
	"type": get(func(e graphEntry) any {
		if e.blob == nil {
			return "tree"
		}
		return e.blob.treeEntry(e.path).kind
	}),
	"mode": get(func(e graphEntry) any { // git's, as a number
		mode := modeTree
		if e.blob != nil {
			mode = e.blob.mode
		}
		number, _ := strconv.ParseInt(mode, 8, 32) // a mode is octal digits
		return int(number)
	}),
}

var treeFields = fields{"oid": get(func(t graphTree) any { return t.oid })}

// longestText is where GitHub cuts a blob's text, in bytes. It is not documented; people measured it.
const longestText = 512_000

var blobFields = fields{
	"oid":         get(func(b *blob) any { return b.sha }),
	"byteSize":    get(func(b *blob) any { return len(b.content) }),
	"isBinary":    get(func(b *blob) any { return b.binary() }),
	"isTruncated": get(func(b *blob) any { return len(b.content) > longestText }),
	"text": get(func(b *blob) any {
		if b.binary() {
			return nil
		}
		return strings.ToValidUTF8(b.content[:min(len(b.content), longestText)], "")
	}),
}

func (b *blob) binary() bool {
	return strings.ContainsRune(b.content, 0) || !utf8.ValidString(b.content)
}

var commitFields = fields{
	"oid":           get(func(c graphCommit) any { return c.sha }),
	"message":       get(func(c graphCommit) any { return c.message }),
	"committedDate": get(func(c graphCommit) any { return stamp(c.at) }),
	"author":        get(func(c graphCommit) any { return c.author }),
	"committer":     get(func(c graphCommit) any { return c.committer }),
	"authors": find(func(_ *query, c graphCommit, args arguments) (any, error) {
		return byPlace(c.repo.sim.authors(c.commit)).page(args)
	}),
	"parents": find(func(_ *query, c graphCommit, args arguments) (any, error) {
		var list []graphCommit
		for _, sha := range c.parents {
			list = append(list, graphCommit{c.repo.net.commits[sha], c.repo})
		}
		return byPlace(list).page(args)
	}),
	"tree": find(func(q *query, c graphCommit, _ arguments) (any, error) {
		return graphTree{c.treeSHA}, q.allow(c.repo, "contents")
	}),
	"file": find(func(q *query, c graphCommit, args arguments) (any, error) {
		if err := q.allow(c.repo, "contents"); err != nil {
			return nil, err
		}
		if entry, ok := c.entry(args.text("path")); ok {
			return entry, nil
		}
		return nil, nil //nolint:nilnil // a file that is not there is null, and no error
	}),
	"associatedPullRequests": find(func(q *query, c graphCommit, args arguments) (any, error) {
		if err := q.allow(c.repo, "pull_requests"); err != nil {
			return nil, err
		}
		return byID(c.repo.pullsOf(c.sha), func(p *PullRequest) int64 { return p.id }).page(args)
	}),
}

var gitActorFields = fields{
	"name":  get(func(s signature) any { return s.name }),
	"email": get(func(s signature) any { return s.email }),
	"user": get(func(s signature) any {
		if s.user == nil || s.user.kind != "User" { // the field's type is User: a bot does not fit
			return nil
		}
		return shown(s.user)
	}),
}

// authors are who wrote a commit: git's author first, then who its Co-authored-by trailers name, each once.
func (s *Sim) authors(c *commit) []signature {
	list := []signature{c.author}
	for line := range strings.Lines(c.message) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, address, ok := strings.Cut(value, "<")
		if !strings.EqualFold(key, "Co-authored-by") || !ok {
			continue
		}
		address = strings.TrimSuffix(strings.TrimSpace(address), ">")
		known := func(have signature) bool { return strings.EqualFold(have.email, address) }
		if !slices.ContainsFunc(list, known) {
			list = append(list, signature{name: strings.TrimSpace(name), email: address, user: s.userOfEmail(address)})
		}
	}
	return list
}

// mailed is the account of an address that User.signature gives, or nil: its number counts, which survives a rename.
func (s *Sim) mailed(address string) *User {
	name, domain, _ := strings.Cut(address, "@")
	number, _, _ := strings.Cut(name, "+")
	if !strings.EqualFold(domain, "users.noreply.github.com") {
		return nil
	}
	for _, u := range s.users {
		if u.id == parseID(number) {
			return u
		}
	}
	return nil
}
