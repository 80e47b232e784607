package app

import (
	"context"
	"os"
	"testing"
	"time"
)

// crashTime is how long the kill loop kills, on each database, and whether the
// crash tests are to be thorough.
func crashTime(t *testing.T) (_ time.Duration, thorough bool) {
	t.Helper()
	asked := os.Getenv("PORTCULLIS_KILLLOOP")
	if asked == "" {
		if raced {
			t.Skip("what is tested is a process of its own, which is not raced")
		}
		return 10 * time.Second, false
	}
	d, err := time.ParseDuration(asked)
	if err != nil {
		t.Fatalf("PORTCULLIS_KILLLOOP: %v", err)
	}
	return d, true
}

// TestKillLoop kills the real binary at random moments, again and again, while
// people work and GitHub fails calls and delays, repeats, reorders and loses
// webhooks. Then it is left alone, and soon each gate is right; whatever was
// acknowledged is done, and no secret is in the database. PORTCULLIS_KILLLOOP
// says how long it kills; the default is 10 s.
func TestKillLoop(t *testing.T) {
	t.Parallel()
	length, thorough := crashTime(t)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		killLoop(t, newCluster(t, ""), 1, length, 30*time.Second)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if !thorough {
			t.Skip("it waits for a lease to end, 40 s; PORTCULLIS_KILLLOOP=10s runs it")
		}
		killLoop(t, newCluster(t, sharedDatabase(t)), 2, length, 120*time.Second)
	})
}

func killLoop(t *testing.T, c *cluster, replicas int, length, limit time.Duration) {
	t.Helper()
	c.start(replicas)
	c.settleIn(3, 13)
	loading, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	acted, well := c.load(loading, 15), c.disturb(loading)
	for loading.Err() == nil {
		<-time.After(time.Duration(500+c.random.IntN(2500)) * time.Millisecond)
		c.murder(c.random.IntN(replicas))
	}
	acted()
	well()
	if err := c.github.WaitForDeliveries(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.murder(c.random.IntN(replicas))
	last := time.Now()
	c.rightWithin(limit)
	took := time.Since(last)
	// And it stays so, though webhooks may still come that GitHub was asked for.
	<-time.After(time.Second)
	for _, line := range c.wrong() {
		t.Error(line)
	}
	known := c.door.known()
	c.rightWithin(limit)
	for _, r := range c.replicas {
		r.terminate()
	}
	c.audit(known)
	if c.kills < 2 || len(known) == 0 || c.trouble.lost.Load() == 0 || c.trouble.held.Load() == 0 || c.trouble.repeated.Load() == 0 {
		t.Error("it was too quiet to prove anything")
	}
	t.Logf("%d kills, %d deliveries in %d attempts, %d acknowledged, %d repeated, %d held, %d lost, %d calls, %d of them held for long; right %.1f s after the last restart; slowest answer to a webhook %.1f s",
		c.kills, len(c.github.Deliveries()), c.door.attempts, len(known), c.trouble.repeated.Load(), c.trouble.held.Load(), c.trouble.lost.Load(),
		len(c.github.Requests()), c.trouble.slow.Load(), took.Seconds(), c.door.slowest.Seconds())
}
