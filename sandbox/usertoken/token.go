package usertoken

import (
	"fmt"
	"log/slog"

	"github.com/portcullis-app/portcullis/policy"
)

// hidden is what is shown instead of a value.
const hidden = "[hidden]"

// Token lets the App act for its owner. It is never shown.
type Token struct {
	Owner policy.Actor

	reveal func() string
}

// New keeps the value.
func New(owner policy.Actor, value string) Token {
	return Token{owner, func() string { return value }}
}

// Reveal returns the value. Whoever calls it hands it to nothing that keeps it.
func (t Token) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsZero reports whether there is no value.
func (t Token) IsZero() bool { return t.Reveal() == "" }

// String hides the value.
func (Token) String() string { return hidden }

// Format hides the value, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText hides the value.
func (Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the value.
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// NeededError is returned where the App would have to act for a person and may not. Who
// gets it sends the person a link: nobody else can do anything about it.
type NeededError struct {
	// Person is zero if it is nobody in particular.
	Person policy.Actor
	// Why says what is missing, as the rest of a sentence.
	Why string
	// At is where the person can change that, if GitHub told; empty: where people let the
	// App act for them.
	At string
}

func (e *NeededError) Error() string {
	if e.Person.Login == "" {
		return "this takes a person who lets the App act for them: " + e.Why
	}
	return fmt.Sprintf("%s has to let the App act for them: %s", e.Person.Login, e.Why)
}
