package usertoken

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Device is one round of the device flow: a person enters UserCode at Address.
type Device struct {
	// Code is the secret with which it is asked whether they have.
	Code              string
	UserCode, Address string
	ExpiresAt         time.Time
	// Interval is how long to wait before each question.
	Interval time.Duration
}

// PendingError is returned while a person has not decided. Interval is how long to wait
// from now on, if GitHub says so.
type PendingError struct{ Interval time.Duration }

func (*PendingError) Error() string { return "the person has not decided yet" }

// BeginDevice begins a round for whoever cannot come by a link. Whoever enters the code
// lets the App act for themselves, and for nobody else.
func (k *Keeper) BeginDevice(ctx context.Context) (Device, error) {
	return k.config.GitHub.BeginDevice(ctx)
}

// AwaitDevice waits until the person has entered the code, keeps the token and returns
// whose it is. It is an [*OverError] if they said no, or took too long.
func (k *Keeper) AwaitDevice(ctx context.Context, device Device) (policy.Actor, error) {
	for {
		if err := k.config.Wait(ctx, device.Interval); err != nil {
			return policy.Actor{}, err
		}
		if k.config.Now().After(device.ExpiresAt) {
			return policy.Actor{}, &OverError{Cause: fmt.Errorf("the code was entered by nobody until %s", device.ExpiresAt.UTC().Format(time.TimeOnly))}
		}
		grant, err := k.config.GitHub.PollDevice(ctx, device.Code)
		if pending, is := errors.AsType[*PendingError](err); is {
			device.Interval = max(device.Interval, pending.Interval)
			continue
		}
		if err != nil {
			return policy.Actor{}, err
		}
		return k.keep(ctx, grant)
	}
}
