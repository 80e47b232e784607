package githubsim

import (
	"crypto/sha1" //nolint:gosec // git's own object names
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// network is the object store that a repository shares with its forks.
type network struct {
	commits map[string]*commit
	blobs   map[string]*blob           // by mode and SHA
	trees   map[string]tree            // directories that were listed, by SHA
	diffs   map[[2]string][]fileChange // by the commits compared
	walks   map[[2]string]comparison   // likewise
}

// comparison is how two commits relate.
type comparison struct {
	ahead     []*commit // what only head has, oldest first
	behind    int       // how many only base has
	mergeBase string    // the best common ancestor; "" when there is none
}

func newNetwork() *network {
	return &network{commits: map[string]*commit{}, blobs: map[string]*blob{}, trees: map[string]tree{}, diffs: map[[2]string][]fileChange{}, walks: map[[2]string]comparison{}}
}

// blob is the content of a file and its mode, shared by all trees that hold it. Immutable.
type blob struct {
	sha     string
	content string
	mode    string
}

// tree maps a path to its content. Immutable once in a commit.
type tree map[string]*blob

// signature is who wrote or committed: user is nil when no account has the e-mail.
type signature struct {
	name, email string
	user        *User
}

func (u *User) signature() signature {
	return signature{name: u.login, email: fmt.Sprintf("%d+%s@users.noreply.github.com", u.id, u.login), user: u}
}

// commit is immutable once stored.
type commit struct {
	sha, treeSHA      string
	parents           []string
	files             tree
	message           string
	author, committer signature
	at                time.Time
	depth             int // longest way to a root; orders history walks
}

func (n *network) blob(content string) *blob { return n.entry(content, modeFile) }

// store names the commit and keeps it.
func (n *network) store(c commit) *commit {
	c.treeSHA = treeSHA(c.files)
	var text strings.Builder
	fmt.Fprintf(&text, "tree %s\n", c.treeSHA)
	for _, p := range c.parents {
		fmt.Fprintf(&text, "parent %s\n", p)
		if parent := n.commits[p]; parent != nil && parent.depth >= c.depth {
			c.depth = parent.depth + 1
		}
	}
	fmt.Fprintf(&text, "author %s <%s> %d +0000\n", c.author.name, c.author.email, c.at.Unix())
	fmt.Fprintf(&text, "committer %s <%s> %d +0000\n\n%s", c.committer.name, c.committer.email, c.at.Unix(), c.message)
	c.sha = gitHash("commit", text.String())
	n.commits[c.sha] = &c
	return &c
}

func gitHash(kind, content string) string {
	sum := sha1.Sum([]byte(fmt.Sprintf("%s %d\x00%s", kind, len(content), content))) //nolint:gosec // git's own object names
	return hex.EncodeToString(sum[:])
}

// Which side of a comparison reaches a commit.
const (
	fromBase = 1 << iota
	fromHead
	common = fromBase | fromHead
)

// compare relates two commits; what it finds never changes, so it is kept.
func (n *network) compare(base, head string) comparison {
	key := [2]string{base, head}
	found, ok := n.walks[key]
	if !ok {
		found = n.walk(base, head)
		n.walks[key] = found
	}
	return found
}

// walk follows both histories until they meet.
func (n *network) walk(base, head string) (found comparison) {
	side := map[string]int{}
	var queue []*commit
	reach := func(sha string, flags int) {
		if c := n.commits[sha]; c != nil {
			if side[sha] == 0 {
				queue = append(queue, c)
			}
			side[sha] |= flags
		}
	}
	reach(base, fromBase)
	reach(head, fromHead)
	for slices.ContainsFunc(queue, func(c *commit) bool { return side[c.sha] != common }) {
		c := popDeepest(&queue)
		switch side[c.sha] {
		case common:
			if found.mergeBase == "" {
				found.mergeBase = c.sha
			}
		case fromHead:
			found.ahead = append(found.ahead, c)
		case fromBase:
			found.behind++
		}
		for _, p := range c.parents {
			reach(p, side[c.sha])
		}
	}
	if found.mergeBase == "" && len(queue) > 0 {
		found.mergeBase = popDeepest(&queue).sha
	}
	slices.Reverse(found.ahead)
	return found
}

// popDeepest takes the commit that is furthest from the roots: every child of it has been seen.
func popDeepest(queue *[]*commit) *commit {
	best := 0
	for i, c := range *queue {
		if c.depth > (*queue)[best].depth {
			best = i
		}
	}
	c := (*queue)[best]
	*queue = slices.Delete(*queue, best, best+1)
	return c
}

// contains says whether ancestor can be reached from sha.
func (n *network) contains(sha, ancestor string) bool {
	return len(n.compare(sha, ancestor).ahead) == 0
}

// mergeTrees merges two commits by whole files: a path that both sides changed differently is a conflict.
func (n *network) mergeTrees(ours, theirs string) (tree, bool) {
	base := n.compare(ours, theirs).mergeBase
	origin := tree{}
	if base != "" {
		origin = n.commits[base].files
	}
	left, right := n.commits[ours].files, n.commits[theirs].files
	merged := maps.Clone(left)
	paths := maps.Clone(right)
	maps.Copy(paths, origin)
	for path := range paths {
		was, mine, their := origin[path], left[path], right[path]
		switch {
		case their == was || their == mine:
		case mine != was:
			return nil, false
		case their == nil:
			delete(merged, path)
		default:
			merged[path] = their
		}
	}
	return merged, true
}
