package githubapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// maxReply is how many characters of a reply are posted: GitHub takes 65,536, and
// the mark comes after them.
const maxReply = 60000

// React puts a reaction on a comment; a second one of the same kind changes
// nothing, and neither does one on a comment that was deleted.
func (c *Client) React(ctx context.Context, repository policy.Repository, commentID int64, reaction string) error {
	client, err := c.rest(repository)
	if err != nil {
		return err
	}
	_, _, err = client.Reactions.CreateIssueCommentReaction(ctx, repository.Owner, repository.Name, commentID, reaction)
	if isNotFound(err) {
		return nil
	}
	return failed(err, "react to comment %d of %s", commentID, repository)
}

// Reply comments on a pull request, once for each key: a hidden mark in the
// comment tells whether the reply was given already. since is when what is
// replied to was written, by GitHub's clock.
func (c *Client) Reply(ctx context.Context, ref policy.PullRequestRef, key string, since time.Time, body string) error {
	client, err := c.rest(ref.Repository)
	if err != nil {
		return err
	}
	mark := fmt.Sprintf("<!-- portcullis reply %s -->", key)
	owner, name := ref.Repository.Owner, ref.Repository.Name
	comments, err := pages(ctx, func(ctx context.Context, page *github.ListOptions) ([]*github.IssueComment, *github.Response, error) {
		return client.Issues.ListComments(ctx, owner, name, ref.Number, &github.IssueListCommentsOptions{Since: &since, ListOptions: *page})
	})
	if err != nil {
		return failed(err, "list the comments of %s", ref)
	}
	for _, comment := range comments {
		// What a comment of ours repeats of others is before its mark.
		if !strings.HasSuffix(strings.TrimSpace(comment.GetBody()), mark) || comment.GetUser().GetType() != string(policy.KindBot) {
			continue
		}
		self, err := c.Self(ctx)
		if err != nil {
			return err
		}
		if strings.EqualFold(comment.GetUser().GetLogin(), self) {
			return nil
		}
	}
	if runes := []rune(body); len(runes) > maxReply {
		body = string(runes[:maxReply]) + "…"
	}
	text := body + "\n\n" + mark
	_, _, err = client.Issues.CreateComment(ctx, owner, name, ref.Number, &github.IssueComment{Body: &text})
	return failed(err, "reply on %s", ref)
}
