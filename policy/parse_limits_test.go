package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestParseUnreadableContent(t *testing.T) {
	for _, test := range []struct {
		name, content, want string
	}{
		{"large", "version: 1\n" + strings.Repeat("#", maxPolicySize), "f:1:1: the file is larger than 1 MiB; shorten it"},
		{"large nonsense", strings.Repeat("[", maxPolicySize+1), "f:1:1: the file is larger than 1 MiB; shorten it"},
		{"many lines", "version: 1\n" + strings.Repeat("#\n", maxPolicyLines), "f:5001:1: the file has more than 5000 lines; shorten it"},
		{"long line", "version: 1\n#" + strings.Repeat("é", maxPolicyLineLength), "f:2:1: the line is longer than 2000 characters; break it"},
		{"not UTF-8", "version: 1\nclassify: \xff\n", "f:2:11: the file is not UTF-8 text; save it as UTF-8"},
		{"cut UTF-8", "version: 1\n# \xe2\x80", "f:2:3: the file is not UTF-8 text; save it as UTF-8"},
		{"UTF-16", "v\x00e\x00r\x00", "f:1:2: there is a control character (U+0000); remove it"},
		{"escape", "version: 1\r\n# \x1b[0m\n", "f:2:3: there is a control character (U+001B); remove it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParsePolicyFile("f", []byte(test.content))
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestParseReplacementCharacter(t *testing.T) {
	mustParse(t, "version: 1 # \ufffd is a character like others\n")
}

func TestParseByteOrderMarkAndLineEndings(t *testing.T) {
	for _, content := range []string{
		"\ufeffversion: 1\napproval: {author: true}\n",
		"version: 1\r\napproval: {author: true}\r\n",
		"version: 1\rapproval: {author: true}\r",
		"---\nversion: 1\napproval: {author: true}\n...\n",
		"# a comment\n---\n# another\nversion: 1\napproval: {author: true}",
		"{version: 1, approval: {author: true}}",
	} {
		if file := mustParse(t, content); !file.Approval.Author {
			t.Errorf("%q: the approval section was not read", content)
		}
	}
}

func TestParseListsAtMostSoManyFaults(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\n")
	for i := range 300 {
		b.WriteString("x" + strings.Repeat("y", i) + ": 1\n")
	}
	_, err := ParsePolicyFile("f", []byte(b.String()))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != maxFaults+1 {
		t.Fatalf("%d faults", len(faults))
	}
	if got := faults[maxFaults].Message; !strings.HasPrefix(got, "there are more mistakes") {
		t.Errorf("the last fault is %q", got)
	}
}

// TestParseHostileContent holds what the YAML library takes very long for, or
// overflows the stack on, when nothing bounds it.
func TestParseHostileContent(t *testing.T) {
	fill := func(before, unit string) string {
		return before + strings.Repeat(unit, (maxPolicySize-len(before))/len(unit))
	}
	lines := func(before, unit string) string {
		n := maxPolicyLineLength/len(unit) - 1
		return fill(before, strings.Repeat(unit, n)+"\n ")
	}
	for name, content := range map[string]string{
		"brackets":          fill("a: ", "["),
		"brackets on lines": fill("a: ", "[\n"),
		"braces":            fill("a: ", "{a: "),
		"dashes":            fill("", "- "),
		"questions":         fill("", "? "),
		"anchors":           lines("a: ", "&a "),
		"tags":              lines("a: ", "!a "),
		"tags on lines":     fill("a: ", "!a\n"),
		"same key":          fill("", "a: 1\n"),
		"merge characters":  lines("a: ", "<"),
		"tabs in quotes":    lines("a: \"", "\tx"),
		"empty block lines": fill("a: |\n", "\n"),
		"spaced lines":      fill("a: >\n", " \n"),
		"commas":            lines("a: [", "b, "),
		"pairs":             lines("a: {", "b: 1, "),
		"documents":         fill("", "---\n"),
		"carriage returns":  fill("a: >\n", "\r"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParsePolicyFile("f", []byte(content)); err == nil {
				t.Error("parsed without a fault")
			}
		})
	}
}
