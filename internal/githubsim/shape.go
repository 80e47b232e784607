package githubsim

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"
)

// obj is a JSON object in one of GitHub's documented shapes. Shapes are built under the lock from copies only, so that they can
// be encoded outside it.
type obj = map[string]any

// nodeID is the GraphQL name of a thing: opaque, stable, different for each kind and number.
func nodeID(kind string, id int64) string {
	return kind + "_" + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "sim:%s:%d", kind, id))
}

// text is a string that is null when empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// moment is a time that is null when zero.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

func (s *Sim) api(format string, args ...any) string {
	return s.base + "/api/v3/" + fmt.Sprintf(format, args...)
}

func (r *Repository) url(format string, args ...any) string {
	return r.sim.api("repos/%s/%s", r.fullName(), fmt.Sprintf(format, args...))
}

func (r *Repository) html(format string, args ...any) string {
	return r.sim.base + "/" + r.fullName() + "/" + fmt.Sprintf(format, args...)
}

// repositoryLinks are the addresses that every repository has, by property, below its own.
var repositoryLinks = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
	"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
	"commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
	"contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
	"forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
	"hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages",
	"merges_url": "/merges", "milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}",
	"pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
	"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
	"trees_url": "/git/trees{/sha}",
}

func (r *Repository) json() obj {
	base, html := r.sim.api("repos/%s", r.fullName()), r.sim.base+"/"+r.fullName()
	out := obj{
		"id": r.id, "node_id": nodeID("R", r.id), "name": r.name, "full_name": r.fullName(), "owner": r.owner.json(),
		"private": r.private, "visibility": r.visibility(), "fork": r.parent != nil, "archived": r.archived, "disabled": false,
		"default_branch": r.branch, "description": nil, "homepage": nil, "language": nil, "license": nil, "topics": []string{},
		"html_url": html, "url": base, "clone_url": html + ".git", "git_url": html + ".git", "ssh_url": html + ".git", "svn_url": html,
		"has_issues": true, "has_projects": false, "has_wiki": false, "has_pages": false, "has_downloads": false, "has_discussions": false,
		"is_template": false, "web_commit_signoff_required": false, "allow_forking": true, "mirror_url": nil,
		"size": 1, "stargazers_count": 0, "watchers_count": 0, "watchers": 0, "forks_count": 0, "forks": 0,
		"open_issues_count": r.open, "open_issues": r.open,
		"created_at": r.created, "updated_at": r.pushed, "pushed_at": r.pushed,
	}
	for name, below := range repositoryLinks {
		out[name] = base + below
	}
	return out
}

func (r *Repository) visibility() string {
	if r.private {
		return "private"
	}
	return "public"
}

// payload is the repository as webhooks have it.
func (r *Repository) payload() obj {
	out := r.json()
	out["custom_properties"] = r.propertiesJSON()
	return out
}

// lite is the repository as webhooks about workflow runs have it: without what it is like.
func (r *Repository) lite() obj {
	out := obj{}
	for name, value := range r.json() {
		_, link := repositoryLinks[name]
		if link || slices.Contains(liteFields, name) {
			out[name] = value
		}
	}
	return out
}

var liteFields = []string{"id", "node_id", "name", "full_name", "owner", "private", "fork", "description", "html_url", "url"}

func shortRepositories(list []*Repository) []obj {
	out := make([]obj, len(list))
	for i, r := range list {
		out[i] = obj{"id": r.id, "node_id": nodeID("R", r.id), "name": r.name, "full_name": r.fullName(), "private": r.private}
	}
	return out
}

func (r *Repository) labelJSON(l *label) obj {
	return obj{
		"id": l.id, "node_id": nodeID("LA", l.id), "name": l.name, "color": l.color, "description": text(l.text), "default": false,
		"url": r.url("labels/%s", l.name),
	}
}

func (r *Repository) labelsJSON(list []*label) []obj {
	out := make([]obj, len(list))
	for i, l := range list {
		out[i] = r.labelJSON(l)
	}
	return out
}

func (s *Sim) appJSON(a *App) obj {
	return obj{
		"id": a.id, "node_id": nodeID("A", a.id), "slug": a.slug, "name": a.slug, "description": "",
		"owner": s.users["ghost-owner"].json(), "external_url": s.base, "html_url": s.base + "/apps/" + a.slug,
		"created_at": a.created, "updated_at": a.created, "permissions": maps.Clone(a.permissions), "events": a.hears(),
	}
}

// hears is the subscribed events, never null.
func (a *App) hears() []string { return append([]string{}, a.events...) }

func (i *Installation) short() obj {
	return obj{"id": i.id, "node_id": nodeID("I", i.id)}
}

func (s *Sim) installationJSON(i *Installation) obj {
	out := obj{
		"id": i.id, "account": i.org.json(), "app_id": i.app.id, "app_slug": i.app.slug,
		"client_id": i.app.ClientID(),
		"target_id": i.org.id, "target_type": "Organization", "repository_selection": "all",
		"permissions": maps.Clone(i.permissions), "events": i.app.hears(), "single_file_name": nil, "single_file_paths": []string{},
		"has_multiple_single_files": false,
		"access_tokens_url":         s.api("app/installations/%d/access_tokens", i.id),
		"repositories_url":          s.api("installation/repositories"),
		"html_url":                  fmt.Sprintf("%s/organizations/%s/settings/installations/%d", s.base, i.org.login, i.id),
		"created_at":                i.created, "updated_at": i.created, "suspended_at": moment(i.suspendedAt), "suspended_by": nil,
	}
	if i.suspended {
		out["suspended_by"] = s.users["ghost-owner"].json()
	}
	return out
}

// association is author_association: what the account is to the repository. It is no authorization.
func (r *Repository) association(u *User) string {
	switch {
	case r.owner.id == u.id || r.org != nil && r.org.owners[u.id]:
		return "OWNER"
	case r.org.has(u):
		return "MEMBER"
	case r.roles[u.id] != roleNone:
		return "COLLABORATOR"
	}
	return "NONE"
}

// each shapes every element of a list.
func each[T any](list []T, shape func(T) obj) []obj {
	out := make([]obj, len(list))
	for i, x := range list {
		out[i] = shape(x)
	}
	return out
}

// byCreation orders things by their ids, which grow.
func byCreation[T any](list []T, id func(T) int64) []T {
	slices.SortFunc(list, func(a, b T) int { return int(id(a) - id(b)) })
	return list
}
