package credential

import (
	"context"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Minter makes installation tokens.
type Minter interface {
	// MintToken makes one for the repository alone, with no more than those permissions.
	MintToken(ctx context.Context, repository policy.Repository, permissions map[string]string) (token Secret, expires time.Time, err error)
	// RevokeToken ends it; one that has ended is no error.
	RevokeToken(ctx context.Context, token Secret) error
}

// InstallationToken makes installation tokens of the App for one repository. GitHub lets
// them live for an hour, whatever is asked for; they are revoked when they are to end.
type InstallationToken struct{ Minter Minter }

// tokenLife is how long GitHub lets an installation token live.
const tokenLife = time.Hour

var _ Provider = InstallationToken{}

// Plan takes permissions by which the token's holder cannot get more.
func (InstallationToken) Plan(order Order) (Capabilities, error) {
	_, err := permissions(order.Scope)
	return Capabilities{MaxTTL: tokenLife, Revocable: true}, err
}

func permissions(scope []string) (map[string]string, error) {
	asked := map[string]string{}
	for _, s := range scope {
		name, level, err := policy.TokenPermission(s)
		if err != nil {
			return nil, err
		}
		if asked[name] != "write" {
			asked[name] = level
		}
	}
	return asked, nil
}

// Issue makes a token. What revoking it needs is the token itself.
func (i InstallationToken) Issue(ctx context.Context, order Order) (Material, error) {
	asked, err := permissions(order.Scope)
	if err != nil {
		return Material{}, err
	}
	token, expires, err := i.Minter.MintToken(ctx, order.Repository, asked)
	if err != nil {
		return Material{}, fmt.Errorf("make an installation token: %w", err)
	}
	return Material{Values: map[string]Secret{"": token}, Handle: []byte(token.Reveal()), NotAfter: expires}, nil
}

// Revoke ends the token.
func (i InstallationToken) Revoke(ctx context.Context, handle []byte) error {
	if len(handle) == 0 {
		return nil
	}
	return i.Minter.RevokeToken(ctx, NewSecret(string(handle)))
}
