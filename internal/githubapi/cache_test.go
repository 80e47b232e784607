package githubapi_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// tokens remembers what the client signed its calls with.
type tokens struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (k *tokens) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
			k.mu.Lock()
			k.seen[token] = true
			k.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// read reads a file and whether its repository can be read, and returns what was
// asked of GitHub for it.
func (f *fixture) read(t *testing.T, want string) []githubsim.Request {
	t.Helper()
	f.sim.ResetRequests()
	content, err := f.client.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main")
	if err != nil || string(content) != want {
		t.Fatalf("got %q, %v; want %q", content, err, want)
	}
	return f.sim.Requests()
}

func billed(requests []githubsim.Request) (n int) {
	for _, r := range requests {
		if r.Billed {
			n++
		}
	}
	return n
}

// TestAnswersOutliveTheToken replaces the token, by which GitHub makes its ETags,
// twice: what was read is not billed again. No entry of the cache has a token.
func TestAnswersOutliveTheToken(t *testing.T) {
	used := &tokens{seen: map[string]bool{}}
	f := newFixtureOn(t, githubsim.Options{Wrap: used.wrap})
	if n := billed(f.read(t, "a\n")); n != 1 {
		t.Errorf("the first reading was billed %d times", n)
	}
	for range 2 {
		f.installation.ExpireTokens()
		requests := f.read(t, "a\n")
		if last := requests[len(requests)-1]; billed(requests) != 0 || last.Status != http.StatusNotModified {
			t.Errorf("with a new token: %+v", requests)
		}
		if requests := f.read(t, "a\n"); billed(requests) != 0 || len(requests) != 1 {
			t.Errorf("once more: %+v", requests)
		}
	}
	if len(used.seen) < 4 { // three, and what they were asked for with
		t.Fatalf("only %d tokens", len(used.seen))
	}
	entries := f.client.Answers(f.installation.ID())
	if len(entries) == 0 {
		t.Fatal("nothing is kept")
	}
	for key, entry := range entries {
		for token := range used.seen {
			if strings.Contains(key+entry, token) {
				t.Errorf("the entry of %s has a token", key)
			}
		}
		if strings.Contains(strings.ToLower(entry), "authorization") {
			t.Errorf("the entry of %s: %s", key, entry)
		}
	}
	f.person("ann", "write")
	if _, err := f.repo.Push(f.sim.User("ann"), "main", githubsim.Commit{Files: map[string]string{"docs/a.md": "b\n"}}); err != nil {
		t.Fatal(err)
	}
	f.installation.ExpireTokens()
	if n := billed(f.read(t, "b\n")); n != 1 {
		t.Errorf("what is new was billed %d times", n)
	}
	if n := f.client.ReadInVain(); n != 0 {
		t.Errorf("%d readings in vain", n)
	}
}

// TestAnUnknownETagIsUsedAsItIs has GitHub make its ETags in another way: reading
// with a new token is billed, and counted; what is read is right.
func TestAnUnknownETagIsUsedAsItIs(t *testing.T) {
	f := newFixture(t)
	other := func(request http.Header, body []byte) string {
		return fmt.Sprintf("%x", sha256.Sum256(append([]byte(request.Get("Authorization")), body...)))
	}
	f.sim.SetETag(other)
	f.read(t, "a\n")
	if n := billed(f.read(t, "a\n")); n != 0 {
		t.Errorf("with the same token it was billed %d times", n)
	}
	f.installation.ExpireTokens()
	if n := billed(f.read(t, "a\n")); n != 1 || f.client.ReadInVain() != 1 {
		t.Errorf("with a new token it was billed %d times, %d of them in vain", n, f.client.ReadInVain())
	}
	// GitHub changes its way while answers are kept.
	f.sim.SetETag(nil)
	for want := range 2 {
		if n := billed(f.read(t, "a\n")); n != 1-want {
			t.Errorf("reading %d by GitHub's own formula was billed %d times", want, n)
		}
	}
	f.sim.SetETag(other)
	f.installation.ExpireTokens()
	if n := billed(f.read(t, "a\n")); n != 1 || f.client.ReadInVain() != 3 {
		t.Errorf("after the change it was billed %d times, %d in vain", n, f.client.ReadInVain())
	}
}

// TestAFailingReadForgetsNothing reads again for nothing after a cut line, a fault
// and a lost permission.
func TestAFailingReadForgetsNothing(t *testing.T) {
	f := newFixture(t)
	f.read(t, "a\n")
	for _, status := range []int{0, http.StatusForbidden, http.StatusNotFound, http.StatusBadGateway} {
		remove := f.sim.Inject(githubsim.Fault{Method: http.MethodGet, Status: status})
		if _, err := f.client.Content(t.Context(), f.at, "docs/a.md", "refs/heads/main"); err == nil {
			t.Errorf("an answer of %d was not seen", status)
		}
		remove()
		if n := billed(f.read(t, "a\n")); n != 0 {
			t.Errorf("after %d it was billed %d times", status, n)
		}
	}
}

// TestAFullPageThatIsKeptDoesNotHideTheNext adds to a list whose first page is full
// and was kept: GitHub says that the page is as it was.
func TestAFullPageThatIsKeptDoesNotHideTheNext(t *testing.T) {
	f := newFixture(t)
	pr := f.open(t)
	say := func(n int) {
		for range n {
			if _, err := pr.Comment(f.sim.User("ann"), "hi"); err != nil {
				t.Fatal(err)
			}
		}
	}
	say(100)
	for _, want := range []int{100, 101} {
		comments, err := f.client.Comments(t.Context(), f.at, pr.Number())
		if err != nil || len(comments) != want {
			t.Errorf("%d comments, %v; want %d", len(comments), err, want)
		}
		say(1)
	}
}
