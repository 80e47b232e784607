package postgrestest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attributes are those of a child that runs as the owner and does not outlive
// the tests, even if these are killed. At this signal PostgreSQL ends at once and
// takes its backends and its shared memory with it; killed itself, it could not.
func attributes(as *owner) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if as != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)} //nolint:gosec // the system's own numbers
	}
	return attr
}

// crash kills the postmaster and its backends. Each of these has a session of
// its own, so no group would reach them all; and if the postmaster alone were
// killed, a busy one would still finish what it is at.
func crash(postmaster *os.Process) error {
	// Stopped, it makes no new backend while they are counted.
	err := postmaster.Signal(syscall.SIGSTOP)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	eventually(func() bool {
		now := read(postmaster.Pid)
		return now.state == 'T' || now.ended()
	})
	backends, err := children(postmaster.Pid)
	for _, pid := range append(backends, postmaster.Pid) {
		if gone := syscall.Kill(pid, syscall.SIGKILL); gone != nil && !errors.Is(gone, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill %d: %w", pid, gone))
		}
	}
	for _, pid := range backends {
		if !eventually(func() bool { return read(pid).ended() }) {
			err = errors.Join(err, fmt.Errorf("backend %d survives", pid))
		}
	}
	return err
}

// stat is what the kernel says of a process.
type stat struct {
	state  byte // 0 for none
	parent int
}

// ended is said of a zombie too: it has let go of everything, and only waits for
// a parent that may never ask.
func (s stat) ended() bool { return s.state == 0 || s.state == 'Z' || s.state == 'X' }

func read(pid int) stat {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}
	}
	// The name comes before, in parentheses, and may contain anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return stat{}
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}
	}
	return stat{state: fields[0][0], parent: parent}
}

// children are the processes whose parent this is.
func children(parent int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && read(pid).parent == parent {
			found = append(found, pid)
		}
	}
	return found, nil
}
