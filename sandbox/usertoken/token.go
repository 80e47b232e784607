package usertoken

import (
	"fmt"

	"github.com/portcullis-app/portcullis/credential"
	"github.com/portcullis-app/portcullis/policy"
)

// Token lets the App act for its owner. It is never shown.
type Token struct {
	Owner policy.Actor

	credential.Secret
}

// New keeps the value.
func New(owner policy.Actor, value string) Token { return Token{owner, credential.NewSecret(value)} }

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
