package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestSandboxCommands(t *testing.T) {
	for line, want := range map[string][]string{
		"/sandbox start":                           {"start"},
		"/sandbox start docker":                    {"start", "docker"},
		"/sandbox list":                            {"list"},
		"/sandbox stop pc-1":                       {"stop", "pc-1"},
		"/sandbox exec pc-1 go test ./...":         {"exec", "pc-1", "go", "test", "./..."},
		`/sandbox exec pc-1 sh -c "go vet && ls"`:  {"exec", "pc-1", "sh", "-c", "go vet && ls"},
		`/sandbox exec pc-1 echo 'a "b" \c' d\ e`:  {"exec", "pc-1", "echo", `a "b" \c`, "d e"},
		`/sandbox exec pc-1 echo "a \"b\" \$c \d"`: {"exec", "pc-1", "echo", `a "b" $c \d`},
		`/sandbox exec pc-1 echo "" ''`:            {"exec", "pc-1", "echo", "", ""},
		"/sandbox exec pc-1 echo $(id); ls | cat":  {"exec", "pc-1", "echo", "$(id);", "ls", "|", "cat"},
		"/sandbox start docker now":                nil,
		"/sandbox start it now":                    nil,
		"/sandbox exec":                            nil,
		"/sandbox exec pc-1":                       nil,
		"/sandbox stop":                            nil,
		"/sandbox stop pc-1 pc-2":                  nil,
		"/sandbox list all":                        nil,
		"/sandbox run":                             nil,
		"/sandbox":                                 nil,
		`/sandbox exec pc-1 echo "a`:               nil,
		`/sandbox exec pc-1 echo 'a`:               nil,
		`/sandbox exec pc-1 echo a\`:               nil,
	} {
		c, is := parseCommand(line)
		if !is || c.Verb != VerbSandbox || (c.Fault == "") != (want != nil) || want != nil && !slices.Equal(c.Args, want) {
			t.Errorf("%s: %q, fault %q", line, c.Args, c.Fault)
		}
	}
}

// FuzzShellWords: words that are quoted come back as they were.
func FuzzShellWords(f *testing.F) {
	f.Add("a b", "c'd")
	f.Fuzz(func(t *testing.T, first, second string) {
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
		words, whole := shellWords(quoted(first) + " \t" + quoted(second))
		if !whole || len(words) != 2 || strings.ToValidUTF8(first, "") == first && words[0] != first || strings.ToValidUTF8(second, "") == second && words[1] != second {
			t.Errorf("%q, %q: %q, %t", first, second, words, whole)
		}
	})
}
