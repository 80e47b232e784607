//go:build unix

package inside

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// rlimitProcesses is RLIMIT_NPROC, of which the standard library has no name, and
// lowestPriority the niceness of those who come last.
const (
	rlimitProcesses = 6
	lowestPriority  = 19
)

// Run turns this process into a program, in the folder, with the arguments as [Quote]
// wrote them, which with its children may be so many processes; 0: as many as there are.
// It returns only if that is not to be: with the exit code, having said why.
func Run(token, folder string, processes uint64, quoted []string, stderr io.Writer) int {
	argv, err := Unquote(quoted)
	if err == nil && (len(argv) == 0 || argv[0] == "") {
		err = errors.New("there is no command")
	}
	if err == nil {
		err = os.Chdir(folder)
	}
	if err == nil && processes > 0 {
		err = syscall.Setrlimit(rlimitProcesses, &syscall.Rlimit{Cur: processes, Max: processes})
	}
	if err == nil {
		comeLast()
		err = become(argv)
	}
	_, _ = io.WriteString(stderr, NotStarted(token, err.Error()))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return NotThereCode
	}
	return NotRunCode
}

// comeLast lets others in the sandbox go first: whoever ends what runs there, if five
// hundred want to run at once, and PID 1, which is larger than most programs, if memory is
// over. Where that is not allowed, they go in whatever order the kernel likes.
func comeLast() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowestPriority)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
}

func become(argv []string) error {
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, argv, os.Environ()) //nolint:gosec // that is what it is for
}

// signalBase is what a shell adds to the number of the signal that ended a command.
const signalBase = 128

// Attend runs this program with other words, waits for it and returns its exit code. If
// that is 0, it says [Done] first: a connection over which a command is run may end as if
// the command had, and only what is said is believed then. What runs there can say it too,
// for the token is no secret to it. So it can claim to have ended well before it has, as it
// can by leaving a child behind.
func Attend(token string, words []string, stderr io.Writer) int {
	// Whoever has a signal sent to all of the user's processes, or to its group, does not
	// mean this one.
	signal.Notify(make(chan os.Signal, 1))
	code, err := attend(words)
	if err != nil {
		_, _ = io.WriteString(stderr, NotStarted(token, err.Error()))
		return NotRunCode
	}
	if code == 0 && SayDone(token, stderr) != nil {
		return NotRunCode
	}
	return code
}

func attend(words []string) (code int, _ error) {
	own, err := os.Executable()
	if err != nil {
		return 0, err
	}
	child, err := os.StartProcess(own, append([]string{own}, words...), &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, err
	}
	ended, err := child.Wait()
	if err != nil {
		return 0, err
	}
	if how, is := ended.Sys().(syscall.WaitStatus); is && how.Signaled() {
		return signalBase + int(how.Signal()), nil
	}
	return ended.ExitCode(), nil
}

const (
	// killTime is how long the kernel may take to end what was killed, and killEvery how
	// often it is looked.
	killTime  = 2 * time.Second
	killEvery = 20 * time.Millisecond
)

// Kill ends every process in a sandbox but PID 1 and this one, and returns once they are
// gone. Anywhere else it ends nothing, and returns an error: there PID 1 is another
// program.
func Kill() error {
	first, err := os.Stat("/proc/1/exe")
	if err != nil {
		return fmt.Errorf("this is no sandbox: %w", err)
	}
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		return err
	}
	if os.Getpid() == 1 || !os.SameFile(first, own) {
		return errors.New("this is no sandbox: PID 1 is not Portcullis")
	}
	look := time.NewTicker(killEvery)
	defer look.Stop()
	end := time.After(killTime)
	for {
		// Again and again: what forks faster than it is killed is caught in the end.
		if err := syscall.Kill(-1, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill: %w", err)
		}
		left, err := others()
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-look.C:
		case <-end:
			return fmt.Errorf("%d processes are left", left)
		}
	}
}

// others counts the processes that there are beside PID 1 and this one, dead ones that
// nobody has waited for left out.
func others() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	count := 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == 1 || pid == os.Getpid() || dead(entry.Name()) {
			continue
		}
		count++
	}
	return count, nil
}

// dead reports whether a process has ended. Its state comes after its name, which is in
// parentheses and may contain anything.
func dead(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat") //nolint:gosec // a number
	if err != nil {
		return true // it has gone meanwhile
	}
	_, state, found := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return found && len(state) > 0 && (state[0] == 'Z' || state[0] == 'X')
}
