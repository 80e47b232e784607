package app

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/store"
)

// I14: two and three replicas decide side by side; one that is killed changes no
// outcome.
func TestReplicasDecideSideBySide(t *testing.T) {
	t.Parallel()
	if _, thorough := crashTime(t); !thorough {
		t.Skip("it waits for a lease to end, 40 s; PORTCULLIS_KILLLOOP=1s runs it")
	}
	for _, replicas := range []int{2, 3} {
		t.Run(map[int]string{2: "two", 3: "three"}[replicas], func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, sharedDatabase(t))
			c.start(replicas)
			const pulls = 30
			list := c.openMany(pulls)
			c.replicas[0].kill()
			for _, pr := range list {
				if _, err := pr.Review(c.github.User("lee"), "REQUEST_CHANGES", "no"); err != nil {
					t.Fatal(err)
				}
			}
			c.allShow(list, "failure", 60*time.Second)
			c.oneRunEach(list)
			var connections int
			err := c.records.QueryRowContext(t.Context(), `
				SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'portcullis'`).Scan(&connections)
			if living := replicas - 1; err != nil || connections == 0 || connections > living*connectionsEach {
				t.Errorf("%d replicas hold %d connections (%v)", living, connections, err)
			}
			t.Logf("%d connections to PostgreSQL after one of %d replicas was killed", connections, replicas)
		})
	}
}

// connectionsEach is what docs/operations.md says that a replica needs at most.
const connectionsEach = 17

// openMany opens pull requests in the shop and waits until each has its check.
func (c *cluster) openMany(n int) []*githubsim.PullRequest {
	c.t.Helper()
	ann := c.github.User("ann")
	var list []*githubsim.PullRequest
	for i := range n {
		branch := "many-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		_, err := c.shop.Push(ann, branch, githubsim.Commit{Message: branch, Files: map[string]string{"auth/" + branch + ".go": "package auth\n"}})
		if err != nil {
			c.t.Fatal(err)
		}
		pr, err := c.shop.Open(ann, githubsim.PullRequestSpec{Title: branch, Head: branch, Base: "main"})
		if err != nil {
			c.t.Fatal(err)
		}
		list = append(list, pr)
	}
	c.allShow(list, "in_progress", 60*time.Second)
	return list
}

// allShow waits until each check begins so.
func (c *cluster) allShow(list []*githubsim.PullRequest, prefix string, limit time.Duration) {
	c.t.Helper()
	tw := &testWorld{world: c.world, t: c.t, report: c.t}
	deadline := time.Now().Add(limit)
	for _, pr := range list {
		for !strings.HasPrefix(tw.check(pr), prefix) {
			if time.Now().After(deadline) {
				c.t.Fatalf("after %s #%d says %q, want %q", limit, pr.Number(), tw.check(pr), prefix)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

func (c *cluster) oneRunEach(list []*githubsim.PullRequest) {
	c.t.Helper()
	for _, pr := range list {
		if runs := c.shop.CheckRuns(pr.HeadSHA()); len(runs) != 1 {
			c.t.Errorf("#%d has %d runs of the check", pr.Number(), len(runs))
		}
	}
}

// way is a replica's own way to GitHub: on it one call can be held, and what the
// replica writes is counted.
type way struct {
	*httptest.Server

	held   atomic.Bool
	inside chan struct{}
	let    chan struct{}
	writes atomic.Int64
}

func newWay(t *testing.T, github *githubsim.Sim) *way {
	t.Helper()
	target, err := url.Parse(github.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	w := &way{inside: make(chan struct{}), let: make(chan struct{})}
	w.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		query := strings.HasSuffix(r.URL.Path, "/graphql")
		if query && w.held.CompareAndSwap(true, false) {
			close(w.inside)
			<-w.let
		}
		if r.Method != http.MethodGet && !query && !strings.HasSuffix(r.URL.Path, "/access_tokens") {
			w.writes.Add(1)
		}
		proxy.ServeHTTP(answer, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// launchBy starts a replica that goes to GitHub by that way.
func (c *cluster) launchBy(w *way) *replica {
	c.t.Helper()
	r, err := launch(c.t, c.binary, c.config, c.log(),
		append(slices.Clone(c.variables), "GITHUB_V3_API_URL="+w.URL+"/api/v3/", "GITHUB_V4_API_URL="+w.URL+"/api/graphql")...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.replicas = append(c.replicas, r)
	return r
}

// I5: a replica that is stopped in the middle of its work, and continued once its
// lease has ended and another has done the work, writes nothing more.
func TestAStoppedReplicaThatIsContinuedWritesNothing(t *testing.T) {
	t.Parallel()
	if _, thorough := crashTime(t); !thorough {
		t.Skip("it waits for a lease to end, 40 s; PORTCULLIS_KILLLOOP=1s runs it")
	}
	c := newCluster(t, sharedDatabase(t))
	c.start(0)
	own, others := newWay(t, c.github), newWay(t, c.github)
	zombie := c.launchBy(own)
	c.balance()
	list := c.openMany(1)
	own.held.Store(true)
	if _, err := list[0].Review(c.github.User("lee"), "REQUEST_CHANGES", "no"); err != nil {
		t.Fatal(err)
	}
	<-own.inside
	zombie.signal(syscall.SIGSTOP)
	stopped := time.Now()
	heir := c.launchBy(others)
	c.door.serve(heir.url)
	c.allShow(list, "failure", store.Lease+20*time.Second)
	t.Logf("another replica had done the work %.1f s after the first was stopped", time.Since(stopped).Seconds())

	before := own.writes.Load()
	zombie.signal(syscall.SIGCONT)
	close(own.let)
	<-time.After(3 * time.Second)
	if after := own.writes.Load(); after != before {
		t.Errorf("it wrote %d times after it was continued", after-before)
	}
	// It lives, and takes its part in what comes next.
	c.door.serve(zombie.url)
	_, err := c.shop.Push(c.github.User("ann"), "many-aa", githubsim.Commit{Message: "more", Files: map[string]string{"auth/more.go": "package auth\n"}})
	if err != nil {
		t.Fatal(err)
	}
	c.allShow(list, "failure", 30*time.Second)
	eventually(t, "the webhooks are worked off", func() bool {
		undone, err := c.records.undone(t.Context())
		return err == nil && undone == 0
	})
	c.oneRunEach(list)
}
