package handlers

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// What a program wrote is shown in a comment as text and nothing else: it may have been
// written to call people, to command robots, or to look like somebody else's words.

const (
	// shownHead and shownTail are how many bytes are shown of the beginning and the end of
	// what a program wrote; faults stand at the end.
	shownHead = 4 << 10
	shownTail = 12 << 10
	// shownCode is how much is shown of a command.
	shownCode = 200
)

// folded is an output in a block that is folded away; empty: there is none.
func folded(title, output string) string {
	text := cut(clean(output))
	if text == "" {
		return ""
	}
	fence := strings.Repeat("`", max(3, longestRun(text)+1))
	// No line begins with what a robot could take for a command.
	text = " " + strings.ReplaceAll(text, "\n", "\n ")
	return fmt.Sprintf("\n\n<details><summary>%s</summary>\n\n%stext\n%s\n%s\n\n</details>", title, fence, text, fence)
}

// code is a text in a line, as code.
func code(text string) string {
	text = strings.Join(strings.Fields(clean(text)), " ")
	if runes := []rune(text); len(runes) > shownCode {
		text = string(runes[:shownCode]) + "…"
	}
	if text == "" {
		return "The command"
	}
	fence := strings.Repeat("`", longestRun(text)+1)
	if len(fence) == 1 {
		return fence + text + fence
	}
	return fence + " " + text + " " + fence
}

// escapes are sequences that a terminal acts on: with parameters, with a text that is
// ended, and with one more character.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])")

// clean leaves what can be read: no escape sequence, no control character but the ends of
// lines and tabs, nothing that turns the direction of a text or is not to be seen.
func clean(output string) string {
	text := escapes.ReplaceAllString(strings.ToValidUTF8(output, "\ufffd"), "")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		// What was written over is not shown, as on a terminal.
		line = strings.TrimRight(line, "\r")
		line = line[strings.LastIndexByte(line, '\r')+1:]
		lines[i] = strings.Map(func(r rune) rune {
			if r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)) {
				return -1
			}
			return r
		}, line)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), " \t\n")
}

// cut leaves the beginning and the end of a text that is too long.
func cut(text string) string {
	if len(text) <= shownHead+shownTail {
		return text
	}
	head, tail := text[:shownHead], text[len(text)-shownTail:]
	return strings.ToValidUTF8(head, "") + fmt.Sprintf("\n… %d bytes are not shown …\n", len(text)-shownHead-shownTail) + strings.ToValidUTF8(tail, "")
}

// longestRun is how many backticks follow one another at most.
func longestRun(text string) int {
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}
