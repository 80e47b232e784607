//go:build !unix

package inside

import (
	"errors"
	"io"
)

var errNoSandbox = errors.New("there are no sandboxes on this system")

// Run starts nothing.
func Run(token, _ string, _ uint64, _ []string, stderr io.Writer) int {
	_, _ = io.WriteString(stderr, NotStarted(token, errNoSandbox.Error()))
	return NotRunCode
}

// Attend starts nothing.
func Attend(token string, _ []string, stderr io.Writer) int {
	_, _ = io.WriteString(stderr, NotStarted(token, errNoSandbox.Error()))
	return NotRunCode
}

// Kill ends nothing.
func Kill() error { return errNoSandbox }
