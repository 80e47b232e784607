package githubsim

import (
	"net/http"
	"slices"
	"strings"
)

// mostAssignees is how many people a thread can be assigned to.
const mostAssignees = 10

// Assign gives the thread to people, which needs triage. Apps hear pull_request.assigned or issues.assigned, once for each. Who
// cannot be assigned, or is already, is left out silently, as over REST.
func (t *thread) Assign(u *User, who ...*User) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.assign(actor{user: u}, who)
}

// Unassign takes the thread from people, which needs triage.
func (t *thread) Unassign(u *User, who ...*User) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.unassign(actor{user: u}, who)
}

// Assignees are the logins of those whom the thread is assigned to, in the order in which they were assigned.
func (t *thread) Assignees() []string {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	var logins []string
	for _, u := range t.assigned() {
		logins = append(logins, u.login)
	}
	return logins
}

func (t *thread) assign(a actor, who []*User) error {
	if t.repo.roleOf(a) < roleTriage {
		return refuse(http.StatusForbidden, "You do not have permission to assign this.")
	}
	for _, u := range who {
		have := t.assigned()
		if slices.Contains(have, u) || len(have) == mostAssignees || !t.assignable(u) {
			continue
		}
		t.touch()
		t.record(a, timelineEntry{event: "assigned", assignee: u})
		t.emit(a, "", "assigned", obj{"assignee": u.json()})
	}
	return nil
}

func (t *thread) unassign(a actor, who []*User) error {
	if t.repo.roleOf(a) < roleTriage {
		return refuse(http.StatusForbidden, "You do not have permission to unassign this.")
	}
	for _, u := range who {
		if !slices.Contains(t.assigned(), u) {
			continue
		}
		t.touch()
		t.record(a, timelineEntry{event: "unassigned", assignee: u})
		t.emit(a, "", "unassigned", obj{"assignee": u.json()})
	}
	return nil
}

// assignable is anybody with write, a member of the organization who can read, and whoever has commented, as documented.
func (t *thread) assignable(u *User) bool {
	role := t.repo.role(u)
	return role >= roleWrite || role >= roleRead && t.repo.org.has(u) ||
		slices.ContainsFunc(t.comments, func(c *comment) bool { return c.author == u })
}

// showAssigned fills assignee, which is the first, and assignees into a thread's JSON.
func (t *thread) showAssigned(out obj) {
	list := t.assigned()
	out["assignees"] = each(list, (*User).json)
	if len(list) > 0 {
		out["assignee"] = list[0].json()
	}
}

func serveAssign(c *call) error { return c.changeAssignees(http.StatusCreated, (*thread).assign) }

func serveUnassign(c *call) error { return c.changeAssignees(http.StatusOK, (*thread).unassign) }

// changeAssignees takes logins. As documented, people without push access and people who cannot be assigned are ignored.
func (c *call) changeAssignees(status int, change func(*thread, actor, []*User) error) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	var body struct{ Assignees []string }
	if err := c.decode(&body); err != nil {
		return err
	}
	var who []*User
	for _, login := range body.Assignees {
		if u := c.sim.users[strings.ToLower(login)]; u != nil {
			who = append(who, u)
		}
	}
	if c.repo.roleOf(c.actor) >= roleWrite {
		if err := change(t, c.actor, who); err != nil {
			return err
		}
	}
	return c.reply(status, t.json())
}
