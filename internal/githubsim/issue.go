package githubsim

import (
	"net/http"
	"strings"
)

// Delete deletes the issue for good, which an admin may; REST answers 410 from then on. Apps hear issues.deleted.
func (i *Issue) Delete(u *User) error {
	r := i.repo
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.role(u) < roleAdmin {
		return refuse(http.StatusForbidden, "Must have admin rights to Repository.")
	}
	i.leave()
	for _, c := range i.comments {
		delete(r.comments, c.id)
	}
	r.left[i.number] = nil
	i.emit(actor{user: u}, "issues", "deleted", obj{})
	return nil
}

// leave takes the issue from its repository.
func (i *Issue) leave() {
	r := i.repo
	i.touch()
	delete(r.threads, i.number)
	if i.state == "open" {
		r.open--
	}
	if r.left == nil {
		r.left = map[int]*thread{}
	}
}

// Transfer moves the issue to another repository of the same owner, for somebody with write in both, but not from a private one into
// the open. Comments and assignees go along; labels that are not offered there stay behind. REST leads on to the new place. Apps
// hear issues.transferred in the old one and issues.opened in the new one.
func (i *Issue) Transfer(u *User, to *Repository) (*Issue, error) {
	from := i.repo
	from.sim.mu.Lock()
	defer from.sim.mu.Unlock()
	a := actor{user: u}
	if from.roleOf(a) < roleWrite || to.roleOf(a) < roleWrite {
		return nil, refuse(http.StatusForbidden, "Transferring an issue needs write access to both repositories.")
	}
	switch {
	case from == to || from.owner.id != to.owner.id:
		return nil, unprocessable("Issues can only be transferred between repositories owned by the same account.")
	case from.private && !to.private:
		return nil, unprocessable("Issues cannot be transferred from a private to a public repository.")
	}
	i.leave()
	moved := to.newThread(actor{user: i.author, app: i.app}, i.title, i.body)
	moved.state, moved.created, moved.closed, moved.edited = i.state, i.created, i.closed, i.edited
	moved.locked, moved.lockReason = i.locked, i.lockReason
	for _, c := range i.comments {
		carried := *c
		carried.thread = moved
		moved.comments = append(moved.comments, &carried)
		to.comments[c.id] = &carried
		delete(from.comments, c.id)
	}
	for _, u := range i.assigned() {
		moved.record(a, timelineEntry{event: "assigned", assignee: u})
	}
	if moved.state != "open" {
		to.open--
	}
	for _, l := range i.labels {
		if there := to.labels[strings.ToLower(l.name)]; there != nil {
			moved.labels = append(moved.labels, there)
		}
	}
	moved.record(a, timelineEntry{event: "transferred"})
	from.left[i.number] = moved
	i.emit(a, "issues", "transferred", obj{"changes": obj{"new_issue": moved.json(), "new_repository": to.payload()}})
	moved.emit(a, "issues", "opened", obj{"changes": obj{"old_issue": i.json(), "old_repository": from.payload()}})
	return &Issue{moved}, nil
}

// movedOn answers for an issue that has left the repository.
func (c *call) movedOn(number int) error {
	to, left := c.repo.left[number]
	switch {
	case !left:
		return notFound()
	case to == nil:
		return refuse(http.StatusGone, "This issue was deleted")
	case to.repo.roleOf(c.actor) < roleRead:
		return notFound()
	}
	c.header.Set("Location", to.repo.url("issues/%d", to.number))
	return refuse(http.StatusMovedPermanently, "Moved Permanently")
}

// SetTitle needs write, or to be the author; Apps hear issues.edited with changes.title.
func (i *Issue) SetTitle(u *User, title string) error {
	i.repo.sim.mu.Lock()
	defer i.repo.sim.mu.Unlock()
	return i.editIssue(actor{user: u}, &title, nil)
}

// SetBody is SetTitle for the text.
func (i *Issue) SetBody(u *User, body string) error {
	i.repo.sim.mu.Lock()
	defer i.repo.sim.mu.Unlock()
	return i.editIssue(actor{user: u}, nil, &body)
}
