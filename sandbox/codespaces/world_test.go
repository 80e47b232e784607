package codespaces

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/ssh"

	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/codespaces/sshtest"
	"github.com/portcullis-app/portcullis/sandbox/usertoken"
)

var (
	ann  = policy.Actor{ID: 1, Login: "ann"}
	bob  = policy.Actor{ID: 2, Login: "bob"}
	acme = policy.Repository{Installation: 7, Owner: "acme"}
	shop = policy.Repository{Installation: 7, ID: 70, Owner: "acme", Name: "shop"}
)

const approved = "0123456789abcdef0123456789abcdef01234567"

// world is a GitHub of few words, and an SSH server in each codespace.
type world struct {
	t *testing.T

	mu     sync.Mutex
	all    []Codespace
	places []policy.Repository
	heads  []Head // the answers to come, of which the last stays
	// cannot are the errors of lists, by the logins of organizations and people.
	cannot   map[string]error
	revoked  map[int64]bool
	expected []usertoken.Expectation
	deleted  []string
	creating func() // called when one was created
	refuses  int    // what creations are answered with, if it is set
	named    int
	now      time.Time

	server  *sshtest.Server
	signer  ssh.Signer
	shell   func(line string, channel ssh.Channel)
	silent  bool              // exec requests are not answered
	conns   []*freezing       // the server's ends
	serving func(c *freezing) // called with each
}

func newWorld(t *testing.T) (*world, *Codespaces) {
	t.Helper()
	w := &world{
		t: t, places: []policy.Repository{acme}, heads: []Head{{SHA: approved, Branch: "topic", Repository: shop.ID, Open: true}},
		cannot: map[string]error{}, revoked: map[int64]bool{}, now: time.Now(),
		shell: func(_ string, channel ssh.Channel) { _ = channel.Close() },
	}
	w.signer = sshtest.NewSigner(t)
	w.server = &sshtest.Server{
		Config: &ssh.ServerConfig{NoClientAuth: true}, Silent: func() bool { return w.silent },
		Exec: func(_, line string, channel ssh.Channel) { w.shell(line, channel) },
	}
	w.server.Config.AddHostKey(w.signer)
	c, err := NewCodespacesSandbox(Config{
		App: 1, Platform: onPlatform{w}, People: asPeople{w}, Tokens: w, Dialer: w, PollEvery: time.Millisecond, Now: w.time, Log: zerolog.New(zerolog.NewTestWriter(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.mu.Lock()
		conns := w.conns
		w.mu.Unlock()
		for _, conn := range conns {
			conn.thaw()
			_ = conn.Close()
		}
		c.Close()
		w.server.Running.Wait()
	})
	return w, c
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// spec is one that can be created.
func (w *world) spec() sandbox.Spec {
	return sandbox.Spec{
		ID: sandbox.NewID(), HeadSHA: approved, Policy: "x", For: killswitch.Scope{Repository: shop, Number: 1}, RequestedBy: ann,
		Constraints: sandbox.SandboxConstraints{Network: sandbox.NetworkFull, Timeout: time.Hour},
	}
}

// has adds a codespace of somebody's for the spec, paid for by that one.
func (w *world) has(spec sandbox.Spec, owner policy.Actor, payer string) Codespace {
	w.t.Helper()
	m, err := marksOf(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.add(m.displayName(1), owner, payer)
}

func (w *world) add(display string, owner policy.Actor, payer string) Codespace {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named++
	one := Codespace{
		Name: "box-" + strconv.Itoa(w.named), DisplayName: display, State: "Available", Owner: owner, Payer: payer,
		Repository: policy.Repository{ID: shop.ID, Owner: "acme", Name: "shop"}, CreatedAt: w.now.Add(time.Duration(w.named) * time.Millisecond),
	}
	w.all = append(w.all, one)
	return one
}

func (w *world) list(mine func(Codespace) bool, login string) (those []Codespace, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.cannot[login]; err != nil {
		return nil, err
	}
	for _, one := range w.all {
		if mine(one) {
			those = append(those, one)
		}
	}
	return those, nil
}

func (w *world) remove(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, one := range w.all {
		if one.Name == name {
			w.all = append(w.all[:i:i], w.all[i+1:]...)
			w.deleted = append(w.deleted, name)
			return nil
		}
	}
	return nil
}

// onPlatform is the world as installations see it.
type onPlatform struct{ *world }

func (w onPlatform) Organizations(context.Context) ([]policy.Repository, error) { return w.places, nil }

func (w onPlatform) Codespaces(_ context.Context, place policy.Repository) ([]Codespace, error) {
	return w.list(func(one Codespace) bool { return one.Payer == place.Owner }, place.Owner)
}

func (w onPlatform) Stop(context.Context, policy.Repository, Codespace) error { return nil }

func (w onPlatform) Delete(_ context.Context, _ policy.Repository, of Codespace) error {
	return w.remove(of.Name)
}

func (w onPlatform) Head(context.Context, policy.PullRequestRef) (Head, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	head := w.heads[0]
	if len(w.heads) > 1 {
		w.heads = w.heads[1:]
	}
	return head, nil
}

// asPeople is the world as people see it.
type asPeople struct{ *world }

func (w asPeople) Machines(context.Context, usertoken.Token, policy.Repository, string) ([]Machine, error) {
	return []Machine{{"small", 2, 8 << 30}}, nil
}

func (w asPeople) Create(_ context.Context, by usertoken.Token, _ policy.PullRequestRef, asked Request) (Codespace, error) {
	if w.refuses != 0 {
		return Codespace{}, &AnswerError{Status: w.refuses, Message: "no <@ann>", Cause: errors.New("GitHub refuses")}
	}
	made := w.add(asked.DisplayName, by.Owner, "acme")
	if w.creating != nil {
		w.creating()
	}
	return made, nil
}

func (w asPeople) Codespace(_ context.Context, _ usertoken.Token, name string) (Codespace, bool, error) {
	those, err := w.list(func(one Codespace) bool { return one.Name == name }, "")
	if err != nil || len(those) == 0 {
		return Codespace{}, false, err
	}
	return those[0], true, nil
}

func (w asPeople) Codespaces(_ context.Context, by usertoken.Token) ([]Codespace, error) {
	return w.list(func(one Codespace) bool { return one.Owner.ID == by.Owner.ID }, by.Owner.Login)
}

func (w asPeople) Stop(context.Context, usertoken.Token, string) error { return nil }

func (w asPeople) Delete(_ context.Context, _ usertoken.Token, name string) error {
	return w.remove(name)
}

// Token lets the App act for everybody who has not taken it back.
func (w *world) Token(_ context.Context, person policy.Actor) (usertoken.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.revoked[person.ID] {
		return usertoken.Token{}, &usertoken.NeededError{Person: person, Why: "they have taken it back"}
	}
	return usertoken.New(person, fmt.Sprintf("ghu_%d", person.ID)), nil
}

func (w *world) takeBack(person policy.Actor) { w.revoke(person, true) }
func (w *world) giveBack(person policy.Actor) { w.revoke(person, false) }

func (w *world) revoke(person policy.Actor, back bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked[person.ID] = back
}

// Dial connects to a server of its own.
func (w *world) Dial(ctx context.Context, _ string, _ usertoken.Token) (Line, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return Line{}, err
	}
	defer func() { _ = listener.Close() }()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return Line{}, err
	}
	other, err := listener.Accept()
	if err != nil {
		return Line{}, err
	}
	served := &freezing{Conn: other, frozen: make(chan struct{}), thawed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, served)
	if w.serving != nil {
		w.serving(served)
	}
	w.server.Running.Go(func() { w.server.Serve(served) })
	return Line{Conn: conn, User: "vscode", Auth: ssh.PublicKeys(w.signer), HostKey: ssh.FixedHostKey(w.signer.PublicKey())}, nil
}

// freezing is a connection that its end here can stop to serve, as a process does that was
// sent SIGSTOP.
type freezing struct {
	net.Conn

	once, twice    sync.Once
	frozen, thawed chan struct{}
}

func (f *freezing) freeze() { f.once.Do(func() { close(f.frozen) }) }
func (f *freezing) thaw()   { f.twice.Do(func() { close(f.thawed) }) }

func (f *freezing) wait() {
	select {
	case <-f.frozen:
		<-f.thawed
	default:
	}
}

func (f *freezing) Read(p []byte) (int, error) {
	f.wait()
	n, err := f.Conn.Read(p)
	f.wait()
	return n, err
}

func (f *freezing) Write(p []byte) (int, error) {
	f.wait()
	return f.Conn.Write(p)
}

// Expect keeps what is expected.
func (w *world) Expect(_ context.Context, person policy.Actor, until time.Time, pays bool) error {
	w.expects(usertoken.Expectation{Person: person, Until: until, Pays: pays})
	return nil
}

// ExpectIn keeps that too.
func (w *world) ExpectIn(_ context.Context, place policy.Repository, until time.Time) error {
	w.expects(usertoken.Expectation{Place: policy.Repository{Installation: place.Installation, Owner: place.Owner}, Until: until})
	return nil
}

// ExpectNoMore forgets that.
func (w *world) ExpectNoMore(_ context.Context, place policy.Repository, until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected = slices.DeleteFunc(w.expected, func(e usertoken.Expectation) bool {
		return e.Place.Installation == place.Installation && e.Until.Equal(until)
	})
	return nil
}

func (w *world) expects(one usertoken.Expectation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.Place.Owner != "" {
		w.expected = slices.DeleteFunc(w.expected, func(e usertoken.Expectation) bool { return e.Place == one.Place })
	}
	w.expected = append(w.expected, one)
}

// Expected lists it.
func (w *world) Expected(context.Context) ([]usertoken.Expectation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]usertoken.Expectation(nil), w.expected...), nil
}
