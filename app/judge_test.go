package app

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/githubsim/contract"
)

// witness holds everything that the server and the simulated GitHub say to each
// other against what GitHub publishes. Where the published files are not at hand
// nothing is judged; contract's own tests say so.
type witness struct {
	judge    *contract.Judge
	webhooks *contract.Webhooks
	watch    *contract.Watch
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	judge, err := contract.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	webhooks, err := contract.WebhooksFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	return &witness{judge: judge, webhooks: webhooks}
}

// around puts the judge before a simulated GitHub.
func (w *witness) around(next http.Handler) http.Handler {
	if w.judge == nil {
		return next
	}
	w.watch = w.judge.Watch(next)
	return w.watch
}

// testify tells, at the end of a test, each way in which the contract was broken.
func (w *witness) testify(t *testing.T, github *githubsim.Sim) {
	t.Helper()
	var violations []contract.Violation
	if w.watch != nil {
		violations = w.watch.Violations()
		for _, operation := range w.watch.Operations() {
			asked.note(t, operation)
		}
		for _, page := range w.watch.Unread() {
			if onePage[page.Operation] == "" {
				t.Errorf("the next page %s was offered and never read", page.Address)
			}
		}
	}
	for _, d := range github.Deliveries() {
		if w.webhooks != nil {
			violations = append(violations, w.webhooks.Judge(d.Event, d.Payload)...)
		}
		if w.judge != nil {
			violations = append(violations, w.judge.Webhook(d.Event, d.Payload)...)
		}
	}
	told := map[contract.Violation]bool{}
	for _, v := range violations {
		if !told[v] {
			t.Errorf("contract: %s", v)
		}
		told[v] = true
	}
}

// onePage are the operations of which the first page is enough, and why.
var onePage = map[string]string{
	"GET /app/hook/deliveries":                           "older deliveries than are looked for are not read",
	"GET /repos/{owner}/{repo}/compare/{basehead}":       "the merge base and the counts are on every page; the commits are not looked at",
	"GET /repos/{owner}/{repo}/commits/{ref}/check-runs": "the newest run of that name comes first; older ones do not count",
}

// asked are the operations that the tests saw the server ask for.
var asked = &operations{seen: map[string]bool{}}

type operations struct {
	mu   sync.Mutex
	seen map[string]bool
}

// documented are the operations in docs/github-api.md, from the first column of
// its table.
var documented = sync.OnceValues(func() (map[string]bool, error) {
	document, err := os.ReadFile("../docs/github-api.md")
	if err != nil {
		return nil, err
	}
	rows := map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|").FindAllSubmatch(document, -1) {
		rows[string(match[1])] = true
	}
	return rows, nil
})

func (o *operations) note(t *testing.T, operation string) {
	t.Helper()
	rows, err := documented()
	if err != nil {
		t.Fatal(err)
	}
	if !rows[operation] {
		t.Errorf("the server asks GitHub for %s, which docs/github-api.md does not list", operation)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen[operation] = true
}

// check says, after all tests have passed, whether the document lists what
// nobody asks for. It can say so only of a run of the whole package with a judge.
func (o *operations) check() error {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return nil
		}
	}
	rows, err := documented()
	if err != nil || len(o.seen) == 0 {
		return err
	}
	maps.DeleteFunc(rows, func(operation string, _ bool) bool { return o.seen[operation] })
	if len(rows) > 0 {
		return fmt.Errorf("docs/github-api.md lists what the server never asks for:\n\t%s", strings.Join(slices.Sorted(maps.Keys(rows)), "\n\t"))
	}
	return nil
}
