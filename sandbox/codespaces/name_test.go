package codespaces

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

func TestMain(m *testing.M) {
	asGH()
	goleak.VerifyTestMain(m)
}

func specOf(change func(*sandbox.Spec)) sandbox.Spec {
	s := sandbox.Spec{
		ID: "pc-abcdefghijkl", HeadSHA: strings.Repeat("0f", 20),
		For:         killswitch.Scope{Repository: policy.Repository{Installation: 5, ID: 11, Owner: "acme", Name: "shop"}, Number: 7},
		Constraints: sandbox.SandboxConstraints{Network: sandbox.NetworkFull},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestNames(t *testing.T) {
	for name, change := range map[string]func(*sandbox.Spec){
		"one":                    nil,
		"the greatest number":    func(s *sandbox.Spec) { s.For.Number = 1<<24 - 1 },
		"the longest life":       func(s *sandbox.Spec) { s.Constraints.Timeout = sandbox.MaxTimeout },
		"the shortest":           func(s *sandbox.Spec) { s.Constraints.Timeout = time.Second },
		"an agent's":             func(s *sandbox.Spec) { s.For.Agents = true },
		"an id that was derived": func(s *sandbox.Spec) { s.ID = sandbox.IDFor("x") },
		"an id that was chosen":  func(s *sandbox.Spec) { s.ID = sandbox.NewID() },
	} {
		wanted, err := marksOf(specOf(change))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		called := wanted.displayName(42)
		if got, ours := readName(called, 42); !ours || got != wanted || len(called) != 48 || !strings.HasPrefix("pc-"+called, wanted.ID) {
			t.Errorf("%s: %q is %+v, %t", name, called, got, ours)
		}
		if got, ours := readName(called, 43); ours {
			t.Errorf("%s: another App's is %+v", name, got)
		}
	}
	for name, change := range map[string]func(*sandbox.Spec){
		"an id of another form":  func(s *sandbox.Spec) { s.ID = "abc" },
		"a long id":              func(s *sandbox.Spec) { s.ID += "m" },
		"a short commit":         func(s *sandbox.Spec) { s.HeadSHA = "0f0f" },
		"no pull request":        func(s *sandbox.Spec) { s.For.Number = 0 },
		"a number without room":  func(s *sandbox.Spec) { s.For.Number = 1 << 24 },
		"a part of a second":     func(s *sandbox.Spec) { s.Constraints.Timeout = 1500 * time.Millisecond },
		"a commit in capitals":   func(s *sandbox.Spec) { s.HeadSHA = strings.Repeat("0F", 20) },
		"a commit by SHA-256":    func(s *sandbox.Spec) { s.HeadSHA = strings.Repeat("0f", 32) },
		"a commit that is a ref": func(s *sandbox.Spec) { s.HeadSHA = "refs/heads/main" },
	} {
		if _, err := marksOf(specOf(change)); err == nil {
			t.Errorf("%s has room", name)
		}
	}
}

// FuzzNames: whatever a codespace is called, it is read without harm, and what is taken
// for ours is what it would be called by us.
func FuzzNames(f *testing.F) {
	wanted, err := marksOf(specOf(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wanted.displayName(42), int64(42))
	f.Add(strings.Repeat("a", 48), int64(42))
	f.Add(strings.Repeat("a", 45)+"\n00", int64(42))
	f.Add("shiny space barnacle", int64(1))
	f.Fuzz(func(t *testing.T, called string, app int64) {
		m, ours := readName(called, app)
		if !ours {
			return
		}
		if !sandbox.ValidID(m.ID) || m.displayName(app) != called {
			t.Errorf("%q is taken for %+v", called, m)
		}
	})
}
