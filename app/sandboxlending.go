package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// giver lends what sandboxes' requests need on their way to a host, when there is a
// request. No sandbox has the credential.
type giver struct {
	lending *credential.Lending
	now     func() time.Time
	log     zerolog.Logger

	mu   sync.Mutex
	lent map[string]*given // by sandbox and credential
	// over is when each was seen to have ended, as long as one could be let run: what is on
	// its way then is given nothing more.
	over map[string]time.Time
}

// given is a credential that was lent for a sandbox.
type given struct {
	mu   sync.Mutex
	lent credential.JITCredential
}

func newGiver(lending *credential.Lending, now func() time.Time, log zerolog.Logger) *giver {
	return &giver{lending: lending, now: now, log: log, lent: map[string]*given{}, over: map[string]time.Time{}}
}

// errNotLent is all that whoever runs in the sandbox is told.
var errNotLent = errors.New("the credential is not lent")

// secret is what the proxy asks for with each request. That it is lent still is asked each
// time: a kill switch holds from the next request on.
func (g *giver) secret(is sandbox.Instance, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		value, err := g.give(ctx, is, name)
		if err != nil {
			g.log.Warn().Err(err).Str("event", "egress.not_lent").Str("sandbox", is.ID).Str("credential", name).Msg("a request is not let out, because its credential is not lent")
			return "", errNotLent
		}
		return value.Reveal(), nil
	}
}

// to is what the sandbox has been lent of that name.
func (g *giver) to(is sandbox.Instance, name string) (*given, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, over := g.over[is.ID]; over {
		return nil, sandbox.ErrEnded
	}
	key := is.ID + " " + name
	if g.lent[key] == nil {
		g.lent[key] = &given{}
	}
	return g.lent[key], nil
}

func (g *giver) give(ctx context.Context, is sandbox.Instance, name string) (credential.Secret, error) {
	it, err := g.to(is, name)
	if err != nil {
		return credential.Secret{}, err
	}
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.lent.ID != "" && g.now().Before(it.lent.ExpiresAt) {
		accepted, err := g.lending.IsLent(ctx, it.lent.ID)
		if err != nil || accepted {
			return it.lent.Token, err
		}
	}
	lent, _, err := g.lending.Lend(ctx, credential.Ask{
		On:   policy.PullRequestRef{Repository: is.For.Repository, Number: is.For.Number},
		Loan: policy.LoanRequest{Credential: name, By: is.RequestedBy, Sandbox: true},
		Key:  "sandbox:" + is.ID + ":" + name + ":" + rand.Text(), Sandbox: is.ID,
	})
	switch {
	case err != nil:
		return credential.Secret{}, err
	case lent.Token.IsZero():
		return credential.Secret{}, fmt.Errorf("%s is several values, and a request takes one", name)
	}
	it.lent = lent
	if _, err := g.to(is, name); err != nil {
		// It has ended meanwhile, with what was lent until then.
		return credential.Secret{}, errors.Join(err, g.lending.SandboxEnded(ctx, is.For.Repository, is.ID, "the sandbox has ended"))
	}
	return lent.Token, nil
}

// ended ends what was lent for a sandbox that has ended.
func (g *giver) ended(ctx context.Context, is sandbox.Instance, reason string) error {
	g.mu.Lock()
	now := g.now()
	maps.DeleteFunc(g.over, func(_ string, at time.Time) bool { return now.Sub(at) > sandbox.MaxTimeout })
	g.over[is.ID] = now
	for key := range g.lent {
		if strings.HasPrefix(key, is.ID+" ") {
			delete(g.lent, key)
		}
	}
	g.mu.Unlock()
	return g.lending.SandboxEnded(ctx, is.For.Repository, is.ID, reason)
}
