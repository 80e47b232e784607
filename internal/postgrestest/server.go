// Package postgrestest starts real PostgreSQL servers for tests, and lets them
// crash. It brings no driver: a test opens the URL with its own.
//
// A test that needs no more than a database takes one in the server that all
// tests of its binary share:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
//
//	func TestStore(t *testing.T) {
//		url := postgrestest.Shared(t).Database(t)
//		…
//	}
//
// A test that stops or kills the server starts its own:
//
//	server := postgrestest.Start(t)
//	url := server.Database(t)
//	…
//	server.Kill()
//	server.Resume()
//
// Where PostgreSQL is not installed, such tests are skipped; with CI=true in the
// environment they fail instead. PostgreSQL 13 or later is needed.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a server may take to start, recover or stop. It is long:
// a machine that runs all tests at once is slow, and only a failure waits for it.
const patience = time.Minute

// Server is a PostgreSQL server on 127.0.0.1, with a data directory of its own.
// It trusts whoever connects, its superuser is postgres, its text is UTF-8 in the
// order of its bytes, and its time zone is UTC.
type Server struct {
	// URL is the database "postgres", which exists on every server. It stays the
	// same when the server is resumed.
	URL string
	// Port is where it listens on 127.0.0.1, for as long as it exists.
	Port int

	tb        testing.TB // whose server it is; nil for the one that is shared
	installed *installation
	databases atomic.Int64

	mu      sync.Mutex
	process *process // nil while the server is down
}

// Start starts a server for this test alone, and stops it when the test is over.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := start()
	refuse(tb, err)
	s.tb = tb
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of PostgreSQL's log:\n%s", s.log())
		}
		if err := s.discard(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// refuse ends the test if there is no server, and skips it if there cannot be one.
func refuse(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true":
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}

func start() (*Server, error) {
	installed, err := install()
	if err != nil {
		return nil, err
	}
	s := &Server{installed: installed}
	s.Port, err = freePort()
	if err == nil {
		s.URL = s.databaseURL("postgres")
		err = s.resume()
	}
	if err != nil {
		return nil, errors.Join(err, s.discard())
	}
	return s, nil
}

// Stop shuts the server down in order: transactions are rolled back, connections
// closed, and what was written is flushed. It does nothing if the server is down.
func (s *Server) Stop() {
	s.private().Helper()
	if err := s.stop(); err != nil {
		s.tb.Fatal(err)
	}
}

// Kill ends the server and all its backends at once: they flush nothing and tell
// no client. The system's own memory of files survives, as it would not if the
// power had gone. Kill does nothing if the server is down.
func (s *Server) Kill() {
	s.private().Helper()
	if err := s.end(crash); err != nil {
		s.tb.Fatal(err)
	}
}

// Resume starts a server that is down again, on the same data and port, and
// returns when it has recovered and lets clients in.
func (s *Server) Resume() {
	s.private().Helper()
	if err := s.resume(); err != nil {
		s.tb.Fatal(err)
	}
}

// private is the test that owns the server. Nobody may take the shared server
// away from other tests.
func (s *Server) private() testing.TB {
	if s.tb == nil {
		panic("postgrestest: the shared server stays up; a test that stops one calls Start")
	}
	return s.tb
}

func (s *Server) stop() error {
	// PostgreSQL calls what it does at this signal a fast shutdown.
	return s.end(func(postmaster *os.Process) error { return postmaster.Signal(os.Interrupt) })
}

// end ends the server in the given way and waits until it is gone.
func (s *Server) end(how func(postmaster *os.Process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.process.running() {
		s.process = nil
		return nil
	}
	err := how(s.process.cmd.Process)
	if err != nil || !eventually(func() bool { return !s.process.running() }) {
		err = errors.Join(fmt.Errorf("PostgreSQL did not stop; the end of its log:\n%s", s.log()), err,
			crash(s.process.cmd.Process))
		<-s.process.done
	}
	s.process = nil
	return err
}

func (s *Server) resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process.running() {
		return errors.New("PostgreSQL is to be started, but runs")
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own handle
	cmd := s.installed.command(context.Background(), "postgres",
		"-D", s.installed.data(),
		"-c", "port="+strconv.Itoa(s.Port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories="+s.installed.dir,
		// The crash tests run 20 stories side by side, with up to three replicas each.
		"-c", "max_connections=1000",
		"-c", "shared_buffers=16MB",
		// In the data directory: a crash would leave it behind elsewhere.
		"-c", "dynamic_shared_memory_type=mmap")
	cmd.SysProcAttr = attributes(s.installed.owner)
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = launch(cmd); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	ready := false
	eventually(func() bool {
		ready = s.ready()
		return ready || !s.process.running()
	})
	if !ready {
		return fmt.Errorf("PostgreSQL did not start; the end of its log:\n%s", s.log())
	}
	return nil
}

// ready says whether clients are let in. The server writes so into its file, in
// the eighth line; whoever tried to connect instead would fill its log. The first
// line tells this server from one that was killed.
func (s *Server) ready() bool {
	text, err := os.ReadFile(filepath.Join(s.installed.data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return err == nil && len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready" &&
		lines[0] == strconv.Itoa(s.process.cmd.Process.Pid)
}

// discard stops the server and removes what it wrote.
func (s *Server) discard() error {
	return errors.Join(s.stop(), os.RemoveAll(s.installed.dir))
}

// command is one of PostgreSQL's programs, as the user that runs the tests.
func (i *installation) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(i.bin, program), arguments...) //nolint:gosec // the programs of PostgreSQL, in tests
	cmd.Dir, cmd.Env = i.dir, environment()
	return cmd
}

func (s *Server) logFile() string { return filepath.Join(s.installed.dir, "log") }

// log is the end of what the server wrote.
func (s *Server) log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	const lines = 40
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
