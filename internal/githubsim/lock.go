package githubsim

import (
	"net/http"
	"slices"
)

// threadRoutes are the endpoints of issues and pull requests for what is neither text nor label.
func threadRoutes() []route {
	const at = "repos/{owner}/{repo}/issues/{number}"
	write := needs("issues=write; pull_requests=write")
	return []route{
		endpoint("PUT "+at+"/lock", serveLock, write),
		endpoint("DELETE "+at+"/lock", serveUnlock, write),
		endpoint("POST "+at+"/assignees", serveAssign, write),
		endpoint("DELETE "+at+"/assignees", serveUnassign, write),
	}
}

// lockReasons are the reasons that GitHub documents; none need be given.
var lockReasons = []string{"", "off-topic", "too heated", "resolved", "spam"}

// Lock locks the conversation, which needs write: only people with write may comment then, and nobody may react. The reason may
// be empty. Apps hear pull_request.locked or issues.locked.
func (t *thread) Lock(u *User, reason string) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.lock(actor{user: u}, reason)
}

// Unlock opens the conversation again, which needs write.
func (t *thread) Unlock(u *User) error {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.unlock(actor{user: u})
}

// Locked says whether the conversation is locked.
func (t *thread) Locked() bool {
	t.repo.sim.mu.Lock()
	defer t.repo.sim.mu.Unlock()
	return t.locked
}

func (t *thread) lock(a actor, reason string) error {
	switch {
	case t.repo.roleOf(a) < roleWrite:
		return refuse(http.StatusForbidden, "Must have push access to lock a conversation.")
	case !slices.Contains(lockReasons, reason):
		return invalid("Issue", "lock_reason", "invalid", "")
	case t.locked:
		return nil
	}
	t.locked, t.lockReason = true, reason
	t.touch()
	t.record(a, timelineEntry{event: "locked", to: reason})
	t.emit(a, "", "locked", obj{})
	return nil
}

func (t *thread) unlock(a actor) error {
	if t.repo.roleOf(a) < roleWrite {
		return refuse(http.StatusForbidden, "Must have push access to unlock a conversation.")
	}
	if !t.locked {
		return nil
	}
	t.locked, t.lockReason = false, ""
	t.touch()
	t.record(a, timelineEntry{event: "unlocked"})
	t.emit(a, "", "unlocked", obj{})
	return nil
}

// speaks says whether a may write although the conversation is locked: the account must itself have write. What an App may do by
// its permissions does not count; bots with write permissions are refused at GitHub too (renovatebot/renovate#6215).
func (t *thread) speaks(a actor) bool {
	return !t.locked || t.repo.role(a.user) >= roleWrite
}

func (t *thread) mayComment(a actor) error {
	if !t.speaks(a) {
		return refuse(http.StatusForbidden, "Unable to create comment because issue is locked.")
	}
	return nil
}

// mayReact refuses everybody: "reactions in a locked conversation are disabled for all users".
func (t *thread) mayReact() error {
	if t.locked {
		return refuse(http.StatusForbidden, "Unable to create reaction because issue is locked.")
	}
	return nil
}

func (t *thread) mayReview(a actor) error {
	if !t.speaks(a) {
		return unprocessable("lock prevents review")
	}
	return nil
}

func serveLock(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	var body struct {
		Reason string `json:"lock_reason"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := t.lock(c.actor, body.Reason); err != nil {
		return err
	}
	return c.reply(http.StatusNoContent, nil)
}

func serveUnlock(c *call) error {
	t, err := c.thread()
	if err != nil {
		return err
	}
	if err := t.unlock(c.actor); err != nil {
		return err
	}
	return c.reply(http.StatusNoContent, nil)
}
