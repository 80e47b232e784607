package codespaces

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// beginning is how a job begins whose line that is, which is what our script says itself.
func beginning(t *testing.T, line string) (secret string) {
	t.Helper()
	packed := line[strings.LastIndex(line, " ")+1:]
	script, err := base64.StdEncoding.DecodeString(packed)
	found := regexp.MustCompile(`^secret='([A-Z0-9]+)'`).FindSubmatch(script)
	if err != nil || found == nil {
		t.Errorf("no line of ours: %.100q, %v", line, err)
		return ""
	}
	return string(found[1])
}

// killing reports whether the line ends what a command started.
func killing(line string) bool {
	script, _ := base64.StdEncoding.DecodeString(line[strings.LastIndex(line, " ")+1:])
	return strings.Contains(string(script), "kill -KILL")
}

// exits ends a session with a code.
func exits(channel ssh.Channel, code uint32) {
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{code}))
	_ = channel.Close()
}

// begins says what a job says when it begins.
func begins(t *testing.T, line string, channel ssh.Channel) {
	secret := beginning(t, line)
	_, _ = io.WriteString(channel, secret+"\n")
	_, _ = io.WriteString(channel.Stderr(), secret+" 10 1000\n")
}

// inTime is fatal unless it is done in time.
func inTime(t *testing.T, limit time.Duration, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("it takes longer than %s", limit)
	}
}

// Ended: whatever the other side does or does not do any more, nobody waits for it.
func TestAnSSHServerThatAnswersNoMore(t *testing.T) {
	const slack = 6 * time.Second
	for name, row := range map[string]struct {
		set func(*world)
		// command is what a command's error says, which is none if it may have begun, and
		// tool what a tool's does.
		command, tool string
	}{
		"from the connection on": {func(w *world) { w.serving = (*freezing).freeze }, "connect to the codespace box-1: the command's time is over", "connect to the codespace box-2: context deadline exceeded"},
		"to what is to begin":    {func(w *world) { w.silent = true }, "", "EOF"},
		"to what is to end":      {func(w *world) { w.shell = func(string, ssh.Channel) {} }, "", "without exit status"},
		"in a command": {func(w *world) {
			w.shell = func(line string, channel ssh.Channel) {
				begins(w.t, line, channel)
				w.mu.Lock()
				defer w.mu.Unlock()
				w.conns[len(w.conns)-1].freeze()
			}
		}, "", "without exit status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c := newWorld(t)
			row.set(w)
			dialed := 0
			connected := func() {
				t.Helper()
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(w.conns) <= dialed {
					t.Error("nobody connected")
				}
				dialed = len(w.conns)
			}
			spec := w.spec()
			w.has(spec, ann, "acme")
			input, nobody := io.Pipe()
			defer func() { _ = nobody.Close() }()
			inTime(t, 200*time.Millisecond+2*killTime+slack, func() {
				result, err := c.Execute(t.Context(), spec.ID, sandbox.Command{Argv: []string{"true"}, Timeout: 200 * time.Millisecond, Stdin: input})
				if began := row.command == ""; began != (err == nil) || result.TimedOut != began || !strings.Contains(fmt.Sprint(err), row.command) {
					t.Errorf("%+v, %v", result, err)
				}
			})
			connected()
			again := w.spec()
			box := w.has(again, ann, "acme")
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			inTime(t, 300*time.Millisecond+slack, func() {
				err := c.tool(ctx, sight{Codespace: box, marks: marks{ID: again.ID}}, job{script: headScript, stdout: io.Discard})
				if err == nil || !strings.Contains(err.Error(), row.tool) {
					t.Errorf("a tool that got no answer: %v", err)
				}
			})
			connected()
			c.config.SweepEvery = time.Millisecond
			late := w.spec()
			late.Constraints.Timeout = time.Second
			inTime(t, late.Constraints.Timeout+slack, func() {
				if is, err := c.Create(t.Context(), late); err == nil || !errors.Is(err, errSlow) {
					t.Errorf("%+v, %v", is, err)
				}
			})
			connected()
			if _, err := c.Status(t.Context(), late.ID); !errors.Is(err, sandbox.ErrUnknown) {
				t.Errorf("what did not get ready: %v", err)
			}
			inTime(t, slack, c.Close)
		})
	}
}

// I9: nothing that comes out of a codespace is kept without a bound.
func TestI9WhatComesBeforeACommand(t *testing.T) {
	block := strings.Repeat("x", 32<<10)
	flood := func(to io.Writer) {
		for range 100_000 {
			if _, err := io.WriteString(to, block); err != nil {
				return
			}
		}
	}
	for name, shell := range map[string]func(*testing.T, string, ssh.Channel){
		"a greeting without end": func(_ *testing.T, _ string, channel ssh.Channel) { flood(channel) },
		"complaints without end": func(_ *testing.T, _ string, channel ssh.Channel) { flood(channel.Stderr()) },
		"a mark, and no end of line": func(t *testing.T, line string, channel ssh.Channel) {
			_, _ = io.WriteString(channel, beginning(t, line))
			flood(channel)
		},
		"a mark, and a complaint": func(t *testing.T, line string, channel ssh.Channel) {
			_, _ = io.WriteString(channel.Stderr(), beginning(t, line))
			flood(channel.Stderr())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c := newWorld(t)
			w.shell = func(line string, channel ssh.Channel) {
				if killing(line) {
					begins(t, line, channel)
					exits(channel, 0)
					return
				}
				shell(t, line, channel)
			}
			spec := w.spec()
			w.has(spec, ann, "acme")
			inTime(t, 20*time.Second, func() {
				result, err := c.Execute(t.Context(), spec.ID, sandbox.Command{Argv: []string{"true"}, Timeout: time.Minute})
				if err != nil || result.ExitCode != 137 || !result.Truncated || result.TimedOut {
					t.Errorf("%+v, %v", result, err)
				}
			})
		})
	}
	bounded := &after{mark: "M", to: io.Discard, flood: func() {}}
	for range 1000 {
		_, _ = bounded.Write([]byte("M" + block[:100]))
	}
	if len(bounded.seen) > 2*maxNoise {
		t.Errorf("%d bytes are kept", len(bounded.seen))
	}
}

// Whoever takes back that the App acts for them is obeyed at once, on connections that
// there are as well.
func TestNobodysConnectionIsUsedAnyMore(t *testing.T) {
	w, c := newWorld(t)
	w.shell = func(line string, channel ssh.Channel) {
		begins(t, line, channel)
		exits(channel, 0)
	}
	spec := w.spec()
	w.has(spec, ann, "acme")
	run := func() error {
		_, err := c.Execute(t.Context(), spec.ID, sandbox.Command{Argv: []string{"true"}})
		return err
	}
	if err := run(); err != nil || len(c.lines.all()) != 1 {
		t.Fatalf("%v, %d connections", err, len(c.lines.all()))
	}
	c.Forget(bob.ID)
	if len(c.lines.all()) != 1 {
		t.Error("bob's word closes ann's")
	}
	c.Forget(ann.ID)
	if len(c.lines.all()) != 0 {
		t.Error("hers is open")
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	w.takeBack(ann)
	if err := run(); err == nil {
		t.Error("a command runs")
	} else if _, needed := errors.AsType[*NeedsUserTokenError](err); !needed {
		t.Error(err)
	}
	if len(c.lines.all()) != 0 {
		t.Error("the connection is open still")
	}
	w.giveBack(ann)
	if err := run(); err != nil {
		t.Fatal(err)
	}
	w.takeBack(ann)
	if err := c.Tend(t.Context()); err != nil || len(c.lines.all()) != 0 {
		t.Errorf("%v, %d connections", err, len(c.lines.all()))
	}
	w.giveBack(ann)
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if err := c.Tend(t.Context()); err != nil || len(c.lines.all()) != 1 {
		t.Errorf("to what is there: %v, %d connections", err, len(c.lines.all()))
	}
	_ = w.remove("box-1")
	if err := c.Tend(t.Context()); err != nil || len(c.lines.all()) != 0 {
		t.Errorf("to what is gone: %v, %d connections", err, len(c.lines.all()))
	}
}

// hanging is a way in by which nobody comes.
type hanging struct{}

func (hanging) Dial(ctx context.Context, _ string, _ usertoken.Token) (Line, error) {
	<-ctx.Done()
	return Line{}, context.Cause(ctx)
}

// TestNobodyIsWaitedForForever: a command's time may be longer than anybody waits for a
// connection.
func TestNobodyIsWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, begun := &Codespaces{config: Config{Dialer: hanging{}}}, time.Now()
		if _, err := c.dial(t.Context(), sight{}, usertoken.Token{}); !errors.Is(err, errSilent) || time.Since(begun) != connectTime {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}
