package app

import (
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// The tests whose names begin with TestAttack are the attacks and faults that
// beat the gate that came before this one, by the numbers under which they were
// written down. Each has a control: the same without the attack is let through,
// so that a gate which refuses everything would fail here too.

// unreviewed is a change that nobody has reviewed.
var unreviewed = map[string]string{"catalogue/unreviewed.go": "package catalogue\n\nfunc init() { panic(1) }\n"}

// TestAttack01CommitPushedElsewhereFirst puts the commit that nobody reviewed in
// the repository before the approval, on a branch with a pull request of its own,
// so that GitHub and the gate have known it for long; and then into the pull
// request that was approved.
func TestAttack01CommitPushedElsewhereFirst(t *testing.T) {
	t.Parallel()
	for _, onPush := range []string{"dismiss", "keep-if-unchanged"} {
		for name, opened := range map[string]bool{"on a branch": false, "in a pull request of its own": true} {
			t.Run(onPush+" "+name, func(t *testing.T) {
				tw := newTestWorld(t)
				tw.set(demoPolicy + "approval: {on_push: " + onPush + "}\n")
				ann := tw.github.User("ann")
				pr := tw.opened("ann", "search", searchFiles())
				_, err := tw.shop.Push(ann, "staged")
				tw.must(err)
				staged, err := tw.shop.ForcePush(ann, "staged", pr.HeadSHA(), githubsim.Commit{Message: "staged", Files: unreviewed})
				tw.must(err)
				if opened {
					_, err := tw.shop.Open(ann, githubsim.PullRequestSpec{Title: "Staged", Head: "staged", Base: "main"})
					tw.must(err)
				}
				tw.settled()
				tw.review(pr, "bob", "APPROVE")
				tw.wantMerge(pr, true)

				_, err = tw.shop.ForcePush(ann, "search", staged)
				tw.must(err)
				tw.wantMerge(pr, false)
				tw.settled()
				tw.wantCheck(pr, waitingForPeer)
				tw.wantMerge(pr, false)

				tw.must(tw.shop.DeleteBranch(ann, "staged"))
				tw.settled()
				tw.review(pr, "bob", "APPROVE")
				tw.wantMerge(pr, true)
			})
		}
	}
}

// TestAttack02ReviewOfAnOldCommit submits a review of the first commit after the
// second was pushed: it is about what was reviewed, whenever it arrives.
func TestAttack02ReviewOfAnOldCommit(t *testing.T) {
	t.Parallel()
	for name, approve := range map[string]func(tw *testWorld, pr *githubsim.PullRequest, commit string) error{
		"by review": func(tw *testWorld, pr *githubsim.PullRequest, commit string) error {
			_, err := pr.ReviewAt(tw.github.User("bob"), "APPROVE", "", commit)
			return err
		},
		"by command": func(tw *testWorld, pr *githubsim.PullRequest, commit string) error {
			_, err := pr.Comment(tw.github.User("bob"), "/approve "+commit)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			pr := tw.opened("ann", "search", searchFiles())
			reviewed := pr.HeadSHA()
			tw.push("search", unreviewed)
			tw.must(approve(tw, pr, reviewed))
			tw.settled()
			tw.wantCheck(pr, waitingForPeer)
			tw.wantMerge(pr, false)
			if text := newestRun(tw, pr).Summary; !strings.Contains(text, "given for "+reviewed[:7]) {
				t.Errorf("the check does not say what the approval was given for: %s", text)
			}
			tw.must(approve(tw, pr, pr.HeadSHA()))
			tw.settled()
			tw.wantMerge(pr, true)
		})
	}
}

// TestAttack03CommitterBehindAMerge brings bob's commit in through the second
// parent of a merge, and of a merge of a merge: he does not approve his own work.
func TestAttack03CommitterBehindAMerge(t *testing.T) {
	t.Parallel()
	for name, merges := range map[string]int{"a merge": 1, "a merge of a merge": 2} {
		for how, join := range map[string]func(sha string) githubsim.Commit{
			"with its changes":    func(sha string) githubsim.Commit { return githubsim.Commit{Message: "merge", MergeOf: sha} },
			"without its changes": func(sha string) githubsim.Commit { return githubsim.Commit{Message: "merge", Parents: []string{sha}} },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				tw := newTestWorld(t)
				pr := tw.opened("ann", "search", searchFiles())
				bob, ann := tw.github.User("bob"), tw.github.User("ann")
				side, err := tw.shop.Push(bob, "side", githubsim.Commit{Message: "side", Files: unreviewed})
				tw.must(err)
				if merges == 2 {
					side, err = tw.shop.Push(ann, "between", githubsim.Commit{Message: "merge", MergeOf: side})
					tw.must(err)
				}
				_, err = tw.shop.Push(ann, "search", join(side))
				tw.must(err)
				tw.settled()
				tw.review(pr, "bob", "APPROVE")
				tw.wantCheck(pr, waitingForPeer)
				tw.wantMerge(pr, false)
				if text := newestRun(tw, pr).Summary; !strings.Contains(text, "bob committed to it") {
					t.Errorf("the check does not say why bob does not count: %s", text)
				}
				tw.review(pr, "lee", "APPROVE")
				tw.wantMerge(pr, true)
			})
		}
	}
}

// TestAttack04NobodysAddress commits under an e-mail address that belongs to no
// account: such a change is not merged without a person, and whoever pushed it
// does not approve it, whatever the commit says.
func TestAttack04NobodysAddress(t *testing.T) {
	t.Parallel()
	t.Run("the automatic tier", func(t *testing.T) {
		tw := newTestWorld(t)
		pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
		tw.wantCheck(pr, "success: auto")
		_, err := tw.shop.Push(tw.github.User("ann"), "typo", githubsim.Commit{
			Message: "more", Files: map[string]string{"README.md": "# The shop\n"}, UnmappedEmail: "someone@elsewhere.example",
		})
		tw.must(err)
		tw.settled()
		tw.wantCheck(pr, waitingForPeer)
		tw.wantMerge(pr, false)
		tw.review(pr, "bob", "APPROVE")
		tw.wantMerge(pr, true)
	})
	for name, disguised := range map[string]githubsim.Commit{
		"nobody's address":        {UnmappedEmail: "bob@elsewhere.example"},
		"somebody else's address": {AuthorEmail: "ann@users.noreply.github.com", CommitterEmail: "ann@users.noreply.github.com"},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			pr := tw.opened("ann", "search", searchFiles())
			disguised.Message, disguised.Files = "more", unreviewed
			_, err := tw.shop.Push(tw.github.User("bob"), "search", disguised)
			tw.must(err)
			tw.settled()
			tw.review(pr, "bob", "APPROVE")
			tw.wantCheck(pr, waitingForPeer)
			tw.wantMerge(pr, false)
			if text := newestRun(tw, pr).Summary; !strings.Contains(text, "bob pushed to it") {
				t.Errorf("the check does not say why bob does not count: %s", text)
			}
			tw.review(pr, "lee", "APPROVE")
			tw.wantMerge(pr, true)
		})
	}
}

// TestAttack05ApprovalBehindARejection approves, comments, and then requests
// changes: the last review that says anything decides, and dismissing it does not
// bring an older one back.
func TestAttack05ApprovalBehindARejection(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, true)
	tw.review(pr, "bob", "COMMENT")
	tw.wantMerge(pr, true)
	no := tw.review(pr, "bob", "REQUEST_CHANGES")
	tw.wantCheck(pr, "failure: rejected by bob")
	tw.wantMerge(pr, false)
	tw.must(pr.DismissReview(tw.github.User("lee"), no.ID, "settled"))
	tw.settled()
	tw.wantCheck(pr, waitingForPeer)
	tw.wantMerge(pr, false)
	tw.review(pr, "bob", "APPROVE")
	tw.wantMerge(pr, true)
}

// TestAttack06ApprovalInPassing writes the words of an approval where they are
// none.
func TestAttack06ApprovalInPassing(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	pr := tw.opened("ann", "search", searchFiles())
	for name, body := range map[string]string{
		"a quote":              "> please give it a /approve\n> /approve\n\nNo.",
		"a lazy quote":         "> she said\n/approve",
		"code":                 "```\n/approve\n```",
		"indented code":        "    /approve",
		"code in a line":       "`/approve`",
		"a comment in HTML":    "<!--\n/approve\n-->",
		"folded away":          "<details>\n/approve\n</details>",
		"in a sentence":        "I would not /approve this",
		"another word":         "/approved",
		"with a reservation":   "/approve if the tests pass",
		"an emoji":             ":+1: 👍 LGTM",
		"an item of a list":    "- /approve",
		"a struck line":        "~~/approve~~",
		"a link":               "[/approve](https://example.com)",
		"behind no-break room": "\u00a0/approve",
	} {
		t.Run(name, func(t *testing.T) {
			tw := *tw
			tw.report = t
			tw.comment(pr, "bob", body)
			tw.wantMerge(pr, false)
		})
	}
	tw.comment(pr, "bob", "Fine with me.\n\n/approve")
	tw.wantMerge(pr, true)
}

// TestAttack09VetoLiftedByItsTarget lets the author, who may do everything in the
// repository, try to get rid of a rejection.
func TestAttack09VetoLiftedByItsTarget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reject func(tw *testWorld, pr *githubsim.PullRequest) (lift func(by string) error)
	}{
		"dismisses the review": {func(tw *testWorld, pr *githubsim.PullRequest) func(string) error {
			no := tw.review(pr, "bob", "REQUEST_CHANGES")
			return func(by string) error { return pr.DismissReview(tw.github.User(by), no.ID, "no") }
		}},
		"deletes the comment": {func(tw *testWorld, pr *githubsim.PullRequest) func(string) error {
			no := tw.comment(pr, "bob", "/reject no")
			return func(by string) error { return pr.DeleteComment(tw.github.User(by), no.ID) }
		}},
		"edits the comment": {func(tw *testWorld, pr *githubsim.PullRequest) func(string) error {
			no := tw.comment(pr, "bob", "/reject no")
			return func(by string) error { return pr.EditComment(tw.github.User(by), no.ID, "/approve") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			tw.shop.SetRole(tw.github.User("ann"), "admin")
			tw.shop.SetRole(tw.github.User("lee"), "admin")
			pr := tw.opened("ann", "search", searchFiles())
			lift := c.reject(tw, pr)
			for _, body := range []string{"/unapprove", "/approve", "/reject never mind"} {
				tw.comment(pr, "ann", body)
			}
			tw.comment(pr, "ann", "/unapprove")
			tw.must(lift("ann"))
			tw.settled()
			tw.comment(pr, "lee", "/tier")
			tw.wantCheck(pr, "failure: rejected by bob")
			tw.wantMerge(pr, false)

			again := c.reject(tw, pr)
			tw.must(again("lee"))
			tw.settled()
			tw.review(pr, "lee", "APPROVE")
			tw.wantCheck(pr, "success: peer-review: approved by lee")
		})
	}
}

// TestAttack10CommentEditedByAnother lets somebody who may edit what others wrote
// make an approval of it, with a policy that gives nothing but defaults.
func TestAttack10CommentEditedByAnother(t *testing.T) {
	t.Parallel()
	tw := newTestWorld(t)
	tw.set("version: 1\n")
	for _, login := range []string{"ann", "lee"} {
		tw.shop.SetRole(tw.github.User(login), "admin")
	}
	pr := tw.opened("ann", "search", searchFiles())
	for _, by := range []string{"ann", "lee", "bob"} {
		words := tw.comment(pr, "bob", "This looks bad.")
		tw.must(pr.EditComment(tw.github.User(by), words.ID, "/approve"))
		tw.settled()
		tw.wantMerge(pr, false)
	}
	approval := tw.comment(pr, "bob", "/approve")
	tw.wantMerge(pr, true)
	tw.must(pr.EditComment(tw.github.User("ann"), approval.ID, "/approve "+pr.HeadSHA()))
	tw.settled()
	tw.wantMerge(pr, false)
}

// TestAttack16LoginTakenOver gives somebody else the login that the policy, or a
// vote, was given under.
func TestAttack16LoginTakenOver(t *testing.T) {
	t.Parallel()
	named := strings.Replace(demoPolicy, "from: {permission: write}", "from: {users: [BOB]}", 1)
	for name, c := range map[string]struct {
		policy string
		vote   func(*testWorld, *githubsim.PullRequest)
		// counts says whether the approval by the person who had the login counts.
		counts bool
	}{
		"by permission, by review":  {demoPolicy, func(tw *testWorld, pr *githubsim.PullRequest) { tw.review(pr, "bob", "APPROVE") }, true},
		"by permission, by comment": {demoPolicy, func(tw *testWorld, pr *githubsim.PullRequest) { tw.comment(pr, "bob", "/approve") }, true},
		"by name, by review":        {named, func(tw *testWorld, pr *githubsim.PullRequest) { tw.review(pr, "bob", "APPROVE") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			tw := newTestWorld(t)
			tw.set(c.policy)
			pr := tw.opened("ann", "search", searchFiles())
			bob := tw.github.User("bob")
			c.vote(tw, pr)
			tw.wantMerge(pr, true)

			// The person is another one now; what the name's new owner may do is nothing.
			bob.Rename("robert")
			tw.github.CreateUser("bob")
			tw.comment(pr, "lee", "/tier")
			tw.wantMerge(pr, c.counts)

			tw.shop.SetRole(bob, "read")
			tw.shop.SetRole(tw.github.User("bob"), "write")
			tw.comment(pr, "lee", "/tier")
			tw.wantMerge(pr, false)
		})
	}
}
