package credential

import (
	"context"
	"time"

	"github.com/portcullis-app/portcullis/policy"
)

// Capabilities are what a provider can do. Whoever approves is told what it cannot.
type Capabilities struct {
	// MaxTTL is the longest life of what it makes; zero: any.
	MaxTTL time.Duration
	// Revocable is false if what it makes stays good for whoever has read it, until
	// somebody changes it.
	Revocable bool
	// EnvironmentOnly is true if it goes only to the jobs of an environment.
	EnvironmentOnly bool
	// Values are the endings of the names of what it makes, where that is more than
	// one value.
	Values []string
}

// Order is what a provider is to make.
type Order struct {
	// Lease is the idempotency key where the provider has one.
	Lease      string
	Repository policy.Repository
	Scope      []string
	// Source is what the policy says to lend.
	Source string
	// NotAfter is when it is to end, if the provider can do that.
	NotAfter time.Time
}

// Material is what a provider made.
type Material struct {
	// Values are by the ending of their name, which is empty if it is one value.
	Values map[string]Secret
	// Handle is what Revoke needs; it is encrypted before it is kept, and may be a
	// secret itself.
	Handle []byte
	// NotAfter is when it ends by itself; zero: never.
	NotAfter time.Time
}

// Provider makes credentials. It may be used by several goroutines.
type Provider interface {
	// Plan says what it can do about the order, or why nothing, before anything happens.
	Plan(order Order) (Capabilities, error)
	// Issue makes a credential.
	Issue(ctx context.Context, order Order) (Material, error)
	// Revoke ends it. What has ended already is no error. An error that is a
	// [Limit] is tried again then.
	Revoke(ctx context.Context, handle []byte) error
}
