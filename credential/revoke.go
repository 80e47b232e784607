package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// maxAttempts is after how many a lease counts as stuck; stuckWait how long it waits
	// for the next from then on.
	maxAttempts = 6
	stuckWait   = time.Hour
	firstWait   = 10 * time.Second
	longestWait = 15 * time.Minute
	// quarantine is how long a call of ours may still arrive at GitHub of which it is
	// not known whether it did.
	quarantine = time.Minute
	// upstreamSlack is how much longer than it says something upstream may live, by
	// clocks that differ.
	upstreamSlack = time.Minute
)

// Revoke ends a credential now.
func (g *GitHubJITCredentialIssuer) Revoke(ctx context.Context, id string) error {
	return g.End(ctx, id, Ending{Reason: "it was revoked", At: g.config.Now()})
}

// End ends a credential for a reason. It is not accepted from then on; what is left of
// it is cleared away by [GitHubJITCredentialIssuer.Clear]. That it cannot be told in the
// audit log does not keep it from being ended: then the lease says so.
func (g *GitHubJITCredentialIssuer) End(ctx context.Context, id string, end Ending) error {
	_, err := g.config.Store.ChangeLease(ctx, id, func(l *Lease, _ bool) ([]audit.Entry, error) {
		if !l.End(StateRevoked, end.Reason, end.By, end.At) {
			return nil, nil
		}
		return []audit.Entry{g.entry("credential.ended", l, end.By, end.Reason)}, nil
	})
	if errors.Is(err, audit.ErrNotRecorded) {
		g.config.Log.Error().Err(err).Str("event", "audit.gap").Str("lease", id).Msg("a credential is ended that the audit log does not tell of")
		_, err = g.config.Store.ChangeLease(ctx, id, func(l *Lease, _ bool) ([]audit.Entry, error) {
			l.Untold = l.End(StateRevoked, end.Reason, end.By, end.At) || l.Untold
			return nil, nil
		})
	}
	if err != nil {
		return fmt.Errorf("end the credential %s: %w", id, err)
	}
	return nil
}

// ErrNotStuck is returned by Forget for a credential that is not stuck.
var ErrNotStuck = errors.New("only a credential that is stuck can be forgotten: one that has ended and could not be cleared away in many attempts")

// Forget closes the record of a credential that is stuck, and frees its slot: somebody has
// cleared away by hand what is left of it. Nothing looks whether that is so.
func (g *GitHubJITCredentialIssuer) Forget(ctx context.Context, id string, end Ending) error {
	_, err := g.config.Store.ChangeLease(ctx, id, func(l *Lease, _ bool) ([]audit.Entry, error) {
		if l.State != StateStuck {
			return nil, fmt.Errorf("%w; this one is %s", ErrNotStuck, l.State)
		}
		detail := fmt.Sprintf("%s; it could not be cleared away: %s", end.Reason, l.LastError)
		l.finish(end.At)
		return []audit.Entry{g.entry("credential.forgotten", l, end.By, detail)}, nil
	})
	if err != nil {
		return fmt.Errorf("forget the credential %s: %w", id, err)
	}
	return nil
}

// IsValid reports whether the credential is lent and has not ended.
func (g *GitHubJITCredentialIssuer) IsValid(ctx context.Context, id string) (bool, error) {
	lease, err := g.config.Store.Lease(ctx, id)
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return err == nil && lease.Accepted(g.config.Now()), err
}

// Clear does what is to be done next about the installation's leases: one is ended
// whose time has come or whose reasons have gone, or one is cleared away. It returns when
// to go on; zero: never. It must not run twice at once for one installation. No
// credential is accepted because it comes late.
func (g *GitHubJITCredentialIssuer) Clear(ctx context.Context, installation int64) (again time.Time, _ error) {
	now := g.config.Now()
	lease, next, err := g.config.Store.DueLease(ctx, installation, now)
	switch {
	case err != nil || lease.ID == "":
		return next, err
	case lease.State.clearing():
		return g.clear(ctx, lease)
	case lease.Accepted(now):
		return now, g.review(ctx, lease)
	}
	_, err = g.config.Store.ChangeLease(ctx, lease.ID, func(l *Lease, _ bool) ([]audit.Entry, error) {
		if !l.expire(now) {
			return nil, nil
		}
		return []audit.Entry{g.entry("credential.ended", l, policy.Actor{}, l.Reason)}, nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("end what is over: %w", err)
	}
	return now, nil
}

// review ends a credential that may not be lent any more: whatever should have told of
// it may be lost. What cannot be judged stays, for its time at most.
func (g *GitHubJITCredentialIssuer) review(ctx context.Context, lease Lease) error {
	err := g.config.Permit(ctx, lease)
	if refusal, refused := errors.AsType[*RefusedError](err); refused {
		return g.End(ctx, lease.ID, Ending{Reason: refusal.Why, At: g.config.Now()})
	}
	if err != nil {
		g.config.Log.Warn().Err(err).Str("event", "credential.not_reviewed").Str("lease", lease.ID).Time("until", lease.ExpiresAt).
			Msg("whether a credential may still be lent could not be judged; it is lent until its time is over")
	}
	now := g.config.Now()
	_, err = g.config.Store.ChangeLease(ctx, lease.ID, func(l *Lease, _ bool) ([]audit.Entry, error) {
		if l.State == StateActive {
			l.reviewed(now)
		}
		return nil, nil
	})
	return err
}

// clear takes what is left of a lease that has ended: what was made, and the secret it
// was delivered in. One that fails does not keep the other from being tried. A failure
// is kept with the lease; an error means that it could not be. It returns when to go on
// with this or another.
func (g *GitHubJITCredentialIssuer) clear(ctx context.Context, lease Lease) (again time.Time, _ error) {
	revokeErr := g.revoke(ctx, &lease)
	left, deleteErr := g.delete(ctx, &lease)
	failure := errors.Join(revokeErr, deleteErr)
	now := g.config.Now()
	_, err := g.config.Store.ChangeLease(ctx, lease.ID, func(l *Lease, _ bool) ([]audit.Entry, error) {
		if !l.State.clearing() {
			return nil, nil // forgotten meanwhile
		}
		l.RevokedAt, l.DeletedAt, l.Slot.Repository = lease.RevokedAt, lease.DeletedAt, lease.Slot.Repository
		return g.account(l, failure, left, now), nil
	})
	if err != nil {
		return time.Time{}, errors.Join(failure, fmt.Errorf("keep how far the credential %s is cleared away: %w", lease.ID, err))
	}
	if wait, all := g.putOff(failure); all {
		return now.Add(wait), nil
	}
	return now, nil
}

// putOff reports whether what failed would fail for every lease of the installation, by
// GitHub's limits or because it does not answer, and how long to wait.
func (g *GitHubJITCredentialIssuer) putOff(failure error) (wait time.Duration, all bool) {
	if wait, limited := g.limited(failure); limited {
		return wait, true
	}
	trouble, is := errors.AsType[interface {
		error
		Outage() bool
	}](failure)
	return firstWait, is && trouble.Outage()
}

// account keeps what came of an attempt to clear the lease away.
func (g *GitHubJITCredentialIssuer) account(l *Lease, failure error, left string, now time.Time) []audit.Entry {
	wait, ofAll := g.putOff(failure)
	switch {
	case !l.RevokedAt.IsZero() && !l.DeletedAt.IsZero():
		l.finish(now)
		detail := l.Reason
		if left != "" {
			detail += "; " + left
		}
		if l.Untold {
			detail += "; when it ended could not be told here"
		}
		return []audit.Entry{g.entry("credential."+string(l.State), l, l.EndedBy, detail)}
	case ofAll:
		// Behind those that wait already: it may be this one alone.
		l.NextAt, l.LastError = now.Add(wait), brief(failure)
		return nil
	case failure == nil:
		l.NextAt = l.settledAt()
		return nil
	}
	stuck := l.failed(failure, now)
	g.config.Log.Warn().Err(failure).Str("event", "credential.not_cleared").Str("lease", l.ID).Stringer("slot", l.Slot).Int("attempts", l.Attempts).Time("next", l.NextAt).
		Msg("a credential that has ended could not be cleared away and will be tried again")
	if !stuck {
		return nil
	}
	return []audit.Entry{g.entry("credential.stuck", l, policy.Actor{}, l.LastError)}
}

// revoke has the provider end what it made.
func (g *GitHubJITCredentialIssuer) revoke(ctx context.Context, l *Lease) error {
	now := g.config.Now()
	if l.RevokedAt.IsZero() && (len(l.Handle) == 0 || !l.HardExpiresAt.IsZero() && now.After(l.HardExpiresAt.Add(upstreamSlack))) {
		l.RevokedAt = now
	}
	if !l.RevokedAt.IsZero() {
		return nil
	}
	provider := g.config.Providers[l.Provider]
	if provider == nil {
		return fmt.Errorf("the provider %s, which made it, is not configured any more", l.Provider)
	}
	handle, err := g.config.Handles.Decrypt(l.Handle, l.ID)
	if err != nil {
		return fmt.Errorf("decrypt what revoking it needs: %w", err)
	}
	if err := provider.Revoke(ctx, handle); err != nil {
		return fmt.Errorf("revoke it: %w", err)
	}
	l.RevokedAt = now
	return nil
}

// delete deletes the secrets of the lease as far as they are its own. What somebody
// else wrote there since is left, and said.
func (g *GitHubJITCredentialIssuer) delete(ctx context.Context, l *Lease) (left string, _ error) {
	now := g.config.Now()
	if l.DeletedAt.IsZero() && (l.Slot.Name == "" || l.MintedAt.IsZero()) {
		l.DeletedAt = now // nothing was written
	}
	if !l.DeletedAt.IsZero() {
		return "", nil
	}
	// That the repository is found proves that a secret that is not is gone.
	located, found, err := g.config.GitHub.Locate(ctx, l.Slot.Repository)
	switch {
	case err != nil:
		return "", fmt.Errorf("find the repository of %s: %w", l.Slot, err)
	case !found:
		return "", fmt.Errorf("the App has no access to the repository of %s any more: if it was not deleted with it, delete the secret by hand", l.Slot)
	}
	l.Slot.Repository = located.Repository
	gone := true
	for _, slot := range l.Slots() {
		if !slot.ours() {
			return left, fmt.Errorf("%s is not a name that Portcullis writes, and is left as it is", slot)
		}
		meta, found, _, err := g.config.GitHub.Secret(ctx, slot)
		switch {
		case err != nil:
			return left, fmt.Errorf("look at %s: %w", slot, err)
		case !found:
			// A write that was cut off may still arrive.
			gone = gone && (!l.SecretUpdatedAt.IsZero() || l.Quiet || !now.Before(l.settledAt()))
			continue
		case !l.wrote(meta):
			left = slot.String() + " was written by somebody else since, and is left"
			g.config.Log.Error().Str("event", "credential.foreign_secret").Stringer("slot", slot).Str("lease", l.ID).Msg("a secret that Portcullis lent through was written by somebody else and is left as it is")
			continue
		}
		if err := g.turn(ctx, slot.Repository.Installation); err != nil {
			return left, err
		}
		if _, err := g.config.GitHub.DeleteSecret(ctx, slot); err != nil {
			return left, fmt.Errorf("delete %s: %w", slot, err)
		}
	}
	if gone {
		l.DeletedAt = now
	}
	return left, nil
}
