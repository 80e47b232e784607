package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// explain runs `policy explain` against the world's GitHub and database.
func (tw *testWorld) explain(args ...string) (code int, out, errs string) {
	tw.t.Helper()
	return tw.command(append([]string{"policy", "explain"}, args...)...)
}

// TestExplainTellsWhatTheCheckSays asks from outside what the server decided, in
// words and as JSON, and what it would decide under another policy.
func TestExplainTellsWhatTheCheckSays(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.comment(pr, "ann", "/approve")
	tw.comment(pr, "bob", "/approve")
	name := fmt.Sprintf("acme/shop#%d", pr.Number())

	tw.github.ResetRequests()
	code, out, errs := tw.explain(name)
	for _, want := range []string{"open", "peer-review: approved by bob", "approve of ann: ann is the author", ".github/portcullis.yml on main"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q lacks %q (%s)", code, out, want, errs)
		}
	}
	for _, r := range tw.github.Requests() {
		if r.Method != http.MethodGet && r.Operation == "" && !strings.HasSuffix(r.Path, "/access_tokens") {
			t.Errorf("it wrote: %s %s", r.Method, r.Path)
		}
	}

	strict := filepath.Join(t.TempDir(), "strict.yml")
	tw.must(os.WriteFile(strict, []byte("version: 1\ntiers:\n  peer-review: {approvals: 2, from: {teams: [acme/leads]}}\n"), 0o600))
	code, out, errs = tw.explain("--json", "--policy", strict, name)
	var answer struct {
		Gate, Title string
		Needs       []struct {
			Approvals, Missing int
			From               string
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != exitOK {
		t.Fatalf("exit %d: %v in %q (%s)", code, err, out, errs)
	}
	if answer.Gate != "waiting" || len(answer.Needs) != 1 || answer.Needs[0].Missing != 2 || answer.Needs[0].From != "acme/leads" {
		t.Errorf("under the other policy: %+v", answer)
	}
	tw.wantMerge(pr, true)
}

func TestExplainRefuses(t *testing.T) {
	tw := newTestWorld(t)
	for arg, want := range map[string]string{
		"shop#1": "OWNER/REPO#NUMBER", "acme/shop": "OWNER/REPO#NUMBER", "acme/shop#0": "OWNER/REPO#NUMBER",
		"acme/nothing#1": "does not exist or in which the App is not installed", "acme/shop#99": "GitHub answered 404",
	} {
		if code, out, errs := tw.explain(arg); code != exitError || out != "" || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit %d, %q, %q", arg, code, out, errs)
		}
	}
}
