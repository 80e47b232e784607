package app

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/postgrestest"
)

// underLoad lets people work while the outages come one after the other, and holds
// that afterwards all is right: nothing was answered 2xx that was not kept, each
// answer came while GitHub still listened, and no process was started again.
func (c *cluster) underLoad(outages ...func()) {
	t := c.t
	t.Helper()
	c.settleIn(2, 8)
	loading, stop := context.WithCancel(t.Context())
	acted := c.load(loading, 12)
	<-time.After(time.Second)
	for _, outage := range outages {
		outage()
		<-time.After(2 * time.Second)
	}
	stop()
	acted()
	if err := c.github.WaitForDeliveries(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What was refused the App would ask for within five minutes.
	for c.redeliver() > 0 {
		if err := c.github.WaitForDeliveries(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	known := c.door.known()
	took := c.rightWithin(90 * time.Second)
	if c.door.slowest > 10*time.Second {
		t.Errorf("GitHub had to wait %s for an answer", c.door.slowest)
	}
	for _, r := range c.replicas {
		r.terminate()
	}
	c.audit(known)
	t.Logf("%d attempts to deliver, %d refused, %d unanswered, %d acknowledged; slowest answer %.1f s; right %.1f s after the load",
		c.door.attempts, c.door.refused, c.door.unanswered, len(c.door.known()), c.door.slowest.Seconds(), took.Seconds())
}

// PostgreSQL itself is stopped, and crashes.
func TestPostgreSQLGoesAwayUnderLoad(t *testing.T) {
	t.Parallel()
	if _, thorough := crashTime(t); !thorough {
		t.Skip("it takes half a minute; PORTCULLIS_KILLLOOP=1s runs it")
	}
	server := postgrestest.Start(t)
	c := newCluster(t, server.Database(t))
	c.start(2)
	before := 0
	c.underLoad(
		func() { server.Stop(); <-time.After(4 * time.Second); server.Resume() },
		func() { server.Kill(); <-time.After(time.Second); server.Resume() },
		func() { before = c.door.refusals() },
	)
	if before == 0 {
		t.Error("no webhook was refused while the database was away")
	}
}

// The link to PostgreSQL, and the link to GitHub, are slow, reset, cut and
// half-open: what is sent arrives nowhere, and nobody says so.
func TestLinksThatFail(t *testing.T) {
	t.Parallel()
	if _, thorough := crashTime(t); !thorough {
		t.Skip("it takes a minute; PORTCULLIS_KILLLOOP=1s runs it")
	}
	faults := func(l *link) []func() {
		return []func(){
			func() { l.slow(30 * time.Millisecond); <-time.After(4 * time.Second); l.mend() },
			l.reset,
			func() { l.setCut(true); <-time.After(3 * time.Second); l.mend() },
			func() { l.freeze(); <-time.After(12 * time.Second); l.mend() },
			func() { l.freeze(); <-time.After(12 * time.Second); l.reset(); l.mend() },
		}
	}
	t.Run("to PostgreSQL", func(t *testing.T) {
		t.Parallel()
		direct := sharedDatabase(t)
		address, err := url.Parse(direct)
		if err != nil {
			t.Fatal(err)
		}
		l := newLink(t, address.Host)
		c := newCluster(t, direct)
		c.variables = []string{"PORTCULLIS_DATABASE_URL=" + strings.Replace(direct, address.Host, l.address(), 1)}
		c.start(2)
		c.underLoad(faults(l)...)
		if c.door.refusals() == 0 {
			t.Error("no webhook was refused while the link was dead")
		}
	})
	for name, database := range map[string]func(*testing.T) string{"sqlite": func(*testing.T) string { return "" }, "postgres": sharedDatabase} {
		t.Run("to GitHub, on "+name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, database(t))
			l := newLink(t, strings.TrimPrefix(c.github.URL(), "http://"))
			c.variables = append(c.variables, fmt.Sprintf("GITHUB_V3_API_URL=http://%s/api/v3/", l.address()), fmt.Sprintf("GITHUB_V4_API_URL=http://%s/api/graphql", l.address()))
			c.start(1)
			c.underLoad(faults(l)...)
			if told, err := os.ReadFile(c.log()); err != nil || !strings.Contains(string(told), "work failed and will be tried again") {
				t.Errorf("no work failed while the link was dead (%v)", err)
			}
		})
	}
}
