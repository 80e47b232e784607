package githubsim

import (
	"net/http"
	"slices"
)

// Comment writes a comment; whoever can read the repository may.
func (t *thread) Comment(u *User, body string) (*Comment, error) {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	c, err := t.comment(actor{user: u}, body)
	if err != nil {
		return nil, err
	}
	view := c.view()
	return &view, nil
}

// EditComment changes a comment, one's own or, with write, anybody's; the event's sender is the editor.
func (t *thread) EditComment(u *User, id int64, body string) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.repo.editComment(actor{user: u}, id, body)
}

// DeleteComment deletes a comment, one's own or, with write, anybody's.
func (t *thread) DeleteComment(u *User, id int64) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.repo.deleteComment(actor{user: u}, id)
}

// React adds a reaction to a comment; the same one twice is one.
func (t *thread) React(u *User, id int64, content string) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	_, _, err := t.repo.react(actor{user: u}, id, content)
	return err
}

// Comments are the comments, oldest first.
func (t *thread) Comments() []Comment {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	list := make([]Comment, len(t.comments))
	for i, c := range t.comments {
		list[i] = c.view()
	}
	return list
}

// Reactions are the reactions to a comment, oldest first.
func (t *thread) Reactions(commentID int64) []Reaction {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	c := t.repo.comments[commentID]
	if c == nil {
		return nil
	}
	list := make([]Reaction, len(c.reactions))
	for i, r := range c.reactions {
		list[i] = Reaction{User: r.user.login, Content: r.content}
	}
	return list
}

func (c *comment) view() Comment {
	view := Comment{ID: c.id, User: c.author.login, Body: c.body, CreatedAt: c.created, UpdatedAt: c.updated}
	if c.app != nil {
		view.AppID = c.app.id
	}
	return view
}

// longestBody is GitHub's limit for the text of a comment, an issue or a pull request, in characters.
const longestBody = 65536

func (t *thread) comment(a actor, body string) (*comment, error) {
	switch {
	case t.repo.roleOf(a) < roleRead:
		return nil, notFound()
	case body == "":
		return nil, invalid("IssueComment", "body", "missing_field", "")
	case len([]rune(body)) > longestBody:
		return nil, invalid("IssueComment", "body", "custom", "body is too long (maximum is 65536 characters)")
	}
	if err := t.mayComment(a); err != nil {
		return nil, err
	}
	t.touch()
	c := &comment{id: t.repo.sim.id(), thread: t, author: a.user, app: a.through(), body: body, created: t.updated, updated: t.updated}
	t.comments = append(t.comments, c)
	t.repo.comments[c.id] = c
	t.emit(a, "issue_comment", "created", obj{"comment": c.json()})
	return c, nil
}

func (r *Repository) editComment(a actor, id int64, body string) error {
	c, err := r.ownComment(a, id)
	if err != nil {
		return err
	}
	if body == "" {
		return invalid("IssueComment", "body", "missing_field", "")
	}
	from := c.body
	c.body = body
	c.thread.touch()
	c.updated, c.edited = c.thread.updated, edit{a.user, c.thread.updated}
	c.thread.emit(a, "issue_comment", "edited", obj{"comment": c.json(), "changes": obj{"body": obj{"from": from}}})
	return nil
}

func (r *Repository) deleteComment(a actor, id int64) error {
	c, err := r.ownComment(a, id)
	if err != nil {
		return err
	}
	delete(r.comments, id)
	c.thread.comments = slices.DeleteFunc(c.thread.comments, func(have *comment) bool { return have == c })
	c.thread.touch()
	c.thread.emit(a, "issue_comment", "deleted", obj{"comment": c.json()})
	return nil
}

// ownComment finds a comment that a may change.
func (r *Repository) ownComment(a actor, id int64) (*comment, error) {
	c := r.comments[id]
	if c == nil || r.roleOf(a) < roleRead {
		return nil, notFound()
	}
	if c.author != a.user && r.roleOf(a) < roleWrite {
		return nil, refuse(http.StatusForbidden, "Must have admin rights to Repository.")
	}
	if err := c.thread.mayComment(a); err != nil {
		return nil, err
	}
	return c, nil
}

var reactionContents = []string{"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"}

// react adds a reaction and says whether it is new; reactions send no webhook, as at GitHub.
func (r *Repository) react(a actor, id int64, content string) (reaction, bool, error) {
	c := r.comments[id]
	if c == nil || r.roleOf(a) < roleRead {
		return reaction{}, false, notFound()
	}
	if !slices.Contains(reactionContents, content) {
		return reaction{}, false, invalid("Reaction", "content", "invalid", "")
	}
	for _, have := range c.reactions {
		if have.user == a.user && have.content == content {
			return have, false, nil
		}
	}
	if err := c.thread.mayReact(); err != nil {
		return reaction{}, false, err
	}
	made := reaction{id: r.sim.id(), user: a.user, content: content, at: r.sim.tick()}
	c.reactions = append(c.reactions, made)
	return made, true, nil
}
