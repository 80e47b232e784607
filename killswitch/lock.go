package killswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	if sw.Lock.Enforced && want.ID != 0 && !sw.LockedAt.IsZero() && want.Drain == sw.Lock.Drain && contained(want.Branches, sw.Lock.Branches) {
		if there, found, err := k.config.GitHub.ReadLock(ctx, sw.Repository, sw.Lock.ID); err != nil || found && there.Enforced {
			return err
		}
	}
	return k.setLock(ctx, sw, true)
}

// wanted is the lock that the switch asks for: the default branch and every branch
// to which an open pull request would be merged.
func (k *GitHubKillSwitch) wanted(ctx context.Context, sw Switch) (Lock, error) {
	bases, err := k.config.Gates.Bases(ctx, sw.Scope)
	if err != nil {
		return Lock{}, err
	}
	lock := Lock{ID: sw.Lock.ID, Enforced: true, Branches: []string{defaultBranch}, Drain: k.queueMode(sw.Scope) == policy.QueueDrain}
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

// setLock puts the ruleset and reads back that it holds, or holds no longer.
func (k *GitHubKillSwitch) setLock(ctx context.Context, sw Switch, on bool) error {
	if !sw.lockable() || !on && sw.Lock.ID == 0 {
		return nil
	}
	lock := Lock{ID: sw.Lock.ID, Branches: sw.Lock.Branches, Drain: sw.Lock.Drain}
	if on {
		var err error
		if lock, err = k.wanted(ctx, sw); err != nil {
			return err
		}
	}
	id, err := k.config.GitHub.PutLock(ctx, sw.Repository, lock)
	if refused(err) {
		return k.cannotLock(ctx, sw, err)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", sw.Scope, err)
	}
	lock.ID = id
	witness, err := k.witness(ctx, sw)
	if err != nil {
		return err
	}
	locked, err := k.config.GitHub.Locked(ctx, witness, id)
	if err == nil && locked != on {
		err = errNotLocked
	}
	// What was put is known even if it cannot be read back yet.
	_, keepErr := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		now.Lock, now.Witness = lock, witness
		if err != nil {
			now.Lock.Enforced = !on
			return true, nil
		}
		return true, k.lockEntries(now, on)
	})
	if err := errors.Join(err, keepErr); err != nil {
		return fmt.Errorf("read back the lock of %s on %s: %w", sw.Scope, witness.Branch, err)
	}
	return nil
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

// cannotLock keeps that GitHub does not let the App lock.
func (k *GitHubKillSwitch) cannotLock(ctx context.Context, sw Switch, cause error) error {
	_, err := k.config.Store.Change(ctx, sw.Scope, false, func(now *Switch) (bool, []audit.Entry) {
		why := cause.Error()
		changed := now.Lock.Impossible != why || now.Lock.Enforced
		now.Lock.Impossible, now.Lock.Enforced = why, false
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
