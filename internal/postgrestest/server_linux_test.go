package postgrestest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// standIn is set for a test binary that another starts, to kill it.
const standIn = "POSTGRESTEST_STAND_IN"

func TestAServerDoesNotOutliveItsTests(t *testing.T) {
	Shared(t) // skips where there is none
	tests, port, dir := stand(t)
	t.Cleanup(func() { os.RemoveAll(dir) }) // which a killed test cannot do
	file, err := os.ReadFile(dir + "/data/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(file), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := children(postmaster)
	if err != nil || len(pids) == 0 {
		t.Fatalf("no backends: %v", err)
	}

	if err := tests.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	tests.Wait()
	for _, pid := range append(pids, postmaster) {
		if !eventually(func() bool { return read(pid).ended() }) {
			t.Errorf("process %d is left", pid)
		}
	}
	refused(t, port)
}

// TestStandIn is what is killed in TestAServerDoesNotOutliveItsTests.
func TestStandIn(t *testing.T) {
	if os.Getenv(standIn) == "" {
		t.Skip("only when another test starts it")
	}
	server := Start(t)
	fmt.Fprintf(os.Stdout, "\n%s %d %s\n", standIn, server.Port, server.installed.dir)
	io.Copy(io.Discard, os.Stdin) // until the other test ends
}

func stand(t *testing.T) (cmd *exec.Cmd, port int, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStandIn$")
	cmd.Env = append(os.Environ(), standIn+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n, _ := fmt.Sscanf(lines.Text(), standIn+" %d %s", &port, &dir); n == 2 {
			return cmd, port, dir
		}
	}
	t.Fatal("the stand-in did not start a server")
	return nil, 0, ""
}
