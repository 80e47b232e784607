package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// process is the built binary, serving a world's GitHub.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string
	done chan struct{}
}

// processorTime is what the process has used, to the tick of 10 ms in which Linux
// counts.
func (p *process) processorTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	// After the name, which may have spaces in it, come the state and, as 12th and
	// 13th, the ticks in user mode and in the kernel.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peakMemory is the most that the process ever held, in bytes.
func (p *process) peakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kilobytes << 10
}

func buildBinary(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "portcullis")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// startProcess starts the binary and waits until it says where it listens.
func startProcess(t testing.TB, binary, config string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(context.WithoutCancel(t.Context()), binary, "serve", "--config", config), done: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	lines := bufio.NewScanner(stderr)
	for p.url == "" && lines.Scan() {
		var line struct {
			URL string `json:"webhook_url"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			p.url = line.URL
		}
	}
	go func() {
		defer close(p.done)
		for lines.Scan() {
		}
	}()
	if p.url == "" {
		t.Fatal("the binary did not say where it listens")
	}
	return p
}

// kill is SIGKILL: the process gets no chance to finish anything.
func (p *process) kill() { p.end(syscall.SIGKILL) }

func (p *process) end(signal syscall.Signal) {
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Errorf("signal: %v", err)
	}
	<-p.done
	if err := p.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		p.t.Errorf("after SIGTERM: %v", err)
	}
}

// processWorld is a simulated GitHub whose App is the built binary, with the
// judge of their traffic.
func processWorld(t *testing.T) (w *world, config string) {
	t.Helper()
	witness := newWitness(t)
	t.Cleanup(func() { witness.testify(t, w.github) })
	return unjudgedProcessWorld(t, githubsim.Options{Wrap: witness.around})
}

func unjudgedProcessWorld(t testing.TB, options githubsim.Options) (w *world, config string) {
	t.Helper()
	github, err := githubsim.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(github.Close)
	w = &world{github: github}
	w.populate()
	folder := t.TempDir()
	config = filepath.Join(folder, "config.yml")
	content, err := json.Marshal(map[string]any{
		"github": map[string]any{
			"web_url": github.URL(), "v3_api_url": github.APIURL(), "v4_api_url": github.URL() + "/api/graphql",
			"app": map[string]any{"integration_id": w.hook.ID(), "webhook_secret": demoSecret, "private_key": w.hook.PrivateKeyPEM()},
		},
		"server":   map[string]any{"address": "127.0.0.1", "port": 0},
		"database": map[string]any{"url": "sqlite:" + filepath.Join(folder, "portcullis.db")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return w, config
}

// eventually asks until the answer is yes: what another process does can only
// be seen from outside.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(storyTimeout)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not after %s: %s", storyTimeout, what)
		}
	}
}

// TestAKilledProcessLosesNoApproval kills the binary with SIGKILL at different
// moments after the approvals were acknowledged: what was acknowledged counts
// after the next start.
func TestAKilledProcessLosesNoApproval(t *testing.T) {
	binary := buildBinary(t)
	for _, c := range []struct {
		name string
		wait bool
	}{
		{"after it was decided", true},
		{"right after it was acknowledged", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, config := processWorld(t)
			tw := &testWorld{world: w, t: t, report: t}
			p := startProcess(t, binary, config)
			w.hook.SetWebhookURL(p.url)
			_, err := w.shop.Push(w.github.User("ann"), "attempts", githubsim.Commit{Message: "more attempts", Files: map[string]string{"auth/login.go": "package auth\n"}})
			tw.must(err)
			pr, err := w.shop.Open(w.github.User("ann"), githubsim.PullRequestSpec{Title: "Attempts", Head: "attempts", Base: "main"})
			tw.must(err)
			eventually(t, "the check waits", func() bool { return tw.check(pr) == "in_progress: security-review: 2 approvals from acme/security" })

			_, err = pr.Comment(w.github.User("sam"), "/approve")
			tw.must(err)
			tw.must(w.github.WaitForDeliveries(t.Context()))
			if c.wait {
				eventually(t, "sam counts", func() bool {
					return tw.check(pr) == "in_progress: security-review: 1 more approval from acme/security"
				})
			}
			p.kill()

			p = startProcess(t, binary, config)
			w.hook.SetWebhookURL(p.url)
			eventually(t, "sam counts after the restart", func() bool {
				return tw.check(pr) == "in_progress: security-review: 1 more approval from acme/security"
			})
			_, err = pr.Comment(w.github.User("sue"), "/approve")
			tw.must(err)
			eventually(t, "the gate opens", func() bool { return pr.Mergeability(w.github.User("ann")).Allowed })
			p.end(syscall.SIGTERM)
		})
	}
}
