package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
)

// typed passes on the first line that is written to it.
type typed struct {
	bytes.Buffer

	line chan string
}

func (w *typed) Write(p []byte) (int, error) {
	if w.Len() == 0 {
		w.line <- string(p)
	}
	return w.Buffer.Write(p)
}

// From a terminal: somebody lets the App act for them, is listed, and it is taken back.
func TestAuthorizationCommands(t *testing.T) {
	t.Parallel()
	sim, err := githubsim.Start(githubsim.Options{})
	must(t, err)
	t.Cleanup(sim.Close)
	acme, ann := sim.CreateOrganization("acme"), sim.CreateUser("ann")
	acme.AddMember(ann)
	hook := sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", DeviceFlow: true, Permissions: map[string]string{"codespaces": "write"}})
	hook.Install(acme)
	c := &cloud{t: t, sim: sim, hook: hook}
	settings := c.settings()
	settings.GitHub.App.WebhookSecret = "secret"
	settings.Database.URL = "sqlite:" + t.TempDir() + "/portcullis.db"
	says := func(code int, args []string, wanted ...string) {
		t.Helper()
		got, out, errs := command(t, settings, append([]string{"authorization"}, args...)...)
		wantText(t, out+errs, wanted...)
		if got != code || strings.Contains(out+errs, "ghu_") || strings.Contains(out+errs, "ghr_") {
			t.Errorf("%v: exit code %d, %s%s", args, got, out, errs)
		}
	}
	says(exitError, []string{"list"}, "there is no database")
	says(exitError, []string{"revoke", "ann"}, `nobody of the name "ann" lets the App act for them`)
	says(exitOK, []string{"list"}, "nobody lets the App act for them")

	written, err := yaml.Marshal(settings)
	must(t, err)
	path := filepath.Join(t.TempDir(), "config.yml")
	must(t, os.WriteFile(path, written, 0o600))
	var errs bytes.Buffer // to be read when it has ended
	out, ended := &typed{line: make(chan string, 1)}, make(chan int, 1)
	go func() {
		ended <- Main(context.WithoutCancel(t.Context()), []string{"authorization", "add", "--config", path}, Stdio{Out: out, Err: &errs})
	}()
	said := ""
	select {
	case said = <-out.line:
	case got := <-ended:
		t.Fatalf("it ended early: exit code %d, %s", got, errs.String())
	case <-time.After(storyTimeout):
		t.Fatal("it says nothing")
	}
	code := regexp.MustCompile(`open (\S+/login/device) and enter ([A-Z]{4}-[A-Z]{4}), until `).FindStringSubmatch(said)
	if code == nil {
		t.Fatal(said)
	}
	must(t, ann.Authorize(code[2]))
	select {
	case got := <-ended:
		if got != exitOK || !strings.HasSuffix(out.String(), "the App may act for ann now\n") {
			t.Errorf("exit code %d, %s%s", got, out, errs.String())
		}
	case <-time.After(storyTimeout):
		t.Fatal("it does not end")
	}
	says(exitOK, []string{"list"}, "LOGIN", "ann", time.Now().UTC().Format("2006-01-02"))
	facts, err := store.Open(t.Context(), settings.Database.URL, time.Now)
	must(t, err)
	says(exitOK, []string{"list"}, "ann") // beside a server
	says(exitError, []string{"add"}, "a server that runs has the database open", "/sandbox/authorize")
	says(exitError, []string{"revoke", "ann"}, "a server that runs has the database open", "take it back at GitHub")
	must(t, facts.Close())
	says(exitOK, []string{"revoke", "@Ann"}, "the App may not act for ann any more")
	if left := hook.UserTokens(ann); len(left) != 0 {
		t.Errorf("%d tokens are left at GitHub", len(left))
	}
	says(exitOK, []string{"list"}, "nobody lets the App act for them")
	facts, err = store.Open(t.Context(), settings.Database.URL, time.Now)
	must(t, err)
	entries, err := facts.AuditEntries(t.Context(), 0, 10)
	must(t, err)
	var acts []string
	for _, e := range entries {
		acts = append(acts, e.Actor+" "+e.Action+" "+e.Subject)
	}
	if got := strings.Join(acts, "; "); got != "ann user_token.keep @ann; the command line user_token.forget @ann" {
		t.Error(got)
	}
	must(t, facts.Close())
	settings.GitHub.OAuth.ClientSecret = ""
	says(exitError, []string{"add"}, "github.oauth needs client_id and client_secret")
}
