package githubsim

import (
	"encoding/json"
	"net/http"
	"slices"
)

func ruleRoutes() []route {
	const repo, org = "repos/{owner}/{repo}", "orgs/{org}"
	admin := needs("administration=write")
	owner := needs("organization_administration=write")
	return []route{
		endpoint("GET "+repo+"/rulesets", serveRulesets, needs("metadata=read")),
		endpoint("POST "+repo+"/rulesets", serveNewRuleset, admin, withRole(roleAdmin)),
		endpoint("GET "+repo+"/rulesets/{id}", serveRuleset, needs("metadata=read")),
		endpoint("PUT "+repo+"/rulesets/{id}", serveEditRuleset, admin, withRole(roleAdmin)),
		endpoint("DELETE "+repo+"/rulesets/{id}", serveDeleteRuleset, admin, withRole(roleAdmin)),
		endpoint("GET "+repo+"/rules/branches/{branch...}", serveBranchRules, needs("metadata=read")),
		endpoint("GET "+repo+"/branches/{branch...}/protection", serveProtection, needs("administration=read"), withRole(roleAdmin)),
		endpoint("GET "+org+"/rulesets", serveRulesets, needs("organization_administration=read"), withRole(roleAdmin)),
		endpoint("POST "+org+"/rulesets", serveNewRuleset, owner, withRole(roleAdmin)),
		endpoint("GET "+org+"/rulesets/{id}", serveRuleset, needs("organization_administration=read"), withRole(roleAdmin)),
		endpoint("PUT "+org+"/rulesets/{id}", serveEditRuleset, owner, withRole(roleAdmin)),
		endpoint("DELETE "+org+"/rulesets/{id}", serveDeleteRuleset, owner, withRole(roleAdmin)),
	}
}

// rulesets are those of the place that the path names; a repository's lists have its organization's too.
func (c *call) rulesets() []*ruleset {
	switch {
	case c.repo == nil:
		return c.org.rulesets
	case c.query.Get("includes_parents") == "false":
		return c.repo.rulesets
	}
	return c.repo.allRulesets()
}

// ruleset is the one that the path names; to change it, it must belong to that very place.
func (c *call) ruleset() (*ruleset, error) {
	for _, rs := range c.rulesets() {
		if rs.id == parseID(c.params["id"]) && (c.req.Method == http.MethodGet || rs.repo == c.repo) {
			return rs, nil
		}
	}
	return nil, notFound()
}

func serveRulesets(c *call) error {
	return replyList(c, c.rulesets(), func(rs *ruleset) obj { return rs.json(c.sim, false) })
}

func serveRuleset(c *call) error {
	rs, err := c.ruleset()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.rulesetJSON(rs))
}

// rulesetJSON is a ruleset as the client may see it: who may pass it, only somebody who may change it sees.
func (c *call) rulesetJSON(rs *ruleset) obj {
	out := rs.json(c.sim, true)
	if !c.mayChange(rs) {
		delete(out, "bypass_actors")
	}
	if c.repo != nil { // only there, as documented
		out["current_user_can_bypass"] = "never"
		if rs.bypassedBy(c.actor) {
			out["current_user_can_bypass"] = "always"
		}
	}
	return out
}

func (c *call) mayChange(rs *ruleset) bool {
	t := c.actor.token
	switch {
	case t == nil:
		return false
	case t.limited() && rs.repo != nil && (!t.covers(rs.repo) || !t.may(rs.repo.org, "administration", "write")):
		return false
	case t.limited() && rs.repo == nil && !t.may(rs.org, "organization_administration", "write"):
		return false
	case t.install != nil:
		return true
	case rs.repo != nil:
		return rs.repo.role(t.user) == roleAdmin
	}
	return rs.org.owners[t.user.id]
}

// nameTaken says whether another ruleset of the place has the name.
func (c *call) nameTaken(name *string, but *ruleset) bool {
	return name != nil && slices.ContainsFunc(c.rulesets(), func(rs *ruleset) bool {
		return rs.name == *name && rs.repo == c.repo && rs != but
	})
}

func nameNotUnique() error { return invalid("Ruleset", "name", "custom", "Name must be unique") }

// rulesetWrite is the body of POST and PUT; what a PUT leaves out stays as it is.
type rulesetWrite struct {
	Name        *string `json:"name"`
	Target      *string `json:"target"`
	Enforcement *string `json:"enforcement"`
	Conditions  *struct {
		RefName *struct {
			Include []string `json:"include"`
			Exclude []string `json:"exclude"`
		} `json:"ref_name"`
		target
	} `json:"conditions"`
	Rules        *[]json.RawMessage `json:"rules"`
	BypassActors *[]bypassActor     `json:"bypass_actors"`
}

func (w *rulesetWrite) validate() error {
	switch {
	case w.Enforcement != nil && !slices.Contains(enforcements, *w.Enforcement):
		return invalid("Ruleset", "enforcement", "invalid", "")
	case w.Target != nil && *w.Target != "branch":
		return invalid("Ruleset", "target", "invalid", "this simulator knows branch rulesets only")
	case w.BypassActors != nil && slices.ContainsFunc(*w.BypassActors, bypassActor.unknown):
		return invalid("Ruleset", "bypass_actors", "invalid", "this simulator lets Apps, owners, teams and users bypass a ruleset, and always")
	case w.Conditions != nil && w.Conditions.kinds() > 1:
		return invalid("Ruleset", "conditions", "invalid", "one of repository_name, repository_id and repository_property")
	}
	return nil
}

// apply changes a ruleset; rules replace all rules.
func (w *rulesetWrite) apply(rs *ruleset) error {
	set(&rs.name, w.Name)
	set(&rs.enforcement, w.Enforcement)
	if w.Conditions != nil && w.Conditions.RefName != nil {
		rs.include, rs.exclude = w.Conditions.RefName.Include, w.Conditions.RefName.Exclude
	}
	if w.Conditions != nil && w.Conditions.kinds() == 1 {
		rs.target = w.Conditions.target
	}
	if w.BypassActors != nil {
		rs.bypass = *w.BypassActors
	}
	if w.Rules == nil {
		return nil
	}
	rs.checks, rs.strict, rs.pullRequest, rs.approvals, rs.update, rs.queue, rs.other = nil, false, false, 0, false, nil, nil
	for _, raw := range *w.Rules {
		if err := rs.addRule(raw); err != nil {
			return err
		}
	}
	return nil
}

// queueSettings are the parameters of a merge_queue rule, all of which must be given.
var queueSettings = []string{
	"check_response_timeout_minutes", "grouping_strategy", "max_entries_to_build", "max_entries_to_merge", "merge_method",
	"min_entries_to_merge", "min_entries_to_merge_wait_minutes",
}

func (rs *ruleset) addQueue(raw json.RawMessage) error {
	var rule struct{ Parameters json.RawMessage }
	var given map[string]json.RawMessage
	queue := MergeQueue{}
	_ = json.Unmarshal(raw, &rule) // it was read before
	if rs.org != nil {
		return invalid("Ruleset", "rules", "invalid", "merge_queue is no rule of an organization's ruleset")
	}
	if len(rule.Parameters) == 0 { // GitHub requires the type alone
		queue = *UsualMergeQueue()
	} else {
		if json.Unmarshal(rule.Parameters, &given) != nil || json.Unmarshal(rule.Parameters, &queue) != nil {
			return invalid("Ruleset", "rules", "invalid", "")
		}
		for _, name := range queueSettings {
			if given[name] == nil {
				return invalid("Ruleset", "rules", "missing_field", name)
			}
		}
	}
	if !queue.valid() {
		return invalid("Ruleset", "rules", "invalid", "a setting of the merge queue is out of range")
	}
	rs.queue = &queue
	return nil
}

func (rs *ruleset) addRule(raw json.RawMessage) error {
	var rule struct {
		Type       string `json:"type"`
		Parameters struct {
			Approvals int  `json:"required_approving_review_count"`
			Strict    bool `json:"strict_required_status_checks_policy"`
			Checks    []struct {
				Context       string `json:"context"`
				IntegrationID *int64 `json:"integration_id"`
			} `json:"required_status_checks"`
		} `json:"parameters"`
	}
	if err := json.Unmarshal(raw, &rule); err != nil || rule.Type == "" {
		return invalid("Ruleset", "rules", "invalid", "")
	}
	switch rule.Type {
	case "update":
		rs.update = true
	case "merge_queue":
		return rs.addQueue(raw)
	case "pull_request":
		rs.pullRequest, rs.approvals = true, rule.Parameters.Approvals
	case "required_status_checks":
		rs.strict = rule.Parameters.Strict
		for _, check := range rule.Parameters.Checks {
			required := RequiredCheck{Context: check.Context}
			if check.IntegrationID != nil {
				if *check.IntegrationID <= 0 { // rulesets have no -1 for "any App"
					return invalid("Ruleset", "rules", "invalid", "integration_id must be the id of a GitHub App")
				}
				required.AppID = *check.IntegrationID
			}
			rs.checks = append(rs.checks, required)
		}
	default:
		rs.other = append(rs.other, slices.Clone(raw))
	}
	return nil
}

func serveNewRuleset(c *call) error {
	var body rulesetWrite
	if err := c.decode(&body); err != nil {
		return err
	}
	switch {
	case body.Name == nil || *body.Name == "":
		return invalid("Ruleset", "name", "missing_field", "")
	case body.Enforcement == nil:
		return invalid("Ruleset", "enforcement", "missing_field", "")
	}
	if err := body.validate(); err != nil {
		return err
	}
	if c.nameTaken(body.Name, nil) {
		return nameNotUnique()
	}
	if c.repo == nil && (body.Conditions == nil || body.Conditions.kinds() == 0) {
		return invalid("Ruleset", "conditions", "missing_field", "")
	}
	made := ruleset{repo: c.repo, org: c.org}
	if err := body.apply(&made); err != nil {
		return err
	}
	made.id, made.created = c.sim.id(), c.sim.tick()
	made.updated = made.created
	if c.repo != nil {
		c.repo.rulesets = append(c.repo.rulesets, &made)
	} else {
		c.org.rulesets = append(c.org.rulesets, &made)
	}
	c.sim.emitRuleset(c.actor.user, &made, "created", obj{})
	return c.reply(http.StatusCreated, c.rulesetJSON(&made))
}

func serveEditRuleset(c *call) error {
	rs, err := c.ruleset()
	if err != nil {
		return err
	}
	var body rulesetWrite
	if err := c.decode(&body); err != nil {
		return err
	}
	if err := body.validate(); err != nil {
		return err
	}
	if c.nameTaken(body.Name, rs) {
		return nameNotUnique()
	}
	next := *rs
	if err := body.apply(&next); err != nil {
		return err
	}
	c.sim.changeRuleset(c.actor.user, rs, func() { *rs = next })
	return c.reply(http.StatusOK, c.rulesetJSON(rs))
}

func serveDeleteRuleset(c *call) error {
	rs, err := c.ruleset()
	if err != nil {
		return err
	}
	c.sim.deleteRuleset(c.actor.user, rs)
	return c.reply(http.StatusNoContent, nil)
}

func (s *Sim) deleteRuleset(by *User, rs *ruleset) {
	is := func(x *ruleset) bool { return x == rs }
	if rs.repo != nil {
		rs.repo.rulesets = slices.DeleteFunc(rs.repo.rulesets, is)
	} else {
		rs.org.rulesets = slices.DeleteFunc(rs.org.rulesets, is)
	}
	s.tick()
	s.emitRuleset(by, rs, "deleted", obj{})
}

// serveBranchRules lists the active rules of a branch, each with the ruleset it comes from; whoever can read may ask.
func serveBranchRules(c *call) error {
	var list []obj
	for _, rs := range c.repo.activeRulesets(c.params["branch"]) {
		whole := rs.json(c.sim, false)
		for _, rule := range rs.rules() {
			rule["ruleset_source_type"], rule["ruleset_source"], rule["ruleset_id"] = whole["source_type"], whole["source"], rs.id
			list = append(list, rule)
		}
	}
	return c.reply(http.StatusOK, page(c, list))
}

// serveProtection is 404 "Branch not protected" when there is none; any App is -1 here.
func serveProtection(c *call) error {
	p, ok := c.repo.protected[c.params["branch"]]
	if !ok {
		return refuse(http.StatusNotFound, "Branch not protected")
	}
	out := obj{"url": c.repo.url("branches/%s/protection", c.params["branch"]), "enforce_admins": obj{
		"enabled": p.EnforceAdmins, "url": c.repo.url("branches/%s/protection/enforce_admins", c.params["branch"]),
	}}
	contexts := make([]string, len(p.RequiredChecks))
	for i, check := range p.RequiredChecks {
		contexts[i] = check.Context
	}
	out["required_status_checks"] = obj{"strict": p.Strict, "contexts": contexts, "checks": each(p.RequiredChecks, func(check RequiredCheck) obj {
		app := check.AppID
		if app == 0 {
			app = -1
		}
		return obj{"context": check.Context, "app_id": app}
	})}
	if p.RequiredApprovals > 0 {
		out["required_pull_request_reviews"] = obj{"required_approving_review_count": p.RequiredApprovals, "dismiss_stale_reviews": false}
	}
	return c.reply(http.StatusOK, out)
}
