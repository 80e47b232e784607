package app

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/postgrestest"
)

// afterAll ends what the tests of this package share.
type afterAll struct{ *testing.M }

func (a afterAll) Run() int {
	defer func() { _ = os.RemoveAll(built.folder) }()
	return postgrestest.Main(a.M)
}

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
	cmd  *exec.Cmd
	url  string // where it takes webhooks
	log  string // the file it logs to
	gone chan struct{}
}

// launch starts the binary with variables beside those of the test, and returns
// when it listens, or an error if it ended before. What it logs is added to log.
func launch(t testing.TB, binary, config, log string, variables ...string) (*replica, error) {
	t.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{log: log, gone: make(chan struct{})}
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
		_ = r.cmd.Wait() // how it ended is the test's doing, or in its log
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

// terminate asks it to stop and waits.
func (r *replica) terminate() {
	r.signal(syscall.SIGTERM)
	<-r.gone
}
