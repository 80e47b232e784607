package killswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// defaultBranch and allBranches are GitHub's names in a ruleset's conditions.
	defaultBranch = "~DEFAULT_BRANCH"
	allBranches   = "~ALL"
	// maxBranches is how many branches a lock names; with more it takes all.
	maxBranches = 100
)

// errNotLocked is returned while GitHub does not show what it was told.
var errNotLocked = errors.New("GitHub does not show the ruleset as it was put")

// lockable reports whether a ruleset can stop what is in scope: it forbids merges
// for everybody, whose ever the pull request is.
func (s Scope) lockable() bool { return !s.Agents && s.Number == 0 }

// enforceLock forbids every merge in scope: one call, and one that reads it back.
// Once that is confirmed, GitHub is only asked whether it still holds, which is
// free while nothing changed.
func (k *GitHubKillSwitch) enforceLock(ctx context.Context, sw Switch) error {
	if !sw.lockable() {
		return nil
	}
	want, err := k.wanted(ctx, sw)
	if err != nil {
		return err
	}
	if sw.Lock.does(want) && !sw.LockedAt.IsZero() {
		holds, err := k.holds(ctx, sw)
		if err != nil || holds {
			return err
		}
	}
	return k.setLock(ctx, sw, true)
}

// does reports whether the lock is in force and as it is wanted. Of which branches a
// property keeps merges, and from whom, its ruleset says.
func (l Lock) does(want Lock) bool {
	if l.Property != "" {
		return l.Enforced
	}
	return l.Enforced && l.ID != 0 && want.Drain == l.Drain && contained(want.Branches, l.Branches)
}

// holds asks GitHub whether what was put is still there.
func (k *GitHubKillSwitch) holds(ctx context.Context, sw Switch) (bool, error) {
	there, found, err := k.config.GitHub.ReadLock(ctx, sw.Repository, sw.Lock)
	if err != nil || !found || !there.Enforced || sw.Lock.Property == "" {
		return found && there.Enforced, err
	}
	return k.config.GitHub.Locked(ctx, sw.Witness, sw.Lock)
}

// wanted is the lock that the switch asks for: the default branch and every branch
// to which an open pull request would be merged.
func (k *GitHubKillSwitch) wanted(ctx context.Context, sw Switch) (Lock, error) {
	bases, err := k.config.Gates.Bases(ctx, sw.Scope)
	if err != nil {
		return Lock{}, err
	}
	lock := Lock{ID: sw.Lock.ID, Property: sw.Lock.Property, Enforced: true, Branches: []string{defaultBranch}, Undrainable: sw.Lock.Undrainable}
	lock.Drain = k.queueMode(sw.Scope) == policy.QueueDrain && lock.Undrainable == ""
	for _, base := range bases {
		lock.Branches = append(lock.Branches, "refs/heads/"+base)
	}
	if len(lock.Branches) > maxBranches {
		lock.Branches = []string{allBranches}
	}
	return lock, nil
}

func contained(branches, in []string) bool {
	return slices.Contains(in, allBranches) ||
		!slices.ContainsFunc(branches, func(branch string) bool { return !slices.Contains(in, branch) })
}

// queueMode is what the policy says of merge queues, as far as it is known without
// asking: the lock waits for nothing.
func (k *GitHubKillSwitch) queueMode(scope Scope) policy.QueueMode {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if rules, known := k.labels[scope.Whole().place()]; known {
		return rules.MergeQueue
	}
	return policy.QueueHalt
}

// CancelsWorkflows reports whether the policies that are known for the scope ask for
// runs of workflows to be cancelled.
func (k *GitHubKillSwitch) CancelsWorkflows(scope Scope) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	rules, known := k.labels[scope.Whole().place()]
	if !known && scope.Number != 0 {
		rules = k.labels[Scope{Repository: scope.Repository}.place()]
	}
	return rules.CancelWorkflows
}

// setLock puts the lock and reads back that it holds, or holds no longer.
func (k *GitHubKillSwitch) setLock(ctx context.Context, sw Switch, on bool) error {
	if !sw.lockable() || !on && sw.Lock.ID == 0 && sw.Lock.Property == "" && !sw.Lock.Tried {
		return nil
	}
	lock := Lock{ID: sw.Lock.ID, Property: sw.Lock.Property, Branches: sw.Lock.Branches, Drain: sw.Lock.Drain}
	if on {
		var err error
		if lock, err = k.wanted(ctx, sw); err != nil {
			return err
		}
	}
	if !on && sw.Lock.Enforced {
		if err := k.unconfirm(ctx, sw); err != nil {
			return err
		}
	}
	lock, err := k.putLock(ctx, sw.Repository, lock)
	if refused(err) && (on || sw.Lock.Impossible != "") {
		return k.cannotLock(ctx, sw, lock, err)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", sw.Scope, err), k.tried(ctx, sw, lock))
	}
	witness, err := k.witness(ctx, sw)
	if err != nil {
		return err
	}
	locked, err := k.config.GitHub.Locked(ctx, witness, lock)
	if err == nil && locked != on {
		err = errNotLocked
	}
	// What was put is known even if it cannot be read back yet; that it is in force is
	// not, and neither is that of one that was to be lifted.
	_, keepErr := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		now.Lock, now.Witness = lock, witness
		if err != nil {
			now.Lock.Enforced = false
			return true, nil
		}
		return true, k.lockEntries(now, on)
	})
	if err := errors.Join(err, keepErr); err != nil {
		return fmt.Errorf("read back the lock of %s on %s: %w", sw.Scope, witness.Branch, err)
	}
	return nil
}

// putLock puts a ruleset of the App's own, or, where that is refused, sets the
// property that puts one of the organization's into force. It returns the lock with
// what it may have been put by. A lock that lets merge queues go on and that GitHub
// does not take is put without: elsewhere than on github.com they push as another
// App, and everything stops rather than nothing.
func (k *GitHubKillSwitch) putLock(ctx context.Context, place policy.Repository, lock Lock) (Lock, error) {
	id, err := k.config.GitHub.PutLock(ctx, place, lock)
	if lock.Drain && invalid(err) {
		lock.Drain, lock.Undrainable = false, err.Error()
		id, err = k.config.GitHub.PutLock(ctx, place, lock)
	}
	property := k.property(place)
	if err == nil {
		lock.ID = id
	}
	if !refused(err) || lock.Property != "" || property == "" {
		return lock, err
	}
	lock.ID, lock.Property = 0, property
	_, err = k.config.GitHub.PutLock(ctx, place, lock)
	return lock, err
}

// property is the one that locks the place; empty if there is none.
func (k *GitHubKillSwitch) property(place policy.Repository) string {
	if place.Name == "" {
		return k.config.OrganizationProperty
	}
	return k.config.RepositoryProperty
}

// Locks reports whether the custom property is one that locks, and whether it is the
// organization's.
func (k *GitHubKillSwitch) Locks(property string) (is, organization bool) {
	organization = strings.EqualFold(property, k.config.OrganizationProperty)
	return property != "" && (organization || strings.EqualFold(property, k.config.RepositoryProperty)), organization
}

func (k *GitHubKillSwitch) lockEntries(sw *Switch, on bool) []audit.Entry {
	if !on {
		return []audit.Entry{k.entry("killswitch.unlocked", sw, policy.Actor{}, "")}
	}
	if !sw.LockedAt.IsZero() {
		return []audit.Entry{k.entry("killswitch.locked", sw, policy.Actor{}, "put back")}
	}
	sw.LockedAt = k.config.Now()
	after := sw.LockedAt.Sub(sw.HeardAt).Round(time.Millisecond)
	k.config.Log.Warn().Str("event", "killswitch.locked").Stringer("scope", sw.Scope).Dur("after", after).Msg("GitHub forbids every merge in scope")
	return []audit.Entry{k.entry("killswitch.locked", sw, policy.Actor{}, fmt.Sprintf("confirmed %s after it was heard", after))}
}

// unconfirm takes it off the record that the lock is in force, before it is lifted: a
// process that dies in between leaves no claim of a lock that may be gone.
func (k *GitHubKillSwitch) unconfirm(ctx context.Context, sw Switch) error {
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		was := now.Lock.Enforced
		now.Lock.Enforced = false
		return was, nil
	})
	if err != nil {
		return fmt.Errorf("keep that the lock of %s is being lifted: %w", sw.Scope, err)
	}
	return nil
}

// tried keeps that GitHub was told and did not answer, so that what may be there is
// taken away in the end.
func (k *GitHubKillSwitch) tried(ctx context.Context, sw Switch, put Lock) error {
	if sw.Lock.Tried && sw.Lock.Property == put.Property {
		return nil
	}
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		now.Lock.Property, now.Lock.Tried = put.Property, true
		return true, nil
	})
	return err
}

// cannotLock keeps that GitHub does not let the App lock. What it was put by may be
// there in a part of the scope.
func (k *GitHubKillSwitch) cannotLock(ctx context.Context, sw Switch, put Lock, cause error) error {
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		why := cause.Error()
		changed := now.Lock.Impossible != why || now.Lock.Enforced
		now.Lock.Impossible, now.Lock.Enforced, now.Lock.Property, now.Lock.Tried = why, false, put.Property, false
		if !changed {
			return false, nil
		}
		return true, []audit.Entry{k.entry("killswitch.unlockable", now, policy.Actor{}, why)}
	})
	return err
}

// witness is where the lock is read back: where the switch was thrown, if that is
// known, and otherwise where its issue is.
func (k *GitHubKillSwitch) witness(ctx context.Context, sw Switch) (Witness, error) {
	if sw.Witness.Branch != "" {
		return sw.Witness, nil
	}
	name := sw.Repository.Name
	if sw.IsOrganization() {
		name = k.config.OrganizationRepository
	}
	repository, branch, err := k.config.GitHub.FindRepository(ctx, sw.Repository, name)
	if err != nil {
		return Witness{}, fmt.Errorf("find a branch on which the lock of %s shows: %w", sw.Scope, err)
	}
	return Witness{Repository: repository, Branch: branch}, nil
}
