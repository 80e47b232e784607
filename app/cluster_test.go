package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/postgrestest"
)

// cluster is a simulated GitHub with several repositories in which things happen
// at random, and the built binary serving it: one replica or several, behind a
// load balancer.
type cluster struct {
	*world

	t         *testing.T
	binary    string
	config    string
	folder    string
	database  string
	variables []string
	records   records
	door      *balancer
	replicas  []*replica
	histories []*history
	random    *rand.Rand // the test's own goroutine's

	trouble trouble
	kills   int
	// verdict is why the test failed, if it waited in vain.
	verdict string
	// launched has the replica of a story, once it runs.
	launched chan *replica
}

// newCluster makes the world; nothing is started. An empty URL is a file.
func newCluster(t *testing.T, databaseURL string) *cluster {
	t.Helper()
	c := &cluster{t: t, launched: make(chan *replica, 1), binary: binaryWith(t, ""), database: databaseURL, door: newBalancer(t)}
	c.world, c.config = unjudgedProcessWorld(t, githubsim.Options{Wrap: c.trouble.stall})
	c.folder = filepath.Dir(c.config)
	if databaseURL == "" {
		c.database = "sqlite:" + filepath.Join(c.folder, "portcullis.db")
	}
	c.variables = []string{"PORTCULLIS_DATABASE_URL=" + c.database}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c.random = rand.New(rand.NewPCG(seed, 1))
	w, far := c.world, time.Now().Add(time.Hour)
	w.github.SetRateLimit(w.installation.ID(), 10_000_000, far)
	w.github.SetGraphQLRateLimit(w.installation.ID(), 10_000_000, far)
	w.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Parallel: 8})
	w.hook.SetWebhookURL(c.door.url())
	w.acme.AddMember(w.github.CreateUser("tom"))
	t.Cleanup(c.tellLogs)
	return c
}

// sharedDatabase is a database on the PostgreSQL server that the tests share.
func sharedDatabase(t *testing.T) string {
	t.Helper()
	return postgrestest.Shared(t).Database(t)
}

// start starts so many replicas.
func (c *cluster) start(replicas int) {
	c.t.Helper()
	for range replicas {
		c.replicas = append(c.replicas, c.launch())
	}
	c.records = openRecords(c.t, c.database)
	c.balance()
}

func (c *cluster) launch() *replica {
	c.t.Helper()
	r, err := launch(c.t, c.binary, c.config, c.log(), c.variables...)
	if err != nil {
		c.t.Fatalf("a replica does not start: %v\n%s", err, c.tail())
	}
	return r
}

// log is what all replicas log to.
func (c *cluster) log() string { return filepath.Join(c.folder, "log.json") }

func (c *cluster) balance() {
	var urls []string
	for _, r := range c.replicas {
		urls = append(urls, r.url)
	}
	c.door.serve(urls...)
}

// murder kills a replica and starts another in its place.
func (c *cluster) murder(i int) {
	c.t.Helper()
	c.replicas[i].kill()
	c.kills++
	c.replicas[i] = c.launch()
	c.balance()
}

// settleIn adds repositories with so many pull requests each.
func (c *cluster) settleIn(repositories, pulls int) {
	c.t.Helper()
	for i := range repositories {
		w := *c.world
		w.shop = c.acme.CreateRepository(fmt.Sprintf("shop-%d", i), demoFiles)
		for login, role := range map[string]string{
			"ann": "write", "bob": "write", "lee": "write", "claude[bot]": "write", "sam": "maintain", "sue": "maintain", "tom": "triage",
		} {
			w.shop.SetRole(w.github.User(login), role)
		}
		w.shop.CreateLabel("security")
		w.shop.SetFiles("release", map[string]string{"RELEASE": "1\n"})
		w.shop.CreateRuleset(githubsim.Ruleset{
			Name: "portcullis is required", Enforcement: "active", Branches: []string{"~DEFAULT_BRANCH", "release"},
			RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: w.hook.ID()}},
		})
		h := &history{
			testWorld: &testWorld{world: &w, t: c.t, report: c.t}, undisturbed: true,
			random: rand.New(rand.NewPCG(c.random.Uint64(), 7)), ends: map[string]int{},
		}
		h.oracle = &oracle{w: &w, heads: map[int][]headNote{}, words: map[int][]*word{}}
		for len(h.shop.PullRequests()) < pulls {
			h.openOne()
		}
		c.histories = append(c.histories, h)
	}
}

// load lets things happen in each repository, so many a second in all, until ctx
// ends. It returns a function that waits for that.
func (c *cluster) load(ctx context.Context, perSecond int) (wait func()) {
	var acting sync.WaitGroup
	for _, h := range c.histories {
		acting.Go(func() {
			pause := 2 * time.Second * time.Duration(len(c.histories)) / time.Duration(perSecond)
			for {
				select {
				case <-time.After(time.Duration(h.random.Int64N(int64(pause)))):
					h.act()
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return acting.Wait
}

// wrong are the gates that differ from the truth.
func (c *cluster) wrong() (lines []string) {
	for _, h := range c.histories {
		for _, pr := range h.shop.PullRequests() {
			if pr.State() != "open" {
				continue
			}
			run := newestRun(h.testWorld, pr)
			allowed, shows := h.verdicts(pr), shown(run)
			merge := pr.Mergeability(h.github.User("ann"))
			if !slices.Contains(allowed, shows) || merge.Allowed && shows != "open" {
				lines = append(lines, fmt.Sprintf("%s#%d at %.7s is %v, and the check says %q (%s), merge allowed: %t",
					h.shop.Name(), pr.Number(), pr.HeadSHA(), allowed, shows, h.check(pr), merge.Allowed))
			}
		}
	}
	return lines
}

// redeliver has GitHub send again what nobody acknowledged, and returns how much
// that was.
func (c *cluster) redeliver() (sent int) {
	known := c.door.known()
	for _, d := range c.github.Deliveries() {
		if known[d.GUID] == 0 && !d.Held && d.Attempts > 0 {
			if err := c.github.Redeliver(d.GUID); err != nil {
				c.t.Error(err)
			}
			sent++
		}
	}
	return sent
}

// unsettled says why it is not all right yet: gates that are wrong, and
// deliveries that are not worked off.
func (c *cluster) unsettled() string {
	if undone, err := c.records.undone(c.t.Context()); err != nil || undone > 0 {
		return fmt.Sprintf("%d deliveries are not worked off (%v)", undone, err)
	}
	return strings.Join(c.wrong(), "\n")
}

// rightWithin waits until all is right, and fails after the limit.
func (c *cluster) rightWithin(limit time.Duration) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for {
		why := c.unsettled()
		if why == "" {
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			c.verdict = fmt.Sprintf("not right after %s:\n%s\n%s", limit, why, c.undelivered())
			for _, line := range c.wrong() {
				c.tellHistory(line)
			}
			c.t.Fatal(c.verdict)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// audit holds the database to what was answered, once no replica runs: the
// deliveries of known were acknowledged before all was right, so they are done.
// What came in later, because GitHub was asked for it, may wait in the database
// for the next start.
func (c *cluster) audit(known map[string]int) {
	c.t.Helper()
	ctx := c.t.Context()
	kept, err := c.records.deliveries(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	due := wanted(c.t, c.github.Deliveries())
	for id := range known {
		if done, there := kept[id]; due[id] && !done {
			c.t.Errorf("the delivery %s was acknowledged; it was kept: %t, and worked off: %t", id, there, done)
		}
	}
	if _, err := c.records.chain(ctx); err != nil {
		c.t.Errorf("the audit chain: %v", err)
	}
	key := strings.Split(c.hook.PrivateKeyPEM(), "\n")
	secrets, err := c.records.secretsIn(ctx, c.folder, []string{demoSecret, "ghs_", "RSA PRIVATE KEY", key[1], key[len(key)/2], "eyJhbGciOi"})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, where := range secrets {
		c.t.Errorf("a secret is kept: %s", where)
	}
	c.answeredOnce()
}

// answeredOnce holds that nobody got the same reply twice.
func (c *cluster) answeredOnce() {
	c.t.Helper()
	for _, h := range c.histories {
		for _, pr := range h.shop.PullRequests() {
			replies := map[string]int{}
			for _, comment := range pr.Comments() {
				if _, mark, ok := strings.Cut(comment.Body, "<!-- portcullis reply "); ok && comment.User == h.hook.BotLogin() {
					replies[mark]++
				}
			}
			for mark, n := range replies {
				if n > 1 {
					c.t.Errorf("%s#%d: the reply %s was given %d times", h.shop.Name(), pr.Number(), mark, n)
				}
			}
		}
	}
}

// undelivered says which webhooks nobody acknowledged, and how often and when last
// they were sent.
func (c *cluster) undelivered() string {
	known, lines := c.door.known(), []string{}
	for _, d := range c.github.Deliveries() {
		if known[d.GUID] == 0 {
			lines = append(lines, fmt.Sprintf("%s %s.%s was sent %d times, last at %s, answered %d, held: %t",
				d.GUID, d.Event, d.Action, d.Attempts, d.DeliveredAt.Format(time.TimeOnly), d.StatusCode, d.Held))
		}
	}
	return fmt.Sprintf("it is %s; not acknowledged are %d webhooks:\n%s",
		time.Now().UTC().Format(time.TimeOnly), len(lines), strings.Join(lines[:min(len(lines), 10)], "\n"))
}

// tellHistory prints what happened to the pull request that a line of wrong is
// about, and what is on record about it.
func (c *cluster) tellHistory(line string) {
	name, rest, _ := strings.Cut(line, "#")
	number, _, _ := strings.Cut(rest, " ")
	for _, h := range c.histories {
		if h.shop.Name() == name {
			about := regexp.MustCompile(`#` + number + `\b|is given the role|the policy of`)
			told := slices.DeleteFunc(slices.Clone(h.lines), func(line string) bool { return !about.MatchString(line) })
			c.t.Logf("%s#%s, its history:\n%s", name, number, strings.Join(told, "\n"))
			c.t.Logf("on record:\n%s", c.records.about(c.t.Context(), fmt.Sprintf("pr:%d#%s", h.shop.ID(), number), fmt.Sprintf("acme/%s#%s", name, number)))
		}
	}
}

func (c *cluster) tail() string {
	content, _ := os.ReadFile(c.log())
	return string(content[max(0, len(content)-6000):])
}

func (c *cluster) tellLogs() {
	if !c.t.Failed() {
		return
	}
	c.t.Logf("the end of the log:\n%s", c.tail())
	if c.verdict != "" {
		c.t.Log(c.verdict) // once more: of a long output the end is read
	}
	if kept := os.Getenv("PORTCULLIS_KEEP_LOGS"); kept != "" {
		if content, err := os.ReadFile(c.log()); err == nil {
			_ = os.WriteFile(filepath.Join(kept, strings.ReplaceAll(c.t.Name(), "/", "-")+".json"), content, 0o600)
		}
	}
}
