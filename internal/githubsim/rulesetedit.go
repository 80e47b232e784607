package githubsim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// CreateRuleset adds a ruleset to the repository, and tells nobody.
func (r *Repository) CreateRuleset(rs Ruleset) (id int64) {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	made := r.sim.newRuleset(rs)
	made.repo = r
	r.rulesets = append(r.rulesets, made)
	return made.id
}

// CreateRuleset adds a ruleset to repositories of the organization, and tells nobody.
func (o *Organization) CreateRuleset(rs Ruleset) (id int64) {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	made := o.sim.newRuleset(rs)
	made.org = o
	o.rulesets = append(o.rulesets, made)
	return made.id
}

// SetRulesetEnforcement flips a ruleset of the repository, as an admin does on the settings page.
func (r *Repository) SetRulesetEnforcement(id int64, enforcement string) {
	owner := r.sim.User("ghost-owner")
	mustEdit(r.editRuleset(owner, id, func(rs *Ruleset) { rs.Enforcement = enforcement }))
}

// SetRulesetEnforcement flips a ruleset of the organization, as an owner does on the settings page.
func (o *Organization) SetRulesetEnforcement(id int64, enforcement string) {
	owner := o.sim.User("ghost-owner")
	mustEdit(o.editRuleset(owner, id, func(rs *Ruleset) { rs.Enforcement = enforcement }))
}

func mustEdit(err error) {
	if err != nil {
		panic("githubsim: editing a ruleset: " + err.Error())
	}
}

// EditRuleset changes a ruleset of the repository, as an admin does on the settings page: edit gets what it is and leaves what it
// shall be. Apps hear repository_ruleset.edited from that person.
func (r *Repository) EditRuleset(admin *User, id int64, edit func(*Ruleset)) error {
	if err := r.mustAdmin(admin); err != nil {
		return err
	}
	return r.editRuleset(admin, id, edit)
}

// EditRuleset changes a ruleset of the organization, as an owner does.
func (o *Organization) EditRuleset(owner *User, id int64, edit func(*Ruleset)) error {
	if err := o.mustOwn(owner); err != nil {
		return err
	}
	return o.editRuleset(owner, id, edit)
}

// DeleteRuleset removes a ruleset of the repository, as an admin does on the settings page; Apps hear repository_ruleset.deleted.
func (r *Repository) DeleteRuleset(admin *User, id int64) error {
	if err := r.mustAdmin(admin); err != nil {
		return err
	}
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.sim.removeRuleset(admin, r.rulesets, id)
}

// DeleteRuleset removes a ruleset of the organization, as an owner does.
func (o *Organization) DeleteRuleset(owner *User, id int64) error {
	if err := o.mustOwn(owner); err != nil {
		return err
	}
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	return o.sim.removeRuleset(owner, o.rulesets, id)
}

func (r *Repository) mustAdmin(u *User) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	if r.role(u) < roleAdmin {
		return refuse(http.StatusForbidden, "Must have admin rights to Repository.")
	}
	return nil
}

func (o *Organization) mustOwn(u *User) error {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	if !o.owners[u.id] {
		return refuse(http.StatusForbidden, "Must be an owner of the organization.")
	}
	return nil
}

func (r *Repository) editRuleset(by *User, id int64, edit func(*Ruleset)) error {
	r.sim.mu.Lock()
	defer r.sim.mu.Unlock()
	return r.sim.editRuleset(by, r.rulesets, id, edit)
}

func (o *Organization) editRuleset(by *User, id int64, edit func(*Ruleset)) error {
	o.sim.mu.Lock()
	defer o.sim.mu.Unlock()
	return o.sim.editRuleset(by, o.rulesets, id, edit)
}

func (s *Sim) editRuleset(by *User, list []*ruleset, id int64, edit func(*Ruleset)) error {
	for _, rs := range list {
		if rs.id == id {
			view := rs.view()
			edit(&view)
			mustEnforce(view.Enforcement)
			s.changeRuleset(by, rs, func() { rs.set(view) })
			return nil
		}
	}
	return notFound()
}

func (s *Sim) removeRuleset(by *User, list []*ruleset, id int64) error {
	for _, rs := range list {
		if rs.id == id {
			s.deleteRuleset(by, rs)
			return nil
		}
	}
	return notFound()
}

func (s *Sim) newRuleset(rs Ruleset) *ruleset {
	if rs.Enforcement == "" {
		rs.Enforcement = "active"
	}
	mustEnforce(rs.Enforcement)
	at := s.tick()
	made := &ruleset{id: s.id(), created: at, updated: at}
	made.set(rs)
	return made
}

func mustEnforce(enforcement string) {
	if !slices.Contains(enforcements, enforcement) {
		panic(fmt.Sprintf("githubsim: enforcement %q is none of %v", enforcement, enforcements))
	}
}

// set makes the ruleset what a test says, and leaves what tests cannot say.
func (rs *ruleset) set(to Ruleset) {
	rs.name, rs.enforcement, rs.include, rs.checks = to.Name, to.Enforcement, to.Branches, to.RequiredChecks
	if rs.approvals != to.RequiredApprovals {
		rs.pullRequest, rs.approvals = to.RequiredApprovals > 0, to.RequiredApprovals
	}
	rs.update, rs.queue = to.Update, to.MergeQueue
	rs.bypass = slices.DeleteFunc(slices.Clone(rs.bypass), func(b bypassActor) bool { return b.ActorType == "Integration" })
	for _, id := range to.BypassApps {
		rs.bypass = append(rs.bypass, bypassActor{ActorID: &id, ActorType: "Integration", BypassMode: "always"})
	}
	switch {
	case to.Repositories != nil:
		rs.target = target{Name: &nameCondition{Include: to.Repositories}}
	case to.RepositoryIDs != nil:
		rs.target = target{ID: &idCondition{to.RepositoryIDs}}
	case to.Properties != nil:
		wanted := &propertyCondition{}
		for _, name := range sortedKeys(to.Properties) {
			wanted.Include = append(wanted.Include, propertySpec{Name: name, Values: to.Properties[name]})
		}
		rs.target = target{Property: wanted}
	}
}

// view is the ruleset as tests say it.
func (rs *ruleset) view() Ruleset {
	out := Ruleset{
		Name: rs.name, Enforcement: rs.enforcement, Branches: slices.Clone(rs.include), RequiredChecks: slices.Clone(rs.checks),
		RequiredApprovals: rs.approvals, Update: rs.update,
	}
	if rs.queue != nil {
		queue := *rs.queue
		out.MergeQueue = &queue
	}
	for _, b := range rs.bypass {
		if b.ActorType == "Integration" {
			out.BypassApps = append(out.BypassApps, *b.ActorID)
		}
	}
	return out
}

// changeRuleset changes a ruleset and tells Apps, which hear repository_ruleset.edited with what changed.
func (s *Sim) changeRuleset(by *User, rs *ruleset, change func()) {
	was := *rs
	change()
	rs.updated = s.tick()
	s.emitRuleset(by, rs, "edited", obj{"changes": rs.changes(&was)})
}

// changes are what is different from before, as repository_ruleset.edited says it.
func (rs *ruleset) changes(was *ruleset) obj {
	out := obj{}
	if was.name != rs.name {
		out["name"] = obj{"from": was.name}
	}
	if was.enforcement != rs.enforcement {
		out["enforcement"] = obj{"from": was.enforcement}
	}
	refs := obj{}
	if !slices.Equal(was.include, rs.include) {
		refs["include"] = obj{"from": append([]string{}, was.include...)}
	}
	if !slices.Equal(was.exclude, rs.exclude) {
		refs["exclude"] = obj{"from": append([]string{}, was.exclude...)}
	}
	if len(refs) > 0 {
		out["conditions"] = obj{"added": []obj{}, "deleted": []obj{}, "updated": []obj{{"condition": rs.refNames(), "changes": refs}}}
	}
	added, deleted, updated := []obj{}, []obj{}, []obj{}
	before := rulesByType(was)
	for kind, rule := range rulesByType(rs) {
		old, had := before[kind]
		delete(before, kind)
		switch {
		case !had:
			added = append(added, rule)
		case fmt.Sprint(old) != fmt.Sprint(rule):
			updated = append(updated, obj{"rule": rule, "changes": obj{"configuration": obj{"from": fmt.Sprint(old["parameters"])}}})
		}
	}
	for _, rule := range before {
		deleted = append(deleted, rule)
	}
	if len(added)+len(deleted)+len(updated) > 0 {
		out["rules"] = obj{"added": added, "deleted": deleted, "updated": updated}
	}
	return out
}

func rulesByType(rs *ruleset) map[string]obj {
	out := map[string]obj{}
	for _, rule := range rs.rules() {
		kind, _ := rule["type"].(string)
		out[kind] = maps.Clone(rule)
	}
	return out
}

func (s *Sim) emitRuleset(by *User, rs *ruleset, action string, body obj) {
	body["repository_ruleset"] = rs.json(s, true)
	if rs.repo != nil {
		s.emit(rs.repo, "repository_ruleset", action, by, body)
		return
	}
	s.emitOrganization(rs.org, "repository_ruleset", action, by, body)
}
