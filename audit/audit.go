// Package audit is the record of every act: who, what, on which commit, under
// which policy, why; refusals too. Entries form a chain of hashes, so that an
// entry that was changed, removed or moved is found by whoever verifies the
// chain, without the database it came from.
//
// An audit entry never holds a secret value. It is written in the transaction
// of the fact it records: what could not be recorded did not happen.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrNotRecorded is returned for an act that did not happen because no entry about it
// could be written.
var ErrNotRecorded = errors.New("the audit log could not be written")

// Itself is the actor of what nobody in particular did.
const Itself = "portcullis"

// Entry is one act. The fields up to Detail are its writer's, the others are
// set by [Seal].
type Entry struct {
	// At is when it happened, in UTC, to the millisecond.
	At time.Time `json:"at"`
	// Actor is the account that acted, "alice", or [Itself].
	Actor   string `json:"actor"`
	ActorID int64  `json:"actor_id,omitempty"`
	// Action is a verb with its noun before it, as "approval.approve".
	Action string `json:"action"`
	// Subject is what was acted on, as "acme/shop#7".
	Subject string `json:"subject"`
	// Commit is the commit that the act is about; may be empty.
	Commit string `json:"commit,omitempty"`
	// Detail says why or how, in a sentence.
	Detail string `json:"detail,omitempty"`

	// Sequence counts from 1 without gaps.
	Sequence int64 `json:"sequence"`
	// Previous is the hash of the entry before; empty for the first.
	Previous string `json:"previous,omitempty"`
	// Hash covers all other fields.
	Hash string `json:"hash"`
}

// Seal appends entry to the chain that ends with previous, the zero Entry if
// the chain is empty.
func Seal(previous, entry Entry) Entry {
	entry.At = entry.At.UTC().Truncate(time.Millisecond)
	entry.Sequence = previous.Sequence + 1
	entry.Previous = previous.Hash
	entry.Hash = entry.digest()
	return entry
}

func (e Entry) digest() string {
	covered := struct {
		At, ActorID, Sequence                            int64
		Actor, Action, Subject, Commit, Detail, Previous string
	}{e.At.UnixMilli(), e.ActorID, e.Sequence, e.Actor, e.Action, e.Subject, e.Commit, e.Detail, e.Previous}
	// The encoding of strings and whole numbers cannot fail.
	encoded, _ := json.Marshal(covered) //nolint:errchkjson // see above
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

// BrokenChainError says at which entry a chain stops being what was written.
type BrokenChainError struct {
	Sequence int64
	Problem  string
}

func (e *BrokenChainError) Error() string {
	return fmt.Sprintf("the audit chain is broken at entry %d: %s", e.Sequence, e.Problem)
}

// Verify checks that the entries continue the chain that ends with previous:
// each follows the one before and none was changed. A chain that was cut off at
// its end verifies; compare its last hash with one kept elsewhere. The error is
// a [*BrokenChainError].
func Verify(previous Entry, entries []Entry) error {
	for _, entry := range entries {
		switch {
		case entry.Sequence != previous.Sequence+1:
			return &BrokenChainError{entry.Sequence, fmt.Sprintf("it follows entry %d", previous.Sequence)}
		case entry.Previous != previous.Hash:
			return &BrokenChainError{entry.Sequence, "the entry before it is not the one it was written after"}
		case entry.Hash != entry.digest():
			return &BrokenChainError{entry.Sequence, "it was changed after it was written"}
		}
		previous = entry
	}
	return nil
}
