package app

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/sandbox"
)

// I6: what a command started ends with its time, however it hides; what cannot be found
// out ends with the codespace.
func TestI6NothingOfACommandIsLeft(t *testing.T) {
	const forever = "sleep 1000"
	for name, s := range map[string]struct {
		script   string
		survives bool
		paid     bool // by ann
		cancel   bool // nobody waits, instead of a time-out
	}{
		"a child":                                        {forever + " & " + forever, true, false, false},
		"a session of its own":                           {"setsid " + forever + " & " + forever, true, false, false},
		"a child of nobody":                              {"(setsid sh -c '" + forever + " & " + forever + "' &) ; " + forever, true, false, false},
		"who takes no signals":                           {"trap '' TERM INT HUP; " + forever + "; " + forever, true, false, false},
		"who makes new ones":                             {"while :; do setsid sh -c 'while :; do sleep 0.01; done' & sleep 0.05; done", true, false, false},
		"without an environment":                         {"env -i setsid " + forever + " & " + forever, true, false, false},
		"a child of nobody without one":                  {"(env -i setsid sh -c '" + forever + " & " + forever + "' &) ; sleep 0.1; " + forever, false, false, false},
		"in what ann pays for":                           {"(env -i setsid sh -c '" + forever + " & " + forever + "' &) ; sleep 0.1; " + forever, false, true, false},
		"nobody waits for a session of its own":          {"setsid " + forever + " & " + forever, true, false, true},
		"nobody waits for a child of nobody without one": {"(env -i setsid sh -c '" + forever + " & " + forever + "' &) ; sleep 0.1; " + forever, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, func(c *cloud) { c.acme.SetCodespacePolicy(githubsim.CodespacePolicy{PaidByUsers: s.paid}) })
			is := c.created()
			at := c.sim.Codespaces()[0].Name()
			ctx, command := t.Context(), sandbox.Command{Argv: []string{"sh", "-c", s.script}, Timeout: 400 * time.Millisecond}
			if s.cancel {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				ctx, command.Timeout = short, 0
			}
			result, err := c.Execute(ctx, is.ID, command)
			if s.cancel != errors.Is(err, context.DeadlineExceeded) || !s.cancel && err != nil || result.TimedOut == s.cancel || result.ExitCode != 128+9 {
				t.Fatalf("%+v, %v", result, err)
			}
			now, err := c.Status(t.Context(), is.ID)
			if survives := err == nil && now.Status == sandbox.StatusRunning; survives != s.survives {
				t.Errorf("%+v; the sandbox is %+v, %v", result, now, err)
			}
			if left := c.shells.processes(at); s.survives && strings.Contains(left, "sleep") {
				t.Errorf("left: %s", left)
			}
			if s.survives {
				if again, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"sh", "-c", "echo on; kill -SEGV $$"}}); err != nil || again.Stdout != "on\n" || again.ExitCode != 128+11 {
					t.Errorf("afterwards: %+v, %v", again, err)
				}
			}
			c.destroyed(is.ID)
		})
	}
}

// The connection is one, whoever uses it how often; a new one is made when it is gone.
func TestConnectionsToCodespaces(t *testing.T) {
	c := newCloud(t)
	is := c.created()
	run := func() {
		t.Helper()
		if result, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"cat"}, Stdin: strings.NewReader("x")}); err != nil || result.Stdout != "x" {
			t.Errorf("%+v, %v", result, err)
		}
	}
	run()
	run()
	if c.shells.dials != 1 {
		t.Errorf("%d connections", c.shells.dials)
	}
	c.Close()
	run()
	if c.shells.dials != 2 || c.shells.users[c.sim.Codespaces()[0].Name()] != "ann" {
		t.Errorf("%d connections, as %v", c.shells.dials, c.shells.users)
	}
	if result, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"pwd"}}); err != nil || result.Stdout != c.shells.workspaces()+"/shop\n" {
		t.Errorf("it begins in %+v, %v", result, err)
	}
	c.shells.refuse = 1000
	c.Close()
	if _, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "not installed yet") {
		t.Errorf("without a connection: %v", err)
	}
	c.shells.refuse = 0
	if err := c.Get(t.Context(), is.ID, sandbox.Workspace, io.Discard); err != nil {
		t.Error(err)
	}
	c.destroyed(is.ID)
}

// A command ends with its sandbox, by whomever that is ended, and one that could not begin
// costs nobody a codespace.
func TestACommandEndsWithItsCodespace(t *testing.T) {
	c := newCloud(t)
	is := c.created()
	told := make(chan error, 1)
	go func() {
		result, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"sleep", "1000"}})
		if err == nil && result.ExitCode == 128+9 {
			err = sandbox.ErrNotRunning // it was killed before the connection was gone
		}
		told <- err
	}()
	name := c.sim.Codespaces()[0].Name()
	eventually(t, "it runs", func() bool { return strings.Contains(c.shells.processes(name), "sleep 1000") })
	if err := c.another().Destroy(t.Context(), is.ID); err != nil {
		t.Error(err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, sandbox.ErrUnknown) && !errors.Is(err, sandbox.ErrNotRunning) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the command runs on")
	}
	if err := c.Tend(t.Context()); err != nil {
		t.Error(err)
	}

	is = c.created()
	c.Close()
	c.shells.hangs = true
	result, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"true"}, Timeout: 100 * time.Millisecond})
	if err == nil || result.TimedOut {
		t.Errorf("what never began: %+v, %v", result, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Execute(ctx, is.ID, sandbox.Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("what nobody waited for: %v", err)
	}
	c.shells.hangs = false
	if result, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"echo", "on"}}); err != nil || result.Stdout != "on\n" {
		t.Errorf("afterwards: %+v, %v", result, err)
	}
	c.destroyed(is.ID)
}
