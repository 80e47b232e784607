package codespaces

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox"
)

// inShells runs what the line is by each shell that there is here, of which two must be.
func inShells(t testing.TB, text string, each func(shell string, out, complaint string, err error)) {
	t.Helper()
	tried := 0
	for _, shell := range []string{"dash", "bash", "zsh", "fish", "busybox"} {
		program, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		tried++
		arguments := []string{"-c", text}
		if shell == "busybox" {
			arguments = append([]string{"sh"}, arguments...)
		}
		command := exec.Command(program, arguments...)
		var out, complaint bytes.Buffer
		command.Stdout, command.Stderr = &out, &complaint
		err = command.Run()
		each(shell, out.String(), complaint.String(), err)
	}
	if tried == 0 || tried < 2 && os.Getenv("CI") == "true" { // an image may have one alone
		t.Errorf("%d shells were tried", tried)
	}
}

// FuzzQuote: whatever the arguments are, the remote shell makes of them the same words
// again, and nothing else happens.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a b", `"`, "'", "''", `'\''`, "$(id)", "`id`", "; rm -rf /", "\n", "*", "-", "é", "${HOME}", `\`, "!!", "a'$(id)'b", "\t\r", "#", "~", "=", "\\'", "\\\\"} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		words := []string{one, other, one + other, other + "\n"}
		argv := append([]string{"printf", `%s\0`}, words...)
		if (sandbox.Command{Argv: argv}).Check() != nil {
			t.Skip()
		}
		want := "SECRET\n" + strings.Join(words, "\x00") + "\x00"
		inShells(t, line("SECRET", runScript, append([]string{"MARK", t.TempDir()}, argv...)...), func(shell, out, complaint string, err error) {
			if err != nil || out != want {
				t.Errorf("%s makes %q of %q: %v, %s", shell, out, want, err, complaint)
			}
		})
	})
}

func TestACommandThatIsNotThereSaysSo(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no program\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		folder string
		argv   []string
		runs   bool
	}{
		"no such path":         {"/", []string{"/no/such/program"}, false},
		"no such name":         {"/", []string{"no-such-program"}, false},
		"what is no program":   {"/", []string{plain}, false},
		"a folder":             {"/", []string{"/tmp"}, false},
		"a word of the shell":  {"/", []string{"export", "A=1"}, false},
		"no such folder":       {"/no/such/folder", []string{"true"}, false},
		"one that ends by 127": {"/", []string{"sh", "-c", "exit 127"}, true},
		"one that ends by 126": {"/", []string{"sh", "-c", "exit 126"}, true},
	} {
		inShells(t, line("SECRET", runScript, append([]string{"MARK", c.folder}, c.argv...)...), func(shell, _, complaint string, _ error) {
			if ran := !strings.HasSuffix(complaint, "SECRET!"); ran != c.runs {
				t.Errorf("%s, %s: ran %t: %q", name, shell, ran, complaint)
			}
		})
	}
}

// TestTheCommandDoesNotSeeTheSecret: it could say that it was not run.
func TestTheCommandDoesNotSeeTheSecret(t *testing.T) {
	inShells(t, line("SECRET", runScript, "MARK", "/", "sh", "-c", "cat /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline"), func(shell, out, complaint string, err error) {
		if _, told, _ := strings.Cut(out, "\n"); err != nil || strings.Contains(told, "SECRET") || !strings.Contains(told, commandMark+"=MARK") {
			t.Errorf("%s: %q, %s, %v", shell, told, complaint, err)
		}
	})
}

func TestWhatALoginShellSaysIsLeftOut(t *testing.T) {
	const secret = "SECRET"
	for name, c := range map[string]struct {
		writes           []string
		passed           string
		process, started int64
	}{
		"nothing before":        {[]string{"SECRET 12 34\nout"}, "out", 12, 34},
		"in pieces":             {[]string{"hel", "lo\nSEC", "RET 1", "2 34", "\nou", "t\n"}, "out\n", 12, 34},
		"no line yet":           {[]string{"SECRET 12 34"}, "", 0, 0},
		"never":                 {[]string{"hello\n"}, "", 0, 0},
		"long before":           {[]string{strings.Repeat("x", 5*maxNoise), strings.Repeat("y", maxNoise) + "SEC", "RET 12 34\nout"}, "out", 12, 34},
		"what is said by it":    {[]string{"SECRET 12 34\nSECRET 56 78\n"}, "SECRET 56 78\n", 12, 34},
		"an answer of no words": {[]string{"SECRET\n"}, "", 0, 0},
	} {
		var passed bytes.Buffer
		a := &after{mark: secret, to: &passed}
		for _, w := range c.writes {
			if n, err := a.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
		if process, started := a.process(); passed.String() != c.passed || process != c.process || started != c.started || len(a.seen) > 2*maxNoise {
			t.Errorf("%s: %q by process %d of %d; %d bytes are kept", name, passed.String(), process, started, len(a.seen))
		}
	}
}
