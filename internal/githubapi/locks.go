package githubapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

const (
	// lockName is the name of the ruleset. GitHub lets a place have one ruleset of a
	// name.
	lockName = "portcullis/kill-switch"
	// mergeQueueApp is the App as which github.com's merge queues push.
	mergeQueueApp = 262318
	// defaultBranch is how a ruleset names the default branch, whichever it is.
	defaultBranch = "~DEFAULT_BRANCH"
)

// Lock is the ruleset that forbids everybody to update branches, which is what a
// merge does.
type Lock struct {
	// Place is the repository, or with an empty Name the organization Owner, in all of
	// whose repositories it holds.
	Place policy.Repository
	// RulesetID is GitHub's; 0 if it is not known.
	RulesetID int64
	// Enforced is false of a ruleset that is there and forbids nothing.
	Enforced bool
	// Branches are what it holds for, as full references or GitHub's patterns of them;
	// none is the default branch.
	Branches []string
	// Drain lets merge queues go on, and nobody else.
	Drain bool
}

// lockRuleset is a ruleset as it is written, whole: go-github leaves out a list of
// bypasses that is empty, which would let those stay who were put there.
type lockRuleset struct {
	ID          int64          `json:"id,omitempty"`
	Name        string         `json:"name"`
	Target      string         `json:"target"`
	Enforcement string         `json:"enforcement"`
	Bypass      []lockBypass   `json:"bypass_actors"`
	Conditions  lockConditions `json:"conditions"`
	Rules       []lockRule     `json:"rules"`
}

type lockBypass struct {
	ActorID   int64  `json:"actor_id"`
	ActorType string `json:"actor_type"`
	Mode      string `json:"bypass_mode"`
}

type lockConditions struct {
	Refs         lockNames  `json:"ref_name"`
	Repositories *lockNames `json:"repository_name,omitempty"`
}

type lockNames struct {
	Include   []string `json:"include"`
	Exclude   []string `json:"exclude"`
	Protected *bool    `json:"protected,omitempty"`
}

type lockRule struct {
	Type       string          `json:"type"`
	Parameters *lockParameters `json:"parameters,omitempty"`
}

// lockParameters are those of a rule of type update.
type lockParameters struct {
	// FetchAndMerge lets a fork be brought up to date with where it comes from.
	FetchAndMerge bool `json:"update_allows_fetch_and_merge"`
}

func (l Lock) ruleset() lockRuleset {
	rs := lockRuleset{
		Name: lockName, Target: "branch", Enforcement: "disabled", Bypass: []lockBypass{}, Rules: []lockRule{{Type: "update"}},
		Conditions: lockConditions{Refs: lockNames{Include: l.Branches, Exclude: []string{}}},
	}
	if len(l.Branches) == 0 {
		rs.Conditions.Refs.Include = []string{defaultBranch}
	}
	if l.Enforced {
		rs.Enforcement = "active"
	}
	if l.Drain {
		rs.Bypass = append(rs.Bypass, lockBypass{ActorID: mergeQueueApp, ActorType: "Integration", Mode: "always"})
	}
	if l.Place.Name == "" {
		rs.Conditions.Repositories = &lockNames{Include: []string{"~ALL"}, Exclude: []string{}, Protected: new(false)}
	}
	return rs
}

// lock is what the ruleset does. GitHub shows the list of bypasses to those alone
// who may change it: a list that is not shown is not an empty one.
func (rs lockRuleset) lock(place policy.Repository) Lock {
	l := Lock{Place: place, RulesetID: rs.ID, Branches: rs.Conditions.Refs.Include}
	l.Drain = slices.Equal(rs.Bypass, Lock{Drain: true}.ruleset().Bypass)
	forbids := slices.ContainsFunc(rs.Rules, func(r lockRule) bool {
		return r.Type == "update" && (r.Parameters == nil || !r.Parameters.FetchAndMerge)
	})
	everywhere := len(rs.Conditions.Refs.Exclude) == 0
	if place.Name == "" {
		names := rs.Conditions.Repositories
		everywhere = everywhere && names != nil && slices.Contains(names.Include, "~ALL") && len(names.Exclude) == 0
	}
	l.Enforced = rs.Name == lockName && rs.Target == "branch" && rs.Enforcement == "active" && forbids && everywhere &&
		rs.Bypass != nil && (l.Drain || len(rs.Bypass) == 0)
	return l
}

// rulesets is the address of a place's own rulesets.
func rulesets(place policy.Repository) string {
	if place.Name == "" {
		return "orgs/" + place.Owner + "/rulesets"
	}
	return "repos/" + place.String() + "/rulesets"
}

func ruleset(place policy.Repository, id int64) string {
	return rulesets(place) + "/" + strconv.FormatInt(id, 10)
}

// placeName is the place in words.
func placeName(place policy.Repository) string {
	if place.Name == "" {
		return place.Owner
	}
	return place.String()
}

// PutLock makes the ruleset be as lock says and returns its id. With a RulesetID it
// is one call, and so it is with none as long as the place has no such ruleset;
// otherwise the one is found by its name. One that was deleted is made anew. It
// needs administration: write of the repository, organization_administration: write
// of an organization. With an error it may have been done all the same.
func (c *Client) PutLock(ctx context.Context, lock Lock) (id int64, err error) {
	client, err := c.rest(lock.Place)
	if err != nil {
		return 0, err
	}
	if lock.RulesetID != 0 {
		err := call(ctx, client, http.MethodPut, ruleset(lock.Place, lock.RulesetID), lock.ruleset(), nil)
		if err == nil {
			return lock.RulesetID, nil
		}
		if !isNotFound(err) {
			return 0, failed(err, "change the ruleset %q of %s", lockName, placeName(lock.Place))
		}
	}
	var made lockRuleset
	err = call(ctx, client, http.MethodPost, rulesets(lock.Place), lock.ruleset(), &made)
	if statusOf(err) != http.StatusUnprocessableEntity {
		return made.ID, failed(err, "create the ruleset %q of %s", lockName, placeName(lock.Place))
	}
	// GitHub says "Name must be unique", which it does not document: whether that is
	// what is wrong is seen by looking.
	id, findErr := c.FindLock(ctx, lock.Place)
	switch {
	case findErr != nil:
		return 0, findErr
	case id == 0:
		return 0, failed(err, "create the ruleset %q of %s", lockName, placeName(lock.Place))
	}
	if err := call(ctx, client, http.MethodPut, ruleset(lock.Place, id), lock.ruleset(), nil); err != nil {
		return 0, failed(err, "change the ruleset %q of %s", lockName, placeName(lock.Place))
	}
	return id, nil
}

// Locked reports whether GitHub shows that the ruleset forbids updates of the branch
// now: it lists the rules that are in force there, of the repository and of its
// organization. It does not share its reading with others, which may have begun
// before the ruleset was changed.
func (c *Client) Locked(ctx context.Context, repository policy.Repository, branch string, rulesetID int64) (bool, error) {
	client, err := c.rest(repository)
	if err != nil {
		return false, err
	}
	rules, err := list[struct {
		lockRule

		RulesetID int64 `json:"ruleset_id"`
	}](alone(ctx), client, "repos/"+repository.String()+"/rules/branches/"+url.PathEscape(branch), nil)
	if err != nil {
		return false, failed(err, "read the rules of the branch %s of %s", branch, repository)
	}
	for _, rule := range rules {
		if rule.Type == "update" && rule.RulesetID == rulesetID {
			return true, nil
		}
	}
	return false, nil
}

// ReadLock reads the ruleset, for nothing while it is unchanged. Enforced is true
// only if it is in force and in nothing less than [Client.PutLock] would make it, but
// for Branches and Drain, which are as they are. A ruleset that is not there, or
// that the App may not see, is not found and no error.
func (c *Client) ReadLock(ctx context.Context, place policy.Repository, id int64) (lock Lock, found bool, err error) {
	client, err := c.rest(place)
	if err != nil {
		return Lock{}, false, err
	}
	address := ruleset(place, id)
	if place.Name != "" {
		address += "?includes_parents=false"
	}
	var rs lockRuleset
	err = call(ctx, client, http.MethodGet, address, nil, &rs)
	if isNotFound(err) {
		return Lock{}, false, nil
	}
	if err != nil {
		return Lock{}, false, failed(err, "read the ruleset %d of %s", id, placeName(place))
	}
	return rs.lock(place), true, nil
}

// FindLock finds the place's own ruleset by its name; 0 if there is none.
func (c *Client) FindLock(ctx context.Context, place policy.Repository) (id int64, err error) {
	client, err := c.rest(place)
	if err != nil {
		return 0, err
	}
	all, err := ownRulesets(ctx, client, place)
	if err != nil {
		return 0, err
	}
	for _, rs := range all {
		if rs.Name == lockName {
			return rs.ID, nil
		}
	}
	return 0, nil
}

// listedRuleset is a ruleset as lists show it, without its rules.
type listedRuleset struct {
	ID          int64  `json:"id"`
	Name        string `json:"name"`
	Target      string `json:"target"`
	Enforcement string `json:"enforcement"`
}

// ownRulesets lists the rulesets of the place itself.
func ownRulesets(ctx context.Context, client *github.Client, place policy.Repository) ([]listedRuleset, error) {
	query := url.Values{}
	if place.Name != "" {
		query.Set("includes_parents", "false")
	}
	all, err := list[listedRuleset](ctx, client, rulesets(place), query)
	return all, failed(err, "list the rulesets of %s", placeName(place))
}

// DefaultBranch returns the name of the repository's default branch.
func (c *Client) DefaultBranch(ctx context.Context, repository policy.Repository) (string, error) {
	client, err := c.rest(repository)
	if err != nil {
		return "", err
	}
	found, _, err := client.Repositories.Get(ctx, repository.Owner, repository.Name)
	if err == nil && found.GetDefaultBranch() == "" {
		return "", &Error{Operation: "read the repository " + repository.String() + ", which has no default branch", Status: http.StatusOK}
	}
	return found.GetDefaultBranch(), failed(err, "read the repository %s", repository)
}
