package githubsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

func issueRoutes() []route {
	const at = "repos/{owner}/{repo}/issues"
	read, write := needs("issues=read; pull_requests=read"), needs("issues=write; pull_requests=write")
	return []route{
		endpoint("GET "+at, serveIssues, read),
		endpoint("POST "+at, serveNewIssue, needs("issues=write")),
		endpoint("GET "+at+"/comments/{id}", serveComment, read),
		endpoint("PATCH "+at+"/comments/{id}", serveEditComment, write),
		endpoint("DELETE "+at+"/comments/{id}", serveDeleteComment, write),
		endpoint("GET "+at+"/comments/{id}/reactions", serveReactions, read),
		endpoint("POST "+at+"/comments/{id}/reactions", serveNewReaction, write),
		endpoint("GET "+at+"/{number}", serveIssue, read),
		endpoint("PATCH "+at+"/{number}", serveEditIssue, write),
		endpoint("GET "+at+"/{number}/comments", serveComments, read),
		endpoint("POST "+at+"/{number}/comments", serveNewComment, write),
		endpoint("GET "+at+"/{number}/labels", serveThreadLabels, read),
		endpoint("GET "+at+"/{number}/events", serveThreadEvents, read),
		endpoint("GET "+at+"/{number}/timeline", serveTimeline, read),
		endpoint("POST "+at+"/{number}/labels", serveAddLabels, write),
		endpoint("DELETE "+at+"/{number}/labels/{name...}", serveRemoveLabel, write),
	}
}

func (c *call) thread() (*thread, error) {
	number := int(parseID(c.params["number"]))
	t := c.repo.threads[number]
	if t == nil {
		return nil, c.movedOn(number)
	}
	return t, nil
}

// serveIssues lists issues and pull requests, as GitHub does, by state and labels (all of them).
func serveIssues(c *call) error {
	var list []*thread
	for _, t := range c.repo.threads {
		wanted := c.wantsState(t.state)
		for name := range strings.SplitSeq(c.query.Get("labels"), ",") {
			wanted = wanted && (name == "" || t.labelNamed(name) != nil)
		}
		if wanted {
			list = append(list, t)
		}
	}
	byCreation(list, func(t *thread) int64 { return int64(t.number) })
	if c.newestFirst() {
		slices.Reverse(list)
	}
	return replyList(c, list, (*thread).json)
}

func serveNewIssue(c *call) error {
	var body struct {
		Title, Body string
		Labels      []string
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	made, err := c.repo.openIssue(c.actor, body.Title, body.Body, body.Labels)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, made.json())
}

func serveIssue(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	return c.replyUnlessOld(t.updated, t.json())
}

func serveEditIssue(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	var body struct{ Title, Body, State *string }
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := t.editIssue(c.actor, body.Title, body.Body); err != nil {
		return err
	}
	if body.State != nil {
		if err := t.changeState(c.actor, *body.State); err != nil {
			return err
		}
	}
	return c.reply(http.StatusOK, t.json())
}

// editIssue changes title and body of either kind of thread.
func (t *thread) editIssue(a actor, title, body *string) error {
	if t.pull != nil {
		return t.pull.edit(a, title, body)
	}
	if (title != nil || body != nil) && t.repo.roleOf(a) < roleWrite && a.user != t.author {
		return refuse(http.StatusForbidden, "You do not have permission to edit this issue.")
	}
	changes, was := obj{}, t.title
	if title != nil && *title != t.title {
		changes["title"] = obj{"from": t.title}
		t.title = *title
	}
	if body != nil && *body != t.body {
		changes["body"] = obj{"from": t.body}
		t.body = *body
	}
	if len(changes) == 0 {
		return nil
	}
	t.touch()
	if changes["title"] != nil {
		t.record(a, timelineEntry{event: "renamed", from: was, to: t.title})
	}
	if changes["body"] != nil {
		t.edited = edit{a.user, t.updated}
	}
	t.emit(a, "issues", "edited", obj{"changes": changes})
	return nil
}

func (c *call) comment() (*comment, error) {
	found := c.repo.comments[parseID(c.params["id"])]
	if found == nil {
		return nil, notFound()
	}
	return found, nil
}

func serveComments(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	return replyList(c, t.comments, (*comment).json)
}

func serveNewComment(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	var body struct{ Body string }
	if err := c.decode(&body); err != nil {
		return err
	}
	made, err := t.comment(c.actor, body.Body)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, made.json())
}

func serveComment(c *call) error {
	found, err := c.comment()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, found.json())
}

func serveEditComment(c *call) error {
	found, err := c.comment()
	if err != nil {
		return err
	}
	var body struct{ Body string }
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := c.repo.editComment(c.actor, found.id, body.Body); err != nil {
		return err
	}
	return c.reply(http.StatusOK, found.json())
}

func serveDeleteComment(c *call) error {
	if err := c.repo.deleteComment(c.actor, parseID(c.params["id"])); err != nil {
		return err
	}
	return c.reply(http.StatusNoContent, nil)
}

func serveReactions(c *call) error {
	found, err := c.comment()
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Clone(found.reactions), func(x reaction) bool {
		return c.query.Get("content") != "" && c.query.Get("content") != x.content
	})
	return replyList(c, list, reaction.json)
}

// serveNewReaction is 201 for a new reaction and 200 for one that was there.
func serveNewReaction(c *call) error {
	var body struct{ Content string }
	if err := c.decode(&body); err != nil {
		return err
	}
	made, isNew, err := c.repo.react(c.actor, parseID(c.params["id"]), body.Content)
	switch {
	case err != nil:
		return err
	case isNew:
		return c.reply(http.StatusCreated, made.json())
	}
	return c.reply(http.StatusOK, made.json())
}

func serveThreadLabels(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	return replyList(c, t.labels, c.repo.labelJSON)
}

// serveAddLabels takes {"labels": […]} and, as go-github sends it, a bare list.
func serveAddLabels(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	var names []string
	if json.Unmarshal(c.body, &names) != nil {
		var body struct{ Labels []string }
		if err := c.decode(&body); err != nil {
			return err
		}
		names = body.Labels
	}
	for _, name := range names {
		if err := t.addLabel(c.actor, name); err != nil {
			return err
		}
	}
	return c.reply(http.StatusOK, c.repo.labelsJSON(t.labels))
}

func serveRemoveLabel(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	if err := t.removeLabel(c.actor, c.params["name"]); err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.repo.labelsJSON(t.labels))
}
