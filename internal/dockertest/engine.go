// Package dockertest gives tests a real Docker engine: the one that PORTCULLIS_DOCKER_HOST
// names, or one of their own, which ends with them.
package dockertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// errNoEngine is all that a machine without an engine gets to read.
var errNoEngine = errors.New("NOT TESTED: what this test says of Docker, because there is no engine here that tests may start: that takes root and dockerd; " +
	"`apt-get install docker.io` brings it, or PORTCULLIS_DOCKER_HOST names one that runs")

// patience is how long an engine may take to start, and to end.
const patience = 60 * time.Second

// shared is the engine of this test binary.
var shared struct {
	sync.Mutex

	stopped bool // whether somebody will stop it: Main runs
	host    string
	engine  *engine
	err     error
}

// Main runs the tests, and then ends the engine they started, if they did. It returns
// what to exit with:
//
//	func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }
func Main(m interface{ Run() int }) int {
	shared.Lock()
	shared.stopped = true
	shared.Unlock()
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		return code
	}
	if err := shared.engine.end(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Host is where the engine is that all tests of this binary share. Without one the test
// is skipped, or with CI=true fails.
func Host(tb testing.TB) string {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.stopped {
		tb.Fatal("TestMain has to call dockertest.Main, which ends the engine that tests share")
	}
	if shared.host == "" && shared.err == nil {
		shared.host, shared.err = find()
	}
	switch {
	case errors.Is(shared.err, errNoEngine) && os.Getenv("CI") != "true":
		tb.Skip(shared.err)
	case shared.err != nil:
		tb.Fatal(shared.err)
	}
	return shared.host
}

func find() (string, error) {
	if host := os.Getenv("PORTCULLIS_DOCKER_HOST"); host != "" {
		return host, nil
	}
	program, err := exec.LookPath("dockerd")
	if err != nil || os.Getuid() != 0 {
		return "", errNoEngine
	}
	shared.engine, err = start(program)
	if err != nil {
		return "", err
	}
	return shared.engine.host, nil
}

// engine is a dockerd of the tests' own, with a folder of its own.
type engine struct {
	folder, host string
	process      *exec.Cmd
	// ended is closed once it has, with how in failure.
	ended   chan struct{}
	failure error
}

func start(program string) (*engine, error) {
	folder, err := os.MkdirTemp("", "dockertest-")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(folder, "docker.sock")
	e := &engine{folder: folder, host: "unix://" + socket, ended: make(chan struct{})}
	log, err := os.Create(filepath.Join(folder, "log")) //nolint:gosec // the tests' own folder
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	defer func() { _ = log.Close() }()
	e.process = exec.CommandContext(context.Background(), program, //nolint:gosec // the engine that is installed
		"--host", e.host, "--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "run"), "--pidfile", filepath.Join(folder, "pid"))
	e.process.Stdout, e.process.Stderr = log, log
	// It must not hear the interrupt that ends the tests: they end it, with all it runs.
	e.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.process.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	go func() {
		defer close(e.ended)
		e.failure = e.process.Wait()
	}()
	for late := time.After(patience); ; {
		connection, err := new(net.Dialer).DialContext(context.Background(), "unix", socket)
		if err == nil {
			return e, connection.Close()
		}
		select {
		case <-e.ended:
			said, _ := os.ReadFile(log.Name())
			return nil, errors.Join(fmt.Errorf("dockerd ended: %w\n%s", e.failure, said), os.RemoveAll(folder))
		case <-late:
			return nil, errors.Join(errors.New("dockerd does not answer"), e.end())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// end ends the engine and takes its folder away.
func (e *engine) end() error {
	err := e.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(patience):
		err = errors.Join(err, errors.New("dockerd does not end"), e.process.Process.Kill())
	}
	return errors.Join(err, os.RemoveAll(e.folder))
}
