package site_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

const pull = "/acme/shop/pull/1"

func TestOpeningAPullRequest(t *testing.T) {
	s := newScene(t)
	from := s.shop.Head("main")
	form := []string{
		"from", from, "name", "Two files", "branch", "two", "base", "main", "body", "Because.", "draft", "yes",
		"path", policyPath, "content-0", "version: 1\r\n",
		"path", "README.md", "content-1", "# Shop\r\n\r\nNew words.\r\n",
		"path", "docs/new.md", "content-2", "New.\r\n", "new-2", "yes",
		"path", "", "content-3", "", "new-3", "yes",
	}
	got := s.post("bob", "/acme/shop/compare", form...).shows(http.StatusOK, "Two files", "Draft", "Because.")
	if got.path != pull {
		t.Errorf("the address is %s", got.path)
	}
	var changed []string
	for _, f := range s.shop.PullRequest(1).Files() {
		changed = append(changed, f.Status+" "+f.Path)
	}
	if want := []string{"modified README.md", "added docs/new.md"}; !slices.Equal(changed, want) {
		t.Errorf("it changes %v, want %v", changed, want)
	}
	if d := s.shop.PullRequest(1).Details(); d.Author != "bob" || !d.Draft {
		t.Errorf("it is %+v", d)
	}
	s.get(pull+"/files").shows(http.StatusOK, "Old words.", "New words.", `class="add"`, `class="del"`)
}

func TestWhatIsMissingFromAProposalIsSaidAndNothingIsPushed(t *testing.T) {
	s := newScene(t)
	s.opened()
	from := s.shop.Head("main")
	whole := map[string]string{"from": from, "name": "A title", "branch": "free", "base": "main", "path": "README.md", "content-0": "typed before\n"}
	for _, tt := range []struct{ as, field, value, says string }{
		{"ann", "name", "", "needs a title"},
		{"ann", "branch", "", "needs a name"},
		{"ann", "branch", "topic", "is a branch &#34;topic&#34; already"},
		{"ann", "base", "none", "no branch &#34;none&#34;"},
		{"ann", "content-0", "# Shop\n\nOld words.\n", "Nothing is changed yet"},
		{"rob", "name", "A title", "Permission to acme/shop.git denied to rob."},
	} {
		var pairs []string
		for field, value := range whole {
			if field == tt.field {
				value = tt.value
			}
			pairs = append(pairs, field, value)
		}
		page := s.post(tt.as, "/acme/shop/compare", pairs...)
		page.shows(page.status, "GitHub refused what "+tt.as+" did", tt.says)
		if page.status < 400 {
			t.Errorf("%s %q: %d", tt.field, tt.value, page.status)
		}
		if tt.field != "content-0" {
			page.shows(page.status, "typed before")
		}
	}
	if branches := s.shop.Branches(); !slices.Equal(branches, []string{"main", "topic"}) {
		t.Errorf("branches are %v", branches)
	}
}

func TestPushingAgain(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	s.get(pull+"/push").shows(http.StatusOK, "New words.", `value="`+pr.HeadSHA()+`"`)
	s.post("ann", pull+"/push", "from", pr.HeadSHA(), "name", "Drop it", "path", "README.md", "content-0", "x", "delete-0", "yes").shows(http.StatusOK, "Drop it")
	if _, exists := s.shop.File("topic", "README.md"); exists {
		t.Error("the file is still there")
	}
	s.post("rob", pull+"/push", "from", pr.HeadSHA(), "name", "No", "path", policyPath, "content-0", "x").shows(http.StatusForbidden, "denied to rob")
	s.post("ann", pull+"/push", "from", pr.HeadSHA(), "name", "No").shows(http.StatusUnprocessableEntity, "Nothing is changed yet")
	s.get("/acme/shop/commit/"+pr.HeadSHA()).shows(http.StatusOK, "Drop it", "removed")
}

func TestTalking(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	s.post("rob", pull+"/comment", "body", "I *like* it").shows(http.StatusOK, "I <em>like</em> it")
	id := pr.Comments()[0].ID
	if err := pr.React(s.sim.User("bob"), id, "rocket"); err != nil {
		t.Fatal(err)
	}
	s.get(pull).shows(http.StatusOK, "🚀 bob")
	s.post("rob", pull+"/edit-comment", "id", fmt.Sprint(id), "text", "I love it").shows(http.StatusOK, "I love it", "edited")
	s.post("rob", pull+"/comment", "body", "").shows(http.StatusUnprocessableEntity, "IssueComment.body is missing_field")
	if _, err := pr.Comment(s.sim.User("ann"), "mine"); err != nil {
		t.Fatal(err)
	}
	anns := fmt.Sprint(pr.Comments()[1].ID)
	s.post("rob", pull+"/delete-comment", "id", anns).shows(http.StatusForbidden, "Must have admin rights")
	s.post("bob", pull+"/delete-comment", "id", anns)
	s.post("rob", pull+"/delete-comment", "id", fmt.Sprint(id)).hides("I love it")
	if left := pr.Comments(); len(left) != 0 {
		t.Errorf("comments are left: %v", left)
	}
}

func TestReviewing(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	seen := pr.HeadSHA()
	s.post("ann", pull+"/approve", "body", "Mine is good.", "head", seen).
		shows(http.StatusUnprocessableEntity, "Can not approve your own pull request", "Mine is good.")
	if _, err := s.shop.Push(s.sim.User("ann"), "topic", githubsim.Commit{Message: "More", Files: map[string]string{"x": "y"}}); err != nil {
		t.Fatal(err)
	}
	s.post("bob", pull+"/approve", "body", "", "head", seen).shows(http.StatusOK, "not the newest commit", "an older commit")
	if got := pr.Reviews()[0]; got.CommitID != seen || got.State != "APPROVED" {
		t.Errorf("the review is %+v, want the commit that was seen", got)
	}
	s.post("bob", pull+"/request-changes", "body", "Not yet.", "head", pr.HeadSHA()).shows(http.StatusOK, "requested changes", "Not yet.")
	s.post("bob", pull+"/review", "body", "Hm.", "head", pr.HeadSHA()).shows(http.StatusOK, "Hm.")
	id := fmt.Sprint(pr.Reviews()[1].ID)
	s.post("ann", pull+"/dismiss", "id", id, "message", "").shows(http.StatusUnprocessableEntity, "message")
	s.post("ann", pull+"/dismiss", "id", id, "message", "Settled.").shows(http.StatusOK, "dismissed the review by bob")
}

func TestManaging(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	if _, err := s.shop.Push(s.sim.User("ann"), "other"); err != nil {
		t.Fatal(err)
	}
	s.shop.SetFiles("release", map[string]string{"r": "r"})
	for _, step := range []struct {
		act   string
		pairs []string
		shows string
	}{
		{"label", []string{"name", "security"}, "added the label"},
		{"unlabel", []string{"name", "security"}, "removed the label"},
		{"draft", nil, "made it a draft"},
		{"ready", nil, "ready for review"},
		{"title", []string{"name", "Another title"}, "changed the title from <q>Say it anew</q>"},
		{"retarget", []string{"base", "release"}, `changed the base from <span class="ref">main</span>`},
		{"close", nil, "closed it"},
		{"reopen", nil, "reopened it"},
	} {
		s.post("ann", pull+"/"+step.act, step.pairs...).shows(http.StatusOK, step.shows)
	}
	if d := pr.Details(); d.Title != "Another title" || d.Base != "release" || d.State != "open" || d.Draft {
		t.Errorf("it is %+v", d)
	}
	s.post("rob", pull+"/close").shows(http.StatusForbidden, "You do not have permission to close")
	s.post("rob", pull+"/label", "name", "x").shows(http.StatusForbidden, "permission to add labels")
	s.post("ann", pull+"/explode").shows(http.StatusNotFound)
}

func TestMergingAsGitHubDecides(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	id := s.shop.CreateRuleset(githubsim.Ruleset{
		Name: "checked", Branches: []string{"~DEFAULT_BRANCH"}, RequiredChecks: []githubsim.RequiredCheck{{Context: "gate", AppID: s.app.ID()}},
	})
	s.get("/acme/shop/rules").shows(http.StatusOK, "only the App <b>gate</b>")
	expected := "Required status check &#34;gate&#34; is expected."
	s.get(pull).shows(http.StatusOK, "GitHub does not let ann merge this", expected)
	s.post("ann", pull+"/merge").shows(http.StatusMethodNotAllowed, "GitHub refused what ann did (405)", expected)
	s.post("ann", pull+"/enqueue").shows(http.StatusMethodNotAllowed, expected)
	s.get(pull+"?as=rob").shows(http.StatusOK, "GitHub does not let rob merge this", "Merging needs write access")
	s.shop.SetRulesetEnforcement(id, "disabled")
	s.get(pull+"?as=bob").shows(http.StatusOK, "GitHub lets bob merge this")
	s.post("bob", pull+"/merge").shows(http.StatusOK, "Merged by bob", "merged it")
	if !pr.Merged() {
		t.Error("it is not merged")
	}
	s.post("bob", pull+"/reopen").shows(http.StatusUnprocessableEntity, "Merged pull requests cannot be reopened.")
	s.get("/acme/shop/pulls").shows(http.StatusOK, "None.")
	s.get("/acme/shop/pulls?state=closed").shows(http.StatusOK, "merged by bob")
}

func TestTheMergeQueueIsLookedAt(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	s.shop.CreateRuleset(githubsim.Ruleset{
		Name: "checked", Branches: []string{"~DEFAULT_BRANCH"}, RequiredChecks: []githubsim.RequiredCheck{{Context: "gate", AppID: s.app.ID()}},
	})
	token := s.token()
	s.checkRun(token, pr.HeadSHA(), "success")
	s.post("ann", pull+"/enqueue").shows(http.StatusOK, "In the merge queue", "added it to the merge queue")
	s.checkRun(token, pr.MergeGroup().HeadSHA(), "success")
	s.post("ann", pull+"/look").shows(http.StatusOK, "Merged by ann")
}

func TestChecks(t *testing.T) {
	s := newScene(t)
	pr := s.opened()
	s.get(pull).shows(http.StatusOK, "No check has been set")
	id := s.checkRun(s.token(), pr.HeadSHA(), "failure")
	version := s.get(pull + "/version").body
	s.get(pull+"/checks").shows(http.StatusOK, "Look &lt;here&gt;", "<strong>why</strong>", "Look again", "Re-run")
	s.get(fmt.Sprintf("/acme/shop/runs/%d", id)).shows(http.StatusOK, "Look &lt;here&gt;")
	s.post("bob", pull+"/button", "id", fmt.Sprint(id), "identifier", "again").shows(http.StatusOK)
	s.post("bob", pull+"/rerun", "id", fmt.Sprint(id)).shows(http.StatusOK)
	s.post("rob", pull+"/rerun", "id", fmt.Sprint(id)).shows(http.StatusForbidden, "Must have push access to rerequest")
	s.post("bob", pull+"/button", "id", fmt.Sprint(id), "identifier", "none").shows(http.StatusUnprocessableEntity, "has no action none")
	var actions []string
	for _, d := range s.sim.Deliveries() {
		if d.Event == "check_run" {
			actions = append(actions, d.Action)
		}
	}
	if !slices.Equal(actions, []string{"requested_action", "rerequested"}) {
		t.Errorf("the App heard %v", actions)
	}
	s.checkRun(s.token(), pr.HeadSHA(), "success")
	if s.get(pull+"/version").body == version {
		t.Error("the page would not tell that there is another check")
	}
}

func TestStoriesAndTheirScene(t *testing.T) {
	s := newScene(t)
	s.get("/").shows(http.StatusOK, "A story", "bob tells it.", "1 more step", "Set the scene and start as bob")
	s.post("ann", "/acme/shop/rules", "story", "0", "content", "version: 2\n").
		shows(http.StatusOK, "Tell a tale", `value="tale"`, "Once.", "Open as bob")
	if content, _ := s.shop.File("main", policyPath); content != "version: 2\n" {
		t.Errorf("the policy is %q", content)
	}
	s.post("bob", "/acme/shop/compare", "story", "0", "from", s.shop.Head("main"), "name", "Tell a tale", "branch", "tale", "base", "main",
		"path", "tale.md", "new-0", "yes", "content-0", "Once.\n").shows(http.StatusOK, "The end.")
	s.get("/acme/shop/compare?story=0").shows(http.StatusOK, `value="tale-2"`)
	s.post("ann", "/acme/shop/rules", "content", "version: 3\r\n").shows(http.StatusOK, "Written to main", "version: 3")
	s.post("ann", "/acme/shop/rules", "content", " ").shows(http.StatusUnprocessableEntity, "would be empty")
}

// token is one of the App's installation.
func (s *scene) token() string {
	s.t.Helper()
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(s.app.PrivateKeyPEM()))
	if err != nil {
		s.t.Fatal(err)
	}
	now := time.Now()
	bearer, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": strconv.FormatInt(s.app.ID(), 10), "iat": now.Unix() - 10, "exp": now.Unix() + 300,
	}).SignedString(key)
	if err != nil {
		s.t.Fatal(err)
	}
	var made struct {
		Token string `json:"token"`
	}
	s.api(bearer, fmt.Sprintf("app/installations/%d/access_tokens", s.installation.ID()), nil, &made)
	return made.Token
}

// checkRun makes a completed run of the check "gate" as the App does.
func (s *scene) checkRun(token, sha, conclusion string) int64 {
	s.t.Helper()
	var made struct {
		ID int64 `json:"id"`
	}
	s.api(token, "repos/acme/shop/check-runs", map[string]any{
		"name": "gate", "head_sha": sha, "status": "completed", "conclusion": conclusion,
		"output":  map[string]string{"title": "Look <here>", "summary": "This is **why**."},
		"actions": []map[string]string{{"label": "Look again", "description": "Look once more", "identifier": "again"}},
	}, &made)
	return made.ID
}

func (s *scene) api(token, path string, body, answer any) {
	s.t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.sim.APIURL()+path, bytes.NewReader(encoded))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		s.t.Fatalf("POST %s answered %d", path, response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		s.t.Fatal(err)
	}
}

func TestTheAPIIsWhereItWas(t *testing.T) {
	s := newScene(t)
	s.get("/api/v3/repos/acme/shop").shows(http.StatusOK, `"full_name":"acme/shop"`)
	before := len(s.sim.Requests())
	s.get("/acme/shop").shows(http.StatusOK)
	if after := len(s.sim.Requests()); after != before {
		t.Errorf("a page was logged as %d API requests", after-before)
	}
	if got := s.get("/api/v3/none"); !strings.Contains(got.body, "Not Found") {
		t.Errorf("an unknown path of the API answers %q", got.body)
	}
}
