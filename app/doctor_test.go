package app

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
)

// doctor runs `doctor` beside the server.
func (tw *testWorld) doctor() (code int, out string) {
	tw.t.Helper()
	code, out, errs := tw.command("doctor")
	if errs != "" {
		tw.t.Errorf("it says %q on standard error", errs)
	}
	return code, out
}

// command runs a command with the world's configuration.
func (tw *testWorld) command(args ...string) (code int, out, errs string) {
	tw.t.Helper()
	return command(tw.t, tw.config(), args...)
}

func command(t *testing.T, config Config, args ...string) (code int, out, errs string) {
	t.Helper()
	written, err := yaml.Marshal(config)
	must(t, err)
	path := filepath.Join(t.TempDir(), "config.yml")
	must(t, os.WriteFile(path, written, 0o600))
	var stdout, stderr bytes.Buffer
	code = Main(context.WithoutCancel(t.Context()), append(args, "--config", path), Stdio{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// TestDoctorTellsWhatIsWrong breaks one thing after the other beside a server that
// runs, and mends it.
func TestDoctorTellsWhatIsWrong(t *testing.T) {
	tw := newTestWorldWith(t, Options{}) // what failed is not tried again before it has been seen
	healthy := func() {
		t.Helper()
		if code, out := tw.doctor(); code != exitOK || strings.Count(out, "ok  ") != 8 || strings.Contains(out, "problem") {
			t.Errorf("nothing is wrong, and it ends with %d: %s", code, out)
		}
	}
	ill := func(wants ...string) {
		t.Helper()
		code, out := tw.doctor()
		for _, want := range wants {
			if code != exitError || strings.Count(out, "problem  ") != 1 || !strings.Contains(out, want) {
				t.Errorf("exit %d: it lacks %q: %s", code, want, out)
			}
		}
	}
	ill("acme: the App sees no repository .github, whose issues stop the organization", "create it")
	tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
	pr := tw.opened("ann", "search", searchFiles())
	tw.github.ResetRequests()
	healthy()
	for _, r := range tw.github.Requests() {
		if r.Method != http.MethodGet && !strings.HasSuffix(r.Path, "/access_tokens") {
			t.Errorf("it wrote: %s %s", r.Method, r.Path)
		}
	}

	broken := tw.github.Inject(githubsim.Fault{Path: regexp.MustCompile(`/graphql$|/pulls/1$`), Status: http.StatusInternalServerError})
	tw.must(tw.server.store.Evaluate(t.Context(), tw.refOf(pr)))
	tw.settled()
	ill("acme/shop#1 failed", "500", "mend that; it is tried again by itself")
	broken()
	tw.must(tw.server.store.Evaluate(t.Context(), tw.refOf(pr)))
	tw.settled()
	healthy()

	tw.hook.SetWebhookURL("http://127.0.0.1:1/")
	tw.comment(pr, "bob", "/approve")
	ill("could not deliver", "webhook URL can be reached")
	tw.hook.SetWebhookURL(tw.server.webhookURL())
	for _, d := range tw.github.Deliveries() {
		tw.must(tw.github.Redeliver(d.GUID))
	}
	tw.settled()
	healthy()

	// Not to lend is no problem; how to is said.
	tw.installation.SetPermission("environments", "read")
	if code, out := tw.doctor(); code != exitOK || !strings.Contains(out, "acme: credentials can be lent through repository secrets\n") ||
		!strings.Contains(out, "acme: credentials cannot be lent to jobs that wait for it; for that, grant the repository permissions environments: write\n") {
		t.Errorf("exit %d: %s", code, out)
	}
	tw.installation.SetPermission("environments", "write")

	for permission, want := range map[string]string{
		"administration": "repositories cannot be locked at once", "organization_administration": "all of it cannot be locked at once", "issues": "may not write issues",
	} {
		tw.installation.SetPermission(permission, "read")
		ill(want, "grant ")
		tw.installation.SetPermission(permission, "write")
	}
	tw.settled()

	issue := tw.halts(tw.shop, "lee", "Stop", switchLabel)
	tw.installation.Suspend()
	tw.settled()
	if code, out := tw.doctor(); code != exitError || !strings.Contains(out, "acme/shop is stopped, but the App is suspended") || !strings.Contains(out, "acme: the App is suspended there: nothing is enforced") {
		t.Errorf("exit %d: %s", code, out)
	}
	if acts := tw.audited("killswitch.lost"); acts == "" {
		t.Error("that nothing is enforced is not on record")
	}
	tw.installation.Unsuspend()
	tw.settled()
	tw.says(issue, "sam", "/killswitch off")
	tw.wantState(tw.shopScope(), killswitch.StateOff)
	tw.installation.Suspend()
	ill("acme: the App is suspended there: nothing is enforced", "end its suspension")
	tw.installation.Unsuspend()
	tw.settled()

	tw.database = "sqlite:" + filepath.Join(t.TempDir(), "none.db")
	ill("there is no database yet", "portcullis serve")
}
