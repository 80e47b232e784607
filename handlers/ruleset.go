package handlers

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// rulesetEvent is a change of a ruleset, which may be the lock.
type rulesetEvent struct{ *Door }

func (rulesetEvent) Handles() []string { return []string{"repository_ruleset"} }

func (rulesetEvent) concerns([]byte) (policy.PullRequestRef, gate.Urgency, error) {
	return policy.PullRequestRef{}, ignored, nil
}

func (rulesetEvent) take(context.Context, []byte) (Answer, error) { return Answer(nil), nil }

// ruleset is what a payload says of one; go-github v60 does not know the event.
type ruleset struct {
	Action  string `json:"action"`
	Ruleset struct {
		Name       string `json:"name"`
		SourceType string `json:"source_type"`
		Source     string `json:"source"`
	} `json:"repository_ruleset"`
	Repository   *github.Repository   `json:"repository"`
	Installation *github.Installation `json:"installation"`
	Sender       *github.User         `json:"sender"`
}

func (d rulesetEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	e, err := parse[ruleset](payload)
	if err != nil || e.Ruleset.Name != killswitch.RulesetName || e.Action == "created" {
		return killswitch.Scope{}, false, err
	}
	if e.Installation.GetID() == 0 {
		return killswitch.Scope{}, false, errIncomplete
	}
	if e.Ruleset.SourceType == "Organization" {
		return killswitch.Organization(e.Ruleset.Source, e.Installation.GetID()), true, nil
	}
	repo, err := repository(e.Repository, e.Installation)
	return d.place(repo, false), err == nil, err
}

func (d rulesetEvent) throw(ctx context.Context, payload []byte, _ time.Time) error {
	scope, is, err := d.throws(payload)
	if err != nil || !is {
		return err
	}
	e, err := parse[ruleset](payload)
	if err != nil {
		return err
	}
	return d.config.Switch.Tampered(ctx, scope, actor(e.Sender), e.Action+" the ruleset")
}

// propertyEvent is a change of a repository's custom properties, one of which may be
// the lock.
type propertyEvent struct{ *Door }

func (propertyEvent) Handles() []string { return []string{"custom_property_values"} }

func (propertyEvent) concerns([]byte) (policy.PullRequestRef, gate.Urgency, error) {
	return policy.PullRequestRef{}, ignored, nil
}

func (propertyEvent) take(context.Context, []byte) (Answer, error) { return Answer(nil), nil }

// properties is what a payload says of them; go-github v60 does not know the event.
type properties struct {
	Old          []propertyValue      `json:"old_property_values"`
	New          []propertyValue      `json:"new_property_values"`
	Repository   *github.Repository   `json:"repository"`
	Installation *github.Installation `json:"installation"`
	Sender       *github.User         `json:"sender"`
}

// propertyValue has a text, a list of texts or nothing as its value.
type propertyValue struct {
	Name  string `json:"property_name"`
	Value any    `json:"value"`
}

// changed are the names of those that have another value now, or none.
func (p properties) changed() (names []string) {
	was := map[string]any{}
	for _, value := range p.Old {
		was[value.Name] = value.Value
	}
	for _, value := range p.New {
		if before, had := was[value.Name]; !had || !reflect.DeepEqual(before, value.Value) {
			names = append(names, value.Name)
		}
		delete(was, value.Name)
	}
	return append(names, slices.Sorted(maps.Keys(was))...)
}

func (d propertyEvent) throws(payload []byte) (killswitch.Scope, bool, error) {
	e, err := parse[properties](payload)
	if err != nil {
		return killswitch.Scope{}, false, err
	}
	for _, name := range e.changed() {
		is, organization := d.config.Switch.Locks(name)
		if !is {
			continue
		}
		repo, err := repository(e.Repository, e.Installation)
		if organization {
			return killswitch.Organization(repo.Owner, repo.Installation), err == nil, err
		}
		return killswitch.Scope{Repository: repo}, err == nil, err
	}
	return killswitch.Scope{}, false, nil
}

func (d propertyEvent) throw(ctx context.Context, payload []byte, _ time.Time) error {
	scope, is, err := d.throws(payload)
	if err != nil || !is {
		return err
	}
	e, err := parse[properties](payload)
	if err != nil {
		return err
	}
	return d.config.Switch.Tampered(ctx, scope, actor(e.Sender), "changed the property that locks "+e.Repository.GetFullName())
}
