package store_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when every test begins.
var start = time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC)

// lee is somebody who takes back what others said.
var lee = policy.Actor{ID: 99, Login: "lee", Kind: policy.KindUser}

// clock is a time that passes when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// database is a store in a file that can be closed and opened again.
type database struct {
	*store.Store
	clock *clock
	path  string
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	d := &database{clock: newClock(), path: filepath.Join(t.TempDir(), "portcullis.db")}
	d.open(t)
	t.Cleanup(func() { d.close(t) })
	return d
}

func (d *database) open(t *testing.T) {
	t.Helper()
	opened, err := store.Open(t.Context(), "sqlite:"+d.path, d.clock.Now)
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

// claim claims work that must be there.
func (d *database) claim(t *testing.T) store.Work {
	t.Helper()
	work, ok, err := d.Claim(t.Context())
	must(t, err)
	if !ok {
		t.Fatal("there is no work to claim")
	}
	return work
}

func (d *database) noWork(t *testing.T, why string) {
	t.Helper()
	work, ok, err := d.Claim(t.Context())
	must(t, err)
	if ok {
		t.Fatalf("claimed %+v: %s", work, why)
	}
}
