package app

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// stopped is the value of a custom property by which a ruleset holds.
const stopped = "true"

// PutLock puts a ruleset, or sets a property of all repositories in the place.
func (p platform) PutLock(ctx context.Context, place policy.Repository, lock killswitch.Lock) (int64, error) {
	if lock.Property == "" {
		return p.Client.PutLock(ctx, githubapi.Lock{
			Place: place, RulesetID: lock.ID, Enforced: lock.Enforced, Branches: lock.Branches, Drain: lock.Drain,
		})
	}
	repositories := []policy.Repository{place}
	if place.Name == "" {
		var err error
		if repositories, err = p.Repositories(ctx, place.Installation); err != nil {
			return 0, err
		}
	}
	names := make([]string, len(repositories))
	for i, repository := range repositories {
		names[i] = repository.Name
	}
	value := ""
	if lock.Enforced {
		value = stopped
	}
	return 0, p.SetProperty(ctx, place, names, lock.Property, value)
}

// Locked reads it back.
func (p platform) Locked(ctx context.Context, witness killswitch.Witness, lock killswitch.Lock) (bool, error) {
	id := lock.ID
	if lock.Property != "" {
		var err error
		if id, err = p.InheritedRuleset(ctx, witness.Repository, lock.Property); err != nil || id == 0 {
			return false, err
		}
	}
	return p.Client.Locked(ctx, witness.Repository, witness.Branch, id)
}

// ReadLock reads the ruleset itself, or the property of all that it is to lock: that
// is found if one has it, and enforced if all do.
func (p platform) ReadLock(ctx context.Context, place policy.Repository, lock killswitch.Lock) (killswitch.Lock, bool, error) {
	if lock.Property != "" {
		locked, all, err := p.propertySet(ctx, place, lock.Property)
		lock.Enforced = all
		return lock, locked, err
	}
	there, found, err := p.Client.ReadLock(ctx, place, lock.ID)
	return killswitch.Lock{ID: there.RulesetID, Enforced: there.Enforced, Branches: there.Branches, Drain: there.Drain}, found, err
}

// propertySet reports whether the property has its value anywhere in the place, and
// whether everywhere.
func (p platform) propertySet(ctx context.Context, place policy.Repository, property string) (some, all bool, _ error) {
	if place.Name != "" {
		value, err := p.Property(ctx, place, property)
		return value == stopped, value == stopped, err
	}
	repositories, err := p.Repositories(ctx, place.Installation)
	if err != nil {
		return false, false, err
	}
	values, err := p.Properties(ctx, place, property)
	if err != nil {
		return false, false, fmt.Errorf("see whether %s is locked: %w", place.Owner, err)
	}
	all = true
	for _, repository := range repositories {
		set := values[repository.ID] == stopped
		some, all = some || set, all && set
	}
	return some, all, nil
}
