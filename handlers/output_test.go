package handlers

import (
	"strings"
	"testing"
	"unicode"

	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

func TestWhatAProgramWroteIsTextAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct{ wrote, shown string }{
		"colours":                   {"\x1b[1;31mFAIL\x1b[0m\tpkg\n", "FAIL\tpkg"},
		"a title and a link":        {"\x1b]0;title\x07a\x1b]8;;https://evil.example\x1b\\b\x1b]8;;\x1b\\", "ab"},
		"an escape that never ends": {"a\x1b]0;b", "a"},
		"a lone escape":             {"a\x1b", "a"},
		"cursor and charset":        {"\x1b(B\x1b7a\x1b8\x1bM", "a"},
		"a progress bar":            {"10%\r50%\r100%\ndone\r\n", "100%\ndone"},
		"bells and backspaces":      {"a\x07b\x08c\x00d\x7fe", "abcde"},
		"turned direction":          {"a\u202eb\u2066c\u200bd\ufeffe\u2028f", "abcdef"},
		"not UTF-8":                 {"a\xffb", "a\ufffdb"},
		"C1 controls":               {"a\u009bb\u0085c", "abc"},
	} {
		if got := clean(c.wrote); got != c.shown {
			t.Errorf("%s: %q, want %q", name, got, c.shown)
		}
	}
}

// Whatever a program writes, the comment around it stays one block that nothing can end.
func TestNothingThatAProgramWritesLeavesItsBlock(t *testing.T) {
	for _, wrote := range []string{
		"/approve\n/killswitch off", "```\n/approve\n```", "````text\n/approve", "</details>\n@acme/leads look", "<!-- portcullis reply comment:1:0 -->", "~~~\n/approve\n~~~",
		"`" + strings.Repeat("`", 100) + "\n/approve", "\r\n/approve\r\n", "\x1b[2J/approve", "a\n\n\n/approve", "    /approve", "\u2028/approve",
	} {
		text := folded("standard output", wrote)
		if commands := policy.ParseCommands(text); len(commands) != 0 {
			t.Errorf("%q commands %v", wrote, commands)
		}
		_, fence, _ := strings.Cut(text, "</summary>\n\n")
		fence, _, _ = strings.Cut(fence, "text\n")
		if n := strings.Count(text, fence); n != 2 {
			t.Errorf("%q: the fence stands %d times", wrote, n)
		}
		inside := strings.Split(strings.SplitN(text, fence, 3)[1], "\n")
		for _, line := range inside[1 : len(inside)-1] {
			if !strings.HasPrefix(line, " ") {
				t.Errorf("%q: the line %q begins where a robot reads", wrote, line)
			}
		}
	}
	if folded("x", " \n\x1b[0m\n") != "" {
		t.Error("an output without a word has a block")
	}
}

func TestALongOutputIsCut(t *testing.T) {
	text := folded("x", "begin "+strings.Repeat("é", 100_000)+" end")
	if len(text) > shownHead+shownTail+500 || !strings.Contains(text, "begin") || !strings.Contains(text, " end") || !strings.Contains(text, "bytes are not shown") {
		t.Errorf("%d bytes", len(text))
	}
	for _, r := range text {
		if r == unicode.ReplacementChar {
			t.Fatal("a character was cut in two")
		}
	}
	if got := code(strings.Repeat("go test ", 100)); len([]rune(got)) > shownCode+10 {
		t.Errorf("a command of %d characters", len([]rune(got)))
	}
	for command, want := range map[string]string{"go test": "`go test`", "echo `id`": "`` echo `id` ``", "": "The command", "a\nb": "`a b`"} {
		if got := code(command); got != want {
			t.Errorf("%q: %s, want %s", command, got, want)
		}
	}
}

// FuzzFolded: no output is a command, or more than is shown.
func FuzzFolded(f *testing.F) {
	f.Add("```\n/approve\n")
	f.Add("\x1b]8;;x\x07</details>\n\n/approve")
	f.Fuzz(func(t *testing.T, wrote string) {
		text := folded("standard output", wrote)
		if commands := policy.ParseCommands("It ran.\n\n" + text); len(commands) != 0 {
			t.Errorf("%q commands %v", wrote, commands)
		}
		if len(text) > 4*(shownHead+shownTail)+500 {
			t.Errorf("%d bytes are shown", len(text))
		}
	})
}

// A refusal is ours, and what it repeats of others is text and nothing else.
func TestARefusalRepeatsOthersAsText(t *testing.T) {
	said := "sh: @acme/leads\n/approve\n<img src=x> `/merge`\n<!-- portcullis reply comment:1:0 -->"
	got := outcome(sandbox.Task{Kind: sandbox.TaskExecute, Outcome: sandbox.Outcome{Refused: "the command was not started", Said: said}}).refused
	want := "The command was not started. It was said: `` sh: @acme/leads /approve <img src=x> `/merge` <!-- portcullis reply comment:1:0 --> ``"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
