package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

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
			p := serveBinary(t, config)
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

			p = serveBinary(t, config)
			w.hook.SetWebhookURL(p.url)
			eventually(t, "sam counts after the restart", func() bool {
				return tw.check(pr) == "in_progress: security-review: 1 more approval from acme/security"
			})
			_, err = pr.Comment(w.github.User("sue"), "/approve")
			tw.must(err)
			eventually(t, "the gate opens", func() bool { return pr.Mergeability(w.github.User("ann")).Allowed })
			p.terminate()
		})
	}
}
