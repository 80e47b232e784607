package app

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsWhatTheDemoSays holds the README's excerpt to the story, line
// by line.
func TestReadmeShowsWhatTheDemoSays(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tw := newTestWorldWith(t, storyOptions(atOnce))
	var out strings.Builder
	if err := newNarrator(tw.world, &out, demoImage).tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, excerpt, found := strings.Cut(string(readme), "```\nA change of some size")
	excerpt, _, ended := strings.Cut(excerpt, "\n```")
	if !found || !ended {
		t.Fatal("the README has no excerpt of the story")
	}
	told := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		told[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines("A change of some size" + excerpt) {
		if line = strings.TrimSpace(line); line != "" && !told[line] {
			t.Errorf("the demo does not say: %s", line)
		}
	}
}
