package handlers

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// issueCommentEvent is a comment in the conversation of a pull request.
type issueCommentEvent struct{ *Door }

func (issueCommentEvent) Handles() []string { return []string{"issue_comment"} }

// concerns keeps new comments that hold a command, and every edit and deletion:
// what they take back may have been a command.
func (issueCommentEvent) concerns(payload []byte) (policy.PullRequestRef, bool, error) {
	e, err := parse[github.IssueCommentEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, false, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetIssue().GetNumber())
	if err != nil || !e.GetIssue().IsPullRequest() {
		return ref, false, err
	}
	switch e.GetAction() {
	case "created":
		return ref, holdsCommands(e.GetComment().GetBody()), nil
	case "edited", "deleted":
		return ref, true, nil
	default:
		return ref, false, nil
	}
}

// Handle obeys a new comment. An edited one never commands, since anybody with
// write access can edit what somebody else wrote; it withdraws what it carried.
func (d issueCommentEvent) Handle(ctx context.Context, _, _ string, payload []byte) error {
	e, err := parse[github.IssueCommentEvent](payload)
	if err != nil {
		return err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetIssue().GetNumber())
	if err != nil {
		return err
	}
	text := gate.CommentText(e.GetComment().GetID())
	if e.GetAction() != "created" {
		held := holdsCommands(e.GetComment().GetBody()) || holdsCommands(e.GetChanges().GetBody().GetFrom())
		return d.config.Gate.WithdrawText(ctx, ref, text, held, actor(e.GetSender()))
	}
	return d.obey(ctx, speech{
		about: ref, by: actor(e.GetComment().GetUser()), text: text, body: e.GetComment().GetBody(),
		at: e.GetComment().GetCreatedAt().UTC(), comment: e.GetComment().GetID(),
	})
}
