package githubsim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// A real client reads a pull request in all its parts.
func TestPullRequestReads(t *testing.T) {
	w := newWorld(t)
	w.repo.SetFiles("main", map[string]string{"old.txt": "a\nb\nc\nd\n", "gone.txt": "x\n", "same.txt": "s\n"})
	_, err := w.repo.Push(w.alice, "topic",
		githubsim.Commit{Message: "One", Rename: map[string]string{"old.txt": "new.txt"}, Files: map[string]string{"new.txt": "a\nb\nc\ne\n"}},
		githubsim.Commit{Message: "Two", Delete: []string{"gone.txt"}, Files: map[string]string{"add.txt": "1\n2\n", "README.md": "hello\nthere\n"}, UnmappedEmail: "who@example.com"},
		githubsim.Commit{Message: "Three", MergeOf: w.repo.Head("main"), Author: w.bob},
	)
	must(t, err)
	_, err = w.repo.Open(w.alice, githubsim.PullRequestSpec{Title: "Topic", Body: "text", Head: "topic", Draft: true})
	must(t, err)

	p, _, err := w.gh.PullRequests.Get(ctx, "acme", "castle", 1)
	must(t, err)
	equal(t, "numbers", fmt.Sprint(p.GetChangedFiles(), p.GetCommits(), p.GetAdditions(), p.GetDeletions()), "4 3 4 2")
	equal(t, "state", fmt.Sprint(p.GetState(), p.GetDraft(), p.GetMergeable(), p.GetMergeableState()), "opentrue truedraft")
	equal(t, "base", p.GetBase().GetRepo().GetFullName()+" "+p.GetBase().GetRef(), "acme/castle main")

	files, _, err := w.gh.PullRequests.ListFiles(ctx, "acme", "castle", 1, nil)
	must(t, err)
	var list []string
	for _, f := range files {
		list = append(list, fmt.Sprintf("%s %s %s +%d -%d", f.GetFilename(), f.GetStatus(), f.GetPreviousFilename(), f.GetAdditions(), f.GetDeletions()))
	}
	equal(t, "files", strings.Join(list, "; "), "README.md modified  +1 -0; add.txt added  +2 -0; gone.txt removed  +0 -1; new.txt renamed old.txt +1 -1")
	equal(t, "patch", files[3].GetPatch(), "@@ -4,1 +4,1 @@\n-d\n+e")

	commits, _, err := w.gh.PullRequests.ListCommits(ctx, "acme", "castle", 1, nil)
	must(t, err)
	equal(t, "commits", len(commits), 3)
	equal(t, "mapped", commits[0].GetAuthor().GetLogin(), "alice")
	equal(t, "unmapped", commits[1].Author, nil)
	equal(t, "e-mail", commits[1].GetCommit().GetAuthor().GetEmail(), "who@example.com")
	equal(t, "given author", commits[2].GetAuthor().GetLogin()+" "+commits[2].GetCommitter().GetLogin(), "bob alice")
	equal(t, "parents of a merge", len(commits[2].Parents), 2)

	found, _, err := w.gh.PullRequests.ListPullRequestsWithCommit(ctx, "acme", "castle", commits[0].GetSHA(), nil)
	must(t, err)
	equal(t, "by commit", len(found), 1)
	comparison, _, err := w.gh.Repositories.CompareCommits(ctx, "acme", "castle", "main", "topic", nil)
	must(t, err)
	equal(t, "comparison", fmt.Sprint(comparison.GetStatus(), comparison.GetAheadBy(), comparison.GetBehindBy(), len(comparison.Files)), "ahead3 0 4")
}

// Lists of pull requests filter and sort.
func TestPullRequestLists(t *testing.T) {
	w := newWorld(t)
	first, second := w.pull("one"), w.pull("two")
	w.pull("three")
	must(t, first.Close(w.alice))
	must(t, second.SetTitle(w.alice, "Newest"))
	tests := []struct {
		options github.PullRequestListOptions
		want    string
	}{
		{github.PullRequestListOptions{}, "3 2"},
		{github.PullRequestListOptions{Direction: "asc"}, "2 3"},
		{github.PullRequestListOptions{State: "all"}, "3 2 1"},
		{github.PullRequestListOptions{State: "closed"}, "1"},
		{github.PullRequestListOptions{Head: "acme:two"}, "2"},
		{github.PullRequestListOptions{Base: "next"}, ""},
		{github.PullRequestListOptions{Sort: "updated", Direction: "desc"}, "2 3"},
	}
	for _, test := range tests {
		list, _, err := w.gh.PullRequests.List(ctx, "acme", "castle", &test.options)
		must(t, err)
		var numbers []string
		for _, p := range list {
			numbers = append(numbers, fmt.Sprint(p.GetNumber()))
		}
		equal(t, fmt.Sprintf("%+v", test.options), strings.Join(numbers, " "), test.want)
	}
}

// Everything that a person does with curl: branch, file, pull request, review, label, comment, merge.
func TestPeopleOverREST(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.as(w.alice), w.as(w.bob)
	ref, _, err := alice.Git.CreateRef(ctx, "acme", "castle", &github.Reference{Ref: new("refs/heads/feature/x"), Object: &github.GitObject{SHA: new(w.repo.Head("main"))}})
	must(t, err)
	got, _, err := alice.Git.GetRef(ctx, "acme", "castle", "heads/feature/x")
	must(t, err)
	equal(t, "ref", got.GetObject().GetSHA(), ref.GetObject().GetSHA())
	file := func(text, sha string) *github.RepositoryContentFileOptions {
		o := &github.RepositoryContentFileOptions{Message: new("Write"), Content: []byte(text), Branch: new("feature/x")}
		if sha != "" {
			o.SHA = &sha
		}
		return o
	}
	made, _, err := alice.Repositories.CreateFile(ctx, "acme", "castle", "docs/a b.md", file("one\n", ""))
	must(t, err)
	_, _, err = alice.Repositories.UpdateFile(ctx, "acme", "castle", "docs/a b.md", file("two\n", ""))
	refused(t, err, 422, "wasn't supplied")
	_, _, err = alice.Repositories.UpdateFile(ctx, "acme", "castle", "docs/a b.md", file("two\n", "123"))
	refused(t, err, 409, "does not match")
	_, _, err = alice.Repositories.UpdateFile(ctx, "acme", "castle", "docs/a b.md", file("two\n", made.GetContent().GetSHA()))
	must(t, err)
	content, _, _, err := alice.Repositories.GetContents(ctx, "acme", "castle", "docs/a b.md", &github.RepositoryContentGetOptions{Ref: "feature/x"})
	must(t, err)
	text, err := content.GetContent()
	must(t, err)
	equal(t, "content", text, "two\n")
	_, list, _, err := alice.Repositories.GetContents(ctx, "acme", "castle", "", &github.RepositoryContentGetOptions{Ref: "feature/x"})
	must(t, err)
	equal(t, "directory", fmt.Sprint(len(list), list[1].GetName(), list[1].GetType()), "3docsdir")
	_, _, _, err = alice.Repositories.GetContents(ctx, "acme", "castle", "docs/none", nil)
	refused(t, err, 404, "")
	branch, _, err := alice.Repositories.GetBranch(ctx, "acme", "castle", "feature/x", 0)
	must(t, err)
	equal(t, "branch", branch.GetCommit().GetSHA(), w.repo.Head("feature/x"))

	create := &github.NewPullRequest{Title: new("X"), Head: new("feature/x"), Base: new("main")}
	p, _, err := alice.PullRequests.Create(ctx, "acme", "castle", create)
	must(t, err)
	_, _, err = alice.PullRequests.Create(ctx, "acme", "castle", create)
	refused(t, err, 422, "A pull request already exists for acme:feature/x.")
	_, _, err = alice.PullRequests.CreateReview(ctx, "acme", "castle", 1, &github.PullRequestReviewRequest{Event: new("APPROVE")})
	refused(t, err, 422, "Can not approve your own pull request")
	pending, _, err := bob.PullRequests.CreateReview(ctx, "acme", "castle", 1, &github.PullRequestReviewRequest{})
	must(t, err)
	equal(t, "state", pending.GetState(), "PENDING")
	_, _, err = alice.PullRequests.GetReview(ctx, "acme", "castle", 1, pending.GetID())
	refused(t, err, 404, "")
	review, _, err := bob.PullRequests.SubmitReview(ctx, "acme", "castle", 1, pending.GetID(), &github.PullRequestReviewRequest{Event: new("APPROVE")})
	must(t, err)
	equal(t, "submitted", review.GetState()+" "+review.GetCommitID(), "APPROVED "+p.GetHead().GetSHA())
	labels, _, err := bob.Issues.AddLabelsToIssue(ctx, "acme", "castle", 1, []string{"kill/switch", "b"})
	must(t, err)
	equal(t, "labels", len(labels), 2)
	_, _ = w.do("DELETE", "/repos/acme/castle/issues/1/labels/kill%2Fswitch", w.bearer(w.bob), "")
	_, err = bob.Issues.RemoveLabelForIssue(ctx, "acme", "castle", 1, "kill")
	refused(t, err, 404, "Label does not exist")
	said, _, err := w.gh.Issues.CreateComment(ctx, "acme", "castle", 1, &github.IssueComment{Body: new("Hello")})
	must(t, err)
	equal(t, "author", said.GetUser().GetLogin()+" "+said.GetUser().GetType(), "portcullis[bot] Bot")
	raw, _, err := bob.Issues.GetComment(ctx, "acme", "castle", said.GetID())
	must(t, err)
	equal(t, "body", raw.GetBody(), "Hello")
	_, out := w.do("GET", fmt.Sprintf("/repos/acme/castle/issues/comments/%d", said.GetID()), "", "")
	equal(t, "via App", at(out, "performed_via_github_app", "slug"), any("portcullis"))
	_, _, err = w.as(w.eve).Issues.EditComment(ctx, "acme", "castle", said.GetID(), &github.IssueComment{Body: new("Bye")})
	refused(t, err, 403, "")
	_, _, err = w.gh.Issues.EditComment(ctx, "acme", "castle", said.GetID(), &github.IssueComment{Body: new("Bye")})
	must(t, err)
	for range 2 {
		_, _, err = w.gh.Reactions.CreateIssueCommentReaction(ctx, "acme", "castle", said.GetID(), "eyes")
		must(t, err)
	}
	reactions, _, err := w.gh.Reactions.ListIssueCommentReactions(ctx, "acme", "castle", said.GetID(), nil)
	must(t, err)
	equal(t, "reactions", len(reactions), 1)
	equal(t, "seen by a test", w.repo.PullRequest(1).Reactions(said.GetID())[0], githubsim.Reaction{User: "portcullis[bot]", Content: "eyes"})
	_, err = w.gh.Issues.DeleteComment(ctx, "acme", "castle", said.GetID())
	must(t, err)
	_, _, err = bob.PullRequests.Edit(ctx, "acme", "castle", 1, &github.PullRequest{State: new("closed")})
	must(t, err)
	_, _, err = bob.PullRequests.Merge(ctx, "acme", "castle", 1, "", nil)
	refused(t, err, 405, "closed")
	_, _, err = bob.PullRequests.Edit(ctx, "acme", "castle", 1, &github.PullRequest{State: new("open")})
	must(t, err)
	_, _, err = bob.PullRequests.Merge(ctx, "acme", "castle", 1, "", nil)
	must(t, err)
}

// Semantics 21 and 22: permission, teams, organization.
func TestWhoIsWho(t *testing.T) {
	w := newWorld(t)
	owner, mel := w.sim.CreateUser("olga"), w.sim.CreateUser("mel")
	w.org.AddOwner(owner)
	team := w.org.CreateTeam("leads", mel, owner)
	tests := []struct {
		user       *githubsim.User
		role       string
		permission string
		roleName   string
	}{
		{w.alice, "read", "read", "read"}, {w.alice, "triage", "read", "triage"}, {w.alice, "write", "write", "write"},
		{w.alice, "maintain", "write", "maintain"}, {w.alice, "admin", "admin", "admin"}, {owner, "", "admin", "admin"}, {mel, "", "read", "read"},
	}
	for _, test := range tests {
		if test.role != "" {
			w.repo.SetRole(test.user, test.role)
		}
		got, _, err := w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", test.user.Login())
		must(t, err)
		equal(t, test.user.Login()+" "+test.role, got.GetPermission()+" "+got.GetUser().GetRoleName(), test.permission+" "+test.roleName)
	}
	_, _, err := w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", "nobody")
	refused(t, err, 404, "")
	w.repo.SetPrivate(true)
	none, _, err := w.gh.Repositories.GetPermissionLevel(ctx, "acme", "castle", "eve")
	must(t, err)
	equal(t, "stranger of a private repository", none.GetPermission(), "none")

	membership := func(slug, login string) string {
		m, _, err := w.gh.Teams.GetTeamMembershipBySlug(ctx, "acme", slug, login)
		if err != nil {
			refused(t, err, 404, "")
			return "404"
		}
		return m.GetState() + " " + m.GetRole()
	}
	equal(t, "member", membership("leads", "mel"), "active member")
	equal(t, "owner", membership("leads", "olga"), "active maintainer")
	equal(t, "not in it", membership("leads", "alice"), "404")
	equal(t, "no such team", membership("nowhere", "mel"), "404")
	got, _, err := w.gh.Teams.GetTeamBySlug(ctx, "acme", "leads")
	must(t, err)
	equal(t, "team", got.GetSlug(), "leads")
	members, _, err := w.gh.Teams.ListTeamMembersBySlug(ctx, "acme", "leads", nil)
	must(t, err)
	equal(t, "members", len(members), 2)
	_, out := w.do("GET", strings.TrimPrefix(at(teamJSON(w), "url").(string), strings.TrimSuffix(w.sim.APIURL(), "/"))+"/memberships/mel", w.bearer(mel), "")
	equal(t, "by number", at(out, "state"), any("active"))
	team.Remove(mel)
	equal(t, "removed", membership("leads", "mel"), "404")
	is, _, err := w.gh.Organizations.IsMember(ctx, "acme", "mel")
	must(t, err)
	equal(t, "still a member", is, true)
	w.org.RemoveMember(mel)
	is, _, err = w.gh.Organizations.IsMember(ctx, "acme", "mel")
	must(t, err)
	equal(t, "a member no more", is, false)
	role, _, err := w.gh.Organizations.GetOrgMembership(ctx, "olga", "acme")
	must(t, err)
	equal(t, "organization role", role.GetRole(), "admin")
}

func teamJSON(w *world) any {
	_, out := w.do("GET", "/orgs/acme/teams/leads", w.bearer(w.sim.User("mel")), "")
	return out
}

// The App's own endpoints.
func TestAppEndpoints(t *testing.T) {
	w := newWorld(t)
	apps := w.asApp(w.app).Apps
	self, _, err := apps.Get(ctx, "")
	must(t, err)
	equal(t, "slug", self.GetSlug(), "portcullis")
	list, _, err := apps.ListInstallations(ctx, nil)
	must(t, err)
	equal(t, "installations", fmt.Sprint(len(list), list[0].GetID(), list[0].GetAccount().GetLogin()), fmt.Sprint(1, w.install.ID(), "acme"))
	equal(t, "permission", list[0].GetPermissions().GetChecks(), "write")
	one, _, err := apps.FindRepositoryInstallation(ctx, "acme", "castle")
	must(t, err)
	equal(t, "by repository", one.GetID(), w.install.ID())
	one, _, err = apps.FindOrganizationInstallation(ctx, "acme")
	must(t, err)
	equal(t, "by organization", one.GetID(), w.install.ID())
	_, _, err = apps.FindRepositoryInstallation(ctx, "acme", "nothing")
	refused(t, err, 404, "")
	repos, _, err := w.gh.Apps.ListRepos(ctx, nil)
	must(t, err)
	equal(t, "repositories", repos.GetTotalCount(), 1)
}

// Rulesets over REST: one call flips one, and reading back confirms.
func TestRulesetsOverREST(t *testing.T) {
	w := newWorld(t)
	_, out := w.do("POST", "/repos/acme/castle/rulesets", w.bearer(w.root), fmt.Sprintf(`{"name":"portcullis kill switch","enforcement":"disabled","target":"branch",
		"conditions":{"ref_name":{"include":["~DEFAULT_BRANCH"],"exclude":[]}},
		"rules":[{"type":"update"},{"type":"deletion"},{"type":"required_status_checks","parameters":{"strict_required_status_checks_policy":true,"required_status_checks":[{"context":"gate","integration_id":%d}]}}]}`, w.app.ID()))
	id := int64(at(out, "id").(float64))
	equal(t, "rules kept", fmt.Sprint(at(out, "rules", 0, "type"), at(out, "rules", 1, "type"), at(out, "rules", 2, "type")), "updaterequired_status_checksdeletion")
	rules, _, err := w.gh.Repositories.GetRulesForBranch(ctx, "acme", "castle", "main")
	must(t, err)
	equal(t, "rules while disabled", len(rules), 0)
	p := w.pull("topic")
	equal(t, "open", p.Mergeability(w.root).Allowed, true)
	token, _, err := w.asApp(w.app).Apps.CreateInstallationToken(ctx, w.install.ID(), nil)
	must(t, err)
	resp, out := w.do("PUT", fmt.Sprintf("/repos/acme/castle/rulesets/%d", id), "token "+token.GetToken(), `{"enforcement":"active"}`)
	equal(t, "flipped", fmt.Sprint(resp.StatusCode, at(out, "enforcement"), len(at(out, "rules").([]any))), "200active3")
	box := p.Mergeability(w.root)
	equal(t, "locked", box.Allowed, false)
	equal(t, "reason", box.Reasons[0], "Cannot update this protected ref.")
	all, _, err := w.gh.Repositories.GetAllRulesets(ctx, "acme", "castle", true)
	must(t, err)
	equal(t, "list", fmt.Sprint(len(all), all[0].Enforcement), "1active")
	rules, _, err = w.gh.Repositories.GetRulesForBranch(ctx, "acme", "castle", "main")
	must(t, err)
	equal(t, "rules", len(rules), 3)
	equal(t, "who flipped it", at(w.last("repository_ruleset", "edited"), "sender", "login"), any("portcullis[bot]"))
	equal(t, "from", at(w.last("repository_ruleset", "edited"), "changes", "enforcement", "from"), any("disabled"))

	orgID := w.org.CreateRuleset(githubsim.Ruleset{Name: "all stop", Enforcement: "disabled", Branches: []string{"~ALL"}, Update: true})
	resp, _ = w.do("PUT", fmt.Sprintf("/orgs/acme/rulesets/%d", orgID), "token "+token.GetToken(), `{"enforcement":"active"}`)
	equal(t, "organization", resp.StatusCode, 200)
	resp, _ = w.do("PUT", fmt.Sprintf("/repos/acme/castle/rulesets/%d", orgID), "token "+token.GetToken(), `{"enforcement":"disabled"}`)
	equal(t, "not through a repository", resp.StatusCode, 404)
	resp, _ = w.do("DELETE", fmt.Sprintf("/repos/acme/castle/rulesets/%d", id), "token "+token.GetToken(), "")
	equal(t, "deleted", resp.StatusCode, 204)
	equal(t, "organization's holds", p.Mergeability(w.root).Reasons[0], "Cannot update this protected ref.")
	for body, field := range map[string]string{
		`{"enforcement":"sometimes"}`: "enforcement", `{"target":"tag"}`: "target",
		`{"rules":[{"type":"required_status_checks","parameters":{"required_status_checks":[{"context":"x","integration_id":-1}]}}]}`: "rules",
	} {
		_, out := w.do("PUT", fmt.Sprintf("/orgs/acme/rulesets/%d", orgID), "token "+token.GetToken(), body)
		equal(t, body, at(out, "errors", 0, "field"), any(field))
	}
	w.repo.Protect("main", githubsim.Protection{RequiredChecks: []githubsim.RequiredCheck{{Context: "x"}}})
	protection, _, err := w.gh.Repositories.GetBranchProtection(ctx, "acme", "castle", "main")
	must(t, err)
	equal(t, "any App", *(*protection.RequiredStatusChecks.Checks)[0].AppID, -1)
}

// Issues carry labels too: the list filters by them.
func TestIssues(t *testing.T) {
	w := newWorld(t)
	w.pull("topic")
	issue, _, err := w.gh.Issues.Create(ctx, "acme", "castle", &github.IssueRequest{Title: new("Stop"), Labels: &[]string{"killswitch"}})
	must(t, err)
	list, _, err := w.gh.Issues.ListByRepo(ctx, "acme", "castle", &github.IssueListByRepoOptions{Labels: []string{"killswitch"}})
	must(t, err)
	equal(t, "labelled", fmt.Sprint(len(list), list[0].GetNumber(), list[0].IsPullRequest()), fmt.Sprint(1, issue.GetNumber(), false))
	all, _, err := w.gh.Issues.ListByRepo(ctx, "acme", "castle", nil)
	must(t, err)
	equal(t, "issues and pull requests", fmt.Sprint(len(all), all[1].IsPullRequest()), "2 true")
	_, _, err = w.gh.Issues.Edit(ctx, "acme", "castle", issue.GetNumber(), &github.IssueRequest{State: new("closed"), Title: new("Go")})
	must(t, err)
	equal(t, "title before", at(w.last("issues", "edited"), "changes", "title", "from"), any("Stop"))
	equal(t, "closed", at(w.last("issues", "closed"), "issue", "state_reason"), any("completed"))
}
