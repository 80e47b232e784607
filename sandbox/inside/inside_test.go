//go:build linux

package inside_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/portcullis-app/portcullis/sandbox/inside"
)

// TestMain is also the program that runs in a sandbox.
func TestMain(m *testing.M) {
	switch os.Getenv("INSIDE") {
	case "run":
		os.Exit(inside.Run(os.Args[1], os.Args[2], 0, os.Args[3:], os.Stderr))
	case "attend":
		if err := os.Setenv("INSIDE", "run"); err != nil { // whom it attends
			panic(err)
		}
		os.Exit(inside.Attend(os.Args[1], os.Args[2:], os.Stderr))
	case "kill":
		if err := inside.Kill(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "init":
		os.Exit(initial())
	default:
		os.Exit(m.Run())
	}
}

func own(t *testing.T, as string, argv ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, argv...)
	command.Env = []string{"INSIDE=" + as, "PATH=/usr/bin:/bin"}
	return command
}

func TestRun(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "data"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		argv   []string
		folder string
		stdout string
		code   int
		why    string
	}{
		"it is there":           {[]string{"pwd"}, folder, folder + "\n", 0, ""},
		"its exit code":         {[]string{"/bin/sh", "-c", "exit 37"}, folder, "", 37, ""},
		"127 of its own":        {[]string{"/bin/sh", "-c", "exit 127"}, folder, "", 127, ""},
		"any bytes":             {[]string{"printf", "%s|", "", "a b", "\n", "é\xff", `"`, "$(id)"}, folder, "|a b|\n|é\xff|\"|$(id)|", 0, ""},
		"no such program":       {[]string{"/no/such/program"}, folder, "", inside.NotThereCode, "no such file"},
		"not in the path":       {[]string{"no-such-program"}, folder, "", inside.NotThereCode, "executable file not found"},
		"no program":            {[]string{folder + "/data"}, folder, "", inside.NotRunCode, "permission denied"},
		"no such folder":        {[]string{"pwd"}, folder + "/none", "", inside.NotThereCode, "no such file"},
		"nothing":               {nil, folder, "", inside.NotRunCode, "no command"},
		"a program with a name": {[]string{""}, folder, "", inside.NotRunCode, "no command"},
	} {
		command := own(t, "run", slices.Concat([]string{"TOKEN", c.folder}, inside.Quote(c.argv))...)
		var stdout, stderr bytes.Buffer
		command.Stdout, command.Stderr = &stdout, &stderr
		err := command.Run()
		if exit, is := errors.AsType[*exec.ExitError](err); err != nil && !is {
			t.Errorf("%s: %v", name, err)
		} else if is && exit.ExitCode() != c.code || !is && c.code != 0 || stdout.String() != c.stdout {
			t.Errorf("%s: %v, %q", name, err, stdout.String())
		}
		if why, is := inside.Why("TOKEN", stderr.String()); is != (c.why != "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q", name, stderr.String())
		}
		if _, is := inside.Why("ANOTHER", stderr.String()); is {
			t.Errorf("%s: any token does", name)
		}
	}
	command := own(t, "run", "TOKEN", folder, "pwd")
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "not quoted") {
		t.Errorf("%s, %v", out, err)
	}
}

// A command that is attended ends as it does alone, and says so if that is with 0.
func TestAttend(t *testing.T) {
	folder := t.TempDir()
	for name, c := range map[string]struct {
		argv           []string
		stdout, stderr string
		code           int
		done           bool
	}{
		"it ends well":                {[]string{"/bin/sh", "-c", "cat; echo problem >&2"}, "in", "problem\n", 0, true},
		"its exit code":               {[]string{"/bin/sh", "-c", "exit 37"}, "", "", 37, false},
		"a signal ends it":            {[]string{"/bin/sh", "-c", "kill -TERM $$"}, "", "", 143, false},
		"it signals its group":        {[]string{"/bin/sh", "-c", "trap '' TERM; kill -TERM 0; echo alive"}, "alive\n", "", 0, true},
		"it signals who attends":      {[]string{"/bin/sh", "-c", "kill -TERM $PPID; kill -INT $PPID; echo alive"}, "alive\n", "", 0, true},
		"it ends who attends":         {[]string{"/bin/sh", "-c", "kill -KILL $PPID"}, "", "", 137, false},
		"a child of its is left":      {[]string{"/bin/sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"}, "", "", 0, true},
		"no such program":             {[]string{"/no/such/program"}, "", inside.NotStarted("TOKEN", `exec: "/no/such/program": stat /no/such/program: no such file or directory`), inside.NotThereCode, false},
		"signals are as they were":    {[]string{"/bin/sh", "-c", "kill -PIPE $$; echo alive"}, "", "", 141, false},
		"it closes what it writes to": {[]string{"/bin/sh", "-c", "exec >&- 2>&-"}, "", "", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			command := own(t, "attend", slices.Concat([]string{"TOKEN", "TOKEN", folder}, inside.Quote(c.argv))...)
			var stdout, stderr bytes.Buffer
			command.Stdin, command.Stdout, command.Stderr = strings.NewReader("in"), &stdout, &stderr
			err := command.Run()
			code := command.ProcessState.ExitCode()
			if code < 0 { // a signal
				code = 137
			}
			if code != c.code || c.stdout != "" && stdout.String() != c.stdout {
				t.Errorf("%v, %q", err, stdout.String())
			}
			if name == "a child of its is left" {
				_ = exec.CommandContext(t.Context(), "kill", strings.TrimSpace(stdout.String())).Run()
			}
			if c.done {
				c.stderr += inside.Done("TOKEN")
			}
			if stderr.String() != c.stderr {
				t.Errorf("%q", stderr.String())
			}
		})
	}
}

// full takes nothing twice, as a pipe does that is full and that a program has had not
// wait.
type full struct {
	bytes.Buffer

	times int
}

func (f *full) Write(p []byte) (int, error) {
	if f.times++; f.times < 3 {
		return 0, &os.PathError{Op: "write", Path: "pipe", Err: syscall.EAGAIN}
	}
	return f.Buffer.Write(p)
}

func TestWhatIsSaidArrives(t *testing.T) {
	var pipe full
	if err := inside.SayDone("TOKEN", &pipe); err != nil || pipe.String() != inside.Done("TOKEN") {
		t.Errorf("%q, %v", pipe.String(), err)
	}
	broken, into := io.Pipe()
	_ = broken.Close()
	if err := inside.SayDone("TOKEN", into); err == nil {
		t.Error("nobody hears it")
	}
}

func TestInstall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "portcullis")
	for range 2 { // an init container may be run again
		if err := inside.Install(file); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); len(left) != 1 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
	if err := inside.Install(filepath.Join(file, "below")); err == nil {
		t.Error("it is below a file")
	}
}

// Kill must never do anything where PID 1 is not Portcullis, as here.
func TestKillDoesNothingOutside(t *testing.T) {
	if err := inside.Kill(); err == nil || !strings.Contains(err.Error(), "no sandbox") {
		t.Errorf("%v", err)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("go", "\xff\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		quoted := inside.Quote([]string{a, b})
		for _, q := range quoted {
			if strings.ContainsFunc(q, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q is not all ASCII", q)
			}
		}
		got, err := inside.Unquote(quoted)
		if err != nil || !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q, %v", got, err)
		}
	})
}
