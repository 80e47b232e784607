package githubsim

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// account is what a user and an organization have in common: both may own repositories.
type account struct {
	sim   *Sim
	login string
	id    int64
	kind  string // User, Bot or Organization
	// deleted accounts are shown as null.
	deleted bool
	created time.Time
}

// User is a person or a bot.
type User struct {
	account
	token   string
	session string   // of the person's browser
	emails  []string // besides those that GitHub gives
}

// Organization owns repositories and has members and teams.
type Organization struct {
	account
	members  map[int64]*User
	owners   map[int64]bool
	teams    map[string]*Team
	installs []*Installation
	rulesets []*ruleset

	properties []*PropertySpec
	codespaces CodespacePolicy
}

// Team is a set of members of an organization.
type Team struct {
	org     *Organization
	id      int64
	slug    string
	members map[int64]*User
	roles   map[int64]role // by repository
}

// CreateOrganization makes an organization without members.
func (s *Sim) CreateOrganization(login string) *Organization {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustBeFree(login)
	o := &Organization{
		account: account{sim: s, login: login, id: s.id(), kind: "Organization", created: s.today()},
		members: map[int64]*User{}, owners: map[int64]bool{}, teams: map[string]*Team{},
	}
	s.orgs[strings.ToLower(login)] = o
	return o
}

// CreateUser makes a person.
func (s *Sim) CreateUser(login string) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createUser(login, "User", 0)
}

// CreateBot makes an account of type Bot, with a login such as "claude[bot]"; an id of 0 takes the next free one.
func (s *Sim) CreateBot(login string, id int64) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createUser(login, "Bot", id)
}

// User finds an account by its login, in any case, or returns nil.
func (s *Sim) User(login string) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[strings.ToLower(login)]
}

func (s *Sim) createUser(login, kind string, id int64) *User {
	s.mustBeFree(login)
	if id == 0 {
		id = s.id()
	}
	u := &User{account: account{sim: s, login: login, id: id, kind: kind, created: s.today()}, token: "ghp_" + randomHex(18), session: randomHex(24)}
	s.users[strings.ToLower(login)] = u
	s.tokens[u.token] = &token{value: u.token, user: u}
	return u
}

func (s *Sim) mustBeFree(login string) {
	key := strings.ToLower(login)
	if s.users[key] != nil || s.orgs[key] != nil || login == "" {
		panic(fmt.Sprintf("githubsim: login %q is empty or taken", login))
	}
}

// Login is the name that the account is mentioned by.
func (a *account) Login() string { return a.login }

// ID is the number that survives a rename.
func (a *account) ID() int64 { return a.id }

// Token is a personal access token: over REST it acts as this user. It never expires.
func (u *User) Token() string { return u.token }

// Rename gives the account another login; the old one is free for somebody else.
func (u *User) Rename(login string) {
	u.sim.mu.Lock()
	defer u.sim.mu.Unlock()
	u.sim.mustBeFree(login)
	delete(u.sim.users, strings.ToLower(u.login))
	u.login = login
	u.sim.users[strings.ToLower(login)] = u
}

// Delete takes the account away. What it wrote stays and is by nobody: GitHub
// answers with a user of null.
func (u *User) Delete() {
	u.sim.mu.Lock()
	defer u.sim.mu.Unlock()
	delete(u.sim.users, strings.ToLower(u.login))
	delete(u.sim.tokens, u.token)
	for _, a := range u.sim.apps {
		if granted := a.authorizations[u.id]; granted != nil {
			granted.end()
		}
	}
	for _, cs := range u.sim.codespacesNow() {
		if cs.owner == u {
			cs.become(deleted, u.sim.now().UTC())
		}
	}
	u.deleted = true
}

// AddMember makes u a member; membership is active at once. Apps hear organization.member_added.
func (o *Organization) AddMember(u *User) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	o.join(u, false)
}

// AddOwner makes u an owner: admin of every repository, maintainer of every team.
func (o *Organization) AddOwner(u *User) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	o.join(u, true)
}

// join makes somebody a member, or a member an owner; of the latter GitHub tells nobody.
func (o *Organization) join(u *User, owner bool) {
	isNew := o.members[u.id] == nil
	o.members[u.id] = u
	if owner {
		o.owners[u.id] = true
	}
	if isNew {
		o.emitMembership("member_added", u, owner)
	}
}

// RemoveMember ends u's membership, also in every team.
func (o *Organization) RemoveMember(u *User) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	if o.members[u.id] == nil {
		return
	}
	wasOwner := o.owners[u.id]
	delete(o.members, u.id)
	delete(o.owners, u.id)
	for _, slug := range sortedKeys(o.teams) {
		o.teams[slug].remove(u)
	}
	o.emitMembership("member_removed", u, wasOwner)
}

// CreateTeam makes a team; its members become members of the organization. Apps hear team.created and membership.added.
func (o *Organization) CreateTeam(slug string, members ...*User) *Team {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	if o.teams[slug] != nil {
		panic(fmt.Sprintf("githubsim: team %s/%s exists", o.login, slug))
	}
	t := &Team{org: o, id: o.sim.id(), slug: slug, members: map[int64]*User{}, roles: map[int64]role{}}
	o.teams[slug] = t
	t.tell("created", obj{})
	for _, u := range members {
		t.add(u)
	}
	return t
}

// Slug is the name in URLs and mentions.
func (t *Team) Slug() string { return t.slug }

// Add puts u into the team, and into the organization if need be; Apps hear membership.added.
func (t *Team) Add(u *User) {
	t.org.sim.mu.Lock()
	defer t.org.sim.mu.Unlock()
	t.add(u)
}

// Remove takes u out of the team; Apps hear membership.removed.
func (t *Team) Remove(u *User) {
	t.org.sim.mu.Lock()
	defer t.org.sim.mu.Unlock()
	t.remove(u)
}

func (t *Team) add(u *User) {
	if t.members[u.id] != nil {
		return
	}
	t.org.join(u, false)
	t.members[u.id] = u
	t.emit("added", u)
}

func (t *Team) remove(u *User) {
	if t.members[u.id] == nil {
		return
	}
	delete(t.members, u.id)
	t.emit("removed", u)
}

func (t *Team) emit(action string, u *User) {
	s := t.org.sim
	s.tick()
	s.emitOrganization(t.org, "membership", action, s.users["ghost-owner"], obj{
		"scope": "team", "member": u.json(), "team": t.json(),
	})
}

// isMember says whether u belongs to the organization.
func (o *Organization) isMember(u *User) bool { return u != nil && o.members[u.id] != nil }

func sortedUsers(set map[int64]*User) []*User {
	list := make([]*User, 0, len(set))
	for _, u := range set {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *User) int { return int(a.id - b.id) })
	return list
}

func randomHex(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // crypto/rand.Read never returns an error
	return hex.EncodeToString(raw)
}
