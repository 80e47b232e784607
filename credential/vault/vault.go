// Package vault has dynamic secrets made by HashiCorp Vault or OpenBao: what is read from
// a secrets engine comes with a lease, and is ended at its source when the lease is
// revoked. What comes without one, as from a key-value store, is not lent.
//
// Portcullis is an AppRole there. A lease ends with the token that it was made with, so
// that a token is used for what it outlives, and is never revoked itself. The role's
// policy should let it read the paths that are lent and update sys/leases/revoke, and
// nothing else.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// cleanTime is how long what is not lent after all may take to be ended at once.
const cleanTime = 10 * time.Second

// Config is where the server is, and who asks it.
type Config struct {
	// Address is the server's, as https://vault.example.com:8200.
	Address string
	// Namespace is where the paths are; empty: the root.
	Namespace string
	// RoleID and SecretID are the AppRole's. The SecretID must be good for more than one
	// login.
	RoleID   string
	SecretID credential.Secret
	Now      func() time.Time
}

// Provider makes credentials at one server. It may be used by several goroutines.
type Provider struct {
	config Config
	client *http.Client

	mu sync.Mutex
	// token is what calls are made with; without a value nobody is logged in.
	token token
}

// token is what a login gave.
type token struct {
	value credential.Secret
	// madeAt is when it was asked for, and endsAt when it ends by itself; zero: never.
	madeAt, endsAt time.Time
}

var _ credential.Provider = (*Provider)(nil)

// New returns a provider. It makes no call.
func New(config Config) *Provider {
	config.Address = strings.TrimSuffix(config.Address, "/")
	return &Provider{config: config, client: newClient()}
}

// Plan takes a path and the fields to lend.
func (p *Provider) Plan(order credential.Order) (credential.Capabilities, error) {
	source, err := policy.ParseVaultSource(order.Source)
	if err != nil {
		return credential.Capabilities{}, fmt.Errorf("the source at Vault %w", err)
	}
	return credential.Capabilities{Revocable: true, Values: source.Endings()}, nil
}

// handle is what revoking needs.
type handle struct {
	LeaseID string `json:"lease_id"`
}

// Issue reads the path, which makes a secret there. One that cannot be lent is ended at
// once.
func (p *Provider) Issue(ctx context.Context, order credential.Order) (credential.Material, error) {
	source, err := policy.ParseVaultSource(order.Source)
	if err != nil {
		return credential.Material{}, fmt.Errorf("the source at Vault %w", err)
	}
	asked := p.config.Now()
	made, used, err := p.ask(ctx, call{operation: "read " + source.Path + " at Vault", method: http.MethodGet, path: source.Path}, order.NotAfter)
	if err != nil {
		return credential.Material{}, err
	}
	if made.LeaseID == "" {
		return credential.Material{}, fmt.Errorf("what Vault has at %s comes without a lease, and could not be taken back: lend what an engine makes anew, as database/creds/…", source.Path)
	}
	kept, err := json.Marshal(handle{made.LeaseID})
	if err != nil {
		return credential.Material{}, fmt.Errorf("keep what revoking it needs: %w", err)
	}
	values, err := pick(made.Data, source)
	if err == nil && made.LeaseDuration <= 0 {
		err = fmt.Errorf("what Vault made at %s does not say when it ends", source.Path)
	}
	if err != nil {
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		return credential.Material{}, errors.Join(err, p.Revoke(cleaning, kept))
	}
	ends := asked.Add(seconds(made.LeaseDuration))
	if !used.endsAt.IsZero() && used.endsAt.Before(ends) {
		ends = used.endsAt
	}
	return credential.Material{Values: values, Handle: kept, NotAfter: ends}, nil
}

// pick takes the fields that are lent, each a text that is not empty.
func pick(data map[string]any, source policy.VaultSource) (map[string]credential.Secret, error) {
	endings := source.Endings()
	if endings == nil {
		endings = []string{""}
	}
	values := map[string]credential.Secret{}
	for i, field := range source.Fields {
		text, is := data[field].(string)
		if !is || text == "" {
			return nil, fmt.Errorf("what Vault made at %s has no field %s with a text in it", source.Path, field)
		}
		values[endings[i]] = credential.NewSecret(text)
	}
	return values, nil
}

// Revoke ends a lease, and returns once the engine has done so.
func (p *Provider) Revoke(ctx context.Context, kept []byte) error {
	var h handle
	if err := json.Unmarshal(kept, &h); err != nil || h.LeaseID == "" {
		return errors.New("what was kept to revoke a lease at Vault cannot be read")
	}
	_, _, err := p.ask(ctx, call{
		operation: "revoke a lease at Vault", method: http.MethodPut, path: "sys/leases/revoke",
		body: map[string]any{"lease_id": h.LeaseID, "sync": true},
	}, time.Time{})
	if failure, is := errors.AsType[*Error](err); is && failure.gone {
		return nil
	}
	return err
}

// seconds is a duration as Vault tells it.
func seconds(n int64) time.Duration {
	const longest = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(max(n, 0), longest)) * time.Second
}
