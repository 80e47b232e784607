package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/web"
)

// A server with codespaces says where people let the App act for them, and is there.
func TestAServerWithCodespaces(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	tw.must(tw.server.Stop(t.Context()))
	tw.sandbox, tw.publicURL = defaultSandboxConfig(), "http://127.0.0.1:1"
	tw.sandbox.Codespaces.GH = "/usr/bin/gh"
	tw.must(tw.serve(t.Context()))
	tw.hook.SetWebhookURL(tw.server.URL() + "/api/github/hook") // nobody is at the public address
	for _, permission := range []string{"codespaces", "codespaces_lifecycle_admin", "organization_codespaces"} {
		tw.installation.SetPermission(permission, "write")
	}
	tw.installation.SetPermission("codespaces_metadata", "read")
	tw.set(switchPolicy + "sandbox: {provider: codespaces, tier: auto, constraints: {network: full, timeout: 30m}}\n")
	tw.settled()
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/sandbox start")
	wantText(t, answered(pr), "@bob Bob has to let the App act for them", "http://127.0.0.1:1"+web.AuthorizePath)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(tw.server.URL() + web.AuthorizePath)
	tw.must(err)
	tw.must(answer.Body.Close())
	if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || !strings.HasPrefix(to, tw.github.URL()+"/login/oauth/authorize?") {
		t.Errorf("%d, %s", answer.StatusCode, to)
	}
	client.CloseIdleConnections()
	if left := tw.github.Codespaces(); len(left) != 0 {
		t.Errorf("%d codespaces", len(left))
	}
}
