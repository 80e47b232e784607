package inside_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stubborns are how many processes the command of [initial] is at least: a shell, and four
// that sleep.
const stubborns = 5

// initial is PID 1 of a sandbox, which has a command that does not end on its own, has
// it killed by another, and says how many processes are left beside itself.
func initial() int {
	if os.Getpid() != 1 {
		return 2
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		fmt.Fprintln(os.Stdout, "no /proc:", err)
		return 3
	}
	// Each is out of the others' reach by what a shell can do: a session of its own, a
	// parent that is gone, a signal that it ignores.
	stubborn := exec.Command("/bin/sh", "-c", `trap '' TERM; (setsid sleep 1000 &) ; (sleep 1000 & sleep 1000) & while :; do sleep 1000; done`)
	if err := stubborn.Start(); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 4
	}
	for late := time.Now().Add(5 * time.Second); count() < stubborns && time.Now().Before(late); {
		<-time.After(10 * time.Millisecond)
	}
	before := count()
	kill := exec.Command("/proc/self/exe")
	kill.Env = []string{"INSIDE=kill"}
	out, err := kill.CombinedOutput()
	_ = stubborn.Wait()
	fmt.Fprintf(os.Stdout, "%d before, %d after, %s %v\n", before, count(), out, err)
	return 0
}

// count counts processes that live, but PID 1.
func count() int {
	entries, _ := os.ReadDir("/proc")
	n := 0
	for _, entry := range entries {
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err == nil && entry.Name() != "1" && strings.Trim(entry.Name(), "0123456789") == "" && !strings.Contains(string(stat), ") Z ") {
			n++
		}
	}
	return n
}

// I6, in a namespace of its own.
func TestKillEndsEverything(t *testing.T) {
	command := own(t, "init")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := command.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.HasPrefix(string(out), "no /proc") {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this system gives nobody a PID namespace: %v, %s", err, out)
		}
		t.Skipf("NOT TESTED: the end of everything, because this system gives nobody a PID namespace: %v, %s", err, out)
	}
	var before, after int
	n, unread := fmt.Sscanf(string(out), "%d before, %d after", &before, &after)
	if err != nil || unread != nil || n != 2 || before < stubborns || after != 0 || !strings.HasSuffix(string(out), " after,  <nil>\n") {
		t.Errorf("%s, %v, %v", out, err, unread)
	}
	t.Logf("%s", out)
}
