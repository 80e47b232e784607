package postgrestest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the server of this test binary.
var shared struct {
	sync.Mutex

	stopped bool // whether somebody will stop it: Main runs
	server  *Server
	err     error
}

// Main runs the tests, and then stops the server they shared, if they did. It
// returns what to exit with:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
func Main(m *testing.M) int {
	shared.Lock()
	shared.stopped = true
	shared.Unlock()
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	shared.stopped = false
	if shared.server == nil {
		return code
	}
	if err := shared.server.discard(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Shared is the server that all tests of this binary share; the first of them
// starts it. It may not be stopped or killed: see [Start].
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.stopped {
		tb.Fatal("TestMain has to call postgrestest.Main, which stops the server that tests share")
	}
	// A failure is kept as well, for otherwise each test would wait for its own.
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start()
	}
	refuse(tb, shared.err)
	return shared.server
}
