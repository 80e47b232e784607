package credential

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// sweepMargin is how much longer than its name says a secret may be there before a
	// sweep takes it.
	sweepMargin = 5 * time.Minute
	// A step of a sweep begins with no further repository after stepTime, and gives one
	// up after repositoryTime: together they are well below what work may take.
	stepTime       = 8 * time.Second
	repositoryTime = 15 * time.Second
	// unsweptWait is how long what could not be swept waits.
	unsweptWait = time.Hour
)

// Found is a secret at GitHub that has a name of ours, and what a sweep makes of it.
type Found struct {
	Slot      Slot
	UpdatedAt time.Time
	// Lease is the one that holds the secret. Empty: none on record accounts for it.
	Lease string
	// OverdueAt is when one that no lease holds is to go, by GitHub's clock: it has been
	// there for longer than its name allows by then.
	OverdueAt time.Time
	Overdue   bool
	Deleted   bool
}

// Sight is what the App may see of the secrets of an installation.
type Sight struct {
	Repositories []policy.Repository
	// Own is true if it may see those of repositories, Environments if those of their
	// environments.
	Own          bool
	Environments bool
}

// Sweep looks through the secrets of an installation for those with a name of ours that
// no lease accounts for, because the database was lost or an older one restored. Those
// that have been there for longer than their name allows it deletes, unless dry is true.
// A place that cannot be read keeps no other from being swept, and is an error. Nothing
// is deleted while the leases cannot be read.
func (g *GitHubJITCredentialIssuer) Sweep(ctx context.Context, installation int64, by policy.Actor, dry bool) (found []Found, _ error) {
	sight, err := g.config.GitHub.Sweepable(ctx, installation)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, repository := range sight.Repositories {
		some, err := g.sweepRepository(ctx, sight, repository, sweeping{by: by, dry: dry})
		found, errs = append(found, some...), append(errs, err)
		if _, limited := g.limited(err); limited || ctx.Err() != nil {
			break
		}
	}
	return found, errors.Join(errs...)
}

// SweepOn sweeps some of the repositories of an installation, those after the one with
// that number, and returns the last of them; 0: it was through. next is when there is
// something to sweep that is not overdue yet, or could not be swept; zero: nothing known.
// How far it came counts also if there is an error.
//
// It deletes only what was written before there was a record: what Portcullis wrote since
// is on it, and the rest is somebody else's, which is told.
func (g *GitHubJITCredentialIssuer) SweepOn(ctx context.Context, installation, after int64) (last int64, next time.Time, _ error) {
	sight, err := g.config.GitHub.Sweepable(ctx, installation)
	if err != nil {
		return after, time.Time{}, err
	}
	last = after
	for began := g.config.Now(); ; {
		at := slices.IndexFunc(sight.Repositories, func(r policy.Repository) bool { return r.ID > last })
		switch {
		case at < 0:
			return 0, next, nil
		case g.config.Now().Sub(began) > stepTime:
			return last, next, nil
		}
		again, err := g.sweepInTime(ctx, sight, sight.Repositories[at])
		if err != nil {
			return last, next, err
		}
		if !again.IsZero() && (next.IsZero() || again.Before(next)) {
			next = again
		}
		last = sight.Repositories[at].ID
	}
}

// sweepInTime sweeps one repository and returns when to look at it again. That it could
// not be swept is an error only if the next could not be either.
func (g *GitHubJITCredentialIssuer) sweepInTime(ctx context.Context, sight Sight, repository policy.Repository) (again time.Time, _ error) {
	bounded, cancel := context.WithTimeoutCause(ctx, repositoryTime, fmt.Errorf("the sweep of %s took longer than %s", repository, repositoryTime))
	defer cancel()
	began, err := g.config.Store.RecordBegan(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("find out since when there is a record: %w", err)
	}
	found, err := g.sweepRepository(bounded, sight, repository, sweeping{before: began})
	if _, limited := g.limited(err); limited || ctx.Err() != nil {
		return time.Time{}, err
	}
	if err != nil {
		g.config.Log.Warn().Err(err).Str("event", "credential.not_swept").Stringer("repository", repository).Msg("secrets that nothing on record accounts for could not be looked for, or deleted; it is tried again within the hour")
		again = g.config.Now().Add(unsweptWait)
	}
	for _, f := range found {
		if f.Overdue && !f.Deleted && !f.before(began) {
			g.config.Log.Warn().Str("event", "credential.orphan").Stringer("slot", f.Slot).Time("written", f.UpdatedAt).
				Msg("a secret with a name of ours is overdue that nothing on record accounts for, though it was written since there is a record: somebody else wrote it, or an older backup was restored")
		}
		if f.Lease == "" && !f.Overdue && f.before(began) && (again.IsZero() || f.OverdueAt.Before(again)) {
			again = f.OverdueAt
		}
	}
	return again, nil
}

// sweeping is what a sweep may delete, and who asked for it.
type sweeping struct {
	by  policy.Actor
	dry bool
	// before is when what may be deleted was written at the latest; zero: any time.
	before time.Time
}

// before reports whether it was written before that time, before which nothing was on
// record; zero: there is no record.
func (f *Found) before(at time.Time) bool { return at.IsZero() || f.UpdatedAt.Before(at) }

func (g *GitHubJITCredentialIssuer) sweepRepository(ctx context.Context, sight Sight, repository policy.Repository, how sweeping) (found []Found, _ error) {
	var places []string
	if sight.Own {
		places = append(places, "")
	}
	var errs []error
	if sight.Environments {
		environments, err := g.config.GitHub.Environments(ctx, repository)
		places, errs = append(places, environments...), append(errs, err)
	}
	for _, environment := range places {
		some, err := g.sweepPlace(ctx, repository, environment, how)
		found, errs = append(found, some...), append(errs, err)
	}
	return found, errors.Join(errs...)
}

// sweepPlace sweeps a repository's own secrets, or those of one of its environments.
func (g *GitHubJITCredentialIssuer) sweepPlace(ctx context.Context, repository policy.Repository, environment string, how sweeping) (found []Found, _ error) {
	secrets, at, err := g.config.GitHub.Secrets(ctx, repository, environment)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if longest, ours := policy.SecretClass(name); ours {
			updated := secrets[name].UpdatedAt
			found = append(found, Found{Slot: Slot{Repository: repository, Environment: environment, Name: name}, UpdatedAt: updated, OverdueAt: updated.Add(longest).Add(sweepMargin)})
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	// Read after the secrets: each that was lent is on record by now.
	holders, err := g.holders(ctx, repository)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range found {
		f := &found[i]
		f.Lease = holders[f.Slot.key()]
		f.Overdue = f.Lease == "" && at.After(f.OverdueAt)
		if f.Overdue && !how.dry && f.before(how.before) {
			f.Deleted, err = g.deleteOrphan(ctx, *f, how.by)
			errs = append(errs, err)
		}
	}
	return found, errors.Join(errs...)
}

// holders are the leases that are not cleared away, by what [Slot.key] says of their
// slots.
func (g *GitHubJITCredentialIssuer) holders(ctx context.Context, repository policy.Repository) (map[string]string, error) {
	leases, err := g.config.Store.Leases(ctx, Selection{RepositoryID: repository.ID, Live: true})
	if err != nil {
		return nil, fmt.Errorf("read what is lent in %s: %w", repository, err)
	}
	holders := map[string]string{}
	for _, lease := range leases {
		for _, slot := range lease.Slots() {
			holders[slot.key()] = lease.ID
		}
	}
	return holders, nil
}

// key tells a slot from the others of its repository. GitHub does not tell capitals from
// small letters in either part.
func (s Slot) key() string { return strings.ToLower(s.Environment + "\n" + s.Name) }

// deleteOrphan deletes one that is overdue, unless somebody wrote it anew or lent it
// meanwhile.
func (g *GitHubJITCredentialIssuer) deleteOrphan(ctx context.Context, f Found, by policy.Actor) (deleted bool, _ error) {
	if err := g.turn(ctx, f.Slot.Repository.Installation); err != nil {
		return false, err
	}
	meta, there, _, err := g.config.GitHub.Secret(ctx, f.Slot)
	if err != nil || !there || !meta.UpdatedAt.Equal(f.UpdatedAt) {
		return false, err
	}
	holders, err := g.holders(ctx, f.Slot.Repository)
	if err != nil || holders[f.Slot.key()] != "" {
		return false, err
	}
	if deleted, err = g.config.GitHub.DeleteSecret(ctx, f.Slot); err != nil || !deleted {
		return false, err
	}
	g.config.Log.Warn().Str("event", "credential.orphan_deleted").Stringer("slot", f.Slot).Time("written", f.UpdatedAt).
		Msg("a secret that nothing on record accounts for was there for longer than its name allows, and is deleted")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	if err := g.config.Store.Audit(ctx, g.orphanEntry(f, by)); err != nil {
		return true, fmt.Errorf("%s is deleted: %w", f.Slot, err)
	}
	return true, nil
}

func (g *GitHubJITCredentialIssuer) orphanEntry(f Found, by policy.Actor) audit.Entry {
	about := Lease{ID: f.Slot.Name, Slot: f.Slot}
	return g.entry("credential.orphan_deleted", &about, by, fmt.Sprintf("%s, written at %s, was to be gone by %s, and no lease on record has it",
		f.Slot, f.UpdatedAt.UTC().Format(time.RFC3339), f.OverdueAt.UTC().Format(time.RFC3339)))
}
