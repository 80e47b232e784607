package postgrestest

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// Database makes an empty database and returns its URL. When the test is over it
// is dropped, and whoever is still connected to it is disconnected.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	if _, err := s.query(s.URL, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if s.down() {
			return // it goes with the server
		}
		if _, err := s.query(s.URL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return s.databaseURL(name)
}

func (s *Server) databaseURL(name string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.Port, name)
}

func (s *Server) down() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.process.running()
}

// query carries out one statement and returns its rows, without headings.
func (s *Server) query(url, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := s.installed.command(ctx, "psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1",
		"-c", statement, url).CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s; the end of PostgreSQL's log:\n%s", statement, err, said, s.log())
	}
	return said, nil
}
