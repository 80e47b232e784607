package handlers

import (
	"context"
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
