package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/internal/recovery"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

const (
	sandboxImage  = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	sandboxPolicy = switchPolicy + "sandbox: {provider: docker, image: \"" + sandboxImage + "\", constraints: {timeout: 10m}}\n"
)

// program is what commands do in a sandbox of these tests.
func program(ctx context.Context, files map[string][]byte, command sandbox.Command, stdout, stderr io.Writer) int {
	switch command.Argv[0] {
	case "ls":
		_, _ = io.WriteString(stdout, strings.Join(slices.Sorted(maps.Keys(files)), "\n"))
	case "say":
		_, _ = io.WriteString(stdout, strings.Join(command.Argv[1:], " "))
	case "fail":
		_, _ = io.WriteString(stderr, "it does not compile")
		return 2
	case "wait":
		<-ctx.Done()
	default:
		return sandbox.NoProgram
	}
	return 0
}

// boxed is a world with sandboxes in memory, under the name of a provider that is real.
func boxed(t *testing.T, options Options) (*testWorld, *sandbox.MemorySandbox) {
	t.Helper()
	now := options.Now
	if now == nil {
		now = time.Now
	}
	boxes := sandbox.NewMemorySandbox(now, program)
	options.sandboxes = map[string]sandbox.Sandbox{"docker": boxes}
	tw := newTestWorldWith(t, options)
	tw.set(sandboxPolicy)
	tw.settled()
	return tw, boxes
}

// answered is the last comment on the pull request.
func answered(pr *githubsim.PullRequest) string {
	comments := pr.Comments()
	return comments[len(comments)-1].Body
}

// started is the id of a sandbox that bob has started.
func (tw *testWorld) started(pr *githubsim.PullRequest) string {
	tw.t.Helper()
	tw.comment(pr, "bob", "/sandbox start")
	_, rest, found := strings.Cut(answered(pr), "The sandbox `")
	id, _, _ := strings.Cut(rest, "`")
	if !found {
		tw.t.Fatalf("no sandbox was started: %s", answered(pr))
	}
	return id
}

// entries are those of the audit log about something, whole.
func (tw *testWorld) entries(prefix string) string {
	tw.t.Helper()
	all, err := tw.server.store.AuditEntries(tw.t.Context(), 0, 1000)
	tw.must(err)
	var told []string
	for _, e := range all {
		if strings.HasPrefix(e.Action, prefix) {
			told = append(told, fmt.Sprintf("%s by %s on %s at %.7s: %s", e.Action, e.Actor, e.Subject, e.Commit, e.Detail))
		}
	}
	return strings.Join(told, "\n")
}

func running(t *testing.T, boxes *sandbox.MemorySandbox) int {
	t.Helper()
	all, err := boxes.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestASandboxOnAPullRequest(t *testing.T) {
	t.Parallel()
	tw, boxes := boxed(t, atOnce)
	tw.shop.SetRole(tw.github.CreateUser("rita"), "read")
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n", "docs/a.md": "a\n"})
	tw.comment(pr, "bob", "/sandbox start")
	wantText(t, answered(pr), "@bob Peer-review: 1 more approval")
	tw.comment(pr, "bob", "/approve")
	tw.comment(pr, "bob", "/sandbox start codespaces")
	wantText(t, answered(pr), `The policy has sandboxes run on docker, not on "codespaces"`)
	id := tw.started(pr)
	wantText(t, answered(pr), "runs on docker with the files of "+pr.HeadSHA()[:7], "/sandbox exec "+id)

	for _, c := range []struct {
		by, command string
		want        []string
	}{
		{"bob", "/sandbox list", []string{"| `" + id + "` | docker | running | " + pr.HeadSHA()[:7], "| bob |"}},
		{"bob", "/sandbox exec " + id + " ls", []string{"`ls` ended with exit code 0 in `" + id + "`", " /workspace/README.md\n", " /workspace/docs/a.md\n"}},
		{"bob", "/sandbox exec " + id + " fail", []string{"exit code 2", "<summary>standard error</summary>", " it does not compile"}},
		{"bob", "/sandbox exec " + id + ` say "a  b" '@ann' '/approve'`, []string{"```text\n", " a  b @ann /approve"}},
		{"bob", "/sandbox exec " + id + " nonsense", []string{"@bob The command was not started. It was said: `nonsense: "}},
		{"bob", "/sandbox exec pc-000000000000 ls", []string{"No sandbox that runs on this pull request has that id"}},
		{"bob", "/sandbox exec ../x ls", []string{"has that id; `/sandbox list` tells them"}},
		{"rita", "/sandbox exec " + id + " ls", []string{"Only who asked for it and who may write here use it, and rita is neither"}},
		{"rita", "/sandbox stop " + id, []string{"and rita is neither"}},
		{"rita", "/sandbox start", []string{"to ask for a sandbox takes write"}},
		{"lee", "/sandbox exec " + id + " say hello", []string{" hello"}},
		{"lee", "/sandbox stop " + id, []string{"The sandbox `" + id + "` is gone"}},
		{"lee", "/sandbox exec " + id + " ls", []string{"No sandbox that runs"}},
		{"bob", "/sandbox list", []string{"No sandbox runs on this pull request."}},
	} {
		tw.comment(pr, c.by, c.command)
		wantText(t, answered(pr), c.want...)
	}
	if n := running(t, boxes); n != 0 {
		t.Errorf("%d run", n)
	}
	wantText(t, tw.entries("sandbox."), "sandbox.asked by bob", "sandbox.started by bob", "approved by bob", "sandbox.exec by lee", "say hello", "sandbox.ended by lee", "lee stopped it")
}

// counted counts what is asked of it.
type counted struct {
	*sandbox.MemorySandbox

	asked atomic.Int64
}

func (c *counted) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Instance, error) {
	c.asked.Add(1)
	return c.MemorySandbox.Create(ctx, spec)
}

// I26: caps hold under a burst, and what is over them is told and asks the backend for
// nothing.
func TestI26Caps(t *testing.T) {
	t.Parallel()
	options, boxes := atOnce, &counted{MemorySandbox: sandbox.NewMemorySandbox(time.Now, program)}
	options.sandboxes = map[string]sandbox.Sandbox{"docker": boxes}
	tw := newTestWorldWith(t, options)
	tw.set(sandboxPolicy)
	tw.settled()
	var prs []*githubsim.PullRequest
	for i := range 8 {
		pr := tw.opened("ann", fmt.Sprintf("typo-%d", i), map[string]string{"README.md": fmt.Sprint("# Shop ", i, "\n")})
		tw.comment(pr, "lee", "/approve")
		prs = append(prs, pr)
	}
	for _, pr := range prs {
		for _, login := range []string{"bob", "lee"} {
			_, err := pr.Comment(tw.github.User(login), "/sandbox start")
			tw.must(err)
		}
	}
	tw.settled()
	if n, asked := running(t, boxes.MemorySandbox), boxes.asked.Load(); n != 5 || asked != 5 {
		t.Errorf("%d run of %d that were asked for, and 5 may in a repository", n, asked)
	}
	refused, byPerson := 0, map[string]int{}
	for _, pr := range prs {
		for _, c := range pr.Comments() {
			if strings.Contains(c.Body, "which is as many as there may be") {
				refused++
			}
		}
	}
	all, err := boxes.List(t.Context())
	tw.must(err)
	for _, is := range all {
		byPerson[is.RequestedBy.Login]++
	}
	if refused != 11 || byPerson["bob"] > 3 || byPerson["lee"] > 3 {
		t.Errorf("%d were refused, and there run %v", refused, byPerson)
	}
}

// I26: a person's cap holds where the repository has room.
func TestI26ThePersonsCap(t *testing.T) {
	t.Parallel()
	tw, boxes := boxed(t, atOnce)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "lee", "/approve")
	for range 3 {
		tw.started(pr)
	}
	tw.comment(pr, "bob", "/sandbox start")
	wantText(t, answered(pr), "@bob Bob has 3 sandboxes, which is as many as there may be")
	tw.comment(pr, "lee", "/sandbox start")
	wantText(t, answered(pr), "The sandbox `")
	if n := running(t, boxes); n != 4 {
		t.Errorf("%d run", n)
	}
}

// A sandbox for each head of an agent's pull request that may have one, by the policy.
func TestASandboxForAnAgent(t *testing.T) {
	t.Parallel()
	tw, boxes := boxed(t, atOnce)
	tw.set(strings.Replace(sandboxPolicy, "sandbox: {", "sandbox: {start: agents, ", 1))
	tw.settled()
	tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	agent := tw.opened("claude[bot]", "agent/typo", map[string]string{"catalogue/list.go": "package list\n"})
	if n := running(t, boxes); n != 0 {
		t.Fatalf("%d run before anybody approved", n)
	}
	tw.comment(agent, "bob", "/approve")
	wantText(t, answered(agent), "The sandbox `", "with the files of "+agent.HeadSHA()[:7])
	all, err := boxes.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].For.Agents || all[0].RequestedBy.Known() || all[0].HeadSHA != agent.HeadSHA() {
		t.Fatalf("%+v, %v", all, err)
	}
	// Stopped, it is not started again for the same head.
	tw.comment(agent, "bob", "/sandbox stop "+all[0].ID)
	tw.comment(agent, "bob", "/tier")
	if n := running(t, boxes); n != 0 {
		t.Errorf("%d run", n)
	}
	_, err = tw.shop.Push(tw.github.User("claude[bot]"), "agent/typo", githubsim.Commit{Message: "more", Files: map[string]string{"catalogue/list.go": "package lists\n"}})
	tw.must(err)
	tw.settled()
	tw.comment(agent, "bob", "/approve")
	if n := running(t, boxes); n != 1 {
		t.Errorf("%d run on the new head", n)
	}
	// Those of agents are stopped alone.
	tw.halts(tw.shop, "bob", "Stop", switchLabel+"-agents")
	if n := running(t, boxes); n != 0 {
		t.Errorf("%d run while agents are stopped", n)
	}
}

// I18: what runs is found by a process with an empty database, and ended by it too.
func TestI18AnEmptyDatabaseFindsWhatRuns(t *testing.T) {
	t.Parallel()
	var c clock
	options := atOnce
	options.Now, options.tokenNow, options.sweeping = c.now, time.Now, true
	tw, boxes := boxed(t, options)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.review(pr, "bob", "APPROVE")
	id := tw.started(pr)
	tw.must(tw.server.Stop(t.Context()))
	tw.database = "sqlite:" + t.TempDir() + "/empty.db"
	tw.must(tw.serve(t.Context()))
	tw.settled()
	c.pass(time.Minute)
	tw.sweep(recovery.KeySandboxes)
	tw.comment(pr, "bob", "/sandbox exec "+id+" say still here")
	wantText(t, answered(pr), " still here")
	wantText(t, tw.entries("sandbox."), "sandbox.found by bob")
	c.pass(10 * time.Minute)
	tw.sweep(recovery.KeySandboxes)
	if n := running(t, boxes); n != 0 {
		t.Errorf("%d run past their deadline", n)
	}
}

// Nobody is told that a command was run that was not, and none is run twice.
func TestACommandWhoseServerStops(t *testing.T) {
	t.Parallel()
	tw, _ := boxed(t, atOnce)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	id := tw.started(pr)
	_, err := pr.Comment(tw.github.User("bob"), "/sandbox exec "+id+" wait")
	tw.must(err)
	eventually(t, "it runs", func() bool { return strings.Contains(tw.entries("sandbox.exec"), ": wait") })
	stopping, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	tw.must(tw.server.Stop(stopping))
	tw.must(tw.serve(t.Context()))
	tw.settled()
	wantText(t, answered(pr), "@bob The server is stopping; ask again in a while.")
	if n := strings.Count(tw.entries("sandbox.exec"), ": wait"); n != 1 {
		t.Errorf("it was run %d times", n)
	}
}

// A command whose server died is not run by the next: nobody knows what it did.
func TestACommandWhoseServerDies(t *testing.T) {
	t.Parallel()
	var c clock
	options := atOnce
	options.Now, options.tokenNow = c.now, time.Now
	tw, _ := boxed(t, options)
	pr := tw.opened("ann", "typo", map[string]string{"README.md": "# Shop\n"})
	tw.comment(pr, "bob", "/approve")
	id := tw.started(pr)
	bob := policy.Actor{ID: tw.github.User("bob").ID(), Login: "bob", Kind: policy.KindUser}
	task := sandbox.Task{ID: "comment:9:0", Kind: sandbox.TaskExecute, On: tw.refOf(pr), By: bob, At: c.now(), Sandbox: id, Argv: []string{"say", "x"}, State: sandbox.TaskBegun, HeldUntil: c.now().Add(30 * time.Second)}
	tw.must(tw.server.store.PutTask(t.Context(), task))
	tw.settled()
	before := len(pr.Comments())
	c.pass(29 * time.Second)
	tw.settled()
	if n := len(pr.Comments()); n != before {
		t.Errorf("told before its time: %s", answered(pr))
	}
	c.pass(2 * time.Second)
	eventually(t, "it is told", func() bool { return len(pr.Comments()) > before })
	wantText(t, answered(pr), "@bob The server ended while it did this, and what came of it is not known; ask again.")
	if acts := tw.entries("sandbox.exec"); acts != "" {
		t.Errorf("it was run: %s", acts)
	}
}
