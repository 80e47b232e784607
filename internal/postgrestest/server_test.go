package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// ask carries out a statement and returns its rows.
func ask(t *testing.T, s *Server, url, statement string) string {
	t.Helper()
	rows, err := s.query(url, statement)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestDatabasesAreApartAndDropped(t *testing.T) {
	server := Shared(t)
	t.Run("two", func(t *testing.T) {
		one, two := server.Database(t), server.Database(t)
		if one == two {
			t.Fatalf("both are %s", one)
		}
		ask(t, server, one, "CREATE TABLE decision (id int)")
		if tables := ask(t, server, two, "SELECT count(*) FROM pg_tables WHERE tablename = 'decision'"); tables != "0" {
			t.Errorf("the table is in the other database too")
		}
		// Somebody who is still connected does not keep it from being dropped.
		connected(t, server, one)
	})
	if left := ask(t, server, server.URL, "SELECT count(*) FROM pg_database WHERE datname LIKE 'test_%'"); left != "0" {
		t.Errorf("%s databases are left", left)
	}
}

func TestSharedIsOneAndStays(t *testing.T) {
	server := Shared(t)
	if Shared(t) != server {
		t.Error("there are two shared servers")
	}
	for name, end := range map[string]func(){"Stop": server.Stop, "Kill": server.Kill, "Resume": server.Resume} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is allowed", name)
				}
			}()
			end()
		}()
	}
}

func TestSettings(t *testing.T) {
	server := Shared(t)
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "1000",
		"server_encoding": "UTF8", "TimeZone": "UTC", "listen_addresses": "127.0.0.1",
	} {
		if got := ask(t, server, server.URL, "SHOW "+setting); got != want {
			t.Errorf("%s is %s, not %s", setting, got, want)
		}
	}
}

// What was committed is there after a crash; what was not is gone, and so is
// everybody who was at it.
func TestKillAndResume(t *testing.T) {
	server := Start(t)
	database := server.Database(t)
	url, port := server.URL, server.Port
	ask(t, server, database, "CREATE TABLE decision (id int)")
	ask(t, server, database, "INSERT INTO decision SELECT generate_series(1, 1000)")
	busy := connected(t, server, database)

	server.Kill()
	if err := <-busy; err == nil {
		t.Error("a client was not disconnected")
	}
	refused(t, server.Port)
	server.Kill() // does nothing

	server.Resume()
	if server.URL != url || server.Port != port {
		t.Errorf("it came back at %s", server.URL)
	}
	if rows := ask(t, server, database, "SELECT count(*) FROM decision"); rows != "1000" {
		t.Errorf("%s rows are left of 1000", rows)
	}
	if !strings.Contains(server.log(), "database system was not properly shut down") {
		t.Error("it did not have to recover")
	}

	server.Kill()
	server.Resume()
	server.Kill() // it may stay down
}

func TestStopAndResume(t *testing.T) {
	server := Start(t)
	ask(t, server, server.URL, "CREATE TABLE decision AS SELECT 1 AS id")
	server.Stop()
	refused(t, server.Port)
	server.Stop() // does nothing
	server.Resume()
	if rows := ask(t, server, server.URL, "SELECT count(*) FROM decision"); rows != "1" {
		t.Errorf("there are %s rows", rows)
	}
	if strings.Contains(server.log(), "not properly shut down") {
		t.Error("it had to recover")
	}
}

func TestNothingIsLeft(t *testing.T) {
	var server *Server
	if !t.Run("one server", func(t *testing.T) { server = Start(t) }) || server == nil {
		t.SkipNow()
	}
	refused(t, server.Port)
	if _, err := os.Stat(server.installed.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestAFailedStartShowsTheLog(t *testing.T) {
	server := Start(t)
	server.Stop()
	if err := os.Truncate(server.installed.data()+"/global/pg_control", 10); err != nil {
		t.Fatal(err)
	}
	if err := server.resume(); err == nil || !strings.Contains(err.Error(), "pg_control") {
		t.Errorf("the reason is missing: %v", err)
	}
}

// connected keeps a client in a database, and reports how it ended.
func connected(t *testing.T, s *Server, url string) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := s.query(url, "SELECT pg_sleep(60)")
		ended <- err
	}()
	if !eventually(func() bool {
		return ask(t, s, s.URL, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == "1"
	}) {
		t.Fatal("the client did not get in")
	}
	return ended
}

// refused holds that nobody listens.
func refused(t *testing.T, port int) {
	t.Helper()
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		conn.Close()
		t.Error("somebody listens still")
	}
}
