package site

import (
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// changedFile is one file of a comparison, ready to be shown.
type changedFile struct {
	githubsim.FileChange

	Rows []row
}

// row is one line of a comparison; 0 is no line number. Kind is add, del, same or gap.
type row struct {
	Old, New   int
	Kind, Text string
}

// around is how many lines are shown around a change.
const around = 3

// files are the changes with their lines; ref is where the files are as changed.
func (v *visit) files(changes []githubsim.FileChange, ref string) []changedFile {
	list := make([]changedFile, len(changes))
	for i, change := range changes {
		after, _ := v.repo.File(ref, change.Path)
		list[i] = changedFile{change, rows(change.Patch, after)}
	}
	return list
}

// rows reads a patch of one hunk without context and takes the context from the file as changed.
func rows(patch, after string) []row {
	head, body, found := strings.Cut(patch, "\n")
	var oldStart, oldCount, newStart, newCount int
	if n, err := fmt.Sscanf(head, "@@ -%d,%d +%d,%d @@", &oldStart, &oldCount, &newStart, &newCount); !found || n != 4 || err != nil {
		return nil
	}
	if oldCount == 0 {
		oldStart++ // a start without lines names the line before
	}
	if newCount == 0 {
		newStart++
	}
	lines := strings.Split(strings.TrimSuffix(after, "\n"), "\n")
	var list []row
	for n := max(1, newStart-around); n < newStart && n <= len(lines); n++ {
		list = append(list, row{n - newStart + oldStart, n, "same", lines[n-1]})
	}
	for line := range strings.SplitSeq(body, "\n") {
		switch line[:1] {
		case "+":
			list = append(list, row{0, newStart, "add", line[1:]})
			newStart++
		case "-":
			list = append(list, row{oldStart, 0, "del", line[1:]})
			oldStart++
		default:
			list = append(list, row{oldStart, newStart, "same", line[1:]})
			oldStart, newStart = oldStart+1, newStart+1
		}
	}
	for n := newStart; n < newStart+around && n <= len(lines) && after != ""; n++ {
		list = append(list, row{n - newStart + oldStart, n, "same", lines[n-1]})
	}
	return folded(list)
}

// folded leaves out the middle of what did not change.
func folded(list []row) []row {
	var out []row
	for i := 0; i < len(list); {
		end := i
		for end < len(list) && list[end].Kind == "same" {
			end++
		}
		if end-i > 2*around+1 {
			out = append(out, list[i:i+around]...)
			out = append(out, row{Kind: "gap", Text: fmt.Sprintf("%d unchanged lines", end-i-2*around)})
			i = end - around
		}
		out = append(out, list[i:min(end+1, len(list))]...)
		i = end + 1
	}
	return out
}
