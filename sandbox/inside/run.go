package inside

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MaxProcesses is how many processes and threads a workload may have, where it has a user
// of its own to count by. That must be fewer than its sandbox may have: one that has taken
// all leaves some to who ends it.
const MaxProcesses = 512

// Install copies this program to a file.
func Install(file string) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(own) //nolint:gosec // this program
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	// Whole or not at all: what is at the name is run.
	to, err := os.CreateTemp(filepath.Dir(file), ".install-")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Chmod(0o555), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), file)
}

// The exit codes of a command that was not started, as shells have them.
const (
	NotRunCode   = 126
	NotThereCode = 127
)

// NotStarted is what [Run] says, alone, about a command that it does not start. The token
// is the caller's: no other program says it by chance.
func NotStarted(token, why string) string {
	return fmt.Sprintf("portcullis %s not started: %s\n", token, why)
}

// Why is what a command that was not started said, if it is that.
func Why(token, said string) (why string, is bool) {
	said, is = strings.CutPrefix(said, strings.TrimSuffix(NotStarted(token, ""), "\n"))
	return strings.TrimSuffix(said, "\n"), is
}

// Done is what [Attend] and [SayDone] say, at some place among what else is said there,
// once a command has ended with 0. The token is the caller's.
func Done(token string) string { return fmt.Sprintf("portcullis %s ended with 0\n", token) }

// sayEvery is how often what takes nothing is asked again.
const sayEvery = 10 * time.Millisecond

// SayDone says [Done] in one piece, also where a program has had the writer take nothing
// while it is full.
func SayDone(token string, to io.Writer) error {
	for {
		_, err := io.WriteString(to, Done(token))
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		<-time.After(sayEvery)
	}
}

// Quote writes arguments so that any bytes arrive, and can be read in an audit log; what
// Kubernetes carries must be UTF-8.
func Quote(argv []string) []string {
	quoted := make([]string, len(argv))
	for n, argument := range argv {
		quoted[n] = strconv.QuoteToASCII(argument)
	}
	return quoted
}

// Unquote reads what [Quote] wrote.
func Unquote(quoted []string) ([]string, error) {
	argv := make([]string, len(quoted))
	for n, q := range quoted {
		argument, err := strconv.Unquote(q)
		if err != nil {
			return nil, fmt.Errorf("the argument %s is not quoted", strconv.QuoteToASCII(q))
		}
		argv[n] = argument
	}
	return argv, nil
}
