package handlers

import (
	"context"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// issueCommentEvent is a comment in the conversation of a pull request.
type issueCommentEvent struct{ *Door }

func (issueCommentEvent) Handles() []string { return []string{"issue_comment"} }

// concerns keeps new comments that hold a command or call somebody, which may be
// an agent, and every edit and deletion: what they take back may have been one.
func (issueCommentEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	e, err := parse[github.IssueCommentEvent](payload)
	if err != nil {
		return policy.PullRequestRef{}, ignored, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetIssue().GetNumber())
	if err != nil || !e.GetIssue().IsPullRequest() {
		return ref, ignored, err
	}
	switch e.GetAction() {
	case "created":
		body := e.GetComment().GetBody()
		return ref, onlyIf(holdsCommands(body) || strings.Contains(body, "@")), nil
	case "edited", "deleted":
		return ref, gate.UrgencyPeople, nil
	default:
		return ref, ignored, nil
	}
}

// take records the votes of a new comment. An edited one never commands, since
// anybody with write access can edit what somebody else wrote; it withdraws what
// it carried.
func (d issueCommentEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	e, err := parse[github.IssueCommentEvent](payload)
	if err != nil {
		return nil, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetIssue().GetNumber())
	if err != nil {
		return nil, err
	}
	text := gate.CommentText(e.GetComment().GetID())
	if e.GetAction() != "created" {
		held := holdsCommands(e.GetComment().GetBody()) || holdsCommands(e.GetChanges().GetBody().GetFrom())
		return nil, d.config.Gate.WithdrawText(ctx, ref, text, held, actor(e.GetSender()))
	}
	return d.obey(ctx, said(ref, e))
}

// said is what a comment says.
func said(ref policy.PullRequestRef, e *github.IssueCommentEvent) speech {
	return speech{about: ref, comment: e.GetComment().GetID(), Said: gate.Said{
		Text: gate.CommentText(e.GetComment().GetID()), By: actor(e.GetComment().GetUser()), Body: e.GetComment().GetBody(),
		At: e.GetComment().GetCreatedAt().UTC(),
	}}
}

func (d issueCommentEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	return d.ordersFor(payload, d.ordered)
}

func (d issueCommentEvent) order(ctx context.Context, payload []byte, heardAt time.Time) (SwitchAnswer, error) {
	s, orders, err := d.ordered(payload, heardAt)
	if err != nil || len(orders) == 0 {
		return nil, err
	}
	return d.obeyOrders(ctx, s, orders)
}

// ordered are the orders of a new comment, on an issue or on a pull request.
func (d issueCommentEvent) ordered(payload []byte, heardAt time.Time) (speech, map[int]killswitch.Order, error) {
	e, err := parse[github.IssueCommentEvent](payload)
	if err != nil || e.GetAction() != "created" {
		return speech{}, nil, err
	}
	ref, err := pullRequestRef(e.Repo, e.Installation, e.GetIssue().GetNumber())
	if err != nil {
		return speech{}, nil, err
	}
	s := said(ref, e)
	return s, d.orders(s, killswitch.Order{PullRequest: e.GetIssue().IsPullRequest(), HeardAt: heardAt, Branch: e.GetRepo().GetDefaultBranch()}), nil
}
