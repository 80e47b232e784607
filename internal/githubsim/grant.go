package githubsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Grant is SetRole by an admin of the repository, who is the event's sender; "none" or "" ends the collaboration.
func (r *Repository) Grant(admin, u *User, roleName string) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.role(admin) < roleAdmin {
		return refuse(http.StatusForbidden, "Must have admin rights to Repository.")
	}
	r.setRole(admin, u, mustRole(roleName))
	return nil
}

// mustRole is the role of that name; "" is none.
func mustRole(name string) role {
	if name == "" {
		name = "none"
	}
	at := slices.Index(roleNames, name)
	if at < 0 {
		panic(fmt.Sprintf("githubsim: role %q is none of %v", name, roleNames))
	}
	return role(at)
}

// setRole changes what a collaborator may do and tells Apps: member.added, edited or removed, or nothing when nothing changes.
func (r *Repository) setRole(by, u *User, next role) {
	was := r.roles[u.id]
	if was == next {
		return
	}
	body := obj{"member": u.json()}
	action := "edited"
	switch {
	case was == roleNone:
		action = "added"
		body["changes"] = obj{"permission": obj{"to": next.coarse().String()}, "role_name": obj{"to": next.String()}}
	case next == roleNone:
		action = "removed"
	default:
		body["changes"] = obj{
			"old_permission": obj{"from": was.coarse().String()},
			"permission":     obj{"from": was.coarse().String(), "to": next.coarse().String()},
		}
	}
	r.roles[u.id] = next
	r.sim.tick()
	r.sim.emit(r, "member", action, by, body)
}

// coarse is the legacy name of a role: maintain counts as write and triage as read, as documented.
func (r role) coarse() role {
	switch r {
	case roleMaintain:
		return roleWrite
	case roleTriage:
		return roleRead
	default: // the others are coarse
		return r
	}
}

// SetRole gives every member of the team a role in a repository of its organization; "none" or "" ends it. Apps hear
// team.added_to_repository, team.edited with changes.repository, or team.removed_from_repository.
func (t *Team) SetRole(r *Repository, roleName string) {
	s := t.org.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.org != t.org {
		panic(fmt.Sprintf("githubsim: %s is not of organization %s", r.fullName(), t.org.login))
	}
	was, next := t.roles[r.id], mustRole(roleName)
	if was == next {
		return
	}
	t.roles[r.id] = next
	body, action := obj{"repository": r.payload()}, "edited"
	switch {
	case was == roleNone:
		action = "added_to_repository"
	case next == roleNone:
		action = "removed_from_repository"
	default:
		body["changes"] = obj{"repository": obj{"permissions": obj{"from": obj{
			"admin": was >= roleAdmin, "push": was >= roleWrite, "pull": was >= roleRead,
		}}}}
	}
	t.tell(action, body)
}

// Rename changes the team's name and with it the slug, in URLs and mentions. Apps hear team.edited with changes.name.from.
func (t *Team) Rename(slug string) {
	s := t.org.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.org.teams[slug] != nil || t.org.teams[t.slug] != t {
		panic(fmt.Sprintf("githubsim: cannot rename team %s to %q", t.slug, slug))
	}
	was := t.slug
	delete(t.org.teams, was)
	t.slug = slug
	t.org.teams[slug] = t
	t.tell("edited", obj{"changes": obj{"name": obj{"from": was}}})
}

// Delete takes the team away, with what it gave its members. Apps hear team.deleted and no membership.removed.
func (t *Team) Delete() {
	s := t.org.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.org.teams[t.slug] != t {
		return
	}
	delete(t.org.teams, t.slug)
	t.tell("deleted", obj{})
}

// tell sends a team event about the team as it is now.
func (t *Team) tell(action string, body obj) {
	s := t.org.sim
	s.tick()
	body["team"] = t.json()
	s.emitOrganization(t.org, "team", action, s.users["ghost-owner"], body)
}

// teamRole is the highest role that u's teams give in the repository.
func (r *Repository) teamRole(u *User) role {
	best := roleNone
	if r.org == nil {
		return best
	}
	for _, t := range r.org.teams {
		if t.members[u.id] != nil {
			best = max(best, t.roles[r.id])
		}
	}
	return best
}

// emitMembership tells Apps organization.member_added or member_removed.
func (o *Organization) emitMembership(action string, u *User, owner bool) {
	o.sim.tick()
	membership := "member"
	if owner {
		membership = "admin"
	}
	o.sim.emitOrganization(o, "organization", action, o.sim.users["ghost-owner"], obj{"membership": obj{
		"url": o.sim.api("orgs/%s/memberships/%s", o.login, u.login), "state": "active", "role": membership,
		"organization_url": o.sim.api("orgs/%s", o.login), "user": u.json(),
	}})
}

// Delete uninstalls the App: its tokens end at once, no event comes any more, and the App hears installation.deleted.
func (i *Installation) Delete() {
	s := i.app.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.installs[i.id] != i {
		return
	}
	delete(s.installs, i.id)
	own := func(x *Installation) bool { return x == i }
	i.app.installs, i.org.installs = slices.DeleteFunc(i.app.installs, own), slices.DeleteFunc(i.org.installs, own)
	for value, t := range s.tokens {
		if t.install == i {
			delete(s.tokens, value)
		}
	}
	s.tick()
	i.emit("deleted")
}

// knownCollaborator says whether GitHub answers about the account's permission. What it answers for an App's bot is not
// documented; here a bot is no user unless SetRole made it a collaborator.
func (r *Repository) knownCollaborator(u *User) bool {
	return u != nil && (u.kind != "Bot" || r.roles[u.id] != roleNone)
}

// Email is the address that GitHub gives the account for commits.
func (u *User) Email() string { return u.signature().email }

// AddEmail makes commits with that address the account's own.
func (u *User) AddEmail(address string) {
	u.sim.mu.Lock()
	defer u.sim.mu.Unlock()
	if u.sim.userOfEmail(address) != nil {
		panic(fmt.Sprintf("githubsim: %q belongs to somebody", address))
	}
	u.emails = append(u.emails, address)
}

// userOfEmail is the account that a commit's address belongs to, or nil.
func (s *Sim) userOfEmail(address string) *User {
	if u := s.mailed(address); u != nil {
		return u
	}
	for _, u := range s.users {
		own := append([]string{u.login + "@users.noreply.github.com"}, u.emails...)
		if slices.ContainsFunc(own, func(e string) bool { return strings.EqualFold(e, address) }) {
			return u
		}
	}
	return nil
}
