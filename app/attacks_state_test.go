package app

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/palantir/go-githubapp/githubapp"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// TestAttack07RejectionLost takes away what carries a rejection to the check: its
// event, the write of the red check, or the moment at which it comes.
func TestAttack07RejectionLost(t *testing.T) {
	t.Parallel()
	reject := func(tw *testWorld, pr *githubsim.PullRequest) {
		_, err := pr.Comment(tw.github.User("lee"), "/reject leaks")
		tw.must(err)
	}
	t.Run("the event is lost", func(t *testing.T) {
		tw := newTestWorld(t)
		pr := tw.opened("ann", "search", searchFiles())
		tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return d.Event == "issue_comment" }})
		reject(tw, pr)
		tw.settled()
		// The approval that would open the gate looks at everything that was said.
		tw.review(pr, "bob", "APPROVE")
		tw.wantCheck(pr, "failure: rejected by lee: leaks")
		tw.wantMerge(pr, false)
	})
	t.Run("the write fails", func(t *testing.T) {
		for name, after := range map[string]bool{"before its effect": false, "after its effect": true} {
			t.Run(name, func(t *testing.T) {
				tw := newTestWorld(t)
				pr := tw.opened("ann", "search", searchFiles())
				tw.review(pr, "bob", "APPROVE")
				tw.wantMerge(pr, true)
				tw.github.Inject(githubsim.Fault{
					Method: http.MethodPatch, Path: regexp.MustCompile(`/check-runs/\d+$`), Status: http.StatusBadGateway, After: after, Times: 3,
				})
				reject(tw, pr)
				tw.settled()
				tw.wantCheck(pr, "failure: rejected by lee: leaks")
				tw.wantMerge(pr, false)
			})
		}
	})
	t.Run("it comes while a green check is written", func(t *testing.T) {
		tw := newTestWorld(t)
		pr := tw.opened("ann", "search", searchFiles())
		var once bool
		defer tw.github.Before(http.MethodPatch, regexp.MustCompile(`/check-runs/\d+$`), func() {
			if !once {
				once = true
				reject(tw, pr)
			}
		})()
		tw.review(pr, "bob", "APPROVE")
		tw.wantCheck(pr, "failure: rejected by lee: leaks")
		tw.wantMerge(pr, false)
	})
	t.Run("control", func(t *testing.T) {
		tw := newTestWorld(t)
		pr := tw.opened("ann", "search", searchFiles())
		tw.review(pr, "bob", "APPROVE")
		reject(tw, pr)
		tw.settled()
		tw.comment(pr, "lee", "/unapprove")
		tw.wantMerge(pr, true)
	})
}

// TestAttack08OneHeadOfTwoPullRequests holds the check that two pull requests
// share, because it belongs to their commit, to the stricter verdict, and gives
// it back when the other one has moved on or is closed.
func TestAttack08OneHeadOfTwoPullRequests(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(tw *testWorld, other *githubsim.PullRequest) error{
		"closed": func(tw *testWorld, other *githubsim.PullRequest) error { return other.Close(tw.github.User("ann")) },
		"pushed to": func(tw *testWorld, _ *githubsim.PullRequest) error {
			_, err := tw.shop.Push(tw.github.User("ann"), "twin", githubsim.Commit{Message: "more", Files: map[string]string{"catalogue/y.go": "package catalogue\n"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			ann := tw.github.User("ann")
			pr := tw.opened("ann", "search", searchFiles())
			tw.review(pr, "bob", "APPROVE")
			tw.wantMerge(pr, true)
			_, err := tw.shop.Push(ann, "twin")
			tw.must(err)
			_, err = tw.shop.ForcePush(ann, "twin", pr.HeadSHA())
			tw.must(err)
			twin, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: "Twin", Head: "twin", Base: "main"})
			tw.must(err)
			tw.settled()
			if twin.HeadSHA() != pr.HeadSHA() {
				t.Fatal("the heads differ")
			}
			tw.wantMerge(pr, false)
			tw.wantMerge(twin, false)
			tw.review(twin, "lee", "REQUEST_CHANGES")
			tw.wantCheck(pr, "failure: ")
			tw.must(leave(tw, twin))
			tw.settled()
			tw.wantCheck(pr, "success: peer-review: approved by bob")
			tw.wantMerge(pr, true)
		})
	}
}

// TestAttack11SomebodyElsesGreen posts a green check and a green status of the
// required name, as any workflow with GITHUB_TOKEN can. GitHub requires the check
// of this App; the gate reads nobody else's and writes over nobody else's.
func TestAttack11SomebodyElsesGreen(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	actions := tw.github.CreateApp(githubsim.AppSpec{Slug: "github-actions", Permissions: map[string]string{"metadata": "read", "checks": "write"}, WebhookSecret: demoSecret})
	creator := githubapp.NewClientCreator(tw.github.APIURL(), tw.github.GraphQLURL(), actions.ID(), []byte(actions.PrivateKeyPEM()))
	client, err := creator.NewInstallationClient(actions.Install(tw.acme).ID())
	tw.must(err)
	forged, _, err := client.Checks.CreateCheckRun(t.Context(), "acme", "shop", github.CreateCheckRunOptions{
		Name: "portcullis", HeadSHA: pr.HeadSHA(), Status: new("completed"), Conclusion: new("success"),
	})
	tw.must(err)
	tw.must(tw.shop.SetStatus(tw.github.User("ann"), pr.HeadSHA(), "portcullis", "success"))
	tw.settled()
	tw.wantMerge(pr, false)
	tw.must(tw.shop.RerequestCheckRun(tw.github.User("ann"), forged.GetID()))
	tw.review(pr, "lee", "REQUEST_CHANGES")
	tw.wantMerge(pr, false)
	byApp := map[int64]string{}
	for _, run := range tw.shop.CheckRuns(pr.HeadSHA()) {
		byApp[run.AppID] += run.Conclusion
	}
	if byApp[tw.hook.ID()] != "failure" || byApp[actions.ID()] != "success" {
		t.Errorf("the runs by App are %v, want one failure of ours, and theirs as it was", byApp)
	}
	tw.review(pr, "lee", "APPROVE")
	tw.wantMerge(pr, true)
}

// TestAttack12LabelTakenOffByAMaker takes off the label that makes the change
// sensitive: as its author, as an agent, and by deleting it from the repository.
func TestAttack12LabelTakenOffByAMaker(t *testing.T) {
	t.Parallel()
	const sensitive = "in_progress: security-review: 2 approvals from acme/security"
	for name, c := range map[string]struct {
		takeOff func(tw *testWorld, pr *githubsim.PullRequest) error
		want    string
	}{
		"the author": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.RemoveLabel(tw.github.User("ann"), "security")
		}, sensitive},
		"an agent": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.RemoveLabel(tw.github.User("claude[bot]"), "security")
		}, sensitive},
		"from the repository": {func(tw *testWorld, _ *githubsim.PullRequest) error {
			tw.shop.DeleteLabel("security")
			return nil
		}, sensitive},
		"renamed": {func(tw *testWorld, _ *githubsim.PullRequest) error {
			tw.shop.RenameLabel("security", "harmless")
			return nil
		}, sensitive},
		"control, a reviewer": {func(tw *testWorld, pr *githubsim.PullRequest) error {
			return pr.RemoveLabel(tw.github.User("lee"), "security")
		}, waitingForPeer},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			tw.shop.CreateLabel("security")
			pr := tw.opened("ann", "search", searchFiles())
			tw.wantCheck(pr, waitingForPeer)
			tw.must(pr.AddLabel(tw.github.User("bob"), "security"))
			tw.settled()
			tw.wantCheck(pr, sensitive)
			tw.must(c.takeOff(tw, pr))
			tw.settled()
			tw.wantCheck(pr, c.want)
		})
	}
}

// TestAttack13RoleLostAfterTheApproval takes from the approvers what made them
// count, and nothing else happens to the pull request.
func TestAttack13RoleLostAfterTheApproval(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose    func(tw *testWorld)
		allowed bool
	}{
		"out of the team":         {func(tw *testWorld) { tw.team("security").Remove(tw.github.User("sam")) }, false},
		"out of the organization": {func(tw *testWorld) { tw.acme.RemoveMember(tw.github.User("sam")) }, false},
		"the team is deleted":     {func(tw *testWorld) { tw.team("security").Delete() }, false},
		"the team is renamed":     {func(tw *testWorld) { tw.team("security").Rename("former-security") }, false},
		"control, another team":   {func(tw *testWorld) { tw.team("leads").Remove(tw.github.User("lee")) }, true},
		"control, another person": {func(tw *testWorld) { tw.acme.RemoveMember(tw.github.User("bob")) }, true},
	} {
		t.Run("a team, "+name, func(t *testing.T) {
			// A team that does not exist is an error, which is tried again.
			tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return time.Hour }})
			pr := tw.opened("ann", "login", map[string]string{"auth/login.go": "package auth\n"})
			tw.review(pr, "sam", "APPROVE")
			tw.review(pr, "sue", "APPROVE")
			tw.wantMerge(pr, true)
			c.lose(tw)
			tw.settled()
			tw.wantMerge(pr, c.allowed)
		})
	}
	for name, c := range map[string]struct {
		lose    func(tw *testWorld)
		allowed bool
	}{
		"lower":                   {func(tw *testWorld) { tw.must(tw.shop.Grant(tw.github.User("lee"), tw.github.User("bob"), "read")) }, false},
		"gone":                    {func(tw *testWorld) { tw.must(tw.shop.Grant(tw.github.User("lee"), tw.github.User("bob"), "")) }, false},
		"control, another person": {func(tw *testWorld) { tw.must(tw.shop.Grant(tw.github.User("lee"), tw.github.User("sam"), "read")) }, true},
	} {
		t.Run("a permission, "+name, func(t *testing.T) {
			tw := newTestWorld(t)
			tw.shop.SetRole(tw.github.User("lee"), "admin")
			pr := tw.opened("ann", "search", searchFiles())
			tw.review(pr, "bob", "APPROVE")
			tw.wantMerge(pr, true)
			c.lose(tw)
			tw.settled()
			tw.wantMerge(pr, c.allowed)
		})
	}
}

// TestAttack14PolicyChangedOnTheBase changes what governs a pull request that was
// approved before, and nothing else happens to it.
func TestAttack14PolicyChangedOnTheBase(t *testing.T) {
	t.Parallel()
	const path = ".github/portcullis.yml"
	const strict = "version: 1\nclassify:\n  security_sensitive: {paths: [\"catalogue/**\"]}\n"
	for name, change := range map[string]func(tw *testWorld, floor *githubsim.Repository, content string){
		"the repository's": func(tw *testWorld, _ *githubsim.Repository, content string) {
			tw.shop.SetFiles("main", map[string]string{path: content})
		},
		"the organization's": func(_ *testWorld, floor *githubsim.Repository, content string) {
			floor.SetFiles("main", map[string]string{path: content})
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			floor := tw.acme.CreateRepository(".github", map[string]string{path: "version: 1\n"})
			pr := tw.opened("ann", "search", searchFiles())
			tw.review(pr, "lee", "APPROVE")
			tw.wantMerge(pr, true)
			change(tw, floor, strict)
			tw.settled()
			tw.wantCheck(pr, "in_progress: security-review: 2 approvals from ")
			tw.wantMerge(pr, false)
			change(tw, floor, "version: 1\nnonsense: true\n")
			tw.settled()
			tw.wantCheck(pr, "failure: ")
			tw.wantMerge(pr, false)
			change(tw, floor, "version: 1\n")
			tw.settled()
			tw.wantMerge(pr, true)
			// Any other file changes no verdict, and asks for no decision.
			tw.github.ResetRequests()
			tw.shop.SetFiles("main", map[string]string{"NEWS.md": "news\n"})
			tw.settled()
			for _, r := range tw.github.Requests() {
				t.Errorf("a push that concerns no policy led to %s %s", r.Method, r.Path)
			}
		})
	}
}

// TestAttack15RejectedInTheQueue stops a change that is already in the merge
// queue, and lets the policy be unreadable for a while.
func TestAttack15RejectedInTheQueue(t *testing.T) {
	t.Parallel()
	enqueued := func(t *testing.T) (*testWorld, *githubsim.PullRequest, *githubsim.MergeGroup) {
		t.Helper()
		tw := newTestWorld(t)
		pr := tw.opened("ann", "search", searchFiles())
		tw.review(pr, "bob", "APPROVE")
		group, err := pr.Enqueue(tw.github.User("ann"))
		tw.must(err)
		tw.settled()
		return tw, pr, group
	}
	for name, stop := range map[string]func(tw *testWorld, pr *githubsim.PullRequest){
		"a rejection": func(tw *testWorld, pr *githubsim.PullRequest) { tw.comment(pr, "lee", "/reject stop") },
		"taken back":  func(tw *testWorld, pr *githubsim.PullRequest) { tw.comment(pr, "bob", "/unapprove") },
		"a lost role": func(tw *testWorld, _ *githubsim.PullRequest) {
			tw.acme.RemoveMember(tw.github.User("bob"))
			tw.shop.SetRole(tw.github.User("bob"), "read")
		},
		"a stricter policy": func(tw *testWorld, _ *githubsim.PullRequest) {
			tw.set("version: 1\nclassify:\n  security_sensitive: {paths: [\"**\"]}\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw, pr, group := enqueued(t)
			stop(tw, pr)
			tw.settled()
			if state := group.Try(); state == "merged" {
				t.Errorf("the entry is merged; its checks are %+v", tw.shop.CheckRuns(group.HeadSHA()))
			}
		})
	}
	t.Run("the policy cannot be read for a while", func(t *testing.T) {
		tw := newTestWorldWith(t, Options{Backoff: func(int) time.Duration { return 50 * time.Millisecond }})
		pr := tw.opened("ann", "search", searchFiles())
		tw.review(pr, "bob", "APPROVE")
		tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/graphql$`), Status: http.StatusBadGateway, Times: 2})
		tw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/contents/`), Status: http.StatusBadGateway, Times: 2})
		group, err := pr.Enqueue(tw.github.User("ann"))
		tw.must(err)
		eventually(t, "the entry is merged", func() bool { return group.Try() == "merged" })
	})
	t.Run("asked again", func(t *testing.T) {
		tw, _, group := enqueued(t)
		run := tw.shop.CheckRuns(group.HeadSHA())[0]
		tw.must(tw.shop.RerequestCheckRun(tw.github.User("ann"), run.ID))
		tw.settled()
		if state := group.Try(); state != "merged" {
			t.Errorf("the entry is %s; its checks are %+v", state, tw.shop.CheckRuns(group.HeadSHA()))
		}
	})
}
