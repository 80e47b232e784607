//go:build unix

package inside

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// NotRun is the exit code of a command that was not run. Programs may end with it too:
// [Complaint] tells which it was.
const NotRun = 126

// MaxProcesses is how many processes and threads the workload's user may have, which must
// be fewer than the sandbox may: one that has taken all leaves some to who ends it.
const MaxProcesses = 512

// lowestPriority is the niceness of those who come last.
const lowestPriority = 19

// rlimitProcesses is RLIMIT_NPROC, of which the standard library has no name.
const rlimitProcesses = 6

// Run becomes the command. Before that it makes itself what the kernel ends first when
// memory is over: otherwise that would be PID 1, which is larger than most programs, and
// with it the sandbox. It returns only if there is no such program, with what it has to
// say then, which begins with the mark that it was called with.
func Run(mark string, argv []string) (complaint string) {
	if err := syscall.Setrlimit(rlimitProcesses, &syscall.Rlimit{Cur: MaxProcesses, Max: MaxProcesses}); err != nil {
		return mark + "limit its processes: " + err.Error()
	}
	// Among five hundred that all want to run, whoever ends them and PID 1 come first.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowestPriority)
	// Where that is not allowed, memory ends in whatever order the kernel likes.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	path, err := exec.LookPath(argv[0])
	if err == nil {
		err = syscall.Exec(path, argv, os.Environ()) //nolint:gosec // to run what it is told to is what it is for
	}
	return mark + err.Error()
}

// Complaint is why a command was not run; false: it was.
func Complaint(mark, stderr string, exitCode int) (string, bool) {
	why, said := strings.CutPrefix(stderr, mark)
	return why, said && exitCode == NotRun
}
