package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/audit"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// stuck is a provider of which nobody knows what it has, and where nothing ends: it says so,
// or does not answer.
type stuck struct {
	*sandbox.MemorySandbox

	says  error
	asked atomic.Int64
}

func (s *stuck) List(ctx context.Context) ([]sandbox.Instance, error) {
	seen, _ := s.MemorySandbox.List(ctx)
	return seen, &githubapi.LimitError{RetryAt: time.Now().Add(time.Hour)}
}

func (s *stuck) Destroy(ctx context.Context, _ string) error {
	s.asked.Add(1)
	if s.says != nil {
		return s.says
	}
	<-ctx.Done()
	return ctx.Err()
}

// A provider that does not answer, or takes its time, keeps none of the others from being
// stopped or swept, and nothing of its own that can be seen from being tried.
func TestAProviderThatIsStuckKeepsNoOther(t *testing.T) {
	t.Parallel()
	var c clock
	options := atOnce
	options.Now, options.tokenNow, options.sweeping = c.now, time.Now, true
	boxes, other := sandbox.NewMemorySandbox(c.now, program), &stuck{MemorySandbox: sandbox.NewMemorySandbox(c.now, program)}
	failing := &stuck{MemorySandbox: sandbox.NewMemorySandbox(c.now, program), says: errors.New("the cluster is being moved")}
	options.sandboxes = map[string]sandbox.Sandbox{"codespaces": other, "docker": boxes, "kubernetes": failing}
	tw := newTestWorldWith(t, options)
	tw.set(sandboxPolicy)
	tw.settled()
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	id := tw.started(pr)
	there, err := boxes.Status(t.Context(), id)
	tw.must(err)
	elsewhere := there.For
	elsewhere.Number = 99
	for name, on := range map[string]*stuck{"codespaces": other, "kubernetes": failing} {
		is, err := on.Create(t.Context(), sandbox.Spec{ID: "pc-stuck-" + name, For: elsewhere, HeadSHA: there.HeadSHA, Constraints: sandbox.SandboxConstraints{Timeout: time.Hour}})
		tw.must(err)
		is.Provider = name
		tw.must(tw.server.store.AdoptSandbox(t.Context(), sandbox.Record{Instance: is}, anEntry))
	}
	short := func(do func(context.Context) error) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return do(ctx)
	}
	c.pass(11 * time.Minute)
	var next time.Time
	err = short(func(ctx context.Context) (err error) {
		next, err = tw.server.sandboxes.Sweep(ctx)
		return err
	})
	if late := next.Sub(c.now()); err == nil || late <= 0 || late > sandbox.SweepEvery {
		t.Errorf("it is looked again in %s, %v", late, err)
	}
	if n := running(t, boxes); n != 0 {
		t.Errorf("%d run past their deadline", n)
	}
	id = tw.started(pr)
	err = short(func(ctx context.Context) error {
		_, err := tw.server.sandboxes.Stop(ctx, killswitch.Scope{Repository: there.For.Repository})
		return err
	})
	if err == nil || running(t, boxes) != 0 || other.asked.Load() == 0 || failing.asked.Load() == 0 {
		t.Errorf("%d run after a stop, and the others were asked %d and %d times to end one: %v", running(t, boxes), other.asked.Load(), failing.asked.Load(), err)
	}
	wantText(t, tw.entries("sandbox.ended"), id)
	if told := tw.entries("sandbox.ended"); strings.Contains(told, "pc-stuck") {
		t.Errorf("what runs is told to have ended: %s", told)
	}
	if left, err := tw.server.store.Sandboxes(t.Context(), killswitch.Scope{}); err != nil || len(left) != 2 {
		t.Errorf("on record there is %+v, %v", left, err)
	}
}

// What runs where this server has no access any more is not told to have been stopped.
func TestAStopSaysWhatItCannotReach(t *testing.T) {
	t.Parallel()
	tw, _ := boxed(t, atOnce)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	elsewhere := sandbox.Record{Instance: sandbox.Instance{
		ID: "pc-elsewhere", Provider: "kubernetes", Status: sandbox.StatusRunning, For: killswitch.PullRequest(tw.refOf(pr)), CreatedAt: time.Now(), Deadline: time.Now().Add(time.Hour),
	}}
	tw.must(tw.server.store.OpenSandbox(t.Context(), elsewhere, sandbox.Caps{PerRepository: 1, PerPerson: 1, Total: 1}, anEntry))
	_, err := tw.server.sandboxes.Stop(t.Context(), killswitch.Scope{Repository: elsewhere.For.Repository})
	if err == nil || !strings.Contains(err.Error(), "pc-elsewhere may run until") {
		t.Errorf("it is told: %v", err)
	}
	if left, err := tw.server.sandboxes.Running(t.Context(), tw.refOf(pr)); err != nil || len(left) != 1 {
		t.Errorf("on record there is %+v, %v", left, err)
	}
}

// Commands that wait for their turn in one sandbox keep nobody else from a place, and
// nobody from ending it.
func TestCommandsThatWaitKeepNobodyFromAPlace(t *testing.T) {
	t.Parallel()
	tw, boxes := boxed(t, atOnce)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	id := tw.started(pr)
	for range 4 {
		_, err := pr.Comment(tw.github.User("bob"), strings.TrimSpace(strings.Repeat("/sandbox exec "+id+" wait\n", policy.MaxCommands)))
		tw.must(err)
	}
	eventually(t, "one runs", func() bool { return strings.Contains(tw.entries("sandbox.exec"), ": wait") })
	_, err := pr.Comment(tw.github.User("lee"), "/sandbox start")
	tw.must(err)
	eventually(t, "another is started", func() bool { return running(t, boxes) == 2 })
	_, err = pr.Comment(tw.github.User("bob"), "/sandbox stop "+id)
	tw.must(err)
	eventually(t, "it ends", func() bool { return running(t, boxes) == 1 })
	if n := strings.Count(tw.entries("sandbox.exec"), ": wait"); n != 1 {
		t.Errorf("%d commands were run", n)
	}
}

// Commands of one comment are run in their order, whoever is free to.
func TestCommandsAreRunInTheirOrder(t *testing.T) {
	t.Parallel()
	tw, _ := boxed(t, atOnce)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	id := tw.started(pr)
	var commands, want []string
	for n := range 5 {
		commands, want = append(commands, fmt.Sprintf("/sandbox exec %s say %d", id, n)), append(want, fmt.Sprint(n))
	}
	tw.comment(pr, "bob", strings.Join(commands, "\n"))
	eventually(t, "all are run", func() bool { return strings.Count(tw.entries("sandbox.exec"), ": say ") == len(want) })
	var run []string
	for line := range strings.Lines(tw.entries("sandbox.exec")) {
		_, said, _ := strings.Cut(strings.TrimSpace(line), ": say ")
		run = append(run, said)
	}
	if !slices.Equal(run, want) {
		t.Errorf("they were run as %v", run)
	}
}

var anEntry = audit.Entry{At: time.Unix(1, 0), Actor: audit.Itself, Action: "test", Subject: "test"}

// personal sandboxes have the rights of who asks for them.
type personal struct{ *sandbox.MemorySandbox }

func (personal) ActsFor(by policy.Actor) policy.Actor { return by }

// What runs with a person's rights is commanded by that person alone, and what it could
// have said is not taken for theirs.
func TestASandboxThatActsForAPerson(t *testing.T) {
	t.Parallel()
	var c clock
	options := atOnce
	options.Now, options.tokenNow = c.now, time.Now
	options.sandboxes = map[string]sandbox.Sandbox{"docker": personal{sandbox.NewMemorySandbox(c.now, program)}}
	tw := newTestWorldWith(t, options)
	tw.set(sandboxPolicy)
	tw.settled()
	pr, other := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"}), tw.opened("ann", "more", map[string]string{"catalogue/a.go": strings.Repeat("a\n", 60), "catalogue/b.go": strings.Repeat("b\n", 60)})
	tw.comment(pr, "lee", "/approve")
	id := tw.started(pr)
	tw.comment(pr, "lee", "/sandbox exec "+id+" say hello")
	wantText(t, answered(pr), "@lee What runs in it has the rights of bob, who alone runs commands there.")
	tw.comment(pr, "bob", "/sandbox exec "+id+" say hello")
	wantText(t, answered(pr), " hello")
	tw.comment(other, "bob", "/approve")
	wantText(t, answered(other), "the sandbox "+id+", where what runs has the rights of bob, could have said it")
	tw.comment(other, "bob", "/credential issue deploy")
	wantText(t, answered(other), "@bob The sandbox "+id+", where what runs has the rights of bob, could have said it")
	agents := tw.halts(tw.shop, "ann", "Stop", switchLabel+"-agents")
	wantText(t, tw.says(agents, "bob", "/killswitch off"), "@bob This `/killswitch` has no effect: the sandbox "+id+", where what runs has the rights of bob, could have said it")
	tw.comment(pr, "lee", "/sandbox stop "+id)
	wantText(t, answered(pr), "is gone")
	// What was said then does not count later either.
	c.pass(5 * time.Minute)
	wantText(t, tw.says(agents, "bob", "/killswitch off"), "bob is not one of: acme/security")
	tw.comment(other, "ann", "/tier")
	wantText(t, answered(other), "1 more approval")
	tw.comment(other, "bob", "/approve")
	tw.comment(other, "ann", "/tier")
	wantText(t, answered(other), "| bob | approve |", "| yes |")
}

// What runs with a person's rights in one repository starts no organization again either,
// whose switch is another repository's affair, or none's.
func TestAPersonsSandboxStartsNoOrganizationAgain(t *testing.T) {
	t.Parallel()
	for _, off := range []string{"/killswitch off org", "/killswitch off"} {
		options := atOnce
		options.sandboxes = map[string]sandbox.Sandbox{"docker": personal{sandbox.NewMemorySandbox(time.Now, program)}}
		tw := newTestWorldWith(t, options)
		floor := tw.acme.CreateRepository(".github", map[string]string{"README.md": "x\n"})
		floor.SetRole(tw.github.User("lee"), "triage")
		tw.set(sandboxPolicy)
		tw.settled()
		pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
		tw.comment(pr, "lee", "/approve")
		id := tw.started(pr)
		tw.halts(floor, "lee", "Stop", switchLabel)
		tw.comment(pr, "bob", off)
		wantText(t, answered(pr), "the sandbox "+id+", where what runs has the rights of bob, could have said it")
	}
}

// faulty fails to create so many.
type faulty struct {
	*sandbox.MemorySandbox

	left atomic.Int64
}

func (f *faulty) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	if f.left.Add(-1) >= 0 {
		return sandbox.Instance{}, errors.New("the engine is being restarted")
	}
	return f.MemorySandbox.Create(ctx, spec)
}

// What the policy wants and nobody asked for is tried again.
func TestAStartThatFailsIsTriedAgainForAnAgent(t *testing.T) {
	t.Parallel()
	var c clock
	options := atOnce
	options.Now, options.tokenNow = c.now, time.Now
	boxes := &faulty{MemorySandbox: sandbox.NewMemorySandbox(c.now, program)}
	boxes.left.Store(2)
	options.sandboxes = map[string]sandbox.Sandbox{"docker": boxes}
	tw := newTestWorldWith(t, options)
	tw.set(strings.Replace(sandboxPolicy, "sandbox: {", "sandbox: {start: agents, ", 1))
	tw.settled()
	agent := tw.opened("claude[bot]", "agent/typo", map[string]string{"catalogue/list.go": "package list\n"})
	tw.comment(agent, "bob", "/approve")
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute} {
		if n := running(t, boxes.MemorySandbox); n != 0 {
			t.Fatalf("%d run", n)
		}
		c.pass(wait + time.Second)
		tw.settled()
	}
	eventually(t, "it is started", func() bool { return running(t, boxes.MemorySandbox) == 1 })
	tw.settled()
	wantText(t, answered(agent), "The sandbox `")
}

// A start whose server died leaves nothing that nobody knows the id of.
func TestAStartWhoseServerDies(t *testing.T) {
	t.Parallel()
	var c clock
	options := atOnce
	options.Now, options.tokenNow = c.now, time.Now
	tw, boxes := boxed(t, options)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	bob := policy.Actor{ID: tw.github.User("bob").ID(), Login: "bob", Kind: policy.KindUser}
	spec := sandbox.Spec{ID: sandbox.IDFor("comment:9:0"), For: killswitch.PullRequest(tw.refOf(pr)), HeadSHA: pr.HeadSHA(), RequestedBy: bob}
	is, err := boxes.Create(t.Context(), spec)
	tw.must(err)
	is.Provider = "docker"
	tw.must(tw.server.store.AdoptSandbox(t.Context(), sandbox.Record{Instance: is}, anEntry))
	tw.must(tw.server.store.PutTask(t.Context(), sandbox.Task{
		ID: "comment:9:0", Kind: sandbox.TaskStart, On: tw.refOf(pr), By: bob, At: c.now(), State: sandbox.TaskBegun, Attempt: 1, HeldUntil: c.now().Add(30 * time.Second),
	}))
	tw.settled()
	c.pass(31 * time.Second)
	eventually(t, "it is ended", func() bool { return running(t, boxes) == 0 })
	tw.settled()
	wantText(t, answered(pr), "@bob The server ended while it did this")
	wantText(t, tw.entries("sandbox.ended"), "the server ended while it was started")
}
