package store

import (
	"database/sql"
	"time"
)

// fromMillis is the reverse of [time.Time.UnixMilli], for the zero time too.
func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// nullMillis keeps the zero time as NULL.
func nullMillis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

func fromNullMillis(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMillis(ms.Int64)
}

// atEarliest is t as it is kept where early is the safe direction.
func atEarliest(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// atLatest is t as it is kept where late is the safe direction: a timer must not
// fire before its time.
func atLatest(t time.Time) time.Time {
	early := atEarliest(t)
	if early.Before(t) {
		return early.Add(time.Millisecond)
	}
	return early
}

// earlier returns the earlier of the two; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
