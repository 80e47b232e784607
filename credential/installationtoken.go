package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Minter makes installation tokens.
type Minter interface {
	// MintToken makes one for the repository alone, with no more than those permissions.
	MintToken(ctx context.Context, repository policy.Repository, permissions map[string]string) (token Secret, expires time.Time, err error)
	// RevokeToken ends one of the installation's, which was made at that time; one that
	// has ended is no error.
	RevokeToken(ctx context.Context, installation int64, token Secret, made time.Time) error
}

// InstallationToken makes installation tokens of the App for one repository. GitHub lets
// them live for an hour, whatever is asked for; they are revoked when they are to end. Both
// fields are required.
type InstallationToken struct {
	Minter Minter
	Now    func() time.Time
}

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

// tokenHandle is what revoking a token needs: the token itself, which GitHub wants to be
// asked with, and whose limits that counts against.
type tokenHandle struct {
	Installation int64  `json:"installation"`
	Token        string `json:"token"`
	// Made is when it was made at the latest.
	Made time.Time `json:"made"`
}

// Issue makes a token.
func (i InstallationToken) Issue(ctx context.Context, order Order) (Material, error) {
	asked, err := permissions(order.Scope)
	if err != nil {
		return Material{}, err
	}
	token, expires, err := i.Minter.MintToken(ctx, order.Repository, asked)
	if err != nil {
		return Material{}, fmt.Errorf("make an installation token: %w", err)
	}
	handle, err := json.Marshal(tokenHandle{order.Repository.Installation, token.Reveal(), i.Now()})
	if err != nil {
		return Material{}, fmt.Errorf("keep what revoking the token needs: %w", err)
	}
	return Material{Values: map[string]Secret{"": token}, Handle: handle, NotAfter: expires}, nil
}

// Revoke ends the token.
func (i InstallationToken) Revoke(ctx context.Context, handle []byte) error {
	var of tokenHandle
	if err := json.Unmarshal(handle, &of); err != nil || of.Token == "" {
		return errors.New("what was kept to revoke the token cannot be read")
	}
	return i.Minter.RevokeToken(ctx, of.Installation, NewSecret(of.Token), of.Made)
}
