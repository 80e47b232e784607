package usertoken

import "github.com/portcullis-app/portcullis/policy"

// Expectation is that a person may have something that was made with their token.
type Expectation struct {
	Person policy.Actor
	// Pays is true if they pay for it, so that nobody else can see it.
	Pays bool
}
