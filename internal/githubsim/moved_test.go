package githubsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// An archived repository is read and not written to.
func TestArchive(t *testing.T) {
	w := newWorld(t)
	w.app.Subscribe("repository")
	token, env := w.keeper()
	seal := w.sealing(token, ofRepository)
	w.repo.SetSecret("X", "x")
	p := w.pull("topic")
	w.repo.Archive()
	equal(t, "told", w.last("repository", "archived")["repository"].(map[string]any)["archived"], any(true))
	since := len(w.sim.Deliveries())
	w.repo.Archive()
	equal(t, "told twice", len(w.sim.Deliveries()), since)
	equal(t, "shown", at(w.must(200, w.eve, "GET", "/repos/acme/castle", ""), "archived"), any(true))
	const readOnly = "403 Repository was archived so is read-only."
	for _, bearer := range []string{token, w.bearer(w.root)} {
		for path, body := range map[string]string{
			"PUT " + ofRepository + "/X": seal.body("new"), "PUT " + ofEnvironment + "/X": "{}", "DELETE " + ofRepository + "/X": "", "DELETE " + ofRepository + "/Y": "",
			fmt.Sprintf("POST /repos/acme/castle/issues/%d/comments", p.Number()): `{"body":"hi"}`,
		} {
			method, at, _ := strings.Cut(path, " ")
			equal(t, path, w.answer(method, at, bearer, body), readOnly)
		}
	}
	equal(t, "by somebody who may not anyway", w.answer("DELETE", ofRepository+"/X", w.bearer(w.eve), ""), "403 Must have write rights to Repository.")
	for _, path := range []string{ofRepository, ofRepository + "/public-key", ofRepository + "/X", ofEnvironment, fmt.Sprintf("/repos/acme/castle/pulls/%d", p.Number())} {
		equal(t, "GET "+path, w.answer("GET", path, token, ""), "200")
	}
	equal(t, "what is there", fmt.Sprint(w.repo.Secrets(), env.Secrets()), "map[X:x] map[]")
	w.repo.Unarchive()
	equal(t, "told", w.last("repository", "unarchived")["repository"].(map[string]any)["archived"], any(false))
	equal(t, "afterwards", w.answer("PUT", ofRepository+"/X", token, seal.body("new")), "204")
}

// A repository that has another name keeps its number, and the old name leads on to it, until it is somebody else's.
func TestRename(t *testing.T) {
	w := newWorld(t)
	w.app.Subscribe("repository")
	token, _ := w.keeper()
	seal := w.sealing(token, ofRepository)
	id := w.repo.ID()
	w.repo.Rename("fortress")
	equal(t, "its name", w.repo.FullName(), "acme/fortress")
	told := w.last("repository", "renamed")
	equal(t, "told", fmt.Sprint(at(told, "changes", "repository", "name", "from"), " ", at(told, "repository", "full_name"), " ", at(told, "repository", "id")),
		fmt.Sprint("castle acme/fortress ", float64(id)))
	raw := &http.Client{Transport: w.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	moved := func(method, path, body string) string {
		t.Helper()
		req, err := http.NewRequest(method, strings.TrimSuffix(w.sim.APIURL(), "/")+path, strings.NewReader(body))
		must(t, err)
		req.Header.Set("Authorization", token)
		resp, err := raw.Do(req)
		must(t, err)
		must(t, resp.Body.Close())
		return fmt.Sprint(resp.StatusCode, " ", strings.TrimPrefix(resp.Header.Get("Location"), strings.TrimSuffix(w.sim.APIURL(), "/")))
	}
	equal(t, "read", moved("GET", "/repos/acme/castle", ""), fmt.Sprintf("301 /repositories/%d", id))
	equal(t, "a list", moved("GET", "/repos/Acme/Castle/actions/secrets?per_page=1&page=2", ""), fmt.Sprintf("301 /repositories/%d/actions/secrets?per_page=1&page=2", id))
	equal(t, "a write", moved("PUT", "/repos/acme/castle/environments/prod%2Feu/secrets/X", seal.body("x")), fmt.Sprintf("307 /repositories/%d/environments/prod%%2Feu/secrets/X", id))
	equal(t, "followed", w.answer("PUT", ofRepository+"/X", token, seal.body("x")), "201")
	equal(t, "its new name", w.answer("GET", strings.Replace(ofRepository, "castle", "fortress", 1)+"/X", token, ""), "200")
	found, _, err := w.asApp(w.app).Apps.FindRepositoryInstallation(ctx, "acme", "castle")
	must(t, err)
	equal(t, "installation", found.GetID(), w.install.ID())
	graph := func(arguments string) any {
		_, out := w.post("POST", w.token(w.app, w.install), `{"query":"{ repository(owner: \"acme\", name: \"castle\"`+arguments+`) { name } }"}`)
		return at(out, "data", "repository", "name")
	}
	equal(t, "over GraphQL", fmt.Sprint(graph(""), " ", graph(", followRenames: true"), " ", graph(", followRenames: false")), "fortress fortress <nil>")

	w.repo.SetPrivate(true)
	equal(t, "to somebody who may not read it", w.answer("GET", "/repos/acme/castle", w.bearer(w.eve), ""), "404 Not Found")
	other := w.org.CreateRepository("castle", map[string]string{"a": "b"})
	equal(t, "another of that name", at(w.must(200, w.eve, "GET", "/repos/acme/castle", ""), "id"), any(float64(other.ID())))
	other.Delete()
	equal(t, "which leaves nothing behind", w.answer("GET", "/repos/acme/castle", token, ""), "404 Not Found")
	w.repo.Rename("castle")
	equal(t, "back again", w.answer("GET", "/repos/acme/castle", token, ""), "200")
	w.repo.Rename("Castle")
	equal(t, "in another case", w.answer("GET", "/repos/acme/castle", token, ""), "200")
	equal(t, "the name between leads on", w.answer("GET", "/repos/acme/fortress", token, ""), "200")
	w.repo.Delete()
	equal(t, "until the repository is gone", w.answer("GET", "/repos/acme/fortress", token, ""), "404 Not Found")
}

// A repository that is another organization's is out of the reach of the first one's installations, under its number too.
func TestTransfer(t *testing.T) {
	w := newWorld(t)
	w.app.Subscribe("repository")
	deaf := w.sim.CreateApp(githubsim.AppSpec{Slug: "deaf"})
	deaf.Install(w.org)
	token, _ := w.keeper()
	w.repo.SetSecret("X", "x")
	w.org.CreateTeam("leads", w.eve).SetRole(w.repo, "admin")
	to := w.sim.CreateOrganization("umbrella")
	there := w.app.Install(to)
	there.SetPermission("secrets", "read")
	theirs := "Bearer " + w.token(w.app, there)
	since := len(w.sim.Deliveries())
	w.repo.Transfer(to)
	equal(t, "its name", w.repo.FullName(), "umbrella/castle")
	equal(t, "its organization", w.repo.Organization() == to, true)
	var told []string
	for _, d := range w.sim.Deliveries()[since:] {
		_, err := github.ParseWebHook(d.Event, d.Payload)
		must(t, err)
		told = append(told, fmt.Sprintf("%s.%s to %d in %d", d.Event, d.Action, d.AppID, d.InstallationID))
	}
	here := fmt.Sprintf("to %d in %d", w.app.ID(), w.install.ID())
	new := fmt.Sprintf("to %d in %d", w.app.ID(), there.ID())
	equal(t, "told first", told[0], "installation_repositories.removed "+here)
	equal(t, "an App that is not subscribed", strings.HasPrefix(told[1], fmt.Sprintf("installation_repositories.removed to %d ", deaf.ID())), true)
	equal(t, "told then", strings.Join(told[2:], ", "), "installation_repositories.added "+new+", repository.transferred "+new)
	equal(t, "as removed", at(w.last("installation_repositories", "removed"), "repositories_removed", 0, "full_name"), any("acme/castle"))
	equal(t, "as added", at(w.last("installation_repositories", "added"), "repositories_added", 0, "full_name"), any("umbrella/castle"))
	equal(t, "from", at(w.last("repository", "transferred"), "changes", "owner", "from", "organization", "login"), any("acme"))

	byNumber := fmt.Sprintf("/repositories/%d/actions/secrets", w.repo.ID())
	for _, path := range []string{ofRepository, byNumber} {
		equal(t, "the old installation "+path, w.answer("GET", path, token, ""), "403 Resource not accessible by integration")
		equal(t, "the new one "+path, w.answer("GET", path, theirs, ""), "200")
		equal(t, "a collaborator "+path, w.answer("GET", path, w.bearer(w.alice), ""), "200")
		equal(t, "a team of old "+path, w.answer("GET", path, w.bearer(w.eve), ""), "403 Must have write rights to Repository.")
	}
	w.repo.SetPrivate(true)
	for _, path := range []string{ofRepository, byNumber, "/repos/umbrella/castle"} {
		equal(t, "in private "+path, w.answer("GET", path, token, ""), "404 Not Found")
	}
}
