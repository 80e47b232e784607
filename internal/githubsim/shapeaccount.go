package githubsim

import "strings"

// accountLinks are the addresses that every account has, by property, below its own.
var accountLinks = map[string]string{
	"followers_url": "/followers", "following_url": "/following{/other_user}", "gists_url": "/gists{/gist_id}",
	"starred_url": "/starred{/owner}{/repo}", "subscriptions_url": "/subscriptions", "organizations_url": "/orgs", "repos_url": "/repos",
	"events_url": "/events{/privacy}", "received_events_url": "/received_events",
}

// json is the account as GitHub shows it in other things, a person's and an organization's alike.
func (a *account) json() obj {
	if a.deleted {
		return nil
	}
	kind := "U"
	if a.kind == "Organization" {
		kind = "O"
	}
	where := a.sim.api("users/%s", strings.NewReplacer("[", "%5B", "]", "%5D").Replace(a.login))
	out := obj{
		"login": a.login, "id": a.id, "node_id": nodeID(kind, a.id), "type": a.kind, "site_admin": false, "gravatar_id": "",
		"url": where, "html_url": a.sim.base + "/" + a.login, "avatar_url": a.sim.base + "/avatars/" + a.login,
	}
	for name, below := range accountLinks {
		out[name] = where + below
	}
	return out
}

// summary is the organization by itself, as webhooks have it.
func (o *Organization) summary() obj {
	where := o.sim.api("orgs/%s", o.login)
	return obj{
		"login": o.login, "id": o.id, "node_id": nodeID("O", o.id), "description": "", "avatar_url": o.sim.base + "/avatars/" + o.login,
		"url": where, "repos_url": where + "/repos", "events_url": where + "/events", "hooks_url": where + "/hooks",
		"issues_url": where + "/issues", "members_url": where + "/members{/member}", "public_members_url": where + "/public_members{/member}",
	}
}

func (t *Team) json() obj {
	return obj{
		"id": t.id, "node_id": nodeID("T", t.id), "name": t.slug, "slug": t.slug, "description": nil, "privacy": "closed",
		"notification_setting": "notifications_enabled", "permission": "pull", "parent": nil, "type": "organization",
		"url":              t.org.sim.api("organizations/%d/team/%d", t.org.id, t.id),
		"html_url":         t.org.sim.base + "/orgs/" + t.org.login + "/teams/" + t.slug,
		"members_url":      t.org.sim.api("organizations/%d/team/%d/members{/member}", t.org.id, t.id),
		"repositories_url": t.org.sim.api("organizations/%d/team/%d/repos", t.org.id, t.id),
	}
}

// detail is a team by itself, with counts and its organization.
func (t *Team) detail() obj {
	out := t.json()
	out["members_count"], out["repos_count"], out["created_at"], out["updated_at"] = len(t.members), len(t.roles), t.org.created, t.org.created
	out["organization"] = t.org.detail()
	return out
}

// detail is an organization by itself over REST.
func (o *Organization) detail() obj {
	out := o.summary()
	out["html_url"], out["type"], out["archived_at"] = o.sim.base+"/"+o.login, o.kind, nil
	out["created_at"], out["updated_at"] = o.created, o.created
	out["public_repos"], out["public_gists"], out["followers"], out["following"] = len(o.sim.repositoriesOf(o)), 0, 0, 0
	out["has_organization_projects"], out["has_repository_projects"] = false, false
	return out
}

// profile is an account by itself.
func (a *account) profile() obj {
	out := a.json()
	for _, name := range []string{"name", "company", "location", "email", "hireable", "bio"} {
		out[name] = nil
	}
	for _, name := range []string{"public_repos", "public_gists", "followers", "following"} {
		out[name] = 0
	}
	out["blog"], out["created_at"], out["updated_at"] = "", a.created, a.created
	return out
}
