package policy

import (
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// globs is a list of doublestar globs to be matched against many names. It finds
// what doublestar finds, and asks it only about the globs that the plain text in
// them does not rule out.
type globs []glob

type glob struct {
	pattern string
	// Every name that the pattern matches begins with prefix, ends with suffix and
	// has inside somewhere; empty: nothing is known.
	prefix, suffix, inside string
}

func newGlobs(patterns []string) globs {
	list := make(globs, len(patterns))
	for i, pattern := range patterns {
		list[i] = newGlob(pattern)
	}
	return list
}

// newGlob finds what a name must have. A pattern that does not compile is left to
// doublestar whatever the name. So is what follows a bracket: of [^a}]x doublestar
// says for some names, such as a, that it does not compile. Beside ** the slash
// may be missing in a name: a/** matches a, and **/b matches b.
func newGlob(pattern string) glob {
	g := glob{pattern: pattern}
	if !doublestar.ValidatePattern(pattern) {
		return g
	}
	first := strings.IndexFunc(pattern, func(r rune) bool { return isMark(r) || isOdd(r) })
	if first < 0 {
		g.prefix, g.suffix = pattern, pattern
		return g
	}
	g.prefix = strings.TrimSuffix(pattern[:first], "/")
	if strings.ContainsFunc(pattern[first:], isOdd) {
		return g
	}
	last := strings.LastIndexFunc(pattern, isMark)
	g.suffix = strings.TrimPrefix(pattern[last+1:], "/")
	g.inside = longestPlain(pattern[first : last+1])
	return g
}

// isMark reports whether the character stands for others, in a way that tells
// nothing about the text before and behind it.
func isMark(r rune) bool { return r == '*' || r == '?' || r == '{' || r == '}' }

// isOdd reports whether nothing is said about what follows the character. What is
// not ASCII is odd: doublestar takes all bytes that are no UTF-8 for one
// character.
func isOdd(r rune) bool { return r == '[' || r == ']' || r == '\\' || r >= utf8.RuneSelf }

// longestPlain returns the longest plain text between marks and outside of
// braces.
func longestPlain(marked string) string {
	longest, start, depth := "", 0, 0
	for i, r := range marked {
		if !isMark(r) {
			continue
		}
		if depth == 0 && i-start > len(longest) {
			if plain := strings.Trim(marked[start:i], "/"); len(plain) > len(longest) {
				longest = plain
			}
		}
		switch r {
		case '{':
			depth++
		case '}':
			depth--
		}
		start = i + 1
	}
	return longest
}

// first returns the first of the globs that matches the whole name, or "".
func (list globs) first(name string) string {
	for i := range list {
		if g := &list[i]; g.possible(name) && matches(g.pattern, name) {
			return g.pattern
		}
	}
	return ""
}

func (g *glob) possible(name string) bool {
	return strings.HasPrefix(name, g.prefix) && strings.HasSuffix(name, g.suffix) && strings.Contains(name, g.inside)
}

// firstMatch is [globs.first] for one name.
func firstMatch(patterns []string, name string) string {
	for _, pattern := range patterns {
		if matches(pattern, name) {
			return pattern
		}
	}
	return ""
}

// matches asks doublestar. The parser refuses globs that do not compile; one that
// gets here all the same matches everything, because a rule that cannot be read
// must not let a change pass.
func matches(pattern, name string) bool {
	matched, err := doublestar.Match(pattern, name)
	return matched || err != nil
}
