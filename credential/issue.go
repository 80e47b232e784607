package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/policy"
)

const (
	// issueTime is how long one may take to be issued, and minAge how old one is at
	// least that is taken for left behind by a process that is gone.
	issueTime = 30 * time.Second
	minAge    = time.Minute
	// spacing is what GitHub asks for between calls that write.
	spacing = time.Second
	// cleanTime is how long what was begun may take to be taken back at once.
	cleanTime = 20 * time.Second
)

// GitHubJITCredentialIssuer lends through secrets at GitHub, or straight to who asks. It
// is what the App runs on.
//
// What it does is on record before it does it. What was not finished is taken back, by
// whoever finds it, and never finished: the value is gone with the process that made
// it.
type GitHubJITCredentialIssuer struct {
	config Config

	mu sync.Mutex
	// turns are when each installation may be written to next.
	turns map[int64]time.Time
}

var _ JITCredentialIssuer = (*GitHubJITCredentialIssuer)(nil)

// NewGitHubJITCredentialIssuer returns an issuer.
func NewGitHubJITCredentialIssuer(config Config) *GitHubJITCredentialIssuer {
	return &GitHubJITCredentialIssuer{config: config, turns: map[int64]time.Time{}}
}

// Issue lends a credential: on record, slot seen to be empty, made, on record,
// delivered, permitted once more, and accepted from then on.
func (g *GitHubJITCredentialIssuer) Issue(ctx context.Context, request Request) (JITCredential, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, issueTime, fmt.Errorf("a credential took longer than %s to be issued", issueTime))
	defer cancel()
	lease, provider, err := g.intend(request)
	if err != nil {
		return JITCredential{}, err
	}
	if err := g.config.Permit(ctx, lease); err != nil {
		return JITCredential{}, err
	}
	lease, opened, err := g.config.Store.OpenLease(ctx, lease, g.entry("credential.asked", &lease, lease.RequestedBy, ""))
	if err != nil {
		return JITCredential{}, fmt.Errorf("lend %s: %w", request.Credential, err)
	}
	if !opened {
		return g.known(lease)
	}
	values, err := g.deliver(ctx, &lease, provider, request.Source)
	if err != nil {
		return JITCredential{}, errors.Join(&FailedError{request.Credential, err}, g.takeBack(ctx, lease.ID, err))
	}
	return lease.credential(values), nil
}

// known is what whoever asks again under a key is told: never the value once more.
func (g *GitHubJITCredentialIssuer) known(lease Lease) (JITCredential, error) {
	switch {
	case lease.Accepted(g.config.Now()):
		return lease.credential(nil), nil
	case lease.State == StateIntent, lease.State == StateMinted:
		return JITCredential{}, ErrUnfinished
	default:
		return JITCredential{}, fmt.Errorf("%w: %s", ErrEnded, lease.why())
	}
}

// intend is the lease as it is put on record first.
func (g *GitHubJITCredentialIssuer) intend(request Request) (Lease, Provider, error) {
	if err := request.check(); err != nil {
		return Lease{}, nil, err
	}
	if request.Provider == "" {
		request.Provider = policy.ProviderOpaque
	}
	provider := g.config.Providers[request.Provider]
	if provider == nil {
		return Lease{}, nil, refused(fmt.Errorf("the provider %s is not configured on this server", request.Provider))
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Lease{}, nil, fmt.Errorf("make an id: %w", err)
	}
	now := g.config.Now()
	lease := Lease{
		ID: id.String(), Key: request.Key, Credential: request.Credential, Provider: request.Provider, Slot: request.Slot,
		Number: request.For.Number, HeadSHA: request.HeadSHA, ByAgent: request.For.Agents, Run: request.Run, Attempt: request.Attempt, Job: request.Job, Sandbox: request.Sandbox, Scope: slices.Clone(request.Scope),
		RequestedBy: request.RequestedBy, ApprovedBy: request.ApprovedBy, Policy: request.Policy,
		State: StateIntent, CreatedAt: now, ExpiresAt: now.Add(request.TTL), NextAt: now.Add(minAge),
	}
	lease.Slot.Repository = request.For.Repository
	if lease.Key == "" {
		lease.Key = lease.ID
	}
	can, err := provider.Plan(lease.order(request.Source))
	switch {
	case err != nil:
		return Lease{}, nil, refused(err)
	case can.MaxTTL > 0 && request.TTL > can.MaxTTL:
		return Lease{}, nil, refused(fmt.Errorf("%w: %s is longer than the provider %s allows, which is %s", ErrTTL, request.TTL, request.Provider, can.MaxTTL))
	case can.EnvironmentOnly && (request.Slot.Name == "" || request.Slot.Environment == ""):
		return Lease{}, nil, refused(fmt.Errorf("what %s lends cannot be taken back, and goes only into a secret of an environment", request.Provider))
	case can.MaxTTL > 0:
		lease.HardExpiresAt = now.Add(can.MaxTTL)
	}
	lease.Endings = can.Values
	return lease, provider, nil
}

// deliver makes the credential and puts it where it is read, if that is a secret.
func (g *GitHubJITCredentialIssuer) deliver(ctx context.Context, lease *Lease, provider Provider, source string) (values map[string]Secret, err error) {
	absent, err := g.empty(ctx, lease.Slots())
	if err != nil {
		return nil, err
	}
	made, err := provider.Issue(ctx, lease.order(source))
	if err != nil {
		return nil, fmt.Errorf("make it: %w", err)
	}
	if *lease, err = g.keepMinted(ctx, lease.ID, made, absent); err != nil {
		// What is not on record nobody else can revoke.
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		return nil, errors.Join(err, provider.Revoke(cleaning, made.Handle))
	}
	updated, err := g.write(ctx, lease, made)
	if err != nil {
		return nil, err
	}
	if err := g.config.Permit(ctx, *lease); err != nil {
		return nil, err
	}
	*lease, err = g.config.Store.ChangeLease(ctx, lease.ID, func(l *Lease, stopped bool) ([]audit.Entry, error) {
		switch {
		case stopped:
			return nil, ErrStopped
		case !l.activate(updated, g.config.Now()):
			return nil, ErrEnded
		default:
			return []audit.Entry{g.entry("credential.lent", l, l.RequestedBy, l.told())}, nil
		}
	})
	if err != nil {
		return nil, fmt.Errorf("put it into force: %w", err)
	}
	return made.Values, nil
}

// empty sees that the slots hold nothing, and returns when that was, by GitHub's clock.
func (g *GitHubJITCredentialIssuer) empty(ctx context.Context, slots []Slot) (first time.Time, _ error) {
	for _, slot := range slots {
		_, found, at, err := g.config.GitHub.Secret(ctx, slot)
		if err != nil {
			return time.Time{}, fmt.Errorf("look at %s: %w", slot, err)
		}
		if found {
			return time.Time{}, &OccupiedError{Slot: slot}
		}
		if first.IsZero() {
			first = at
		}
	}
	return first, nil
}

// keepMinted puts on record what was made, before it is delivered.
func (g *GitHubJITCredentialIssuer) keepMinted(ctx context.Context, id string, made Material, absent time.Time) (Lease, error) {
	var handle []byte
	if len(made.Handle) > 0 {
		var err error
		if handle, err = g.config.Handles.Encrypt(made.Handle, id); err != nil {
			return Lease{}, fmt.Errorf("encrypt what revoking it needs: %w", err)
		}
	}
	hash, _ := TokenHash(made.Values[""].Reveal())
	return g.config.Store.ChangeLease(ctx, id, func(l *Lease, stopped bool) ([]audit.Entry, error) {
		if stopped {
			return nil, ErrStopped
		}
		if l.State != StateIntent {
			return nil, ErrEnded
		}
		l.TokenHash, l.Handle = hash, handle
		l.mint(made.NotAfter, absent, g.config.Now())
		return nil, nil
	})
}

// write puts the secret into its slot, if it has one, and returns when that was, by
// GitHub's clock.
func (g *GitHubJITCredentialIssuer) write(ctx context.Context, lease *Lease, made Material) (updated time.Time, err error) {
	for _, ending := range lease.endings() {
		if made.Values[ending].IsZero() {
			return time.Time{}, fmt.Errorf("the provider %s made no value %q", lease.Provider, ending)
		}
	}
	for _, slot := range lease.Slots() {
		ending := strings.TrimPrefix(strings.TrimPrefix(slot.Name, lease.Slot.Name), "_")
		created, err := g.put(ctx, slot, made.Values[ending])
		if err != nil {
			return time.Time{}, err
		}
		if !created {
			// Somebody wrote one between the look and the write, and it was overwritten.
			g.config.Log.Error().Str("event", "credential.possible_capture").Stringer("slot", slot).Str("lease", lease.ID).
				Msg("a secret was overwritten that Portcullis did not write: somebody put it there meanwhile")
			return time.Time{}, &OccupiedError{Slot: slot}
		}
		meta, found, _, err := g.config.GitHub.Secret(ctx, slot)
		if err != nil || !found {
			return time.Time{}, errors.Join(err, fmt.Errorf("%s is not there after it was written", slot))
		}
		if meta.UpdatedAt.After(updated) {
			updated = meta.UpdatedAt
		}
	}
	return updated, nil
}

// takeBack ends what could not be issued. What is left of it is cleared away by
// [GitHubJITCredentialIssuer.Clear].
func (g *GitHubJITCredentialIssuer) takeBack(ctx context.Context, id string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	_, err := g.config.Store.ChangeLease(ctx, id, func(l *Lease, _ bool) ([]audit.Entry, error) {
		l.End(StateFailed, "it could not be issued: "+cause.Error(), policy.Actor{}, g.config.Now())
		// Whether a write arrived is known unless nobody answered it.
		_, unanswered := errors.AsType[*unansweredError](cause)
		l.Quiet = !unanswered
		return []audit.Entry{g.entry("credential.failed", l, policy.Actor{}, cause.Error())}, nil
	})
	if err != nil {
		return fmt.Errorf("take it back: %w", err)
	}
	return nil
}

// turn waits until the installation may be written to again.
func (g *GitHubJITCredentialIssuer) turn(ctx context.Context, installation int64) error {
	g.mu.Lock()
	now := g.config.Now()
	at := g.turns[installation]
	if at.Before(now) {
		at = now
	}
	g.turns[installation] = at.Add(spacing)
	g.mu.Unlock()
	if wait := at.Sub(now); wait > 0 {
		return g.config.Wait(ctx, wait)
	}
	return nil
}

// entry is an audit entry about the lease.
func (g *GitHubJITCredentialIssuer) entry(action string, lease *Lease, by policy.Actor, detail string) audit.Entry {
	return audit.Entry{
		At: g.config.Now(), Actor: cmp.Or(by.Login, audit.Itself), ActorID: by.ID, Action: action, Subject: lease.subject(), Commit: lease.HeadSHA, Detail: detail,
	}
}
