package githubsim

import (
	"net/http"
	"strings"
)

func organizationRoutes() []route {
	const at = "orgs/{org}"
	read := needs("members=read")
	return []route{
		endpoint("GET "+at, func(c *call) error { return c.reply(http.StatusOK, c.org.detail()) }, needs("metadata=read")),
		endpoint("GET "+at+"/teams", serveTeams, read),
		endpoint("GET "+at+"/teams/{slug}", serveTeam, read),
		endpoint("GET "+at+"/teams/{slug}/members", serveTeamMembers, read),
		endpoint("GET "+at+"/teams/{slug}/memberships/{user}", serveTeamMembership, read),
		endpoint("GET "+at+"/members", serveMembers, read),
		endpoint("GET "+at+"/members/{user}", serveMember, read),
		endpoint("GET "+at+"/memberships/{user}", serveMembership, read),
	}
}

func (c *call) team() (*Team, error) {
	if t := c.org.teams[strings.ToLower(c.params["slug"])]; t != nil {
		return t, nil
	}
	return nil, notFound()
}

// member is the user that the path names, or nil.
func (c *call) member() *User { return c.sim.users[strings.ToLower(c.params["user"])] }

func serveTeams(c *call) error {
	var list []*Team
	for _, slug := range sortedKeys(c.org.teams) {
		list = append(list, c.org.teams[slug])
	}
	return replyList(c, list, (*Team).json)
}

func serveTeam(c *call) error {
	t, err := c.team()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, t.detail())
}

func serveTeamMembers(c *call) error {
	t, err := c.team()
	if err != nil {
		return err
	}
	return replyList(c, sortedUsers(t.members), (*User).json)
}

// serveTeamMembership is 404 both for a team that cannot be seen and for somebody who is not in it; owners are maintainers.
func serveTeamMembership(c *call) error {
	t, err := c.team()
	if err != nil {
		return err
	}
	u := c.member()
	if u == nil || t.members[u.id] == nil {
		return notFound()
	}
	role := "member"
	if c.org.owners[u.id] {
		role = "maintainer"
	}
	return c.reply(http.StatusOK, obj{
		"state": "active", "role": role, "url": c.sim.api("organizations/%d/team/%d/memberships/%s", c.org.id, t.id, u.login),
	})
}

func serveMembers(c *call) error { return replyList(c, sortedUsers(c.org.members), (*User).json) }

func serveMember(c *call) error {
	if !c.org.isMember(c.member()) {
		return refuse(http.StatusNotFound, "User does not exist or is not a member of the organization")
	}
	return c.reply(http.StatusNoContent, nil)
}

func serveMembership(c *call) error {
	u := c.member()
	if !c.org.isMember(u) {
		return notFound()
	}
	role := "member"
	if c.org.owners[u.id] {
		role = "admin"
	}
	return c.reply(http.StatusOK, obj{
		"state": "active", "role": role, "url": c.sim.api("orgs/%s/memberships/%s", c.org.login, u.login),
		"organization_url": c.sim.api("orgs/%s", c.org.login), "organization": c.org.summary(), "user": u.json(),
	})
}
