package app

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/sandbox"
)

const waitingForPeer = "in_progress: peer-review: 1 more approval from anyone with write"

// storyOptions has sandboxes as a demo has them where there is no Docker engine.
func storyOptions(options Options) Options {
	options.sandboxes = map[string]sandbox.Sandbox{"docker": sandbox.NewMemorySandbox(time.Now, demoAnswers)}
	return options
}

func TestTheStoryGoesAsTold(t *testing.T) {
	tw := newTestWorldWith(t, storyOptions(atOnce))
	var out strings.Builder
	if err := newNarrator(tw.world, &out, demoImage).tell(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestTheStoryNoticesAWrongEnd makes sure that the story's exit code means
// something.
func TestTheStoryNoticesAWrongEnd(t *testing.T) {
	tw := newTestWorldWith(t, storyOptions(Options{}))
	tw.github.Inject(githubsim.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/check-runs$`), Status: http.StatusForbidden})
	var out strings.Builder
	if err := newNarrator(tw.world, &out, demoImage).tell(t.Context()); !errors.Is(err, errStory) {
		t.Errorf("without any check the story ends with %v\n%s", err, out.String())
	}
}

func TestApprovalsSurviveARestart(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "attempts", map[string]string{"auth/login.go": "package auth\n"})
	tw.comment(pr, "sam", "/approve")
	tw.wantCheck(pr, "in_progress: security-review: 1 more approval")

	tw.must(tw.server.Stop(t.Context()))
	tw.must(tw.serve(t.Context()))
	tw.comment(pr, "sue", "/approve")
	tw.wantCheck(pr, "success: security-review: approved by sam, sue")
	tw.wantMerge(pr, true)
}

func TestAPushMakesApprovalsStale(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.comment(pr, "bob", "/approve")
	tw.wantMerge(pr, true)
	before := pr.HeadSHA()
	tw.push("search", map[string]string{"catalogue/x.go": "package catalogue\n"})
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)

	t.Run("also for a review of the older commit that comes later", func(t *testing.T) {
		_, err := pr.ReviewAt(tw.github.User("bob"), "APPROVE", "", before)
		tw.must(err)
		tw.settled()
		tw.wantMerge(pr, false)
	})
	t.Run("a commit that is named is the one that is approved", func(t *testing.T) {
		tw.comment(pr, "bob", "/approve "+before[:10])
		tw.wantMerge(pr, false)
		tw.comment(pr, "bob", "/approve "+pr.HeadSHA()[:10])
		tw.wantMerge(pr, true)
	})
	t.Run("an approval does not come back with its commit's own check", func(t *testing.T) {
		_, err := tw.shop.ForcePush(tw.github.User("ann"), "search", before)
		tw.must(err)
		tw.settled()
		// The head is the first commit again, but bob's latest word was for another.
		tw.wantMerge(pr, false)
	})
}

// Of a push while it is closed nothing tells, nor which head the one at its reopening
// replaced: whoever approved by comment before that is asked which commit they saw.
func TestAPushWhileItIsClosedLeavesCommentsUnbound(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("bob", "search", searchFiles())
	seen := pr.HeadSHA()
	tw.must(pr.Close(tw.github.User("bob")))
	tw.comment(pr, "lee", "/approve")
	_, err := tw.shop.ForcePush(tw.github.User("bob"), "search", tw.shop.Head("main"), githubsim.Commit{Message: "another", Files: searchFilesWith("another")})
	tw.must(err)
	tw.must(pr.Reopen(tw.github.User("bob")))
	tw.settled()
	_, err = tw.shop.ForcePush(tw.github.User("bob"), "search", seen)
	tw.must(err)
	tw.settled()
	if pr.HeadSHA() != seen {
		t.Fatalf("the head is %s, not %s", pr.HeadSHA(), seen)
	}
	tw.wantCheck(pr, "in_progress: peer-review: 1 more approval")
	tw.comment(pr, "lee", "/approve "+seen)
	tw.wantMerge(pr, true)
}

func TestWhoCounts(t *testing.T) {
	tw := newTestWorld(t)
	tw.shop.SetRole(tw.github.CreateUser("tom"), "triage")
	tw.shop.SetRole(tw.github.CreateBot("reviewer[bot]", 0), "write")
	pr := tw.opened("ann", "search", searchFiles())
	_, err := tw.shop.Push(tw.github.User("lee"), "search", githubsim.Commit{Message: "help", Files: map[string]string{"catalogue/y.go": "package catalogue\n"}})
	tw.must(err)
	for login, why := range map[string]string{
		"tom":           "tom is not one of: anyone with write",
		"lee":           "lee committed to it",
		"reviewer[bot]": "reviewer[bot] is a bot",
	} {
		t.Run(login, func(t *testing.T) {
			tw.review(pr, login, "APPROVE")
			tw.wantMerge(pr, false)
			if summary := newestRun(tw, pr).Summary; !strings.Contains(summary, strings.ReplaceAll(why, "[bot]", `\[bot\]`)) {
				t.Errorf("the summary does not say %q:\n%s", why, summary)
			}
		})
	}
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, true)
}

func newestRun(tw *testWorld, pr *githubsim.PullRequest) githubsim.CheckRun {
	return (&narrator{world: tw.world, pr: pr}).check()
}

func TestEditedAndDeletedCommentsWithdraw(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	for name, change := range map[string]func(id int64) error{
		"edited":  func(id int64) error { return pr.EditComment(tw.github.User("bob"), id, "/approve\n\nbut") },
		"deleted": func(id int64) error { return pr.DeleteComment(tw.github.User("bob"), id) },
	} {
		t.Run(name, func(t *testing.T) {
			c := tw.comment(pr, "bob", "/approve")
			tw.wantMerge(pr, true)
			tw.must(change(c.ID))
			tw.settled()
			tw.wantMerge(pr, false)
		})
	}
	t.Run("a veto stands when the author deletes its comment, and falls when somebody of a higher tier does", func(t *testing.T) {
		for login, want := range map[string]string{"ann": "failure: rejected by bob: no", "lee": waitingForPeer} {
			c := tw.comment(pr, "bob", "/reject no")
			tw.shop.SetRole(tw.github.User(login), "admin")
			tw.must(pr.DeleteComment(tw.github.User(login), c.ID))
			tw.settled()
			tw.wantCheck(pr, want)
		}
	})
}

func TestCommandsAreAnswered(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	for _, c := range []struct {
		by, body, reaction, reply string
	}{
		{"bob", "/tier", "+1", "**peer-review: 1 more approval from anyone with write**"},
		{"bob", "/portcullis help", "+1", "One command a line"},
		{"bob", "/approve nonsense", "confused", "@bob Write `/approve` alone on its line"},
		{"bob", "/approve 1234567", "confused", "@bob 1234567 is not a commit that this pull request has or had as its head."},
		{"ann", "/approve", "confused", "@ann This `/approve` does not count: ann is the author."},
		{"bob", "/killswitch status", "+1", "The kill switch is not on here."},
		{"bob", "/killswitch off", "confused", "@bob This `/killswitch` has no effect: the kill switch is not on here."},
		{"bob", "/credential list", "+1", "Nothing is lent here."},
		{"bob", "/credential issue deploy", "confused", "@bob The policy names no credentials; add one under `credentials:`."},
		{"bob", "/sandbox list", "confused", "@bob `/sandbox` is not enabled on this server."},
		{"bob", "/APPROVE", "+1", ""},
	} {
		t.Run(c.body+" by "+c.by, func(t *testing.T) {
			replies := len(pr.Comments())
			comment := tw.comment(pr, c.by, c.body)
			reactions := []string{}
			for _, r := range pr.Reactions(comment.ID) {
				reactions = append(reactions, r.Content)
			}
			if got := strings.Join(reactions, " "); got != "eyes "+c.reaction {
				t.Errorf("reactions %q, want eyes and %s", got, c.reaction)
			}
			all := pr.Comments()[replies+1:]
			if c.reply == "" && len(all) != 0 {
				t.Errorf("it was answered with %q", all[0].Body)
			}
			if c.reply != "" && (len(all) != 1 || !strings.HasPrefix(all[0].Body, c.reply)) {
				t.Errorf("answered with %+v, want %q", all, c.reply)
			}
		})
	}
	t.Run("so many and no more", func(t *testing.T) {
		crowded := tw.opened("ann", "search-1", searchFilesWith("one"))
		tw.comment(crowded, "bob", strings.Repeat("/tier\n\n", 20))
		replies := crowded.Comments()[1:]
		if n := len(replies); n != 11 || !strings.HasPrefix(replies[n-1].Body, "@bob Only the first 10 commands") {
			t.Errorf("%d replies", n)
		}
	})
	t.Run("nothing in a quote, and nothing by a bot", func(t *testing.T) {
		fresh := tw.opened("ann", "search-2", searchFilesWith("two"))
		tw.comment(fresh, "bob", "> /approve\n\nNo.")
		tw.comment(fresh, "claude[bot]", "/approve")
		tw.wantMerge(fresh, false)
		if n := len(fresh.Comments()); n != 2 {
			t.Errorf("%d comments, want the two that were made", n)
		}
	})
	t.Run("a refusal is in the audit trail", func(t *testing.T) {
		entries, err := tw.server.store.AuditEntries(t.Context(), 0, 1000)
		tw.must(err)
		refused := 0
		for _, e := range entries {
			if e.Action == "command.refused" && e.Actor == "bob" {
				refused++
			}
		}
		if refused != 6 {
			t.Errorf("%d refusals of bob are recorded, want 6", refused)
		}
	})
}

func searchFilesWith(suffix string) map[string]string {
	files := map[string]string{}
	for path, content := range searchFiles() {
		files[strings.Replace(path, ".go", "_"+suffix+".go", 1)] = content
	}
	return files
}

func TestCommandsInReviews(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	_, err := pr.Review(tw.github.User("bob"), "COMMENT", "Fine.\n\n/approve")
	tw.must(err)
	tw.settled()
	tw.wantCheck(pr, "success: peer-review: approved by bob")
}

func TestTheCheckIsOnePerHeadAndUpdatedInPlace(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "bob", "APPROVE")
	tw.comment(pr, "bob", "/unapprove")
	runs := tw.shop.CheckRuns(pr.HeadSHA())
	if len(runs) != 1 || runs[0].Status != "in_progress" || runs[0].AppID != tw.hook.ID() {
		t.Errorf("the head has the runs %+v, want one of ours that waits", runs)
	}
	tw.github.ResetRequests()
	tw.must(pr.AddLabel(tw.github.User("bob"), "question"))
	tw.settled()
	for _, r := range tw.github.Requests() {
		if r.Method != http.MethodGet && r.Operation == "" && r.AppID == tw.hook.ID() {
			t.Errorf("a label that changes nothing caused %s %s", r.Method, r.Path)
		}
	}
}

func TestReRunAndButtonWriteTheCheckAnew(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	for name, press := range map[string]func(id int64) error{
		"re-run": func(id int64) error { return tw.shop.RerequestCheckRun(tw.github.User("bob"), id) },
		"button": func(id int64) error { return tw.shop.RequestAction(tw.github.User("bob"), id, "re-evaluate") },
	} {
		t.Run(name, func(t *testing.T) {
			before := newestRun(tw, pr)
			tw.must(press(before.ID))
			tw.settled()
			after := newestRun(tw, pr)
			if after.ID != before.ID || after.Updates <= before.Updates || after.Status != "in_progress" {
				t.Errorf("the run was %+v and is %+v", before, after)
			}
		})
	}
}

func TestMergeQueue(t *testing.T) {
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "bob", "APPROVE")
	group, err := pr.Enqueue(tw.github.User("ann"))
	tw.must(err)
	tw.settled()
	if state := group.Try(); state != "merged" {
		t.Errorf("the approved entry is %s, its checks are %+v", state, tw.shop.CheckRuns(group.HeadSHA()))
	}
	t.Run("a call that fails does not throw an entry out", func(t *testing.T) {
		failing := tw.opened("ann", "search-3", searchFilesWith("three"))
		tw.review(failing, "bob", "APPROVE")
		tw.github.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile(`/files$`), Status: http.StatusBadGateway, Times: 1})
		entry, err := failing.Enqueue(tw.github.User("ann"))
		tw.must(err)
		tw.settled()
		if state := entry.Try(); state != "merged" {
			t.Errorf("the entry is %s, its checks are %+v", state, tw.shop.CheckRuns(entry.HeadSHA()))
		}
	})
	other := tw.opened("ann", "search-2", searchFilesWith("two"))
	tw.review(other, "bob", "APPROVE")
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(d githubsim.Delivery) bool { return d.Event == "merge_group" }})
	late, err := other.Enqueue(tw.github.User("ann"))
	tw.must(err)
	tw.comment(other, "bob", "/reject stop")
	tw.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
	tw.github.ReleaseHeld(nil)
	tw.settled()
	if state := late.Try(); state != "dequeued" {
		t.Errorf("the rejected entry is %s, its checks are %+v", state, tw.shop.CheckRuns(late.HeadSHA()))
	}
}

func TestPolicyIsReadFromTheBaseBranch(t *testing.T) {
	tw := newTestWorld(t)
	lax := "version: 1\ntiers:\n  peer-review: {approvals: 1, from: {permission: triage}}\n"
	pr := tw.opened("ann", "lax", map[string]string{".github/portcullis.yml": lax})
	tw.wantCheck(pr, "in_progress: security-review: 2 approvals from acme/security")
}

func TestBrokenPolicyCloses(t *testing.T) {
	tw := newTestWorld(t)
	tw.shop.SetFiles("main", map[string]string{".github/portcullis.yml": "version: 1\ntires: {}\n"})
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.wantCheck(pr, "failure: the policy cannot be used: .github/portcullis.yml:2:1: ")
	tw.wantMerge(pr, false)
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, false)

	repair := tw.opened("ann", "repair", map[string]string{".github/portcullis.yml": demoPolicy})
	tw.wantCheck(repair, "in_progress: security-review: 2 approvals from anyone with maintain")
	for _, login := range []string{"sam", "sue"} {
		tw.shop.SetRole(tw.github.User(login), "maintain")
		tw.review(repair, login, "APPROVE")
	}
	tw.wantMerge(repair, true)
	tw.must(repair.Merge(tw.github.User("ann")))
	tw.settled()
	tw.comment(pr, "ann", "/tier")
	tw.wantCheck(pr, "success: auto")
}

func TestForks(t *testing.T) {
	tw := newTestWorld(t)
	eve := tw.github.CreateUser("eve")
	fork := tw.shop.Fork(eve)
	_, err := fork.Push(eve, "typo", githubsim.Commit{Message: "typo", Files: map[string]string{"README.md": "# Shop\n"}})
	tw.must(err)
	pr, err := tw.shop.Open(eve, githubsim.PullRequestSpec{Title: "Typo", Head: "eve:typo", Base: "main"})
	tw.must(err)
	tw.settled()
	tw.wantCheck(pr, "success: auto")
	tw.must(tw.shop.RerequestCheckRun(tw.github.User("bob"), newestRun(tw, pr).ID))
	tw.settled()
	tw.wantCheck(pr, "success: auto")
	_, err = fork.Push(eve, "typo", githubsim.Commit{Message: "more", Files: map[string]string{"auth/x.go": "package auth\n"}})
	tw.must(err)
	tw.settled()
	tw.wantMerge(pr, false)
}

func TestMoreThanOnePage(t *testing.T) {
	tw := newTestWorld(t)
	files := map[string]string{}
	for i := range 101 {
		files[fmt.Sprintf("catalogue/%03d.go", i)] = "package catalogue\n"
	}
	// The last page holds the only file that matters.
	files["zz/auth/x.go"] = "package auth\n"
	pr := tw.opened("ann", "many", files)
	tw.wantCheck(pr, "in_progress: security-review")
}
