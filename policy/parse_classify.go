package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

func (r *reader) classify(v value, to *Classify) {
	r.mapping(v,
		field{"security_sensitive", func(v value) { to.SecuritySensitive = r.match(v) }},
		field{"infrastructure", func(v value) { to.Infrastructure = r.match(v) }},
		field{"api_change", func(v value) { to.APIChange = r.match(v) }},
		field{"database_migration", func(v value) { to.DatabaseMigration = r.match(v) }},
		field{"agents", func(v value) { r.agents(v, &to.Agents) }},
	)
}

// match reads one rule. It replaces the default's rule as a whole, so that a
// file shows everything that its rule looks at.
func (r *reader) match(v value) Match {
	var m Match
	r.mapping(v,
		field{"paths", func(v value) { m.Paths = r.list(v, exactly, r.pathGlob) }},
		field{"labels", func(v value) { m.Labels = r.list(v, ignoreCase, r.text) }},
	)
	return m
}

// agents reads over the default's fields: leaving one out must not make agents
// pass as people.
func (r *reader) agents(v value, to *Agents) {
	r.mapping(v,
		field{"users", func(v value) { to.Users = r.list(v, ignoreCase, r.login) }},
		field{"branches", func(v value) { to.Branches = r.list(v, exactly, r.branchGlob) }},
		field{"minimum_tier", func(v value) { r.tier(v, &to.MinimumTier) }},
	)
}

var loginPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?$`)

func (r *reader) login(v value) (string, bool) {
	s, ok := r.text(v)
	if ok && !loginPattern.MatchString(s) {
		r.wrong(v, "must be a login without @, such as alice or \"our-agent[bot]\", not %s", quote(s))
		return "", false
	}
	return s, ok
}

func (r *reader) pathGlob(v value) (string, bool) {
	return r.glob(v, "paths are relative to the repository's root")
}

func (r *reader) branchGlob(v value) (string, bool) {
	return r.glob(v, "branches are named without refs/heads/ and without a slash in front")
}

func (r *reader) glob(v value, relative string) (string, bool) {
	s, ok := r.text(v)
	if !ok {
		return "", false
	}
	if why := globFault(s, relative); why != "" {
		r.wrong(v, "is %s, which %s", quote(s), why)
		return "", false
	}
	return s, true
}

// maxChoices bounds what the braces of a glob stand for: their choices multiply,
// and so does the time that it takes to find that none of them matches.
const maxChoices = 100

func tooManyChoices(glob string) bool {
	product, open := 1, []int{}
	for _, character := range glob {
		switch last := len(open) - 1; {
		case character == '{':
			open = append(open, 1)
		case character == ',' && last >= 0:
			open[last]++
		case character == '}' && last >= 0:
			product *= open[last]
			open = open[:last]
		}
		if product > maxChoices || len(open) > maxChoices {
			return true
		}
	}
	return slices.ContainsFunc(open, func(choices int) bool { return choices > maxChoices })
}

// globFault says why a glob is refused, or returns "". A glob that can never
// match is a mistake too: what it should guard would go unguarded.
func globFault(glob, relative string) string {
	segments := strings.Split(glob, "/")
	switch {
	case strings.Contains(glob, `\`):
		return "contains a backslash; " + relative + " and separated by /"
	case strings.HasPrefix(glob, "/"):
		return "begins with a slash; " + relative + ", so remove it"
	case strings.HasPrefix(glob, "./"):
		return "begins with ./; " + relative + ", so remove it"
	case strings.HasPrefix(glob, "!"):
		return "begins with !, but nothing can be excluded; list what should match"
	case strings.HasSuffix(glob, "/"):
		return "matches nothing, because it ends in a slash; write " + quote(glob+"**")
	case slices.ContainsFunc(segments, func(s string) bool { return s == "" || s == "." || s == ".." }):
		return "matches nothing, because no name has an empty part, . or .. in it; remove that part"
	case tooManyChoices(glob):
		return fmt.Sprintf("stands for more than %d names by its braces, whose choices multiply; write several globs", maxChoices)
	case !doublestar.ValidatePattern(glob):
		return "is not a glob; check its brackets and braces"
	case !strings.Contains(glob, "{") && slices.ContainsFunc(segments, func(s string) bool { return s != "**" && strings.Contains(s, "**") }):
		return "has ** beside other characters, where it does not reach into folders; write **/ before the name or /** after it"
	default:
		return ""
	}
}
