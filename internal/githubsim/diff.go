package githubsim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fileChange is one file of a comparison, in GitHub's words: added, removed, modified, changed or renamed.
type fileChange struct {
	path, previous, status string
	blob                   *blob // after the change; before it when removed
	additions, deletions   int
	patch                  string
}

// diff compares two commits file by file, ordered by path.
func (n *network) diff(base, head string) []fileChange {
	key := [2]string{base, head}
	if cached, ok := n.diffs[key]; ok {
		return cached
	}
	before, after := tree{}, tree{}
	if c := n.commits[base]; c != nil {
		before = c.files
	}
	if c := n.commits[head]; c != nil {
		after = c.files
	}
	changes := diffTrees(before, after)
	n.diffs[key] = changes
	return changes
}

func diffTrees(before, after tree) []fileChange {
	var changes []fileChange
	var added, removed []string
	for _, path := range slices.Sorted(maps.Keys(after)) {
		switch old := before[path]; {
		case old == nil:
			added = append(added, path)
		case old != after[path]:
			changes = append(changes, newChange(path, "", changeStatus(old, after[path]), old, after[path]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if after[path] == nil {
			removed = append(removed, path)
		}
	}
	for _, path := range added {
		from := renamedFrom(path, removed, before, after)
		if from == "" {
			changes = append(changes, newChange(path, "", "added", nil, after[path]))
			continue
		}
		removed = slices.DeleteFunc(removed, func(p string) bool { return p == from })
		changes = append(changes, newChange(path, from, "renamed", before[from], after[path]))
	}
	for _, path := range removed {
		change := newChange(path, "", "removed", before[path], nil)
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b fileChange) int { return cmp.Compare(a.path, b.path) })
	return changes
}

// changeStatus is modified, also when only the executable bit changes; changed when a file becomes another kind of thing.
func changeStatus(before, after *blob) string {
	if before.kind() != after.kind() {
		return "changed"
	}
	return "modified"
}

// renamedFrom finds the removed file that the added one was: the same content, else more than half of the lines, git's threshold.
func renamedFrom(path string, removed []string, before, after tree) string {
	best, score := "", 0.5
	for _, old := range removed {
		if before[old] == after[path] {
			return old
		}
		if s := similarity(before[old], after[path]); s > score {
			best, score = old, s
		}
	}
	return best
}

func similarity(a, b *blob) float64 {
	left, right := lines(a), lines(b)
	if len(left) == 0 || len(right) == 0 {
		return 0
	}
	count := map[string]int{}
	for _, l := range left {
		count[l]++
	}
	shared := 0
	for _, l := range right {
		if count[l] > 0 {
			count[l]--
			shared++
		}
	}
	return float64(shared) / float64(max(len(left), len(right)))
}

func newChange(path, previous, status string, before, after *blob) fileChange {
	change := fileChange{path: path, previous: previous, status: status, blob: after}
	if after == nil {
		change.blob = before
	}
	change.patch, change.additions, change.deletions = lineDiff(lines(before), lines(after))
	return change
}

func lines(b *blob) []string {
	if b == nil || b.content == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(b.content, "\n"), "\n")
}

// largestTable bounds the table of the line comparison; beyond it the middle counts as replaced.
const largestTable = 1 << 20

// lineDiff makes one hunk, without context, from the first changed line to the last.
func lineDiff(before, after []string) (patch string, additions, deletions int) {
	start := 0
	for start < len(before) && start < len(after) && before[start] == after[start] {
		start++
	}
	endA, endB := len(before), len(after)
	for endA > start && endB > start && before[endA-1] == after[endB-1] {
		endA, endB = endA-1, endB-1
	}
	a, b := before[start:endA], after[start:endB]
	if len(a) == 0 && len(b) == 0 {
		return "", 0, 0
	}
	var text strings.Builder
	fmt.Fprintf(&text, "@@ -%d,%d +%d,%d @@", hunkStart(start, len(a)), len(a), hunkStart(start, len(b)), len(b))
	for _, op := range lineOps(a, b) {
		switch op[0] {
		case '+':
			additions++
		case '-':
			deletions++
		}
		text.WriteString("\n" + op)
	}
	return text.String(), additions, deletions
}

func hunkStart(start, count int) int {
	if count == 0 {
		return start
	}
	return start + 1
}

// lineOps are the lines of a hunk, each with ' ', '-' or '+' before it, by the longest common subsequence.
func lineOps(a, b []string) []string {
	if len(a)*len(b) > largestTable {
		return append(prefixed("-", a), prefixed("+", b)...)
	}
	longest := make([][]int, len(a)+1)
	for i := range longest {
		longest[i] = make([]int, len(b)+1)
	}
	for i, v := range slices.Backward(a) {
		for j := len(b) - 1; j >= 0; j-- {
			if v == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var ops []string
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			ops = append(ops, " "+a[i])
			i, j = i+1, j+1
		case longest[i+1][j] >= longest[i][j+1]:
			ops = append(ops, "-"+a[i])
			i++
		default:
			ops = append(ops, "+"+b[j])
			j++
		}
	}
	ops = append(ops, prefixed("-", a[i:])...)
	return append(ops, prefixed("+", b[j:])...)
}

func prefixed(sign string, list []string) []string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = sign + l
	}
	return out
}
