package app

import (
	"context"
	"errors"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// userTokens is GitHub as it gives tokens for people's words, and takes them back.
type userTokens struct{ client *githubapi.Client }

var _ usertoken.GitHub = userTokens{}

// Redeem trades the code that a person came back with.
func (u userTokens) Redeem(ctx context.Context, code, verifier, redirect string) (usertoken.Grant, error) {
	token, err := u.client.RedeemCode(ctx, code, verifier, redirect)
	return usertoken.Grant(token), loginAnswer(err)
}

// Renew renews a token.
func (u userTokens) Renew(ctx context.Context, refresh string) (usertoken.Grant, error) {
	token, err := u.client.RenewUserToken(ctx, refresh)
	return usertoken.Grant(token), loginAnswer(err)
}

// Owner is whose a token is.
func (u userTokens) Owner(ctx context.Context, access string) (policy.Actor, error) {
	return u.client.TokenOwner(ctx, access)
}

// Revoke takes back that the App may act for a person.
func (u userTokens) Revoke(ctx context.Context, access string) error {
	return u.client.RevokeGrant(ctx, access)
}

// BeginDevice begins a round of the device flow.
func (u userTokens) BeginDevice(ctx context.Context) (usertoken.Device, error) {
	code, err := u.client.BeginDevice(ctx)
	return usertoken.Device{Code: code.Code, UserCode: code.UserCode, Address: code.VerificationURI, ExpiresAt: code.ExpiresAt, Interval: code.Interval}, loginAnswer(err)
}

// PollDevice asks whether the person has decided.
func (u userTokens) PollDevice(ctx context.Context, code string) (usertoken.Grant, error) {
	token, err := u.client.PollDevice(ctx, code)
	return usertoken.Grant(token), loginAnswer(err)
}

// loginAnswer makes of GitHub's refusals what a keeper of tokens knows.
func loginAnswer(err error) error {
	refusal, is := errors.AsType[*githubapi.LoginError](err)
	switch {
	case is && refusal.Pending():
		return &usertoken.PendingError{Interval: refusal.Interval}
	case is && refusal.Over():
		return &usertoken.OverError{Cause: err}
	default:
		return err
	}
}
