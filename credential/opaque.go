package credential

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

// An opaque token is a prefix that people and scanners know it by, 256 random bits, and
// a checksum, by which one that was mistyped or made up is refused without a look at
// the database. It is one word of letters, digits and underscores: nothing of it is
// escaped in a shell, in JSON or in a URL.
const (
	tokenPrefix   = "jit_"
	tokenBytes    = 32
	tokenDigits   = 43 // 62^43 > 2^256
	checksumWidth = 6  // 62^6 > 2^32
)

// Opaque makes tokens that mean nothing to anybody else: they are accepted as long as
// whoever is given one is told so by introspection. To end them takes no call.
type Opaque struct{}

// Plan takes any order: opaque tokens end at once, whenever that is.
func (Opaque) Plan(Order) (Capabilities, error) { return Capabilities{Revocable: true}, nil }

// Issue makes a token.
func (Opaque) Issue(context.Context, Order) (Material, error) {
	random := make([]byte, tokenBytes)
	if _, err := rand.Read(random); err != nil {
		return Material{}, fmt.Errorf("make a token: %w", err)
	}
	body := base62(new(big.Int).SetBytes(random), tokenDigits)
	return Material{Values: map[string]Secret{"": NewSecret(tokenPrefix + body + checksum(body))}}, nil
}

// Revoke has nothing to do: the record says that it has ended.
func (Opaque) Revoke(context.Context, []byte) error { return nil }

// wellFormed reports whether it may be a token that was issued.
func wellFormed(token string) bool {
	body, is := strings.CutPrefix(token, tokenPrefix)
	if !is || len(body) != tokenDigits+checksumWidth {
		return false
	}
	return checksum(body[:tokenDigits]) == body[tokenDigits:]
}

// TokenHash is by what a token is found; ok is false for what cannot be one. The hash
// needs no key: nobody guesses 256 bits.
func TokenHash(token string) (hash string, ok bool) {
	if !wellFormed(token) {
		return "", false
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:]), true
}

func checksum(body string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(body)))), checksumWidth)
}

// base62 is the number in digits, capitals and small letters, as wide as that. Of
// math/big's own digits the small letters come first, which is as good.
func base62(n *big.Int, width int) string {
	digits := n.Text(62)
	return strings.Repeat("0", width-len(digits)) + digits
}
