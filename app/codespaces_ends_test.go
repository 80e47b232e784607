package app

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

// there counts the codespaces that exist.
func (c *cloud) there() int { return len(c.sim.Codespaces()) }

// created creates one that the test ends.
func (c *cloud) created() sandbox.Instance {
	c.t.Helper()
	is, err := c.Create(c.t.Context(), c.spec())
	if err != nil {
		c.t.Fatal(err)
	}
	return is
}

func (c *cloud) destroyed(id string) {
	c.t.Helper()
	if err := c.Destroy(c.t.Context(), id); err != nil {
		c.t.Error(err)
	}
	if n := c.there(); n != 0 {
		c.t.Errorf("%d codespaces are left", n)
	}
}

// I23: without a token of the person's nothing is created, and what there is is ended.
func TestI23WithTheInstallationsTokenAlone(t *testing.T) {
	c := newCloud(t)
	is := c.created()
	c.tokens.of = map[int64]usertoken.Token{}
	c.sim.ResetRequests()
	for name, spec := range map[string]func(*sandbox.Spec){
		"ann":                     func(*sandbox.Spec) {},
		"nobody in particular":    func(s *sandbox.Spec) { s.RequestedBy = policy.Actor{} },
		"somebody else":           func(s *sandbox.Spec) { s.RequestedBy = policy.Actor{ID: 99, Login: "bob"} },
		"somebody without number": func(s *sandbox.Spec) { s.RequestedBy.ID = 0 },
	} {
		asked := c.spec()
		spec(&asked)
		_, err := c.Create(t.Context(), asked)
		if needed, is := errors.AsType[*codespaces.NeedsUserTokenError](err); !is || needed.Person.ID != asked.RequestedBy.ID {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := c.writes(); n != 0 {
		t.Errorf("GitHub was asked to change something %d times", n)
	}
	fresh := c.another()
	if all, err := fresh.List(t.Context()); err != nil || len(all) != 1 || all[0] != is {
		t.Errorf("%+v, %v", all, err)
	}
	if err := fresh.Destroy(t.Context(), is.ID); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.sim.Requests() {
		if strings.HasPrefix(r.Path, "/user/") {
			t.Errorf("a person was needed for %s %s", r.Method, r.Path)
		}
	}
}

// I22: whatever GitHub answers to a creation, there is a sandbox or a visible error and
// nothing left, and asking again works.
func TestI22Creations(t *testing.T) {
	post := func(f githubsim.Fault) func(*cloud) {
		f.Method, f.Path, f.Times = http.MethodPost, regexp.MustCompile("/codespaces$"), 1
		return func(c *cloud) { c.sim.Inject(f) }
	}
	refusedAs := func(status int) func(error) bool {
		return func(err error) bool {
			refused, is := errors.AsType[*codespaces.RefusedError](err)
			return is && refused.Status == status
		}
	}
	needed := func(at string) func(error) bool {
		return func(err error) bool {
			needed, is := errors.AsType[*codespaces.NeedsUserTokenError](err)
			return is && needed.At == at && needed.Person.Login == "ann"
		}
	}
	works := func(err error) bool { return err == nil }
	says := func(sentence string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), sentence) }
	}
	for name, s := range map[string]struct {
		set  func(*cloud)
		want func(error) bool
	}{
		"202":                     {func(c *cloud) { k := fast; k.Retry = true; c.sim.SetCodespaceKnobs(k) }, works},
		"it fails":                {func(c *cloud) { k := fast; k.Fail = true; c.sim.SetCodespaceKnobs(k) }, func(err error) bool { return errors.Is(err, sandbox.ErrNotRunning) }},
		"401":                     {post(githubsim.Fault{Status: 401}), needed("")},
		"401 with a link":         {post(githubsim.Fault{Status: 401, Body: `{"message":"x","documentation_url":"https://docs.github.com/rest","allow_permissions_url":"https://github.example/allow"}`}), needed("https://github.example/allow")},
		"403":                     {post(githubsim.Fault{Status: 403}), refusedAs(403)},
		"404":                     {post(githubsim.Fault{Status: 404}), refusedAs(404)},
		"422":                     {post(githubsim.Fault{Status: 422}), refusedAs(422)},
		"503":                     {post(githubsim.Fault{Status: 503}), says("create a codespace on acme/shop#1: GitHub answered 503")},
		"503 and created":         {post(githubsim.Fault{Status: 503, After: true}), works},
		"no answer":               {post(githubsim.Fault{}), says("create a codespace on acme/shop#1: GitHub could not be reached")},
		"no answer and created":   {post(githubsim.Fault{After: true}), works},
		"its SSH server is late":  {func(c *cloud) { c.shells.refuse = 3 }, works},
		"another commit by then":  {func(c *cloud) { c.shells.heads[""] = strings.Repeat("0", 40) }, func(err error) bool { _, is := errors.AsType[*codespaces.MovedError](err); return is }},
		"the App may not":         {func(c *cloud) { c.install.SetPermission("codespaces", "read") }, says("the App could not end it; in acme it needs Organization codespaces: write, Codespaces: write")},
		"no way to end one later": {func(c *cloud) { c.install.SetPermission("organization_codespaces", "read") }, refusedAs(0)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			s.set(c)
			spec := c.spec()
			is, err := c.Create(t.Context(), spec)
			if !s.want(err) {
				t.Fatalf("%+v, %v", is, err)
			}
			if err != nil && strings.Contains(err.Error(), c.tokens.of[c.ann.ID()].Reveal()) {
				t.Errorf("the error has the token: %v", err)
			}
			want := 1
			if err != nil {
				want = 0
			}
			if n := c.there(); n != want {
				t.Errorf("there are %d codespaces, want %d", n, want)
			}
			for name, level := range map[string]string{"codespaces": "write", "organization_codespaces": "write"} {
				c.install.SetPermission(name, level)
			}
			c.sim.SetCodespaceKnobs(fast)
			c.shells.heads[""] = c.pull.HeadSHA()
			if again, err := c.Create(t.Context(), spec); err != nil || again.Status != sandbox.StatusRunning || c.there() != 1 {
				t.Errorf("again: %+v, %v, %d", again, err, c.there())
			}
			c.destroyed(spec.ID)
		})
	}
}

func TestI22PendingAndSlowlyDeleted(t *testing.T) {
	c := newCloud(t)
	is := c.created()
	c.sim.Codespaces()[0].SetPending("it is being moved")
	if now, err := c.Status(t.Context(), is.ID); err != nil || now.Status != sandbox.StatusError || now.Reason != "it is being moved" {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := c.Execute(t.Context(), is.ID, sandbox.Command{Argv: []string{"true"}}); !errors.Is(err, sandbox.ErrNotRunning) {
		t.Errorf("a command: %v", err)
	}
	slow := fast
	slow.Delete = 600 * time.Millisecond
	c.sim.SetCodespaceKnobs(slow)
	begun := time.Now()
	c.destroyed(is.ID)
	if took := time.Since(begun); took < slow.Delete {
		t.Errorf("it was said to be gone after %s", took)
	}
}

func TestWhatNoCodespaceIsCreatedFor(t *testing.T) {
	c := newCloud(t)
	sent := c.spec()
	if _, err := c.shop.Push(c.ann, "topic", githubsim.Commit{Files: map[string]string{"y": "y\n"}}); err != nil {
		t.Fatal(err)
	}
	before := c.writes()
	_, err := c.Create(t.Context(), sent)
	if moved, is := errors.AsType[*codespaces.MovedError](err); !is || moved.Head != c.pull.HeadSHA() || moved.Approved != sent.HeadSHA {
		t.Errorf("a commit that is not the head any more: %v", err)
	}
	fork := c.shop.Fork(c.ann)
	if _, err := fork.Push(c.ann, "idea", githubsim.Commit{Files: map[string]string{"z": "z\n"}}); err != nil {
		t.Fatal(err)
	}
	pull, err := c.shop.Open(c.ann, githubsim.PullRequestSpec{Title: "z", Head: "ann:idea"})
	if err != nil {
		t.Fatal(err)
	}
	sent.For.Number, sent.HeadSHA = pull.Number(), pull.HeadSHA()
	_, err = c.Create(t.Context(), sent)
	if refused, is := errors.AsType[*sandbox.UnsupportedError](err); !is || refused.Field != "head" {
		t.Errorf("a fork's: %v", err)
	}
	if err := c.pull.Close(c.ann); err != nil {
		t.Fatal(err)
	}
	closed := c.spec()
	if _, err := c.Create(t.Context(), closed); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a pull request that is closed: %v", err)
	}
	if n := c.writes() - before; n != 0 {
		t.Errorf("GitHub was asked to change something %d times", n)
	}
	if n := c.there(); n != 0 {
		t.Errorf("%d codespaces", n)
	}
}

// I5, across replicas.
func TestI5SeveralCreateTheSame(t *testing.T) {
	c := newCloud(t)
	spec := c.spec()
	made := make([]sandbox.Instance, 3)
	var all sync.WaitGroup
	for n := range made {
		one := c.another()
		all.Go(func() {
			var err error
			if made[n], err = one.Create(t.Context(), spec); err != nil {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	all.Wait()
	for n, is := range made {
		if is != made[0] || is.ID != spec.ID {
			t.Errorf("%d is %+v, and the first %+v", n, is, made[0])
		}
	}
	is, err := c.Status(t.Context(), spec.ID)
	if err != nil || is != made[0] {
		t.Errorf("%+v, %v", is, err)
	}
	eventually(t, "one is left", func() bool { return c.there() <= 1 })
	if n := c.there(); n != 1 {
		t.Errorf("%d codespaces", n)
	}
	c.destroyed(spec.ID)
}

// Whoever calls a codespace of theirs as one of ours is called gets nothing to run.
func TestACodespaceThatBearsAnothersName(t *testing.T) {
	c := newCloud(t)
	bob := c.sim.CreateUser("bob")
	c.acme.AddMember(bob)
	c.shop.SetRole(bob, "write")
	is := c.created()
	name := c.sim.Codespaces()[0].DisplayName()
	c.destroyed(is.ID)
	on := policy.PullRequestRef{Repository: is.For.Repository, Number: is.For.Number}
	if _, err := c.config.People.Create(t.Context(), c.token(bob), on, codespaces.Request{DisplayName: name, Machine: "basicLinux32gb", Idle: 5 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	spec := c.spec()
	spec.ID = is.ID
	if _, err := c.Create(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "another codespace") {
		t.Errorf("taken for ann's: %v", err)
	}
	c.destroyed(is.ID)
}

// Ended: what a process left that died while it created one, and what GitHub stopped.
func TestSweepEndsWhatNobodyWaitsFor(t *testing.T) {
	c := newCloud(t)
	ctx, cancel := context.WithCancel(t.Context())
	slow := fast
	slow.Create = time.Hour
	c.sim.SetCodespaceKnobs(slow)
	spec := c.spec()
	spec.Constraints.Timeout = time.Second
	var dying sync.WaitGroup
	dying.Go(func() {
		defer func() { _ = recover() }()
		dead := c.config
		dead.Platform = dies{dead.Platform, ctx}
		boxes, err := codespaces.NewCodespacesSandbox(dead)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = boxes.Create(ctx, spec)
	})
	eventually(t, "it is created", func() bool { return c.there() > 0 })
	cancel()
	dying.Wait()
	c.sim.SetCodespaceKnobs(fast)
	fresh := c.another()
	left, err := fresh.List(t.Context())
	if err != nil || len(left) != 1 || left[0].ID != spec.ID {
		t.Fatalf("%+v, %v", left, err)
	}
	<-time.After(time.Until(left[0].Deadline) + 10*time.Millisecond)
	for _, when := range []time.Time{time.Now(), time.Now().Add(2 * time.Minute)} {
		if ended, err := sandbox.Reap(t.Context(), fresh, when); len(ended) != 1 || err != nil || c.there() != 0 {
			t.Errorf("%v ended, %v, %d are there", ended, err, c.there())
		}
		if ended, err := sandbox.Reap(t.Context(), fresh, when); len(ended) != 0 || err != nil {
			t.Errorf("nothing: %v ended, %v", ended, err)
		}
		c.created()
		c.sim.Codespaces()[0].SetState("Archived") // by GitHub
	}
	c.destroyed(c.only().ID)
}

// only is the one that there is.
func (c *cloud) only() sandbox.Instance {
	c.t.Helper()
	all, err := c.List(c.t.Context())
	if err != nil || len(all) != 1 {
		c.t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// dies ends nothing any more once its process is dead.
type dies struct {
	codespaces.Platform

	alive context.Context
}

func (d dies) Delete(ctx context.Context, place policy.Repository, of codespaces.Codespace) error {
	if d.alive.Err() != nil {
		return d.alive.Err()
	}
	return d.Platform.Delete(ctx, place, of)
}

// What a person pays for is theirs alone to end, and that it cannot be seen is told.
func TestWhatAPersonPaysForAndNobodyCanSee(t *testing.T) {
	c := newCloud(t)
	c.acme.SetCodespacePolicy(githubsim.CodespacePolicy{PaidByUsers: true})
	is := c.created()
	mine := c.tokens.of
	c.tokens.of = map[int64]usertoken.Token{}
	fresh := c.another()
	all, err := fresh.List(t.Context())
	if needed, is := errors.AsType[*codespaces.NeedsUserTokenError](err); !is || needed.Person.Login != "ann" || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := fresh.Destroy(t.Context(), is.ID); err == nil || !strings.Contains(err.Error(), "a codespace that ann pays for may run, and cannot be seen") {
		t.Errorf("%v", err)
	}
	if _, err := fresh.Status(t.Context(), is.ID); err == nil || errors.Is(err, sandbox.ErrUnknown) {
		t.Errorf("it is not known whether it is there: %v", err)
	}
	c.tokens.of = mine
	c.destroyed(is.ID)
}

// Somebody has taken it back, and the webhook was lost: that hides nothing of what the
// organization pays for, and what they pay for themselves is told of.
func TestWhoHasTakenItBackUnheard(t *testing.T) {
	c := newCloud(t)
	is := c.created()
	c.ann.RevokeApp(c.hook)
	if all, err := c.another().List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("what acme pays for: %+v, %v", all, err)
	}
	spec := c.spec()
	_, err := c.Create(t.Context(), spec)
	if needed, is := errors.AsType[*codespaces.NeedsUserTokenError](err); !is || needed.Person.Login != "ann" {
		t.Errorf("another: %v", err)
	}
	c.tokens.expected[c.ann.ID()] = usertoken.Expectation{Person: is.RequestedBy, Pays: true}
	if all, err := c.another().List(t.Context()); err == nil || !strings.Contains(err.Error(), "a codespace that ann pays for may run, and cannot be seen") || len(all) != 1 {
		t.Errorf("what ann pays for: %+v, %v", all, err)
	}
	c.tokens.expected = map[int64]usertoken.Expectation{}
	c.destroyed(is.ID)
}

// I16: a kill switch ends what any replica created, though another organization does not
// answer; where that is the one to be stopped, it is told.
func TestI16AKillSwitchEndsCodespaces(t *testing.T) {
	c := newCloud(t)
	c.created()
	c.created()
	other := c.sim.CreateOrganization("other")
	elsewhere := c.hook.Install(other)
	defer c.sim.Inject(githubsim.Fault{Method: http.MethodGet, Path: regexp.MustCompile("^/orgs/other/codespaces"), Status: http.StatusForbidden})()
	ended, err := sandbox.Guard{Sandbox: c.another()}.Stop(t.Context(), killswitch.Organization("acme", c.install.ID()))
	if ended != 2 || err != nil || c.there() != 0 {
		t.Errorf("%d ended, %v; %d are there", ended, err, c.there())
	}
	_, err = sandbox.Guard{Sandbox: c.another()}.Stop(t.Context(), killswitch.Organization("other", elsewhere.ID()))
	if err == nil || !strings.Contains(err.Error(), "list the codespaces of other") {
		t.Errorf("the other is told to be stopped: %v", err)
	}
}
