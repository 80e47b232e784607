package store_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/internal/postgrestest"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

// withServer stops the PostgreSQL server that the tests share.
type withServer struct{ *testing.M }

func (w withServer) Run() int { return postgrestest.Main(w.M) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(withServer{m}) }

// start is when every test begins.
var start = time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC)

// lee is somebody who takes back what others said.
var lee = policy.Actor{ID: 99, Login: "lee", Kind: policy.KindUser}

// clock is a time that passes when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
	// follow makes it the system's, which it is ahead of by what was let pass.
	follow bool
	ahead  time.Duration
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follow {
		return time.Now().Add(c.ahead)
	}
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.ahead = c.now.Add(d), c.ahead+d
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// database is a store that can be closed and opened again.
type database struct {
	*store.Store
	clock *clock
	url   string
	// path is the file; empty for PostgreSQL.
	path string
}

// engines are the databases that Portcullis keeps its facts in: what is said of
// the store is said of each.
var engines = map[string]func(testing.TB) *database{
	"sqlite": func(t testing.TB) *database {
		path := filepath.Join(t.TempDir(), "portcullis.db")
		return &database{clock: newClock(), url: "sqlite:" + path, path: path}
	},
	"postgres": func(t testing.TB) *database {
		return &database{clock: newClock(), url: postgrestest.Shared(t).Database(t)}
	},
}

// onEach runs the test on each engine. newDatabase makes an empty one, that is
// closed when the test ends.
func onEach(t *testing.T, test func(t *testing.T, newDatabase func(*testing.T) *database)) {
	t.Helper()
	for name, prepare := range engines {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T) *database { return opened(t, prepare(t)) })
		})
	}
}

// newFile makes an empty database in a file.
func newFile(t *testing.T) *database {
	t.Helper()
	return opened(t, engines["sqlite"](t))
}

func opened(t *testing.T, d *database) *database {
	t.Helper()
	d.open(t)
	t.Cleanup(func() { d.close(t) })
	return d
}

func (d *database) open(t *testing.T) {
	t.Helper()
	opened, err := store.Open(t.Context(), d.url, d.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	d.Store = opened
}

func (d *database) close(t *testing.T) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// reopen is what a new process does.
func (d *database) reopen(t *testing.T) {
	t.Helper()
	d.close(t)
	d.open(t)
}

// takeOver is what a new process does when the last one died: a file's claims come
// free when it is opened, a server's when their lease ends.
func (d *database) takeOver(t *testing.T) {
	t.Helper()
	d.reopen(t)
	if d.path == "" {
		d.noWork(t, "its lease has not ended")
		d.clock.pass(store.Lease)
	}
}

func pullRequest(number int) policy.PullRequestRef {
	return policy.PullRequestRef{
		Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"},
		Number:     number,
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// claim claims the work that is due longest, which must be there.
func (d *database) claim(t *testing.T) store.Work {
	t.Helper()
	work, ok, err := d.claimNext(t.Context())
	must(t, err)
	if !ok {
		t.Fatal("there is no work to claim")
	}
	return work
}

func (d *database) noWork(t *testing.T, why string) {
	t.Helper()
	work, ok, err := d.claimNext(t.Context())
	must(t, err)
	if ok {
		t.Fatalf("claimed %+v: %s", work, why)
	}
}

// claimNext does what the queue and a worker do.
func (d *database) claimNext(ctx context.Context) (store.Work, bool, error) {
	due, err := d.Due(ctx)
	if err != nil {
		return store.Work{}, false, err
	}
	for _, key := range due {
		if work, ok, err := d.Claim(ctx, key); ok || err != nil {
			return work, ok, err
		}
	}
	return store.Work{}, false, nil
}
