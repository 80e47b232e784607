package policy

import "github.com/bmatcuk/doublestar/v4"

// firstMatch returns the first of the doublestar globs that matches the whole
// name, or "". The parser refuses globs that do not compile; one that gets here
// all the same matches everything, because a rule that cannot be read must not
// let a change pass.
func firstMatch(globs []string, name string) string {
	for _, glob := range globs {
		if matched, err := doublestar.Match(glob, name); matched || err != nil {
			return glob
		}
	}
	return ""
}
