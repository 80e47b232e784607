package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/dockertest"
	"github.com/portcullis-app/portcullis/internal/postgrestest"
)

// afterAll ends what the tests of this package share.
type afterAll struct{ *testing.M }

func (a afterAll) Run() int {
	defer func() { _ = os.RemoveAll(built.folder) }()
	return dockertest.Main(withPostgres(a))
}

type withPostgres struct{ *testing.M }

func (w withPostgres) Run() int { return postgrestest.Main(w.M) }

// built are the binaries that the crash tests start, each built once.
var built struct {
	sync.Mutex

	folder string
	errs   map[string]error
}

// binaryWith is the real binary, built with the tags.
func binaryWith(t testing.TB, tags string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.folder == "" {
		folder, err := os.MkdirTemp("", "portcullis-test-") //nolint:usetesting // it outlives the test: others use the binary
		if err != nil {
			t.Fatal(err)
		}
		built.folder, built.errs = folder, map[string]error{}
	}
	binary := filepath.Join(built.folder, "portcullis-"+tags)
	if _, done := built.errs[tags]; !done {
		// Not raced, even where the tests are: what is tested is what is shipped.
		out, err := exec.Command("go", "build", "-tags", tags, "-o", binary, "..").CombinedOutput()
		if built.errs[tags] = err; err != nil {
			t.Logf("%s", out)
		}
	}
	if err := built.errs[tags]; err != nil {
		t.Fatalf("build: %v", err)
	}
	return binary
}

// replica is one running binary, of one or several on the same database.
type replica struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string // where it takes webhooks
	log  string // the file it logs to
	gone chan struct{}
	// ended is how it ended, once it is gone.
	ended error
}

// serveBinary starts the real binary, alone.
func serveBinary(t testing.TB, config string) *replica {
	t.Helper()
	r, err := launch(t, binaryWith(t, ""), config, filepath.Join(filepath.Dir(config), "log.json"))
	if err != nil {
		t.Fatalf("the binary does not start: %v", err)
	}
	return r
}

// launch starts the binary with variables beside those of the test, and returns
// when it listens, or an error if it ended before. What it logs is added to log.
func launch(t testing.TB, binary, config, log string, variables ...string) (*replica, error) {
	t.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, log: log, gone: make(chan struct{})}
	r.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), binary, "serve", "--config", config)
	r.cmd.Env = append(os.Environ(), variables...)
	stderr, err := r.cmd.StderrPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	listens := make(chan string, 1)
	go func() {
		defer close(r.gone)
		defer file.Close()
		lines := bufio.NewReader(stderr)
		for said := false; ; {
			line, err := lines.ReadBytes('\n')
			_, _ = file.Write(line)
			var about struct {
				URL string `json:"webhook_url"`
			}
			if !said && json.Unmarshal(line, &about) == nil && about.URL != "" {
				said = true
				listens <- about.URL
			}
			if err != nil {
				break
			}
		}
		r.ended = r.cmd.Wait()
	}()
	t.Cleanup(r.kill)
	select {
	case r.url = <-listens:
		return r, nil
	case <-r.gone:
		return r, errEndedEarly
	case <-time.After(storyTimeout):
		r.kill()
		return r, context.DeadlineExceeded
	}
}

var errEndedEarly = io.ErrUnexpectedEOF

// signal is no error for a process that is gone.
func (r *replica) signal(signal syscall.Signal) { _ = r.cmd.Process.Signal(signal) }

// kill ends it at once: it gets no chance to finish anything.
func (r *replica) kill() {
	r.signal(syscall.SIGKILL)
	<-r.gone
}

// terminate asks it to stop and waits. It must end well.
func (r *replica) terminate() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	<-r.gone
	if r.ended != nil {
		r.t.Errorf("after SIGTERM: %v", r.ended)
	}
}

// processorTime is what the process has used, to the tick of 10 ms in which Linux
// counts.
func (r *replica) processorTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	// After the name, which may have spaces in it, come the state and, as 12th and
	// 13th, the ticks in user mode and in the kernel.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			r.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peakMemory is the most that the process ever held, in bytes.
func (r *replica) peakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return kilobytes << 10
}
