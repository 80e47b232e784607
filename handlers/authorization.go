package handlers

import (
	"context"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// UserTokens are the tokens with which the App acts for people. [usertoken.Keeper] fits.
type UserTokens interface {
	// Forget forgets those of a person who has taken back that the App may act for them.
	Forget(ctx context.Context, person policy.Actor) error
}

// authorizationEvent is a person who lets the App act for them no more. GitHub sends it
// for every App, subscribed or not, and with no installation: it is the person's own.
type authorizationEvent struct{ *Door }

func (authorizationEvent) Handles() []string { return []string{"github_app_authorization"} }

func (e authorizationEvent) concerns(payload []byte) (policy.PullRequestRef, gate.Urgency, error) {
	h, err := parse[heading](payload)
	if err != nil || h.Action != "revoked" || e.config.UserTokens == nil {
		return policy.PullRequestRef{}, ignored, err
	}
	if h.Sender.GetID() == 0 {
		return policy.PullRequestRef{}, ignored, errIncomplete
	}
	return policy.PullRequestRef{}, gate.UrgencyPeople, nil // work of its own
}

// take forgets the person's tokens.
func (e authorizationEvent) take(ctx context.Context, payload []byte) (Answer, error) {
	h, err := parse[heading](payload)
	if err != nil || e.config.UserTokens == nil {
		return nil, err
	}
	return nil, e.config.UserTokens.Forget(ctx, actor(h.Sender))
}
