package credential

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// keySize is that of a key of X25519. GitHub documents no other; a shorter one would
// seal for nobody.
const keySize = 32

// Seal encrypts the value for whoever has the private key, as libsodium's
// crypto_box_seal does, in base64: the form in which GitHub takes secrets.
func Seal(key PublicKey, value Secret) (string, error) {
	if len(key.Key) != keySize {
		return "", fmt.Errorf("the public key %s has %d bytes and not %d", key.ID, len(key.Key), keySize)
	}
	sealed, err := box.SealAnonymous(nil, []byte(value.Reveal()), (*[keySize]byte)(key.Key), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("seal a secret: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// mostWait is how long a value waits for GitHub's limits at most before it is given up:
// it is nowhere but in memory.
const mostWait = 5 * time.Second

// put writes the secret with a key that was fetched for it. If GitHub has another key
// by then, the value is sealed anew, once.
func (g *GitHubJITCredentialIssuer) put(ctx context.Context, slot Slot, value Secret) (created bool, err error) {
	created, err = g.sealAndPut(ctx, slot, value)
	if _, stale := errors.AsType[*StaleKeyError](err); stale {
		created, err = g.sealAndPut(ctx, slot, value)
	} else if wait, limited := g.limited(err); limited && wait <= mostWait {
		if err := g.config.Wait(ctx, wait); err != nil {
			return false, err
		}
		created, err = g.sealAndPut(ctx, slot, value)
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", slot, err)
	}
	return created, nil
}

func (g *GitHubJITCredentialIssuer) sealAndPut(ctx context.Context, slot Slot, value Secret) (created bool, err error) {
	key, err := g.config.GitHub.PublicKey(ctx, slot)
	if err != nil {
		return false, fmt.Errorf("fetch the key: %w", err)
	}
	sealed, err := Seal(key, value)
	if err != nil {
		return false, err
	}
	if err := g.turn(ctx, slot.Repository.Installation); err != nil {
		return false, err
	}
	created, err = g.config.GitHub.PutSecret(ctx, slot, key.ID, sealed)
	if err == nil {
		return created, nil
	}
	_, stale := errors.AsType[*StaleKeyError](err)
	if _, limited := g.limited(err); !stale && !limited {
		return false, &unansweredError{err}
	}
	return false, err
}

// unansweredError is that of a write of which it is not known whether GitHub did it.
type unansweredError struct{ error }

func (e *unansweredError) Unwrap() error { return e.error }

// limited reports whether the error is a limit of GitHub's, and how long that lasts.
func (g *GitHubJITCredentialIssuer) limited(err error) (wait time.Duration, limited bool) {
	limit, limited := errors.AsType[Limit](err)
	if !limited {
		return 0, false
	}
	return max(0, limit.RetryTime().Sub(g.config.Now())), true
}
