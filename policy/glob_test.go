package policy

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFirstMatch(t *testing.T) {
	for _, test := range []struct {
		globs []string
		name  string
		want  string
	}{
		{nil, "a.go", ""},
		{[]string{"**/auth/**"}, "auth/x.go", "**/auth/**"},
		{[]string{"**/auth/**"}, "a/auth/b/c.go", "**/auth/**"},
		{[]string{"**/auth/**"}, "a/b/auth/c.go", "**/auth/**"},
		{[]string{"**/auth/**"}, "authors/x.go", ""},
		{[]string{"**/auth/**"}, "a/myauth/x.go", ""},
		{[]string{"**/*.pem"}, "key.pem", "**/*.pem"},
		{[]string{"**/*.pem"}, "a/b/key.pem", "**/*.pem"},
		{[]string{"**/*.pem"}, "key.pem.txt", ""},
		{[]string{"*.go"}, "a.go", "*.go"},
		{[]string{"*.go"}, "a/b.go", ""},
		{[]string{"deploy/**"}, "deploy/a/b.yml", "deploy/**"},
		{[]string{"deploy/**"}, "src/deploy/a.yml", ""},
		{[]string{"**/Dockerfile*"}, "Dockerfile", "**/Dockerfile*"},
		{[]string{"**/Dockerfile*"}, "a/Dockerfile.dev", "**/Dockerfile*"},
		{[]string{"**/openapi*.y*ml"}, "docs/openapi-v2.yaml", "**/openapi*.y*ml"},
		{[]string{"**/.env.*"}, "web/.env.local", "**/.env.*"},
		{[]string{"{a,b}/*.txt"}, "b/x.txt", "{a,b}/*.txt"},
		{[]string{"a/[xy].txt"}, "a/y.txt", "a/[xy].txt"},
		{[]string{"a/?.txt"}, "a/é.txt", "a/?.txt"},
		{[]string{"**"}, "any/thing", "**"},
		{[]string{"agent/**"}, "agent/fix-1", "agent/**"},
		{[]string{"agent/**"}, "agents-fix", ""},
		{[]string{"nothing", "a/*", "a/**"}, "a/b", "a/*"},
		{[]string{"a/*"}, "A/b", ""},
		// Names that look like patterns are names.
		{[]string{"a/*"}, "a/[b", "a/*"},
		// A glob that does not compile is closed: it matches.
		{[]string{"a/[b-"}, "a/x", "a/[b-"},
		{[]string{"nothing", "{a"}, "{a", "{a"},
		// To doublestar it compiles for some names and not for others.
		{[]string{"[^a}]x"}, "a", "[^a}]x"},
		{[]string{"[^a}]x"}, "b", ""},
	} {
		if got := firstMatch(test.globs, test.name); got != test.want {
			t.Errorf("firstMatch(%q, %q) = %q, want %q", test.globs, test.name, got, test.want)
		}
		if got := newGlobs(test.globs).first(test.name); got != test.want {
			t.Errorf("newGlobs(%q).first(%q) = %q, want %q", test.globs, test.name, got, test.want)
		}
	}
}

// TestGlobsRuleOut holds what doublestar need not be asked about: the speed of
// [globs], which no other test sees.
func TestGlobsRuleOut(t *testing.T) {
	for _, test := range []struct {
		pattern string
		want    glob
	}{
		{"deploy/**", glob{prefix: "deploy"}},
		{"**/auth/**", glob{inside: "auth"}},
		{"**/*.pem", glob{suffix: ".pem"}},
		{"**/docker-compose*.y*ml", glob{inside: "docker-compose", suffix: "ml"}},
		{"docs/CODEOWNERS", glob{prefix: "docs/CODEOWNERS", suffix: "docs/CODEOWNERS"}},
		{"web/{app,{a,b}site}07/**/x?z/*", glob{prefix: "web", inside: "07"}},
		{"docs/[a-c]-*.md", glob{prefix: "docs"}},
		{"café/**/*.go", glob{prefix: "caf"}},
		{"a\\*/b", glob{prefix: "a"}},
		{"deploy/[", glob{}},
		{"deploy/}", glob{}},
	} {
		test.want.pattern = test.pattern
		if got := newGlob(test.pattern); got != test.want {
			t.Errorf("newGlob(%q) = %+v, want %+v", test.pattern, got, test.want)
		}
	}
}

// sameAsDoublestar fails the test if what rules globs out rules out too much.
func sameAsDoublestar(t rapid.TB, patterns []string, name string) {
	if got, want := newGlobs(patterns).first(name), firstMatch(patterns, name); got != want {
		t.Errorf("newGlobs(%q).first(%q) = %q, want %q", patterns, name, got, want)
	}
}

// TestGlobsFindWhatDoublestarFinds makes globs of pieces, and names of what the
// pieces match, so that about every other glob does match.
func TestGlobsFindWhatDoublestarFinds(t *testing.T) {
	piece := rapid.SampledFrom([][2]string{
		{"a", "a"}, {"b", "b"}, {"/", "/"}, {"/", "/"}, {"*", ""}, {"*", "ab"}, {"**/", ""}, {"**/", "a/b/"}, {"/**", ""}, {"/**", "/b/a"}, {"**", "a"}, {"?", "é"},
		{"[ab]", "b"}, {"[^a}]", "b"}, {"[^a}]", "a"}, {"[!b-]", "c"}, {"[", "["}, {"]", "]"}, {"{a,b}", "b"}, {"{a,**/}", ""}, {"{a/,/{b,**}}", "/b"}, {"{", "{"}, {"}", "}"}, {",", ","},
		{"\\*", "*"}, {"\\", "a"}, {"é", "é"}, {"\ufffd", "\xff"}, {"\xc3", "\xfe"}, {"", "x"}, {"a", ""},
	})
	rapid.Check(t, func(t *rapid.T) {
		var patterns []string
		var name string
		for range rapid.IntRange(0, 4).Draw(t, "globs") {
			var pattern, matched strings.Builder
			for _, p := range rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces") {
				pattern.WriteString(p[0])
				matched.WriteString(p[1])
			}
			patterns = append(patterns, pattern.String())
			if name == "" || rapid.Bool().Draw(t, "named") {
				name = matched.String()
			}
		}
		sameAsDoublestar(t, patterns, name)
	})
}

// FuzzGlobs holds the same of anything, one glob a line.
func FuzzGlobs(f *testing.F) {
	for _, seed := range [][2]string{
		{"**/auth/**\n**/*.pem", "a/auth/b"}, {"a/**", "a"}, {"a/**/", "a/"}, {"**/b", "b"}, {"**/{a,b}/*.go", "x/b/y.go"}, {"[^a}]x", "a"},
		{"\\*x", "*x"}, {"\ufffd", "\xff"}, {"a?c", "a\xffc"}, {"{a", "anything"}, {"", ""}, {"a/", "a/"}, {"{**,a}/b", "b"}, {"{/**,b}", "/"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, lines, name string) {
		patterns := strings.Split(lines, "\n")
		if slices.ContainsFunc(patterns, tooManyChoices) {
			t.Skip("the parser refuses it, and doublestar takes too long for it")
		}
		sameAsDoublestar(t, patterns, name)
		slices.Reverse(patterns)
		// A name like a glob is where text and marks meet most closely.
		sameAsDoublestar(t, patterns, strings.NewReplacer("**/", "", "/**", "", "*", name, "{", "", "}", "").Replace(patterns[0]))
	})
}
