package policy

import "testing"

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
	} {
		if got := firstMatch(test.globs, test.name); got != test.want {
			t.Errorf("firstMatch(%q, %q) = %q, want %q", test.globs, test.name, got, test.want)
		}
	}
}
