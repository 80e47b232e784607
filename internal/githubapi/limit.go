package githubapi

import (
	"context"
	"fmt"
	"time"
)

// LimitError is returned for a call that GitHub's limits do not let go before
// RetryAt, whether GitHub refused it or it was not sent at all. Nothing waits for
// RetryAt in here: the caller comes back then.
type LimitError struct {
	// Installation is whose limit it is; 0 is the App's own.
	Installation int64
	// Resource is the limit's name, as "core" or "graphql"; [AllResources] for a
	// secondary limit.
	Resource string
	// RetryAt is by the clock of Options.Now.
	RetryAt time.Time
	// Secondary says that it is one of the limits on how fast the calls may come, and
	// not the budget of an hour.
	Secondary bool
	// Reason is one sentence, of GitHub or of ours.
	Reason string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("GitHub's limit on %s is reached until %s: %s", e.Resource, e.RetryAt.UTC().Format(time.RFC3339), e.Reason)
}

// RetryTime is when to ask again.
func (e *LimitError) RetryTime() time.Time { return e.RetryAt }

// AllResources is the resource of a secondary limit, which holds for all calls of
// an installation.
const AllResources = "all"

// Budgets is where replicas tell each other of GitHub's limits.
type Budgets interface {
	// Budgets returns what is known of all installations. It may leave out what is
	// past.
	Budgets(ctx context.Context) ([]Budget, error)
	// PutBudget merges what was learnt into what is known, as [Budget.Merge] does.
	PutBudget(ctx context.Context, learnt Budget) error
}

// Budget is what is known of one limit, told apart by Installation and Resource.
// A time that is zero is not known.
type Budget struct {
	Installation int64
	Resource     string
	// BlockedUntil is when the next call may be made.
	BlockedUntil time.Time
	// Limit, Remaining and Reset are the budget of an hour, as GitHub told last. They
	// are not known if Limit is 0.
	Limit, Remaining int
	Reset            time.Time
	// LastSecondary is when GitHub last refused a call by a secondary limit, Strikes
	// how many times it did with little quiet between, and Spacing how long after one
	// write the next may go. They are set for AllResources alone.
	LastSecondary time.Time
	Strikes       int
	Spacing       time.Duration
}

// Merge returns what is known by two who know of the same limit, in whichever
// order: the later BlockedUntil; the budget with the later Reset, and within one
// window the smaller Remaining; the later LastSecondary with its Strikes and
// Spacing.
func (b Budget) Merge(other Budget) Budget {
	if other.BlockedUntil.After(b.BlockedUntil) {
		b.BlockedUntil = other.BlockedUntil
	}
	switch {
	case other.Limit == 0:
	case b.Limit == 0, other.Reset.After(b.Reset):
		b.Limit, b.Remaining, b.Reset = other.Limit, other.Remaining, other.Reset
	case other.Reset.Equal(b.Reset):
		b.Limit, b.Remaining = max(b.Limit, other.Limit), min(b.Remaining, other.Remaining)
	}
	switch {
	case other.LastSecondary.After(b.LastSecondary):
		b.LastSecondary, b.Strikes, b.Spacing = other.LastSecondary, other.Strikes, other.Spacing
	case other.LastSecondary.Equal(b.LastSecondary):
		b.Strikes, b.Spacing = max(b.Strikes, other.Strikes), max(b.Spacing, other.Spacing)
	}
	return b
}

type contextKey int

const (
	backgroundKey contextKey = iota
	readKey
	urgentKey
	aloneKey
)

// Background marks work that can wait. Its calls get a [*LimitError] when less
// than a fifth of the budget of the hour is left, which is kept for the rest.
func Background(ctx context.Context) context.Context {
	return context.WithValue(context.WithValue(ctx, urgentKey, false), backgroundKey, true)
}

// Urgent marks what may stop something: its calls never wait for those of others,
// nor are they spaced. A limit of GitHub's holds for them as for all.
func Urgent(ctx context.Context) context.Context { return context.WithValue(ctx, urgentKey, true) }

func isUrgent(ctx context.Context) bool {
	urgent, _ := ctx.Value(urgentKey).(bool)
	return urgent
}

func isBackground(ctx context.Context) bool {
	return ctx.Value(backgroundKey) != nil && !isUrgent(ctx)
}

// alone marks a read that must not be older than its asking.
func alone(ctx context.Context) context.Context { return context.WithValue(ctx, aloneKey, true) }

// asRead marks a request that changes nothing, though its method could.
func asRead(ctx context.Context) context.Context { return context.WithValue(ctx, readKey, true) }
