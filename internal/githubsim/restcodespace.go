package githubsim

import (
	"net/http"
	"slices"
)

func codespaceRoutes() []route {
	const repo, user, org = "repos/{owner}/{repo}", "user/codespaces", "orgs/{org}"
	const member = org + "/members/{user}/codespaces"
	read, write, lifecycle := needs("codespaces=read"), needs("codespaces=write"), needs("codespaces_lifecycle_admin=write")
	both := func(level, other string) option { return needs("organization_codespaces=" + level + "," + other) }
	return []route{
		endpoint("GET "+repo+"/codespaces/machines", serveMachines, needs("codespaces_metadata=read"), withRole(roleRead)),
		endpoint("POST "+repo+"/codespaces", serveMakeCodespace, write, withRole(roleRead), peopleOnly),
		endpoint("POST "+repo+"/pulls/{number}/codespaces", serveMakePullCodespace, write, withRole(roleRead), peopleOnly),
		endpoint("GET "+user, serveOwnCodespaces, read, peopleOnly),
		endpoint("GET "+user+"/{name}", serveOwnCodespace, read, peopleOnly),
		endpoint("DELETE "+user+"/{name}", serveRemoveOwnCodespace, write, peopleOnly),
		endpoint("POST "+user+"/{name}/start", serveStartOwnCodespace, lifecycle, peopleOnly),
		endpoint("POST "+user+"/{name}/stop", serveStopOwnCodespace, lifecycle, peopleOnly),
		endpoint("GET "+org+"/codespaces", serveOrganizationCodespaces, both("read", "codespaces=read"), withRole(roleAdmin)),
		endpoint("GET "+member, serveMemberCodespaces, both("read", "codespaces=read"), withRole(roleAdmin)),
		endpoint("DELETE "+member+"/{name}", serveRemoveMemberCodespace, both("write", "codespaces=write"), withRole(roleAdmin)),
		endpoint("POST "+member+"/{name}/stop", serveStopMemberCodespace, both("write", "codespaces_lifecycle_admin=write"), withRole(roleAdmin)),
	}
}

func (cs *Codespace) json() obj {
	at, pulls, expires := cs.sim.api("user/codespaces/%s", cs.name), any(nil), any(nil)
	if cs.pull != nil {
		pulls = cs.pull.repo.url("pulls/%d", cs.pull.number)
	}
	if cs.state == shutdown {
		expires = cs.since.Add(cs.retention)
	}
	used := cs.started
	if used.IsZero() {
		used = cs.created
	}
	return obj{
		"id": cs.id, "name": cs.name, "display_name": cs.display, "environment_id": cs.environment, "owner": cs.owner.json(),
		"billable_owner": cs.payer.json(), "repository": cs.repo.json(), "machine": cs.machine.json(), "prebuild": false,
		"devcontainer_path": text(cs.container), "created_at": cs.created, "updated_at": cs.since, "last_used_at": used, "state": cs.state,
		"url": at, "web_url": "https://" + cs.name + ".github.dev", "machines_url": at + "/machines", "start_url": at + "/start",
		"stop_url": at + "/stop", "publish_url": nil, "pulls_url": pulls, "recent_folders": []string{}, "location": cs.location,
		"git_status":           obj{"ahead": 0, "behind": 0, "has_unpushed_changes": false, "has_uncommitted_changes": false, "ref": cs.ref},
		"runtime_constraints":  obj{"allowed_port_privacy_settings": nil},
		"idle_timeout_minutes": minutes(cs.idle), "idle_timeout_notice": text(cs.notice),
		"retention_period_minutes": minutes(cs.retention), "retention_expires_at": expires, "last_known_stop_notice": nil,
		"pending_operation": cs.pending != "", "pending_operation_disabled_reason": text(cs.pending),
	}
}

// serveMachines lists what a codespace of the repository may run on. Unlike the repository that is not for everybody to read.
func serveMachines(c *call) error {
	t := c.actor.token
	switch {
	case t == nil:
		return refuse(http.StatusUnauthorized, "Requires authentication")
	case t.limited() && !t.covers(c.repo):
		return notAccessible()
	case c.query.Has("ref") && c.repo.resolve(c.query.Get("ref")) == nil:
		return notFound()
	}
	payer := c.repo.payer(c.actor.user)
	if t.install != nil {
		payer = &t.install.org.account
	}
	list := c.repo.machinesFor(payer)
	return c.reply(http.StatusOK, obj{"total_count": len(list), "machines": each(list, Machine.json)})
}

// serveOwnCodespaces lists the person's; through an App those where it may read them. An App that may do so nowhere is told so.
func serveOwnCodespaces(c *call) error {
	t := c.actor.token
	if t.limited() && !slices.ContainsFunc(t.grant.app.installs, func(i *Installation) bool { return c.permitted(c.route, i.org) == nil }) {
		return notAccessible()
	}
	list := slices.DeleteFunc(c.sim.codespacesNow(), func(cs *Codespace) bool {
		hidden := t.limited() && (!t.covers(cs.repo) || c.permitted(c.route, cs.repo.org) != nil)
		other := c.query.Has("repository_id") && cs.repo.id != parseID(c.query.Get("repository_id"))
		return cs.owner != c.actor.user || hidden || other
	})
	return replyCounted(c, "codespaces", list, (*Codespace).json)
}

// ownCodespace is the one that the path names, if it is the person's and what they come with reaches it.
func (c *call) ownCodespace() (*Codespace, error) {
	cs, t := c.sim.codespace(c.params["name"]), c.actor.token
	switch {
	case cs == nil || cs.owner != c.actor.user || t.limited() && !t.covers(cs.repo):
		return nil, notFound()
	case t.limited():
		return cs, c.permitted(c.route, cs.repo.org)
	}
	return cs, nil
}

func serveOwnCodespace(c *call) error {
	cs, err := c.ownCodespace()
	if err != nil {
		return err
	}
	told := cs.json()
	if tunnel := c.sim.codespaceKnobs.Tunnel; tunnel != nil && c.query.Get("internal") == "true" && cs.state == available {
		told["connection"] = obj{"tunnelProperties": tunnel(cs.name)}
	}
	return c.reply(http.StatusOK, told)
}

func serveStartOwnCodespace(c *call) error {
	cs, err := c.ownCodespace()
	if err != nil {
		return err
	}
	if err := cs.start(c.sim.now().UTC()); err != nil {
		return err
	}
	return c.reply(http.StatusOK, cs.json())
}

func serveStopOwnCodespace(c *call) error { return c.stopCodespace(c.ownCodespace()) }

func serveStopMemberCodespace(c *call) error { return c.stopCodespace(c.memberCodespace()) }

func (c *call) stopCodespace(cs *Codespace, err error) error {
	if err != nil {
		return err
	}
	if err := cs.stop(c.sim.now().UTC()); err != nil {
		return err
	}
	return c.reply(http.StatusOK, cs.json())
}

func serveRemoveOwnCodespace(c *call) error { return c.removeCodespace(c.ownCodespace()) }

func serveRemoveMemberCodespace(c *call) error { return c.removeCodespace(c.memberCodespace()) }

func (c *call) removeCodespace(cs *Codespace, err error) error {
	if err != nil {
		return err
	}
	cs.remove(c.sim.now().UTC())
	return c.reply(http.StatusAccepted, obj{})
}

// ofOrganization are those that the organization pays for: of others it knows nothing.
func (c *call) ofOrganization() []*Codespace {
	return slices.DeleteFunc(c.sim.codespacesNow(), func(cs *Codespace) bool { return cs.payer != &c.org.account })
}

func serveOrganizationCodespaces(c *call) error {
	return replyCounted(c, "codespaces", c.ofOrganization(), (*Codespace).json)
}

func serveMemberCodespaces(c *call) error {
	u := c.member()
	if u == nil {
		return notFound()
	}
	list := slices.DeleteFunc(c.ofOrganization(), func(cs *Codespace) bool { return cs.owner != u })
	return replyCounted(c, "codespaces", list, (*Codespace).json)
}

// memberCodespace is the one that the path names with its owner.
func (c *call) memberCodespace() (*Codespace, error) {
	for _, cs := range c.ofOrganization() {
		if cs.name == c.params["name"] && cs.owner == c.member() {
			return cs, nil
		}
	}
	return nil, notFound()
}
