package policy

import (
	"slices"
	"strings"
	"testing"
)

// FuzzParseCommands holds what must be true of any comment: a command needs a
// line of its own that begins with a slash, and none is found in what is quoted,
// fenced or indented.
func FuzzParseCommands(f *testing.F) {
	for _, seed := range []string{
		"/approve", "Fine.\r\n/approve 0123abc\r\n", "/reject no\n\n/tier", "`/tier\n/tier`", "<!--\n/tier\n-->",
		"> a\n/tier", "- a\n/tier", "[^1]: a\n/tier", "a|b\n-|-\n/tier", "<details>\n\n/tier", "\ufeff/tier", "x\x00\n/tier",
		"```\n/tier\n~~~\n/tier\n```", "[a]: b '\n/tier'", "*a\n/tier*", "/killswitch org x\n/credential list\n/sandbox list\n/portcullis",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		commands := ParseCommands(body)
		normal := lineEndings.Replace(strings.TrimPrefix(body, "\ufeff"))
		if slashes := linesWithSlash(normal); len(commands) > slashes {
			t.Errorf("%d commands out of %d lines with a slash", len(commands), slashes)
		}
		for _, c := range commands {
			checkCommand(t, c)
		}
		if len(body) > maxCommentSize && commands != nil {
			t.Error("a comment that is too long gave commands")
		}
		for name, wrapped := range map[string]string{
			"quoted":   "> " + strings.ReplaceAll(normal, "\n", "\n> "),
			"indented": "    " + strings.ReplaceAll(normal, "\n", "\n    "),
			"listed":   "- " + strings.ReplaceAll(normal, "\n", "\n  "),
			"fenced":   longFence(normal) + "\n" + normal + "\n" + longFence(normal),
		} {
			if got := ParseCommands(wrapped); len(got) > 0 {
				t.Errorf("%s: %q gave %+v", name, wrapped, got)
			}
		}
	})
}

func checkCommand(t *testing.T, c Command) {
	t.Helper()
	known := slices.ContainsFunc(Usages(), func(u Usage) bool { return u.Verb == c.Verb })
	if !known || c.SHA != "" && !shaPattern.MatchString(c.SHA) || c.SHA != strings.ToLower(c.SHA) {
		t.Errorf("command %+v", c)
	}
	if strings.ContainsAny(c.Reason+c.Fault+strings.Join(c.Args, ""), "\n\r\x00") {
		t.Errorf("a command of several lines: %+v", c)
	}
}

func linesWithSlash(body string) int {
	n := 0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "/") {
			n++
		}
	}
	return n
}

// longFence is longer than any row of backticks in the body.
func longFence(body string) string {
	fence := "```"
	for strings.Contains(body, fence) {
		fence += "`"
	}
	return fence
}

func BenchmarkParseCommands(b *testing.B) {
	prose := "Looks *good* to me, see `policy.go` and [the notes](https://example.com/notes); **but** mind the 3 < 4 case.\n"
	mixed := "## Findings\n\n- one\n- two\n\n> quoted\n\n```go\nfunc main() {}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nText with a link to https://example.com and a <b>tag</b>.\n\n"
	fill := func(unit string) string {
		return "/approve\n" + strings.Repeat(unit, (maxCommentSize-9)/len(unit))
	}
	for _, bench := range []struct{ name, body string }{
		{"prose", fill(prose)},
		{"mixed", fill(mixed)},
		{"mixed, command at the end", strings.Repeat(mixed, maxCommentSize/len(mixed)-1) + "/approve"},
		{"mixed, many commands", fill(mixed + "Text.\n/tier\n\n")},
		{"words", fill("word ")},
		{"log", fill("2026-01-01T00:00:00Z INFO /usr/bin/thing started pid=1234\n")},
		{"commands", fill("/approve 0123abc\n")},
		{"no slash", strings.TrimPrefix(fill(prose), "/")},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.body)))
			b.ReportAllocs()
			for b.Loop() {
				ParseCommands(bench.body)
			}
		})
	}
}
