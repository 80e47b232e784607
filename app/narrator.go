package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// narrator plays a story in a world and tells after each step what GitHub shows.
type narrator struct {
	world *world
	out   io.Writer
	// pr is the pull request that the story is about at the moment.
	pr *githubsim.PullRequest
	// issue carries the kill switch; nil: replies are looked for on the pull request.
	issue *githubsim.Issue
	// image is what runs in sandboxes.
	image string
	// deploy is the job that the story is about at the moment; nil: there is none.
	deploy *deploy
	failed int
	told   int
}

// step is one thing that somebody does, and what GitHub must show afterwards.
type step struct {
	says string
	does func(context.Context) error
	// check is "success", "in_progress" or "failure"; title begins the check's title.
	check string
	title string
	// reply must occur in Portcullis' last comment, if it is not empty.
	reply string
	// job begins what is seen of the job of the chapter, if there is one.
	job string
	// box begins what is seen of the pull request's sandbox, if it is not empty.
	box string
	// merge is what the person who presses Merge gets.
	merge merge
}

// merge says who presses Merge after a step and whether GitHub lets them. The
// zero value: nobody presses, but the merge box must refuse.
type merge struct {
	by      string
	allowed bool
}

// storyTimeout bounds one step.
const storyTimeout = 30 * time.Second

// errStory is returned when a step did not end as told.
var errStory = errors.New("the story did not go as told")

func newNarrator(w *world, out io.Writer, image string) *narrator {
	return &narrator{world: w, out: out, image: image}
}

// tell plays the story. The error is nil only if every step ended as told.
func (n *narrator) tell(ctx context.Context) error {
	for _, chapter := range n.story() {
		n.say("\n%s", chapter.title)
		n.issue = nil
		n.world.set(chapter.scene)
		chapter.steps[0].does = n.open(chapter.opens.login, chapter.opens.branch, chapter.opens.title, chapter.opens.files)
		for _, s := range chapter.steps {
			if err := n.play(ctx, s); err != nil {
				return err
			}
		}
	}
	if n.failed > 0 {
		n.say("\n%d of %d steps did not end as told.", n.failed, n.told)
		return errStory
	}
	n.say("\nAll %d steps ended as told.", n.told)
	return nil
}

func (n *narrator) say(format string, args ...any) { _, _ = fmt.Fprintf(n.out, format+"\n", args...) }

func (n *narrator) play(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeout(ctx, storyTimeout)
	defer cancel()
	n.told++
	n.say("\n%2d. %s", n.told, s.says)
	if err := s.does(ctx); err != nil {
		return fmt.Errorf("step %d, %s: %w", n.told, s.says, err)
	}
	if err := n.world.settle(ctx); err != nil {
		return fmt.Errorf("step %d, %s: %w", n.told, s.says, err)
	}
	n.observe(ctx, s)
	return nil
}

// observe tells what GitHub shows and holds it against what was expected.
func (n *narrator) observe(ctx context.Context, s step) {
	check := n.check()
	shown := check.Conclusion
	if shown == "" {
		shown = check.Status
	}
	n.expect("check", fmt.Sprintf("%-11s %s", shown, check.Title), shown == s.check && strings.HasPrefix(check.Title, s.title), s.check+" "+s.title)
	if s.reply != "" {
		reply := n.lastReply()
		n.expect("reply", reply, strings.Contains(reply, s.reply), s.reply)
	}
	if s.job != "" {
		shown := n.deploy.seen()
		n.expect("job", shown, strings.HasPrefix(shown, s.job), s.job)
	}
	if s.box != "" {
		shown := n.boxes(ctx)
		n.expect("box", shown, strings.HasPrefix(shown, s.box), s.box)
	}
	box := n.pr.Mergeability(n.world.github.User("ann"))
	n.expect("merge", mergeBox(box), box.Allowed == s.merge.allowed, fmt.Sprintf("allowed: %t", s.merge.allowed))
	if s.merge.by != "" {
		n.press(s.merge)
	}
}

// press presses Merge: what GitHub does then is what counts.
func (n *narrator) press(m merge) {
	err := n.pr.Merge(n.world.github.User(m.by))
	var refusal *githubsim.Refusal
	switch {
	case err == nil:
		n.expect(m.by, "presses Merge: merged", m.allowed, "refused")
	case errors.As(err, &refusal):
		n.expect(m.by, fmt.Sprintf("presses Merge: GitHub answers %d, %s", refusal.Status, refusal.Message), !m.allowed, "merged")
	default:
		n.expect(m.by, "presses Merge: "+err.Error(), false, "an answer by GitHub")
	}
}

func (n *narrator) expect(what, shown string, asTold bool, told string) {
	n.say("      %-6s %s", what, shown)
	if !asTold {
		n.failed++
		n.say("      NOT AS TOLD, expected: %s", told)
	}
}

// check is the newest run of the required check on the head; zero if there is
// none.
func (n *narrator) check() githubsim.CheckRun {
	for _, run := range n.pr.Repository().CheckRuns(n.pr.HeadSHA()) {
		if run.Name == "portcullis" {
			return run
		}
	}
	return githubsim.CheckRun{Status: "absent"}
}

// lastReply is the last comment by Portcullis, its first line.
func (n *narrator) lastReply() string {
	comments := n.pr.Comments()
	if n.issue != nil {
		comments = n.issue.Comments()
	}
	for _, comment := range slices.Backward(comments) {
		if comment.User == n.world.hook.BotLogin() {
			line, _, _ := strings.Cut(comment.Body, "\n")
			return line
		}
	}
	return "none"
}

func mergeBox(m githubsim.Mergeability) string {
	if m.Allowed {
		return "allowed"
	}
	return "refused: " + strings.Join(m.Reasons, " ")
}

// open returns an act: the person pushes the files to a new branch and opens a
// pull request for it.
func (n *narrator) open(login, branch, title string, files map[string]string) func(context.Context) error {
	return func(context.Context) error {
		person := n.world.github.User(login)
		if _, err := n.world.shop.Push(person, branch, githubsim.Commit{Message: title, Files: files}); err != nil {
			return err
		}
		pr, err := n.world.shop.Open(person, githubsim.PullRequestSpec{Title: title, Head: branch, Base: "main"})
		n.pr = pr
		return err
	}
}

func (n *narrator) push(login, branch, message string, files map[string]string) func(context.Context) error {
	return func(context.Context) error {
		_, err := n.world.shop.Push(n.world.github.User(login), branch, githubsim.Commit{Message: message, Files: files})
		return err
	}
}

func (n *narrator) comment(login, body string) func(context.Context) error {
	return func(context.Context) error {
		_, err := n.pr.Comment(n.world.github.User(login), body)
		return err
	}
}

func (n *narrator) approve(login, body string) func(context.Context) error {
	return func(context.Context) error {
		_, err := n.pr.Review(n.world.github.User(login), "APPROVE", body)
		return err
	}
}

// halt returns an act: the person opens an issue in the organization's repository,
// with the label that is the kill switch.
func (n *narrator) halt(login, title string) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		floor := n.world.acme.CreateRepository(".github", map[string]string{"README.md": "# Acme\n", n.world.config().Policy.Path: demoFloor})
		floor.SetRole(n.world.github.User(login), "triage")
		if err := n.world.settle(ctx); err != nil {
			return err
		}
		n.issue, err = floor.OpenIssue(n.world.github.User(login), title, "Stop everything, please.", "killswitch")
		return err
	}
}

func (n *narrator) unlabel(login string) func(context.Context) error {
	return func(context.Context) error { return n.issue.RemoveLabel(n.world.github.User(login), "killswitch") }
}

func (n *narrator) commentOnIssue(login, body string) func(context.Context) error {
	return func(context.Context) error {
		_, err := n.issue.Comment(n.world.github.User(login), body)
		return err
	}
}

// mend returns an act: the policy on the default branch is what it was, and the
// person presses Re-evaluate.
func (n *narrator) mend(login string) func(context.Context) error {
	return func(context.Context) error {
		n.world.set(demoPolicy)
		for _, button := range n.check().Actions {
			return n.world.shop.RequestAction(n.world.github.User(login), n.check().ID, button)
		}
		return nil // without a check there is no button, and what is shown next is not as told
	}
}
