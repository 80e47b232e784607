package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// sandboxScene is a policy that has what agents make run in a sandbox.
func (n *narrator) sandboxScene() string {
	return demoPolicy + fmt.Sprintf("sandbox:\n  provider: docker\n  image: %q\n  start: agents\n  constraints: {memory_mb: 256, network: none, timeout: 10m}\n", n.image)
}

// sandbox is the chapter in which what an agent made is run where it can do no harm.
func (n *narrator) sandbox() chapter {
	return chapter{
		title: "What an agent made runs in a sandbox, until somebody stops it", scene: n.sandboxScene(),
		opens: opening{"claude[bot]", "claude/welcome", "Welcome people", map[string]string{"README.md": "# Shop\n\nCome in.\n"}},
		steps: []step{
			{
				says:  "claude[bot] changes the README. By the policy it runs in a sandbox, but not before a person has looked at it.",
				check: "in_progress", title: "peer-review: 1 more approval", box: "none",
				merge: merge{allowed: false},
			},
			{
				says:  "bob approves. A sandbox is started, with the files of the pull request and without a network.",
				does:  n.comment("bob", "/approve"),
				check: "success", title: "peer-review: approved by bob", reply: "runs on docker with the files of", box: "running until",
				merge: merge{allowed: true},
			},
			{
				says:  "bob runs a command in it: /sandbox exec ID portcullis policy check .github/portcullis.yml",
				does:  n.inSandbox("bob", "portcullis policy check .github/portcullis.yml"),
				check: "success", reply: "`portcullis policy check .github/portcullis.yml` ended with exit code 0", box: "running until",
				merge: merge{allowed: true},
			},
			{
				says:  "lee puts the label killswitch on the pull request. What runs is gone.",
				does:  n.label("lee"),
				check: "failure", title: "stopped (acme/shop#", box: "none",
				merge: merge{by: "bob", allowed: false},
			},
		},
	}
}

// boxes are the sandboxes of the pull request that the story is about.
func (n *narrator) boxes(ctx context.Context) string {
	there, err := n.world.server.sandboxes.List(ctx, killswitch.PullRequest(policy.PullRequestRef{
		Repository: policy.Repository{ID: n.world.shop.ID(), Owner: "acme", Name: "shop"}, Number: n.pr.Number(),
	}))
	if err != nil {
		return err.Error()
	}
	if len(there) == 0 {
		return "none"
	}
	return fmt.Sprintf("%s until %s", there[0].Status, moment(there[0].Deadline))
}

// inSandbox has a command run in the sandbox that was started last.
func (n *narrator) inSandbox(login, command string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, rest, _ := strings.Cut(n.lastReply(), "The sandbox `")
		id, _, _ := strings.Cut(rest, "`") // empty if none was started: then what follows is not as told
		return n.comment(login, "/sandbox exec "+id+" "+command)(ctx)
	}
}

func (n *narrator) label(login string) func(context.Context) error {
	return func(context.Context) error { return n.pr.AddLabel(n.world.github.User(login), "killswitch") }
}
