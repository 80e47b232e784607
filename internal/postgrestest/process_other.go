//go:build !linux

package postgrestest

import (
	"errors"
	"os"
	"syscall"
)

// attributes are none: the tests do not run as root here, and a server outlives
// tests that are killed.
func attributes(*owner) *syscall.SysProcAttr { return nil }

// crash has PostgreSQL end at once: its backends leave without flushing
// anything, and it recovers from its log at the next start.
func crash(postmaster *os.Process) error {
	if err := postmaster.Signal(syscall.SIGQUIT); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
